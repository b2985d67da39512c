"""Blobs: pictures and other files by name, in a local folder, in memory or in S3-compatible storage."""

from pathlib import Path
from urllib.parse import urlsplit

from obstore.exceptions import GenericError
from obstore.store import LocalStore, MemoryStore, S3Store

from fondaco.core.problem import Unavailable
from fondaco.settings import Settings


class Blobs:
    """The store that `blob_url` names: `file:///folder`, `s3://bucket/prefix` or `memory://`.

    S3 takes its endpoint, region and credentials from the usual AWS_ environment variables.
    """

    def __init__(self, settings: Settings) -> None:
        self._store = _open(settings.blob_url)

    async def put(self, name: str, body: bytes, content_type: str) -> None:
        """Keep `body` under `name`, replacing what was there; raises Unavailable."""
        # A folder cannot keep attributes; the name's ending says the type there.
        attributes = None if isinstance(self._store, LocalStore) else {"Content-Type": content_type}
        try:
            await self._store.put_async(name, body, attributes=attributes)  # type: ignore[arg-type]
        except (GenericError, OSError) as error:
            raise Unavailable("The file store does not answer. Nothing was saved; try again.") from error

    async def get(self, name: str) -> bytes | None:
        """The bytes under `name`, or None when there are none; raises Unavailable."""
        try:
            found = await self._store.get_async(name)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except (GenericError, OSError) as error:
            raise Unavailable("The file store does not answer. Try again in a moment.") from error


def _open(url: str) -> LocalStore | MemoryStore | S3Store:
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore()
    if parts.scheme == "s3":
        return S3Store(parts.netloc, prefix=parts.path.strip("/") or None)
    if parts.scheme == "file":
        # "file://./x" is relative to the working folder, "file:///x" is absolute.
        return LocalStore(Path(f"{parts.netloc}{parts.path}").resolve(), mkdir=True, automatic_cleanup=False)
    raise ValueError("blob_url must start with file://, s3:// or memory://")

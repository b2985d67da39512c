"""The data folder: what is in it, the secrets made on the first start, how it is deleted."""

import base64
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from fondaco.embedded import Cluster, ClusterError, Endpoints

OURS = ("postgres", "sandbox", "blobs", "logs", "secrets.json", "state.json", "demo.json")
MARK = "this-is-fondaco-data"


def default_folder() -> Path:
    """FONDACO_DATA, or `.fondaco` in the current folder."""
    return Path(os.environ.get("FONDACO_DATA") or ".fondaco").absolute()


class DataFolder:
    """Everything `fondaco up` keeps. Its permissions let in nobody else."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def exists(self) -> bool:
        return (self.path / MARK).exists()

    def make(self) -> None:
        """Makes the folder; one that exists and is not ours must be empty. Raises ClusterError."""
        if not self.path.exists():
            self.path.mkdir(parents=True)
            # Root's server runs under another account, which must be able to walk through.
            self.path.chmod(0o711 if sys.platform != "win32" and os.geteuid() == 0 else 0o700)
        elif not self.exists and any(self.path.iterdir()):
            raise ClusterError(
                f"{self.path} has other files in it. Choose an empty or new folder with --data."
            )
        try:
            (self.path / MARK).touch()
            for name in ("sandbox", "blobs", "logs"):
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
        except PermissionError as error:
            raise ClusterError(
                f"{self.path} belongs to another user. Start fondaco as that user, "
                "or choose another data folder with --data."
            ) from error

    def cluster(self, say: Callable[[str], None] | None = None) -> Cluster:
        """The embedded PostgreSQL of this folder."""
        return Cluster(self.path / "postgres", say=say)

    def delete(self, say: Callable[[str], None] | None = None) -> None:
        """Deletes what fondaco keeps here and the folder when nothing else is in it. Cannot be undone."""
        if not self.path.exists():
            return
        if not self.exists:
            raise ClusterError(f"{self.path} is not a data folder of fondaco; nothing was deleted.")
        self.cluster(say).destroy()
        for name in OURS:
            place = self.path / name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
        (self.path / MARK).unlink()
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def secrets(self) -> dict[str, str]:
        """The settings nobody else may know, made on the first call. They are lost with the folder."""
        file = self.path / "secrets.json"
        if not file.exists():
            made = {
                "SECRET_KEY": _key(),
                "VAULT_KEYS": f"first:{_key()}",
                "FINGERPRINT_KEY": _key(),
                "SIGNING_KEY": _key(),
                "STRIPE_WEBHOOK_SECRETS": "whsec_" + secrets.token_hex(24),
            }
            write_private(file, json.dumps(made, indent=1))
        try:
            return dict(json.loads(file.read_text()))
        except (OSError, ValueError) as error:
            raise ClusterError(f"{file} cannot be read; without it stored keys cannot be opened.") from error

    def environment(self, endpoints: Endpoints, base_url: str, sandbox_url: str) -> dict[str, str]:
        """The settings of web and worker as environment variables."""
        return {
            "FONDACO_MODE": "demo",
            "FONDACO_DATA": str(self.path),
            "BASE_URL": base_url,
            "DATABASE_URL": endpoints.app_dsn,
            "BLOB_URL": (self.path / "blobs").as_uri(),
            "STRIPE_SECRET_KEY": "sk_test_sandbox",
            "STRIPE_API_BASE": sandbox_url,
            **self.secrets(),
        }

    def state(self) -> dict[str, str]:
        """What earlier starts wrote down: migrations run, demo seeded, addresses."""
        try:
            return dict(json.loads((self.path / "state.json").read_text()))
        except (OSError, ValueError):
            return {}

    def remember(self, **changes: str) -> None:
        """Adds to what `state` returns."""
        write_private(self.path / "state.json", json.dumps({**self.state(), **changes}, indent=1))


def write_private(file: Path, text: str) -> None:
    """Writes a file only its owner can read, whole or not at all."""
    half = file.with_name(file.name + ".new")
    half.unlink(missing_ok=True)
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    half.replace(file)


def migrations_digest() -> str:
    """Changes whenever a migration does: the cheap way to see that there is nothing to migrate."""
    digest = hashlib.sha256()

    def add(folder: Traversable) -> None:
        for entry in sorted(folder.iterdir(), key=lambda e: e.name):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    add(entry)
            else:
                digest.update(entry.name.encode() + b"\0" + entry.read_bytes())

    add(files("fondaco").joinpath("migrations"))
    return digest.hexdigest()


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()

"""Keyset pagination: cursors say where the last page ended, signed so that none can be made up."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from fondaco.core.problem import Problem

T = TypeVar("T")
MAX_LIMIT = 100


class BadCursor(Problem):
    """This page link is broken or too old. Start again from the first page."""

    status = 400
    code = "bad_cursor"


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; `next` and `previous` are opaque cursors or None."""

    items: Sequence[T]
    next: str | None = None
    previous: str | None = None


class Cursors:
    """Makes and reads cursors with one secret key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, list_name: str, position: Sequence[Any]) -> str:
        """A cursor for `list_name` after the row with these sort values."""
        raw = msgspec.json.encode([list_name, list(position)])
        tag = hmac.digest(self._key, raw, hashlib.sha256)[:12]
        return base64.urlsafe_b64encode(tag + raw).rstrip(b"=").decode()

    def read(self, list_name: str, cursor: str) -> list[Any]:
        """The sort values inside; raises BadCursor when it was not made here for this list."""
        try:
            data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            tag, raw = data[:12], data[12:]
            if not hmac.compare_digest(tag, hmac.digest(self._key, raw, hashlib.sha256)[:12]):
                raise BadCursor()
            name, position = msgspec.json.decode(raw)
        except (ValueError, msgspec.DecodeError) as error:
            raise BadCursor() from error
        if name != list_name:
            raise BadCursor()
        return position

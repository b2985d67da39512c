"""Identifiers: UUIDv7 for rows, short numbers for people, opaque tokens for secrets."""

import hashlib
import os
import secrets
import time
from collections import deque
from uuid import UUID

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: read aloud without doubt


_drawn: deque[bytes] = deque()


def _twelve() -> bytes:
    """Twelve random bytes of the system's, for ids: they are many and no secrets, so 4 kB are drawn at once.
    Taking some out is one step, which no other thread can come between."""
    try:
        return _drawn.pop()
    except IndexError:
        fresh = os.urandom(4092)
        _drawn.extend(fresh[i : i + 12] for i in range(12, 4092, 12))
        return fresh[:12]


if hasattr(os, "register_at_fork"):  # a child that went on with its parent's bytes would draw the same ids
    os.register_at_fork(after_in_child=_drawn.clear)


def uuid7() -> UUID:
    """A time-ordered UUID (RFC 9562, version 7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(_twelve()[:10])
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def id_of(owner: UUID, key: str | None) -> UUID:
    """The id of what `owner` makes with an Idempotency-Key: the same for the same key for ever. A new one
    without a key."""
    if key is None:
        return uuid7()
    return UUID(bytes=hashlib.sha256(owner.bytes + key.encode()).digest()[:16])


def number(prefix: str) -> str:
    """A number a person can read out, e.g. "ORD-7K3Q-9XMA-2D4T" (60 random bits)."""
    chars = "".join([_ALPHABET[b & 31] for b in _twelve()])  # 32 characters: none is likelier
    return f"{prefix}-{chars[:4]}-{chars[4:8]}-{chars[8:]}"


def token() -> str:
    """An opaque secret of 256 random bits for a cookie, link or API key."""
    return secrets.token_urlsafe(32)


def token_hash(value: str) -> bytes:
    """What is stored of a token: its SHA-256."""
    return hashlib.sha256(value.encode()).digest()


def parse_uuid(text: str) -> UUID | None:
    """The UUID written in `text`, or None: a malformed id is an id that does not exist."""
    try:
        return UUID(text) if len(text) in (32, 36) else None
    except ValueError:
        return None

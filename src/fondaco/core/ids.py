"""Identifiers: UUIDv7 for rows, short numbers for people, opaque tokens for secrets."""

import hashlib
import os
import secrets
import time
from uuid import UUID

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: read aloud without doubt


def uuid7() -> UUID:
    """A time-ordered UUID (RFC 9562, version 7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def number(prefix: str) -> str:
    """A number a person can read out, e.g. "ORD-7K3Q-9XMA-2D4T" (60 random bits)."""
    chars = "".join([_ALPHABET[b & 31] for b in os.urandom(12)])  # 32 characters: none is likelier
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

"""Keyed hashes of what must be recognised and is not to be kept: a card's fingerprint, a browser's cookie."""

import base64
import hashlib
import hmac
from typing import Literal

from fondaco.settings import Settings

MarkKind = Literal["card", "device", "device_cookie"]


def mark(settings: Settings, kind: MarkKind, text: str) -> str:
    """`<kind>_` and 32 hexadecimal digits: the same for the same text, and nobody finds the text without our
    `fingerprint_key`."""
    key = base64.b64decode(settings.fingerprint_key.get_secret_value())
    return f"{kind}_{hmac.digest(key, f'{kind}:{text}'.encode(), hashlib.sha256)[:16].hex()}"


def is_mark(kind: MarkKind, text: str) -> bool:
    """Whether a text has the shape of such a mark."""
    digits = text.removeprefix(f"{kind}_")
    return digits != text and len(digits) == 32 and all(c in "0123456789abcdef" for c in digits)

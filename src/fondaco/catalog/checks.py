"""What a listing's values must be like; every fault has words for its field."""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterable
from typing import Any

from fondaco.catalog.model import MAX_PRICE, PLATFORMS
from fondaco.catalog.regions import regions
from fondaco.core.problem import Invalid

_KEY_FORMAT = re.compile(r"[AX9 -]{4,120}")
_SLUG_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"
# Invisible signs that make a text read differently from what it is.
_HIDDEN = frozenset(
    "\u200b\u200e\u200f\u2060\ufeff" + "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
)


class Faults(dict[str, str]):
    """Faults per field, gathered before anything is refused."""

    def stop(self) -> None:
        """Raise Invalid when there are any."""
        if self:
            raise Invalid(fields=dict(self))


def line(faults: Faults, field: str, value: Any, least: int, most: int) -> str:
    """One line of text: trimmed, inner spaces single, NFC; `least` to `most` characters."""
    if not _is_text(faults, field, value):
        return ""
    text = " ".join(unicodedata.normalize("NFC", value).split())
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co") or c in _HIDDEN for c in text):
        faults[field] = "Contains signs that cannot be shown."
    elif not least <= len(text) <= most:
        faults[field] = f"Must have {least} to {most} characters." if least else f"At most {most} characters."
    return text


def text(faults: Faults, field: str, value: Any, most: int) -> str:
    """Text of several lines (Markdown), line ends made equal; at most `most` characters."""
    if not _is_text(faults, field, value):
        return ""
    found = unicodedata.normalize("NFC", value).replace("\r\n", "\n").replace("\r", "\n").strip()
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in found):
        faults[field] = "Contains signs that cannot be shown."
    elif len(found) > most:
        faults[field] = f"At most {most:,} characters; this has {len(found):,}."
    return found


def _is_text(faults: Faults, field: str, value: Any) -> bool:
    if not isinstance(value, str):
        faults[field] = "Must be text."
        return False
    return True


def whole(faults: Faults, field: str, value: Any, least: int, most: int) -> int:
    """A whole number from `least` to `most`; a boolean is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        faults[field] = "Must be a whole number."
        return least
    if not least <= value <= most:
        faults[field] = f"Must be from {least:,} to {most:,}."
    return value


def price(faults: Faults, value: Any) -> int:
    """A price in minor units."""
    return whole(faults, "price", value, 1, MAX_PRICE)


def platform(faults: Faults, value: Any) -> str:
    """A platform; a known one gets its usual spelling."""
    found = line(faults, "platform", value, 2, 40)
    return next((known for known in PLATFORMS if known.casefold() == found.casefold()), found)


def region(faults: Faults, value: Any) -> str:
    """A region code, in capitals."""
    found = value.strip().upper() if isinstance(value, str) else ""
    if found not in regions():
        faults["region"] = "Must be GLOBAL, EU or a country code such as US."
    return found


def key_format(faults: Faults, value: Any) -> str:
    """A pattern of keys, or '' for none: A or X letter or digit, 9 digit, hyphens and spaces as they are."""
    found = value.strip().upper() if isinstance(value, str) else "?"
    if found and (not _KEY_FORMAT.fullmatch(found) or sum(c in "AX9" for c in found) < 4):
        faults["key_format"] = (
            "Use A for a letter or digit, 9 for a digit, hyphens and spaces; 4 to 120 signs."
        )
    return found


def one_of(faults: Faults, field: str, value: Any, allowed: Iterable[str]) -> str:
    """A value of a known set."""
    known = list(allowed)
    if value not in known:
        faults[field] = f"Must be one of: {', '.join(known)}."
        return ""
    return str(value)


def slugify(words: str) -> str:
    """An ASCII slug of at most 60 characters; words it cannot write are told apart by a short hash."""
    plain = unicodedata.normalize("NFKD", words.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")
    if any(c.isalnum() and not c.isascii() for c in plain) or not slug:
        digest = hashlib.sha256(words.casefold().encode()).hexdigest()[:8]
        slug = f"{slug}-{digest}" if slug else f"item-{digest}"
    return slug


def listing_slug(title: str, platform_name: str, region_code: str) -> str:
    """A new listing's slug: its words and six random letters."""
    tail = "".join(secrets.choice(_SLUG_LETTERS) for _ in range(6))
    return f"{slugify(f'{title} {platform_name} {region_code}')}-{tail}"

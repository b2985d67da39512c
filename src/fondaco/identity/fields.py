"""Reading what people type: each reader returns the clean value or notes in `faults` what to do instead."""

import re

_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)
_COUNTRY = re.compile(r"[A-Z]{2}")


def plain_email(text: str) -> str:
    """The address as it is stored and compared; "" when nothing stored can equal it."""
    plain = text.strip().lower()
    return plain if len(plain) <= 254 and _EMAIL.fullmatch(plain) else ""


def read_email(faults: dict[str, str], text: str, name: str = "email") -> str:
    """A mail address in lower case."""
    plain = plain_email(text)
    if not plain:
        faults[name] = "Give a mail address such as name@example.com."
    return plain


def read_line(faults: dict[str, str], name: str, text: str, least: int, most: int) -> str:
    """One line of `least` to `most` characters without control characters, spaces tidied."""
    plain = " ".join(word for word in text.split(" ") if word)
    if not plain.isprintable():
        faults[name] = "Use letters, digits and signs only, on one line."
    elif not least <= len(plain) <= most:
        faults[name] = f"Use {least} to {most} characters." if plain else "Fill this in."
    return plain


def read_text(faults: dict[str, str], name: str, text: str, most: int) -> str:
    """Several lines, at most `most` characters."""
    plain = text.replace("\r\n", "\n").strip()
    if not all(c.isprintable() or c in "\n\t" for c in plain):
        faults[name] = "Use letters, digits, signs and line breaks only."
    elif len(plain) > most:
        faults[name] = f"Use at most {most} characters."
    return plain


def read_country(faults: dict[str, str], text: str | None, name: str = "country") -> str | None:
    """A country as two capital letters (ISO 3166-1), or None when nothing is said."""
    if not text:
        return None
    plain = text.strip().upper()
    if not _COUNTRY.fullmatch(plain):
        faults[name] = "Give the country as two letters, such as DE."
    return plain

"""Reading an upload: which encoding, which lines, which of them look like a key. No database here."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator

from fondaco.core.problem import Invalid

MAX_BYTES = 20 * 1024 * 1024
MAX_LINES = 200_000
LEAST, MOST = 4, 512  # characters of a key without a format of its listing's
_HEADERS = """key, keys, code, codes, serial, serials, serial number, product key, license key, licence key,
  license, licence, voucher, pin, cd key, cd-key, key code""".replace("\n ", "")
_DELIMITERS = ",;\t|"
_LINE_END = re.compile(r"\r\n|\r|\n")


def decode(raw: bytes) -> str:
    """Text from UTF-8, UTF-16 (with or without a mark) or, failing those, Latin as Windows writes it."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    head = raw[:4000]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
        if len(zeros) > 1 and zeros.count(0) * 2 > len(zeros):
            return raw.decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def read_lines(raw: bytes, source: str) -> list[tuple[int, str]]:
    """The keys of an upload with their line numbers, trimmed; empty lines are left out.

    `source` csv: the column named key, code or serial, else the first. Otherwise each line is one key.
    Raises Invalid (field `keys`) when there are none, too many, or the table cannot be read.
    """
    if len(raw) > MAX_BYTES:
        raise Invalid(fields={"keys": "More than 20 MB. Split it into several uploads."})
    text = decode(raw)
    pairs = _table(text) if source == "csv" else enumerate(_LINE_END.split(text), 1)
    found: list[tuple[int, str]] = []
    for number, line in pairs:
        if key := line.strip():
            found.append((number, key))
            if len(found) > MAX_LINES:
                raise Invalid(fields={"keys": "More than 200,000 keys. Split them into several uploads."})
    if not found:
        raise Invalid(fields={"keys": "There is no key in it."})
    return found


def _table(text: str) -> Iterator[tuple[int, str]]:
    first = next((line for line in _LINE_END.split(text[:20_000]) if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    column: int | None = None
    begins = 1
    try:
        for row in rows:
            if column is None and any(cell.strip() for cell in row):
                names = [" ".join(cell.strip().casefold().replace("_", " ").split()) for cell in row]
                column = next((i for i, name in enumerate(names) if name in _HEADERS.split(", ")), -1)
                if column >= 0:
                    begins = rows.line_num + 1
                    continue
                column = 0
            if column is not None and column < len(row):
                yield begins, row[column]
            begins = rows.line_num + 1
    except csv.Error as error:
        raise Invalid(
            fields={"keys": f"The table cannot be read from line {begins} on: perhaps a quote is not closed."}
        ) from error


def pattern(key_format: str) -> re.Pattern[str] | None:
    """The pattern of a listing's keys, or None when it has none. A and X: letter or digit; 9: digit."""
    if not key_format:
        return None
    signs = {"A": "[A-Za-z0-9]", "X": "[A-Za-z0-9]", "9": "[0-9]", "-": "-", " ": " "}
    return re.compile("".join(signs[c] for c in key_format))


def looks_like_a_key(key: str, expected: re.Pattern[str] | None) -> bool:
    """Whether a line fits the listing's format; without one, 4 to 512 characters that can be shown."""
    if expected is not None:
        return expected.fullmatch(key) is not None
    return LEAST <= len(key) <= MOST and key.isprintable() and "\ufffd" not in key


def mask(key: str) -> str:
    """What a report shows of a line: at most four signs and at most a quarter of it."""
    shown = key[: min(4, len(key) // 4)]
    return "".join(c if c.isprintable() and unicodedata.category(c) != "Co" else "?" for c in shown) + "•••••"

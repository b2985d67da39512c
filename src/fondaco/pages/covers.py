"""Covers drawn from words: every listing without a picture still has a picture, always the same one.

A hash of (title, kind, platform) picks a palette, a motif and a way of lettering; the motif draws
flat shapes from whole-number coordinates. No ids, styles, scripts or fonts from outside, so the SVG
may stand inline any number of times under a strict content policy, or be served as a file.
"""

import hashlib
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from markupsafe import Markup, escape

from fondaco.pages.motifs import MOTIFS, Dice, Palette

_PALETTES = (
    Palette("#123f4c", "#1c5967", "#2f8090", "#f0c987", "#dd6a41", "#0a2831"),
    Palette("#c75b39", "#ad482c", "#8a3220", "#f6dfb0", "#f2b04e", "#35110a"),
    Palette("#f0d9a8", "#e5c281", "#c98f4a", "#12424f", "#b8452a", "#3d2210"),
    Palette("#171d3a", "#252d57", "#3c4884", "#f4e3b5", "#e0884a", "#0b0f22"),
    Palette("#cfd8c0", "#a9bb97", "#6f8a66", "#f9f3e0", "#b9502f", "#1f3026"),
    Palette("#eac4b4", "#dba08e", "#b56a60", "#fff1de", "#7a2e3a", "#43141f"),
    Palette("#3b2346", "#553260", "#7c4c84", "#f2c879", "#e8735a", "#1d0f25"),
    Palette("#bfe0dc", "#8ac5c1", "#3e8f93", "#fdf3dd", "#dd5f3c", "#0d3a40"),
    Palette("#1f2a2e", "#33444a", "#55707a", "#d9b35f", "#ece1c4", "#0e1517"),
    Palette("#24529c", "#1b3f7c", "#4a82d0", "#f6e7c1", "#ef7d4f", "#0d2147"),
    Palette("#7b1e2b", "#93303a", "#b4534f", "#f3d6a2", "#e9a23b", "#35090f"),
    Palette("#e9e2d0", "#d3c8ad", "#a99b78", "#234e52", "#c8553d", "#22302f"),
)
_POOLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gift", ("lanterns", "stars", "sun", "terrazzo", "tiles")),
    ("card", ("lanterns", "stars", "sun", "terrazzo", "tiles")),
    ("software", ("tiles", "loggia", "keys", "bridge", "arches", "terrazzo")),
    ("licence", ("tiles", "loggia", "keys", "bridge", "arches")),
    ("credit", ("stars", "sun", "poles", "lanterns")),
)
_FONT = "Display,system-ui,sans-serif"


class _Lettering(NamedTuple):
    lines: list[str]
    size: int


@lru_cache(maxsize=4096)
def cover(title: str, kind: str = "", platform: str = "", *, wide: bool = False) -> Markup:
    """The cover as an SVG string, 400×300 (400×200 when `wide`), under 6 kB.

    Any text is safe: it is escaped, shortened, and stripped of what a drawing cannot hold. It is
    hidden from screen readers, since the title always stands beside it.
    """
    dice = _dice("cover", title, kind, platform)
    palette = dice.choice(_PALETTES)
    motif = MOTIFS[dice.choice(_pool(kind))]
    layout = dice.choice(_LAYOUTS)
    height = 200 if wide else 300
    letters = _lettering(title, wide)
    label = _clean(platform or kind)[:24]
    front, free = (_band if wide else layout)(letters, label, palette, height)
    body = [
        f'<rect width="400" height="{height}" fill="{palette.sky}"/>',
        *motif(dice, palette, free),
        *front,
    ]
    return Markup(  # noqa: S704 - numbers and colours of our own, texts escaped by _text
        f'<svg class="cover" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 {height}" width="400" '
        f'height="{height}" aria-hidden="true" focusable="false" '
        f'preserveAspectRatio="xMidYMid slice">{"".join(body)}</svg>'
    )


@lru_cache(maxsize=1024)
def avatar(name: str, size: int = 40) -> Markup:
    """A store's or person's sign: initials under an arch, `size` CSS pixels square."""
    dice = _dice("avatar", name)
    palette = dice.choice(_PALETTES)
    words = [word for word in _clean(name).split() if word[0].isalnum()] or ["?"]
    initials = (words[0][0] + (words[1][0] if len(words) > 1 else "")).upper()
    arch = "M6 48V26C6 14 16 13 24 3c8 10 18 11 18 23v22z"
    disc = f'<circle cx="24" cy="27" r="19" fill="{palette.far}"/>'
    shape = dice.choice((f'<path d="{arch}" fill="{palette.far}"/>', disc))
    ink = palette.near if _luminance(palette.far) < 110 else palette.panel
    return Markup(  # noqa: S704 - as above
        f'<svg class="avatar" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48" width="{size}" '
        f'height="{size}" aria-hidden="true" focusable="false"><rect width="48" height="48" '
        f'fill="{palette.panel}"/>{shape}'
        f'<text x="24" y="34" text-anchor="middle" font-family="{_FONT}" font-weight="700" '
        f'font-size="18" fill="{ink}">{_text(initials)}</text></svg>'
    )


def _dice(*words: str) -> Dice:
    seed = "\x1f".join(words).encode("utf-8", "replace")
    return Dice(hashlib.blake2b(seed, digest_size=64).digest())


def _pool(kind: str) -> tuple[str, ...]:
    lowered = kind.casefold()
    return next((names for word, names in _POOLS if word in lowered), tuple(MOTIFS))


def _luminance(colour: str) -> int:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return (299 * red + 587 * green + 114 * blue) // 1000


def _clean(text: str) -> str:
    """Text a drawing can hold: no controls, direction marks or broken characters, few accents."""
    if text.isascii() and text.isprintable():
        return " ".join(text[:400].split())
    kept: list[str] = []
    accents = 0
    for char in unicodedata.normalize("NFC", text[:400]):
        group = unicodedata.category(char)
        if group in ("Zs", "Zl", "Zp") or char in "\t\n\r":
            kept.append(" ")
        elif (group[0] == "C" and char != "\u200d") or ord(char) & 0xFFFE == 0xFFFE:
            continue
        elif group[0] == "M":
            accents += 1
            if accents <= 2 and kept:
                kept.append(char)
            continue
        else:
            kept.append(char)
        accents = 0
    return " ".join("".join(kept).split())


def _units(text: str) -> int:
    """How wide a text is, in narrow letters; full-width letters and pictures count double."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c)[0] == "M" else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _lettering(title: str, wide: bool) -> _Lettering:
    most, units = (2, 24) if wide else (3, 17)
    words = _clean(title).split()
    lines: list[str] = []
    while words and len(lines) < most:
        line = words.pop(0)
        while words and _units(f"{line} {words[0]}") <= units:
            line += " " + words.pop(0)
        lines.append(_cut(line, units))
    if words and lines:
        lines[-1] = _cut(lines[-1], units, force=True)
    longest = max((_units(line) for line in lines), default=0)
    if wide:
        return _Lettering(lines, 24 if longest <= 18 else 20)
    short = len(lines) < 3
    return _Lettering(lines, 38 if longest <= 11 and short else 32 if longest <= 14 and short else 26)


def _cut(line: str, units: int, *, force: bool = False) -> str:
    if _units(line) <= units + 3 and not force:
        return line
    while line and _units(line) > units + 1:
        line = line[:-1]
    return line.rstrip(" .,:-\u200d") + "…"


def _text(text: str) -> str:
    return str(escape(text))


def _rows(letters: _Lettering, x: int, y: int, fill: str, anchor: str = "start") -> list[str]:
    step = letters.size * 11 // 10
    return [
        f'<text x="{x}" y="{y + step * i}" text-anchor="{anchor}" font-family="{_FONT}" font-weight="700" '
        f'font-size="{letters.size}" letter-spacing="-.5" fill="{fill}">{_text(line)}</text>'
        for i, line in enumerate(letters.lines)
    ]


def _label(text: str, x: int, y: int, fill: str, anchor: str = "start") -> list[str]:
    if not text:
        return []
    return [
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-family="{_FONT}" font-weight="600" '
        f'font-size="15" fill="{fill}">{_text(text)}</text>'
    ]


def _pale(palette: Palette) -> str:
    """The colour of the palette that reads best on its dark panel."""
    return palette.near if _luminance(palette.near) > 130 else palette.sky


def _width(letters: _Lettering, label: str, margin: int) -> int:
    widest = max((_units(line) * letters.size * 58 // 100 for line in letters.lines), default=0)
    return min(margin + max(widest, _units(label) * 9, 90), 380)


def _band(letters: _Lettering, label: str, palette: Palette, height: int) -> tuple[list[str], int]:
    """A dark band along the foot, with a bright line."""
    step = letters.size * 11 // 10
    beside = height < 300
    lead = 42 if label and not beside else 20
    tall = lead + step * len(letters.lines) + 10
    top = height - tall
    out = [
        f'<rect y="{top}" width="400" height="{tall}" fill="{palette.panel}"/>',
        f'<rect y="{top}" width="400" height="4" fill="{palette.hot}"/>',
    ]
    if not beside:
        out += _label(label, 24, top + 31, _pale(palette))
    return out + _rows(letters, 24, top + lead + letters.size * 8 // 10, "#fffaf0"), top


def _plate(letters: _Lettering, label: str, palette: Palette, height: int) -> tuple[list[str], int]:
    """A framed plate in the middle, as on an old chart."""
    step = letters.size * 11 // 10
    tall = 34 + step * len(letters.lines) + (24 if label else 0)
    wide = _width(letters, label, 46)
    left, top = (400 - wide) // 2, (height - tall) // 2
    out = [
        f'<rect x="{left}" y="{top}" width="{wide}" height="{tall}" fill="{palette.panel}"/>',
        f'<rect x="{left + 5}" y="{top + 5}" width="{wide - 10}" height="{tall - 10}" fill="none" '
        f'stroke="{_pale(palette)}" stroke-width="1.5"/>',
    ]
    out += _rows(letters, 200, top + 14 + letters.size * 95 // 100, "#fffaf0", "middle")
    return out + _label(label, 200, top + tall - 20, _pale(palette), "middle"), height


def _flag(letters: _Lettering, label: str, palette: Palette, height: int) -> tuple[list[str], int]:
    """A banner hung from the upper left, cut like a swallow's tail."""
    step = letters.size * 11 // 10
    lead = 40 if label else 18
    tall = lead + step * len(letters.lines) + 12
    wide = _width(letters, label, 60)
    top = 24
    foot = top + tall
    out = [
        f'<path d="M0 {top}h{wide}l-18 {tall // 2}l18 {tall - tall // 2}H0z" fill="{palette.panel}"/>',
        f'<path d="M0 {foot - 5}h{wide - 3}l3 5H0z" fill="{palette.hot}"/>',
    ]
    out += _label(label, 24, top + 28, _pale(palette))
    return out + _rows(letters, 24, top + lead + letters.size * 8 // 10, "#fffaf0"), height


_Layout = Callable[[_Lettering, str, Palette, int], tuple[list[str], int]]
_LAYOUTS: tuple[_Layout, ...] = (_band, _band, _plate, _flag)

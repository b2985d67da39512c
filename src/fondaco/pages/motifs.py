"""The motifs covers are drawn from: what one sees in a harbour city. Whole numbers, flat colours.

Each motif is a function of (dice, palette, height) giving SVG elements for a canvas 400 wide.
"""

# ruff: noqa: E501 - the data of one path reads better on one line

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Palette(NamedTuple):
    """Six colours of one light: sky, two distances, a bright near one, an accent, a dark panel."""

    sky: str
    far: str
    mid: str
    near: str
    hot: str
    panel: str


class Dice:
    """Reproducible choices from a seed: the same words always throw the same numbers."""

    def __init__(self, seed: bytes) -> None:
        self._state = int.from_bytes(seed, "big") | 1

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 33) % limit

    def between(self, low: int, high: int) -> int:
        """A number from low to high, both included."""
        return low + self.below(high - low + 1)

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]


def ogee(x: int, foot: int, width: int, tall: int) -> str:
    """Path of a pointed Venetian arch standing on (x, foot)."""
    half, shoulder = width // 2, foot - tall * 55 // 100
    top = foot - tall
    return (
        f"M{x} {foot}V{shoulder}C{x} {shoulder - tall // 5} {x + half * 7 // 10} {shoulder - tall // 5} "
        f"{x + half} {top}C{x + width - half * 7 // 10} {shoulder - tall // 5} {x + width} "
        f"{shoulder - tall // 5} {x + width} {shoulder}V{foot}z"
    )


def _disc(x: int, y: int, r: int, fill: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="{r}" fill="{fill}"/>'


def _path(d: str, fill: str) -> str:
    return f'<path d="{d}" fill="{fill}"/>'


def _arches(dice: Dice, p: Palette, h: int) -> list[str]:
    """One deep gate: arch within arch, a light at the end."""
    x = dice.between(90, 310)
    tones = [p.far, p.mid, p.hot, p.near, p.sky]
    out: list[str] = []
    for i, tone in enumerate(tones):
        wide = 350 - i * 66
        tall = h * (110 - i * 17) // 100
        out.append(_path(ogee(x - wide // 2, h, wide, tall), tone))
    out.append(_disc(x, h * 62 // 100, 16, p.near))
    return out


def _loggia(dice: Dice, p: Palette, h: int) -> list[str]:
    """Two storeys of windows with lace above."""
    count = dice.between(4, 6)
    step = 400 // count
    floor = h * 46 // 100
    out = [f'<rect width="400" height="{h}" fill="{p.far}"/>']
    for i in range(count + 1):
        x = i * step
        lit = dice.below(3) == 0
        out.append(_path(ogee(x + 8, h + 10, step - 16, h - floor - 4), p.near if lit else p.sky))
        out.append(
            _path(
                ogee(x + 8 - step // 2, floor - 8, step - 16, floor - 40),
                p.hot if dice.below(4) == 0 else p.mid,
            )
        )
        out.append(_disc(x, 22, 9, p.near))
    out.append(f'<rect y="{floor}" width="400" height="8" fill="{p.near}"/>')
    return out


def _waves(dice: Dice, p: Palette, h: int) -> list[str]:
    """A low sun and rows of water."""
    out = [_disc(dice.between(70, 330), h * dice.between(28, 42) // 100, dice.between(40, 66), p.hot)]
    tones = [p.far, p.mid, p.near, p.mid, p.panel]
    for i, tone in enumerate(tones):
        y = h * (38 + i * 13) // 100
        length = dice.between(44, 78)
        swing = dice.between(8, 18)
        d = f"M{-dice.below(length)} {y}"
        d += f"q{length // 2} {-swing * 2} {length} 0t{length} 0" + f"t{length} 0" * (800 // length - 1)
        out.append(_path(f"{d}V{h}H-80z", tone))
    return out


def _sails(dice: Dice, p: Palette, h: int) -> list[str]:
    """Lateen sails on their way out."""
    sea = h * 74 // 100
    out = [_disc(dice.between(50, 350), h * 24 // 100, dice.between(22, 40), p.near)]
    out.append(f'<rect y="{sea}" width="400" height="{h - sea}" fill="{p.mid}"/>')
    for i in range(dice.between(3, 5)):
        size = dice.between(50, 130) * h // 300
        x = 20 + i * 88 + dice.between(-14, 14)
        foot = sea + dice.between(-2, 14)
        tone = dice.choice((p.near, p.hot, p.far, p.panel))
        second = p.hot if tone == p.near else p.near
        out.append(
            _path(
                f"M{x} {foot - 8}V{foot - 8 - size}q{size * 6 // 10} {size * 6 // 10} {size * 7 // 10} {size}z",
                tone,
            )
        )
        out.append(
            _path(
                f"M{x - 4} {foot - 8}V{foot - 8 - size * 7 // 10}q{-size // 3} {size // 3} {-size * 4 // 10} {size * 7 // 10}z",
                second,
            )
        )
        out.append(
            _path(
                f"M{x - size // 2} {foot - 4}h{size * 13 // 10}q{-size // 8} {size // 6} {-size // 3} {size // 6}h{-size * 6 // 10}q{-size // 4} 0 {-size // 3} {-size // 6}z",
                p.panel,
            )
        )
    for _ in range(6):
        out.append(
            f'<rect x="{dice.below(380)}" y="{dice.between(sea + 12, h - 4)}" width="{dice.between(24, 80)}" height="3" fill="{p.far}"/>'
        )
    return out


def _lanterns(dice: Dice, p: Palette, h: int) -> list[str]:
    """Lanterns hung over a night canal."""
    out: list[str] = []
    for i in range(5):
        x = 40 + i * 80 + dice.between(-10, 10)
        y = h * dice.between(16, 48) // 100
        size = dice.between(16, 27)
        tone = dice.choice((p.near, p.hot))
        out.append(f'<rect x="{x - 1}" width="2" height="{y - size}" fill="{p.near}"/>')
        out.append(f'<circle cx="{x}" cy="{y + size // 3}" r="{size * 2}" fill="{tone}" fill-opacity=".16"/>')
        out.append(
            _path(
                f"M{x - size // 3} {y - size}h{size * 2 // 3}l{size // 2} {size // 2}l{-size // 4} {size * 3 // 2}h{-size * 7 // 6}l{-size // 4} {-size * 3 // 2}z",
                tone,
            )
        )
        out.append(
            f'<path d="M{x - size * 2 // 3} {y - size // 3}h{size * 4 // 3}M{x} {y - size}v{size * 2}" stroke="{p.panel}" stroke-width="2"/>'
        )
        out.append(_disc(x, y + size + size // 4, max(size // 6, 3), tone))
    return out


def _stars(dice: Dice, p: Palette, h: int) -> list[str]:
    """A compass rose set in stone."""
    x, y = dice.between(120, 290), h * dice.between(38, 55) // 100
    r = h * 58 // 100
    out = [
        _disc(x, y, r, p.far),
        f'<circle cx="{x}" cy="{y}" r="{r - 14}" fill="none" stroke="{p.near}" stroke-width="2"/>',
    ]
    for turn, long, light, dark in (
        (22, 62, p.mid, p.sky),
        (45, 78, p.mid, p.panel),
        (0, 108, p.near, p.hot),
    ):
        reach, waist = r * long // 100, r * long // 700
        for quarter in range(0, 360, 90):
            out.append(
                f'<g transform="rotate({quarter + turn} {x} {y})">'
                f'<path d="M{x} {y}V{y - reach}L{x - waist * 2} {y - waist * 2}z" fill="{light}"/>'
                f'<path d="M{x} {y}V{y - reach}L{x + waist * 2} {y - waist * 2}z" fill="{dark}"/></g>'
            )
    out.append(_disc(x, y, 9, p.panel))
    return out


def _tiles(dice: Dice, p: Palette, h: int) -> list[str]:
    """Glazed tiles: quarter rounds turned by chance."""
    size = dice.choice((50, 80, 100))
    out: list[str] = []
    paths: dict[str, list[str]] = {}
    for row in range(-(-h // size)):
        for column in range(400 // size):
            x, y = column * size, row * size
            back, front = dice.choice(
                (
                    (p.far, p.near),
                    (p.mid, p.hot),
                    (p.sky, p.mid),
                    (p.far, p.panel),
                    (p.hot, p.near),
                    (p.sky, p.near),
                )
            )
            paths.setdefault(back, []).append(f"M{x} {y}h{size}v{size}h-{size}z")
            turn = dice.below(4)
            corner = (
                (x, y, size, size, 1),
                (x + size, y, -size, size, 0),
                (x + size, y + size, -size, -size, 1),
                (x, y + size, size, -size, 0),
            )[turn]
            cx, cy, dx, dy, sweep = corner
            paths.setdefault(front + "+", []).append(
                f"M{cx} {cy}h{dx}A{size} {size} 0 0 {sweep} {cx} {cy + dy}z"
            )
    for key in sorted(paths, key=lambda k: k.endswith("+")):
        out.append(_path("".join(paths[key]), key.rstrip("+")))
    return out


def _keys(dice: Dice, p: Palette, h: int) -> list[str]:
    """Old keys on a wall."""
    out: list[str] = []
    turn = dice.choice((-40, -25, 25, 40, 90))
    for i in range(7):
        x, y = (i % 4) * 112 + (56 if i >= 4 else 0) + 10, h * (30 if i < 4 else 76) // 100
        tone = dice.choice((p.near, p.hot, p.mid, p.far, p.near))
        teeth = "".join(f"M{x + 4} {y + 46 + n * 13}h{dice.between(10, 20)}v8h-20z" for n in range(2))
        out.append(
            f'<g transform="rotate({turn} {x} {y + 20})" fill="{tone}">'
            f'<path fill-rule="evenodd" d="M{x} {y - 34}c14 10 26 18 26 32a26 26 0 0 1-52 0c0-14 12-22 26-32z'
            f'M{x} {y - 12}a11 11 0 1 0 1 0z"/><path d="M{x - 5} {y + 22}h10v54h-10z{teeth}"/></g>'
        )
    return out


def _domes(dice: Dice, p: Palette, h: int) -> list[str]:
    """Domes and a bell tower against the evening."""
    out = [_disc(dice.between(60, 340), h * 28 // 100, dice.between(26, 52), p.near)]
    for layer, (tone, base) in enumerate(((p.far, 58), (p.mid, 70), (p.panel, 84))):
        foot = h * base // 100
        x = -dice.below(40)
        while x < 400:
            wide = dice.between(54, 100) - layer * 6
            tall = wide * 7 // 10
            d = f"M{x} {foot}V{foot - tall // 3}C{x} {foot - tall} {x + wide // 3} {foot - tall} {x + wide // 2} {foot - tall - 22}C{x + wide - wide // 3} {foot - tall} {x + wide} {foot - tall} {x + wide} {foot - tall // 3}V{foot}z"
            out.append(_path(d, tone))
            if dice.below(3) == 0:
                tower = x + wide - 4
                out.append(_path(f"M{tower} {foot}V{foot - tall - 50}l9 -26l9 26V{foot}z", tone))
            x += wide + dice.between(6, 26)
        out.append(f'<rect y="{foot - 1}" width="400" height="{h - foot + 1}" fill="{tone}"/>')
    return out


def _poles(dice: Dice, p: Palette, h: int) -> list[str]:
    """Striped mooring poles and their broken reflections."""
    water = h * 58 // 100
    out = [f'<rect y="{water}" width="400" height="{h - water}" fill="{p.mid}"/>']
    for i in range(dice.between(4, 6)):
        x = 24 + i * 70 + dice.between(-10, 10)
        top = h * dice.between(8, 34) // 100
        wide = dice.between(15, 22)
        light, dark = dice.choice(((p.near, p.hot), (p.near, p.panel), (p.hot, p.panel)))
        foot = water + dice.between(4, 30)
        out.append(f'<rect x="{x}" y="{top}" width="{wide}" height="{foot - top}" fill="{light}"/>')
        stripes = "".join(f"M{x} {y}l{wide} -14v14l-{wide} 14z" for y in range(top + 16, foot - 14, 30))
        out.append(_path(stripes, dark))
        out.append(_path(f"M{x - 2} {top}q{wide // 2 + 2} -26 {wide + 4} 0z", dark))
        for n in range(4):
            out.append(
                f'<rect x="{x + dice.between(-6, 6)}" y="{foot + 8 + n * 11}" width="{wide}" height="4" fill="{light}" fill-opacity=".55"/>'
            )
    return out


def _bridge(dice: Dice, p: Palette, h: int) -> list[str]:
    """A bridge and its mirror: one round of light on the water."""
    water = h * 62 // 100
    x, r = dice.between(150, 250), dice.between(64, 92) * h // 300
    out = [_disc(x + dice.between(-110, 110), h * 24 // 100, dice.between(20, 34), p.hot)]
    out.append(
        _path(
            f"M0 {water}V{water - r // 2}L{x - r // 2} {water - r - 44}h{r}L400 {water - r // 2}V{water}z",
            p.near,
        )
    )
    out.append(
        _path(
            f"M0 {water - r // 2 - 8}L{x - r // 2} {water - r - 54}h{r}L400 {water - r // 2 - 8}v12L{x + r // 2} {water - r - 40}h-{r}L0 {water - r // 2 + 4}z",
            p.mid,
        )
    )
    out.append(f'<rect y="{water}" width="400" height="{h - water}" fill="{p.far}"/>')
    out.append(_path(f"M{x - r} {water}a{r} {r} 0 0 1 {2 * r} 0z", p.sky))
    out.append(f'<path d="M{x - r} {water}a{r} {r} 0 0 0 {2 * r} 0z" fill="{p.hot}" fill-opacity=".75"/>')
    for _ in range(8):
        out.append(
            f'<rect x="{dice.below(360)}" y="{dice.between(water + 8, h - 6)}" width="{dice.between(30, 110)}" height="4" fill="{p.mid}"/>'
        )
    return out


def _terrazzo(dice: Dice, p: Palette, h: int) -> list[str]:
    """Chips of stone in a polished floor."""
    groups: dict[str, list[str]] = {}
    for row in range(h // 48 + 1):
        for column in range(8):
            x = column * 54 + dice.between(-12, 12) + (27 if row % 2 else 0) - 20
            y = row * 52 + dice.between(-10, 10)
            points = [(0, -1), (1, 0), (0, 1), (-1, 0)]
            reach = [dice.between(8, 26) for _ in points]
            d = (
                "M"
                + "L".join(
                    f"{x + px * s + dice.between(-6, 6)} {y + py * s}"
                    for (px, py), s in zip(points, reach, strict=True)
                )
                + "z"
            )
            groups.setdefault(dice.choice((p.far, p.mid, p.near, p.hot, p.panel, p.far)), []).append(d)
    return [_path("".join(parts), tone) for tone, parts in groups.items()]


def _sun(dice: Dice, p: Palette, h: int) -> list[str]:
    """Rays over the horizon, ring after ring."""
    x, y = dice.between(100, 300), h * dice.between(55, 80) // 100
    # Ends of 16 rays on a far circle, as thousandths.
    ends = ((1000, 0), (924, 383), (707, 707), (383, 924), (0, 1000), (-383, 924), (-707, 707), (-924, 383))
    circle = [*ends, *((-a, -b) for a, b in ends)]
    rays = ""
    for i in range(0, 16, 2):
        (ax, ay), (bx, by) = circle[i], circle[(i + 1) % 16]
        rays += f"M{x} {y}L{x + ax * 620 // 1000} {y + ay * 620 // 1000}L{x + bx * 620 // 1000} {y + by * 620 // 1000}z"
    out = [_path(rays, p.far)]
    for r, tone in ((128, p.mid), (100, p.near), (72, p.hot), (40, p.near)):
        out.append(_disc(x, y, r * h // 300, tone))
    out.append(f'<rect y="{y}" width="400" height="{h - y}" fill="{p.panel}"/>')
    for n in range(5):
        wide = 220 - n * 36
        out.append(
            f'<rect x="{x - wide // 2}" y="{y + 10 + n * 13}" width="{wide}" height="5" fill="{p.hot if n % 2 else p.near}"/>'
        )
    return out


MOTIFS: dict[str, Callable[[Dice, Palette, int], list[str]]] = {
    "arches": _arches,
    "loggia": _loggia,
    "waves": _waves,
    "sails": _sails,
    "lanterns": _lanterns,
    "stars": _stars,
    "tiles": _tiles,
    "keys": _keys,
    "domes": _domes,
    "poles": _poles,
    "bridge": _bridge,
    "terrazzo": _terrazzo,
    "sun": _sun,
}

"""Flame graphs as SVG from folded stacks ("a;b;c 12", one a line): what is wide took long."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from zlib import crc32

_W, _ROW, _TOP = 1200, 17, 40
_LEAST = 2.0  # narrower than so many pixels is left out


@dataclass
class Frame:
    """A function where it was called from. `samples`: its own and its callees'."""

    name: str
    samples: int = 0
    below: dict[str, "Frame"] = field(default_factory=dict[str, "Frame"])


def read(folded: str) -> Frame:
    """The tree of folded stacks."""
    root = Frame("all")
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        if not stack or not count.isdigit():
            continue
        root.samples += int(count)
        at = root
        for name in stack.split(";"):
            at = at.below.setdefault(name, Frame(name))
            at.samples += int(count)
    return root


def svg(root: Frame, title: str) -> str:
    """The drawing; each box tells its name and share when pointed at."""
    boxes = list(_boxes(root, 0, 0.0, _W / max(1, root.samples)))
    deepest = max((row for row, *_ in boxes), default=0)
    height = _TOP + (deepest + 1) * _ROW + 10
    body: list[str] = []
    for row, left, wide, frame in boxes:
        y = _TOP + row * _ROW
        words = f"{frame.name}: {frame.samples / max(1, root.samples):.1%}"
        shown = frame.name if len(frame.name) * 6 < wide else frame.name[: int(wide / 6) - 1]
        text = f'<text x="{left + 3:.1f}" y="{y + 12}">{escape(shown)}</text>' if wide > 24 else ""
        body.append(
            f'<g><title>{escape(words)}</title><rect x="{left:.1f}" y="{y}" width="{wide:.1f}" '
            f'height="{_ROW - 1}" fill="{_colour(frame.name)}"/>{text}</g>'
        )
    style = (
        "text{font:10px ui-monospace,monospace;fill:#222}.t{font:600 15px system-ui;fill:#777}rect{rx:2px}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_W} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{style}</style>'
        f'<text class="t" x="4" y="22">{escape(title)}</text>{"".join(body)}</svg>\n'
    )


def shares(root: Frame, groups: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Parts of the whole by group: a stack belongs to the group whose word is in its deepest named frame;
    the rest is "other"."""
    found = dict.fromkeys((*groups, "other"), 0)

    def walk(frame: Frame, held: str) -> None:
        mine = next((g for g, words in groups.items() if any(w in frame.name for w in words)), held)
        own = frame.samples - sum(child.samples for child in frame.below.values())
        found[mine] += own
        for child in frame.below.values():
            walk(child, mine)

    walk(root, "other")
    return {name: n / max(1, root.samples) for name, n in found.items()}


def _boxes(frame: Frame, row: int, left: float, scale: float) -> Iterator[tuple[int, float, float, Frame]]:
    wide = frame.samples * scale
    if wide < _LEAST:
        return
    yield row, left, wide, frame
    for child in sorted(frame.below.values(), key=lambda f: f.name):
        yield from _boxes(child, row + 1, left, scale)
        left += child.samples * scale


def _colour(name: str) -> str:
    """Warm for Python, cool for the driver and the loop, by the name alone: the same in every drawing."""
    mark = crc32(name.encode())
    hue = (
        200 + mark % 30 if any(w in name for w in ("asyncpg", "uvloop", "granian", "asyncio")) else mark % 55
    )
    return f"hsl({hue} {60 + mark % 25}% {68 + mark % 12}%)"

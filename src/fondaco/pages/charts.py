"""Charts as inline SVG: no script, no inline style, coloured by classes so they follow the theme.

Every chart is an image with a title and a description for screen readers; `macros/charts.html` adds
the same figures as a table. Values are whole numbers (money in minor units with its currency);
coordinates are whole numbers too.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from babel.numbers import format_compact_currency, format_compact_decimal, format_currency, format_decimal
from markupsafe import Markup, escape

from fondaco.core.money import Money

_W, _H = 480, 220
_LEFT, _RIGHT, _TOP, _FOOT = 58, 6, 12, 28
_SERIES = 6


class Series(NamedTuple):
    """One named row of values, as many as there are labels."""

    name: str
    values: Sequence[int]


def is_empty(series: Sequence[Series]) -> bool:
    """Whether there is nothing to draw: no value, or zeros only."""
    return not any(any(one.values) for one in series)


def bars(
    series: Sequence[Series], labels: Sequence[str], title: str, desc: str = "", currency: str | None = None
) -> Markup:
    """Grouped bars, one group per label. Raises ValueError when lengths differ."""
    frame = _Frame(series, labels, currency)
    group = frame.step * 7 // 10
    wide = max(group // max(len(series), 1), 1)
    body: list[str] = []
    for i, label in enumerate(labels):
        left = frame.centre(i) - wide * len(series) // 2
        for n, one in enumerate(series):
            y, zero = frame.y(one.values[i]), frame.y(0)
            top, tall = min(y, zero), abs(zero - y)
            words = f"{label}, {one.name}: {_full(one.values[i], currency)}"
            body.append(
                f'<rect class="s{n % _SERIES}" x="{left + n * wide}" y="{top}" width="{max(wide - 2, 1)}" '
                f'height="{tall}" rx="{2 if tall > 4 else 0}"><title>{escape(words)}</title></rect>'
            )
    return frame.svg("".join(body), title, desc)


def lines(
    series: Sequence[Series],
    labels: Sequence[str],
    title: str,
    desc: str = "",
    *,
    currency: str | None = None,
    area: bool = True,
) -> Markup:
    """Lines over the labels, the ground below each filled when `area`."""
    frame = _Frame(series, labels, currency)
    body: list[str] = []
    for n, one in enumerate(series):
        tone = n % _SERIES
        points = [(frame.centre(i), frame.y(value)) for i, value in enumerate(one.values)]
        d = "M" + "L".join(f"{x} {y}" for x, y in points) if points else ""
        if area and points:
            zero = frame.y(0)
            body.append(f'<path class="a{tone}" d="{d}L{points[-1][0]} {zero}L{points[0][0]} {zero}z"/>')
        body.append(f'<path class="l{tone}" d="{d}"/>')
        for (x, y), label, value in zip(points, labels, one.values, strict=True):
            words = f"{label}, {one.name}: {_full(value, currency)}"
            body.append(
                f'<circle class="s{tone}" cx="{x}" cy="{y}" r="3"><title>{escape(words)}</title></circle>'
            )
    return frame.svg("".join(body), title, desc)


def donut(
    parts: Sequence[tuple[str, int]], title: str, desc: str = "", currency: str | None = None
) -> Markup:
    """Shares of a whole as a ring; parts must not be negative."""
    if any(value < 0 for _, value in parts):
        raise ValueError("a share cannot be negative")
    whole = sum(value for _, value in parts)
    # A circle measured as 1000 long lets dash lengths be whole thousandths.
    body = ['<circle class="ring" cx="120" cy="120" r="84" pathLength="1000"/>']
    start = 0
    for n, (name, value) in enumerate(parts):
        share = value * 1000 // whole if whole else 0
        if share:
            dash = max(share - 4, 1)
            body.append(
                f'<circle class="ring r{n % _SERIES}" cx="120" cy="120" r="84" pathLength="1000" '
                f'stroke-dasharray="{dash} {1000 - dash}" stroke-dashoffset="{-start}" '
                f'transform="rotate(-90 120 120)">'
                f"<title>{escape(name)}: {_full(value, currency)}</title></circle>"
            )
        start += share
    body.append(f'<text class="total" x="120" y="127" text-anchor="middle">{_short(whole, currency)}</text>')
    return _wrap("".join(body), (240, 240), title, desc, "chart__donut")


class _Frame:
    """Axes of a chart: turns values into whole coordinates."""

    def __init__(self, series: Sequence[Series], labels: Sequence[str], currency: str | None) -> None:
        if any(len(one.values) != len(labels) for one in series):
            raise ValueError("every series needs one value per label")
        self.labels, self.currency = labels, currency
        values = [value for one in series for value in one.values]
        self.ticks = _ticks(min([0, *values]), max([0, *values]))
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self.step = (_W - _LEFT - _RIGHT) // max(len(labels), 1)

    def y(self, value: int) -> int:
        span = _H - _TOP - _FOOT
        return _H - _FOOT - (value - self.low) * span // (self.high - self.low)

    def centre(self, index: int) -> int:
        return _LEFT + self.step * index + self.step // 2

    def svg(self, body: str, title: str, desc: str) -> Markup:
        grid: list[str] = []
        for tick in self.ticks:
            y = self.y(tick)
            kind = "zero" if tick == 0 else "grid"
            grid.append(f'<path class="{kind}" d="M{_LEFT} {y}H{_W - _RIGHT}"/>')
            grid.append(
                f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{_short(tick, self.currency)}</text>'
            )
        every = -(-len(self.labels) // 5) if self.labels else 1
        for i, label in enumerate(self.labels):
            if i % every == 0:
                grid.append(
                    f'<text x="{self.centre(i)}" y="{_H - 8}" text-anchor="middle">{escape(label)}</text>'
                )
        return _wrap("".join(grid) + body, (_W, _H), title, desc, "chart__plot")


def _wrap(body: str, size: tuple[int, int], title: str, desc: str, kind: str) -> Markup:
    mark = "c" + hashlib.blake2s(f"{title}\x1f{desc}\x1f{body}".encode(), digest_size=5).hexdigest()
    described = f'<desc id="{mark}d">{escape(desc)}</desc>' if desc else ""
    names = f'aria-labelledby="{mark}t"' + (f' aria-describedby="{mark}d"' if desc else "")
    return Markup(  # noqa: S704 - numbers of our own, texts escaped
        f'<svg class="{kind}" viewBox="0 0 {size[0]} {size[1]}" role="img" {names}>'
        f'<title id="{mark}t">{escape(title)}</title>{described}{body}</svg>'
    )


def _ticks(low: int, high: int) -> list[int]:
    """Round values from at or below `low` to at or above `high`, four to six of them."""
    if low == high:
        high = low + 4
    size = max((high - low) // 4, 1)
    unit = 10 ** (len(str(size)) - 1)
    size = next(unit * n for n in (1, 2, 5, 10) if unit * n >= size)
    first = low // size
    last = -(-high // size)
    return [n * size for n in range(first, last + 1)]


def _full(value: int, currency: str | None) -> str:
    if currency is None:
        return format_decimal(value, locale="en")
    return format_currency(Money(value, currency).decimal(), currency, locale="en")


def _short(value: int, currency: str | None) -> str:
    if currency is None:
        return format_compact_decimal(value, locale="en", fraction_digits=1)
    amount = Money(value, currency).decimal()
    if abs(amount) < 1000:
        whole = amount == amount.to_integral_value()
        return format_currency(
            amount, currency, format="¤#,##0" if whole else "¤#,##0.00", currency_digits=False, locale="en"
        )
    return format_compact_currency(amount, currency, locale="en", fraction_digits=1)

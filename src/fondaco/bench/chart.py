"""Line charts as SVG files of their own: readable on light and dark ground, no script, no other file."""

from collections.abc import Mapping, Sequence
from html import escape

_W, _H = 760, 300
_LEFT, _RIGHT, _TOP, _FOOT = 62, 150, 34, 34
_COLOURS = ("#2f7ed8", "#d9642c", "#1a9c6b", "#a04ec0", "#8a8a1f", "#c0396b")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#666}.t{font-size:14px;font-weight:600}"
    ".g{stroke:#8884;fill:none}path{fill:none;stroke-width:2}"
)


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    across: str,
    unit: str,
) -> str:
    """Each series as a line of (x, y) points; y from zero. `across` and `unit` name the axes."""
    points = [point for one in series.values() for point in one]
    widest = max((x for x, _ in points), default=0.0) or 1.0
    step = _step(max((y for _, y in points), default=0.0) / 4)
    ticks = [step * n for n in range(6) if step * (n - 1) < max((y for _, y in points), default=0.0)]
    highest = ticks[-1] or 1.0
    body: list[str] = []
    for tick in ticks:
        y = _y(tick, highest)
        body.append(f'<path class="g" d="M{_LEFT} {y}H{_W - _RIGHT}"/>')
        body.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    for n in range(5):
        x = _x(widest * n / 4, widest)
        body.append(f'<text x="{x}" y="{_H - 12}" text-anchor="middle">{widest * n / 4:.3g}</text>')
    for n, (name, one) in enumerate(series.items()):
        colour = _COLOURS[n % len(_COLOURS)]
        path = "L".join(f"{_x(x, widest)} {_y(y, highest)}" for x, y in one)
        if path:
            body.append(f'<path stroke="{colour}" d="M{path}"/>')
        last = one[-1][1] if one else 0
        body.append(
            f'<text x="{_W - _RIGHT + 10}" y="{_TOP + 14 + 18 * n}" style="fill:{colour}">'
            f"{escape(name)} {last:.4g}</text>"
        )
    words = f"{title} ({unit})"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_W} {_H}" role="img" '
        f'aria-label="{escape(words)}">'
        f'<style>{_STYLE}</style><text class="t" x="{_LEFT}" y="18">{escape(words)}</text>'
        f'<text x="{_W - _RIGHT + 10}" y="{_H - 12}">{escape(across)}</text>{"".join(body)}</svg>\n'
    )


def _x(value: float, widest: float) -> int:
    return _LEFT + round(value / widest * (_W - _LEFT - _RIGHT))


def _y(value: float, highest: float) -> int:
    return _H - _FOOT - round(value / highest * (_H - _TOP - _FOOT))


def _step(least: float) -> float:
    """A round number not below `least`."""
    size = 1.0
    while size < least:
        for factor in (2, 2.5, 2):
            if size >= least:
                break
            size *= factor
    return size

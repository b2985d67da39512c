"""A ring as inline SVG: accounts on the left, what they share on the right, a line for each tie.

No script and no inline style; the same is said by a table beside it.
"""

from markupsafe import Markup, escape

from fondaco.risk.rings import Ring

_ROW, _TOP, _LEFT, _RIGHT, _WIDE = 30, 20, 190, 330, 520
_LONGEST = 26


def ring_drawing(ring: Ring) -> Markup:
    """The drawing; empty when nothing is shared."""
    if not ring.marks:
        return Markup()
    high = _TOP * 2 + _ROW * max(len(ring.accounts), len(ring.marks), 2)
    left = _places([one.party for one in ring.accounts], high)
    right = _places([one.mark for one in ring.marks], high)
    body: list[str] = []
    for tie in ring.ties:
        if tie.party in left and tie.mark in right:
            d = f"M{_LEFT} {left[tie.party]}L{_RIGHT} {right[tie.mark]}"
            body.append(f'<path class="l{5 if tie.mark.startswith("card") else 0}" d="{d}"/>')
    for account in ring.accounts:
        y = left[account.party]
        tone = 1 if account.tier == "BANNED" else 2 if account.tier != "NORMAL" else 0
        words = f"{account.email}, {account.tier.replace('_', ' ').lower()}"
        body.append(
            f'<circle class="s{tone}" cx="{_LEFT}" cy="{y}" r="7"><title>{escape(words)}</title></circle>'
        )
        body.append(
            f'<text x="{_LEFT - 14}" y="{y + 4}" text-anchor="end">{escape(_short(account.email))}</text>'
        )
    for shared in ring.marks:
        y = right[shared.mark]
        words = f"{'Card' if shared.kind == 'card' else 'Browser'} of {shared.accounts} accounts"
        body.append(f'<rect class="s5" x="{_RIGHT - 7}" y="{y - 7}" width="14" height="14" rx="3"/>')
        body.append(f'<text x="{_RIGHT + 14}" y="{y + 4}">{escape(words)}</text>')
    desc = f"{len(ring.accounts)} accounts share {len(ring.marks)} cards or browsers; the table says which."
    return Markup(  # noqa: S704 - numbers of our own, texts escaped
        f'<svg class="chart__plot" viewBox="0 0 {_WIDE} {high}" role="img" aria-labelledby="ring-t" '
        f'aria-describedby="ring-d"><title id="ring-t">Who shares what</title><desc id="ring-d">{desc}</desc>'
        f"{''.join(body)}</svg>"
    )


def _places(names: list[str], high: int) -> dict[str, int]:
    """Each name's height, evenly apart, the whole in the middle."""
    first = high // 2 - (len(names) - 1) * _ROW // 2
    return {name: first + i * _ROW for i, name in enumerate(names)}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

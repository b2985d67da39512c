"""What the panel's tables are made of."""

import json
from datetime import UTC, datetime

from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.html import text
from fondaco_sandbox.store import Obj

SHOWN = 50
_GOOD = ("active", "available", "complete", "delivered", "paid", "succeeded", "won")
_BAD = ("canceled", "disabled", "dropped", "expired", "failed", "inactive", "lost")


def moment(seconds: int) -> str:
    """A moment in UTC, for people."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def state(word: str) -> str:
    """A state with its mark."""
    mark = "good" if word in _GOOD else "bad" if word in _BAD else "wait"
    return f'<span class="state {mark}">{text(word)}</span>'


def recent(box: Sandbox, kind: str) -> list[Obj]:
    """The newest objects of a kind."""
    sql = "select body from objects where kind = ? order by seq desc limit ?"
    return [json.loads(row["body"]) for row in box.store.db.execute(sql, (kind, SHOWN))]


def button(address: str, label: str, spoken: str, **fields: str) -> str:
    """A form of one button: POST to the control API. `spoken`: what a screen reader says."""
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{text(value)}">' for name, value in fields.items()
    )
    return (
        f'<form method="post" action="/sandbox/{text(address)}">{hidden or _EMPTY}'
        f'<button type="submit" aria-label="{text(spoken)}">{text(label)}</button></form>'
    )


_EMPTY = '<input type="hidden" name="again" value="1">'

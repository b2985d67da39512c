"""Mails about cases: whose turn it is, and how it ended. Nothing anybody wrote is in them."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from fondaco.core.db import Record
from fondaco.notifications.actions import Recipient
from fondaco.notifications.letters import moment, money

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_STORE_ROLES = ["owner", "manager", "fulfilment"]


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one side reads of a step."""

    heading: str
    words: str


# Event -> side -> what it reads.
_TURNS: dict[str, dict[str, _Turn]] = {
    "opened": {
        "buyer": _Turn(
            "Your case is open", "The seller sees it now, and support takes it up within 48 hours."
        ),
        "seller": _Turn(
            "A buyer opened a case",
            "Write to the buyer or offer to settle it, before support takes it up.",
        ),
    },
    "overdue": {"operator": _Turn("A case waits for the staff", "It is past the desk's time.")},
    "appealed": {"operator": _Turn("A case waits for the staff", "A party appealed.")},
    "offered": {
        "buyer": _Turn("The seller made you an offer", "Look at it: when you accept, it happens at once.")
    },
    "declined": {"seller": _Turn("The buyer declined your offer", "The case goes on.")},
    "accepted": {"seller": _Turn("The buyer accepted your offer", "It was done, and the case is closed.")},
    "withdrawn": {
        "seller": _Turn("The buyer withdrew the case", "The money is under protection again, as before.")
    },
}


async def case_turn(post: "Post") -> None:
    """A step of a case, to whom it concerns."""
    kind = post.event.kind.removeprefix("case.")
    row = await post.conn.fetchrow(
        """SELECT c.*, o.number AS order_number, s.name AS store,
             (SELECT min(l.terms->>'title') FROM cases.case_line k
              JOIN orders.order_line l ON l.id = k.line_id WHERE k.case_id = c.id) AS title
           FROM cases.case c JOIN orders.orders o ON o.id = c.order_id
           JOIN sellers.seller s ON s.id = c.seller_id
           WHERE c.id = $1""",
        post.id,
    )
    if row is None:
        raise LookupError("no such case")
    event = await post.conn.fetchrow(
        "SELECT deadline FROM cases.event WHERE case_id = $1 AND version = $2",
        post.id,
        post.event.data.get("step"),
    )
    until = event["deadline"] if event and kind in ("opened", "asked", "decided") else None
    for side, turn in _turns(post, kind).items():
        for to in await _people(post, row, side):
            await _write(post, row, to, side=side, turn=turn, until=until)


def _turns(post: "Post", kind: str) -> dict[str, _Turn]:
    data = post.event.data
    if kind == "written":
        turn = _Turn("There is a new message", "Read it, and answer there.")
        return {side: turn for side in ("buyer", "seller") if side != data["party"]}
    if kind == "asked":
        silent = (
            "Without an answer the case is lost."
            if data["asked"] == "seller"
            else "Without an answer it is decided on what is there."
        )
        return {str(data["asked"]): _Turn("Support asks you for an answer", silent)}
    if kind == "decided":
        turn = _Turn("Your case is decided", _outcome(data))
        return {"buyer": turn, "seller": turn}
    if kind == "closed" and data["party"] == "staff":
        turn = _Turn("The case is closed", "Support had the last word; read it there.")
        return {"buyer": turn, "seller": turn}
    if kind == "answered":
        other = "seller" if data["party"] == "buyer" else "buyer"
        return {other: _Turn(f"The {data['party']} answered", "Support looks at it now.")}
    return _TURNS.get(kind, {})


def _outcome(data: dict[str, object]) -> str:
    amount = money(int(str(data.get("amount") or 0)), str(data["currency"]))
    words = {
        "SELLER": "It was decided for the seller: the money stays with the seller.",
        "BUYER": f"It was decided for the buyer: {amount} went back.",
        "SPLIT": f"It was shared: {amount} went back to the buyer, the rest to the seller.",
    }[str(data["outcome"])]
    return f"{words} Whoever it went against may appeal for seven days."


async def _people(post: "Post", row: Record, side: str) -> list[Recipient]:
    if side == "operator":
        return [Recipient(None, post.settings.support_email)]
    if side == "buyer":
        rows = await post.conn.fetch(
            "SELECT id, email FROM identity.users WHERE id = $1 AND banned_at IS NULL", row["buyer_id"]
        )
    else:
        rows = await post.conn.fetch(
            "SELECT u.id, u.email FROM identity.membership m JOIN identity.users u ON u.id = m.user_id "
            "WHERE m.seller_id = $1 AND m.role = ANY ($2) AND u.banned_at IS NULL",
            row["seller_id"],
            _STORE_ROLES,
        )
    return [Recipient(r["id"], r["email"]) for r in rows]


async def _write(
    post: "Post", row: Record, to: Recipient, *, side: str, turn: _Turn, until: datetime | None
) -> None:
    case_id: UUID = row["id"]
    path = {"buyer": f"/cases/{case_id}", "seller": f"/seller/cases/{case_id}"}
    await post.write(
        "case_turn",
        to,
        ref=f"order:{row['order_id']}",
        cause=f"event:{post.event.id}",
        number=row["number"],
        order_number=row["order_number"],
        title=row["title"],
        heading=turn.heading,
        words=turn.words,
        until=moment(until) if until else "",
        path=path.get(side, f"/console/cases/{case_id}"),
        side=side,
    )

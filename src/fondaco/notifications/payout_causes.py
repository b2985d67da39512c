"""Mails about payouts, to a store's owners and finance: paid with what for, failed with what to do, and why
one waits."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from fondaco.core.db import Record
from fondaco.notifications.actions import Recipient
from fondaco.payouts import gate_words

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_ROLES = ["owner", "finance"]
_LINES = 20
_FAILED = {
    "payout.failed": ("A payout failed", "The money is in your balance again."),
    "payout.cancelled": ("A payout was cancelled", "The money is in your balance again."),
    "payout.bank_failed": (
        "Your bank refused a payout",
        "The money is in your account at the payment provider.",
    ),
}


async def paid(post: "Post") -> None:
    """The payout left: its sum and the lines it pays."""
    row = await _payout(post)
    lines = await post.conn.fetch(
        """SELECT coalesce(o.number, '') AS number, coalesce(l.terms->>'title', '') AS title, i.amount
           FROM payouts.item i LEFT JOIN orders.order_line l ON l.id = i.line_id
           LEFT JOIN orders.orders o ON o.id = l.order_id LEFT JOIN payouts.payable p ON p.line_id = i.line_id
           WHERE i.payout_id = $1 ORDER BY p.matured_at NULLS LAST, i.line_id LIMIT $2""",
        row["id"],
        _LINES,
    )
    count = await post.conn.fetchval("SELECT count(*) FROM payouts.item WHERE payout_id = $1", row["id"])
    await _to_team(
        post,
        row["seller_id"],
        "payout_sent",
        f"payout:{row['id']}",
        **_facts(row),
        daily=row["kind"] == "daily",
        lines=lines,
        more=count - len(lines),
    )


async def failed(post: "Post") -> None:
    """The payout did not arrive: why, and what to do."""
    row = await _payout(post)
    heading, where = _FAILED[post.event.kind]
    because = str(post.event.data.get("because") or row["failure"] or "")
    ref, facts = f"payout:{row['id']}", _facts(row)
    await _to_team(
        post, row["seller_id"], "payout_failed", ref, **facts, heading=heading, because=because, where=where
    )


async def held(post: "Post") -> None:
    """A payout that was decided waits."""
    row = await _payout(post)
    reasons = [(str(post.event.data["because"]), "It leaves as soon as it may.")]
    ref, facts = f"payout:{row['id']}", _facts(row)
    await _to_team(post, row["seller_id"], "payout_waits", ref, **facts, reasons=reasons)


async def withheld(post: "Post") -> None:
    """The daily run passed a seller by: told when the reasons are new."""
    data = post.event.data
    row = await post.conn.fetchrow("SELECT id, name AS store FROM sellers.seller WHERE id = $1", post.id)
    if row is None:
        raise LookupError("no such store")
    await _to_team(
        post,
        row["id"],
        "payout_waits",
        f"seller:{row['id']}",
        store=row["store"],
        payout_id="",
        amount=data["amount"],
        currency=data["currency"],
        reasons=[gate_words(code) for code in data["reasons"]],
    )


async def _payout(post: "Post") -> Record:
    row = await post.conn.fetchrow(
        """SELECT p.*, s.name AS store FROM payouts.payout p JOIN sellers.seller s ON s.id = p.seller_id
           WHERE p.id = $1""",
        post.id,
    )
    if row is None:
        raise LookupError("no such payout")
    return row


def _facts(row: Record) -> dict[str, Any]:
    return {
        "store": row["store"],
        "payout_id": row["id"],
        "amount": row["amount"],
        "currency": row["currency"],
    }


async def _to_team(post: "Post", seller_id: UUID, template: str, ref: str, **values: Any) -> None:
    members = await post.conn.fetch(
        "SELECT u.id, u.email FROM identity.membership m JOIN identity.users u ON u.id = m.user_id "
        "WHERE m.seller_id = $1 AND m.role = ANY ($2) AND u.banned_at IS NULL",
        seller_id,
        _ROLES,
    )
    for member in members:
        to = Recipient(member["id"], member["email"])
        await post.write(template, to, ref=ref, cause=f"event:{post.event.id}", **values)


PAYOUT_CAUSES = {
    "payout.sent": paid,
    "payout.failed": failed,
    "payout.cancelled": failed,
    "payout.bank_failed": failed,
    "payout.held": held,
    "payout.withheld": withheld,
}

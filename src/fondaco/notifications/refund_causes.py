"""Mails about money of lines that went back, and about keys that do not work, in nobody's own words."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from fondaco.core.db import Record
from fondaco.notifications.actions import Recipient
from fondaco.notifications.letters import moment
from fondaco.refunds import REASONS

if TYPE_CHECKING:
    from fondaco.notifications.causes import Post

_MONEY_ROLES = ["owner", "manager", "finance"]
_STORE_ROLES = ["owner", "manager", "fulfilment"]


async def _line_refunded(post: "Post") -> None:
    """To the buyer, and to the store's people unless one of them did it."""
    row = await post.conn.fetchrow(
        """SELECT r.*, o.number, l.terms->>'title' AS title, s.name AS store FROM refunds.refund r
           JOIN orders.orders o ON o.id = r.order_id JOIN orders.order_line l ON l.id = r.line_id
           JOIN sellers.seller s ON s.id = r.seller_id WHERE r.id = $1""",
        UUID(post.event.data["refund_id"]),
    )
    if row is None:
        raise LookupError("no such refund")
    shown = {
        "order_id": row["order_id"],
        "number": row["number"],
        "title": row["title"],
        "amount": row["amount"],
        "currency": row["currency"],
        "reason": REASONS.get(row["reason"], row["reason"]),
    }
    for buyer in await _buyer(post, row):
        to_wallet, taken = row["destination"] == "wallet", row["taken_back"]
        await post.write(
            "line_refunded",
            buyer,
            cause=f"refund:{row['id']}",
            to_wallet=to_wallet,
            taken_back=taken,
            owed=row["credit"] + row["recovered"],
            **shown,
        )
    for member in await _store(post, row, _MONEY_ROLES):
        if row["actor"] != f"user:{member.user_id}":
            await post.write(
                "sale_refunded",
                member,
                cause=f"refund:{row['id']}",
                debt=row["as_debt"],
                store=row["store"],
                **shown,
            )


async def _bad_key(post: "Post") -> None:
    row = await _report(post)
    for member in await _store(post, row, _STORE_ROLES):
        await post.write(
            "bad_key_reported",
            member,
            cause=f"report:{row['id']}",
            report_id=row["id"],
            number=row["number"],
            title=row["title"],
            store=row["store"],
            until=moment(row["due_at"]),
        )


async def _bad_key_answered(post: "Post") -> None:
    outcome = post.event.data["outcome"]
    if outcome == "withdrawn":
        return
    row = await _report(post)
    for buyer in await _buyer(post, row):
        await post.write(
            "bad_key_answered",
            buyer,
            cause=f"report:{row['id']}",
            order_id=row["order_id"],
            number=row["number"],
            title=row["title"],
            outcome=outcome,
        )


async def _report(post: "Post") -> Record:
    row = await post.conn.fetchrow(
        """SELECT b.*, o.number, l.terms->>'title' AS title, s.name AS store FROM refunds.report b
           JOIN orders.orders o ON o.id = b.order_id JOIN orders.order_line l ON l.id = b.line_id
           JOIN sellers.seller s ON s.id = b.seller_id WHERE b.id = $1""",
        UUID(post.event.data["report_id"]),
    )
    if row is None:
        raise LookupError("no such report")
    return row


async def _buyer(post: "Post", row: Record) -> list[Recipient]:
    found = await post.conn.fetch(
        "SELECT id, email FROM identity.users WHERE id = $1 AND banned_at IS NULL", row["buyer_id"]
    )
    return [Recipient(r["id"], r["email"]) for r in found]


async def _store(post: "Post", row: Record, roles: list[str]) -> list[Recipient]:
    found = await post.conn.fetch(
        """SELECT u.id, u.email FROM identity.membership m JOIN identity.users u ON u.id = m.user_id
           WHERE m.seller_id = $1 AND m.role = ANY ($2) AND u.banned_at IS NULL""",
        row["seller_id"],
        roles,
    )
    return [Recipient(r["id"], r["email"]) for r in found]


REFUND_CAUSES: dict[str, Callable[["Post"], Awaitable[None]]] = {
    "line.refunded": _line_refunded,
    "line.bad_code": _bad_key,
    "line.bad_code_answered": _bad_key_answered,
}

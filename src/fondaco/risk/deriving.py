"""From what happened to signals: the events, read in their order, each giving the same signals every time."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

from fondaco.audit import AuditEvent
from fondaco.core.db import Connection
from fondaco.core.ids import parse_uuid
from fondaco.risk.acting import is_blocked
from fondaco.risk.actions import signal

CARDS_A_DAY = 3
REFUSED_AN_HOUR = 5
CARD_SHARED_BY = 3
"""So many accounts on one card are a ring."""


@cache
def disposable() -> frozenset[str]:
    """Domains of throw-away mail addresses."""
    return frozenset(files("fondaco.risk").joinpath("disposable.txt").read_text("utf-8").split())


def is_disposable(email: str) -> bool:
    """Whether an address is at a throw-away domain, or below one."""
    parts = email.lower().partition("@")[2].split(".")
    return any(".".join(parts[i:]) in disposable() for i in range(len(parts)))


async def derive(conn: Connection, events: list[AuditEvent]) -> None:
    """Record the signals of these events. The same events again record nothing."""
    for event in events:
        if rule := _RULES.get(event.kind):
            await rule(conn, event)


async def _signed_up(conn: Connection, event: AuditEvent) -> None:
    user_id = parse_uuid(event.ref.partition(":")[2])
    email = await conn.fetchval("SELECT email FROM identity.users WHERE id = $1", user_id)
    if email and is_disposable(email):
        domain = email.partition("@")[2]
        await signal(conn, event.ref, "address.disposable", "address", {"domain": domain})


async def _bad_code(conn: Connection, event: AuditEvent) -> None:
    if event.data.get("outcome") in ("replaced", "refunded"):
        party, ref = f"seller:{event.data['seller_id']}", f"report:{event.data['report_id']}"
        await signal(conn, party, "code.bad", ref, {"outcome": event.data["outcome"]})


async def _imported(conn: Connection, event: AuditEvent) -> None:
    if count := event.data.get("known_elsewhere"):
        party = f"seller:{event.data['seller_id']}"
        await signal(conn, party, "code.duplicate", event.ref, {"lines": count})


async def _refused(conn: Connection, event: AuditEvent) -> None:
    """More than five refused payments in the hour up to this one, once a day."""
    user_id = UUID(event.data["user_id"])
    count = await conn.fetchval(
        """SELECT count(*) FROM wallets.funding f JOIN audit.event e ON e.ref = 'funding:' || f.id
           WHERE f.user_id = $1 AND e.kind = 'funding.failed' AND e.at <= $2
             AND e.at > $2 - interval '1 hour' AND f.created_at > $2 - interval '7 days'""",
        user_id,
        event.at,
    )
    if count > REFUSED_AN_HOUR:
        ref = f"refused:{event.at:%Y-%m-%d}"
        await signal(conn, f"user:{user_id}", "velocity.refused", ref, {"refused": count})


async def _paid(conn: Connection, event: AuditEvent) -> None:
    """A card that paid: how many it is today, who else has it, and whether it is blocked."""
    mark, user_id = event.data.get("card"), UUID(event.data["user_id"])
    if not mark:
        return
    party = f"user:{user_id}"
    await conn.execute(
        "INSERT INTO risk.card (user_id, mark, first_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        user_id,
        mark,
        event.at,
    )
    if await is_blocked(conn, "card", mark):
        await signal(conn, party, "card.blocked", f"card:{mark}")
    count = await conn.fetchval(
        "SELECT count(*) FROM risk.card WHERE user_id = $1 AND first_at > $2 AND first_at <= $3",
        user_id,
        event.at - timedelta(days=1),
        event.at,
    )
    if count > CARDS_A_DAY:
        await signal(conn, party, "velocity.cards", f"cards:{event.at:%Y-%m-%d}", {"cards": count})
    others = await conn.fetch(
        """SELECT c.user_id, s.tier = 'BANNED' AS banned FROM risk.card c
           LEFT JOIN risk.standing s ON s.user_id = c.user_id
           WHERE c.mark = $1 AND c.user_id <> $2 ORDER BY c.user_id LIMIT 50""",
        mark,
        user_id,
    )
    for row in others:
        if row["banned"]:
            await signal(conn, party, "ring.banned", f"user:{row['user_id']}")
    if len(others) + 1 >= CARD_SHARED_BY:
        for one in (user_id, *(r["user_id"] for r in others)):
            await signal(conn, f"user:{one}", "ring.card", f"card:{mark}", {"accounts": len(others) + 1})


async def _bought(conn: Connection, event: AuditEvent) -> None:
    """Somebody who bought shares a card, or device and network, with a member of the store."""
    buyer, seller = UUID(event.data["buyer_id"]), UUID(event.data["seller_id"])
    shared: Any = await conn.fetchval(
        """SELECT m.user_id FROM identity.membership m WHERE m.seller_id = $2 AND m.user_id <> $1 AND (
             EXISTS (SELECT 1 FROM risk.card a JOIN risk.card b ON b.mark = a.mark
                     WHERE a.user_id = $1 AND b.user_id = m.user_id)
             OR EXISTS (SELECT 1 FROM identity.sessions a JOIN identity.sessions b ON b.ip = a.ip
                        AND b.user_agent = a.user_agent AND a.user_agent <> ''
                        WHERE a.user_id = $1 AND b.user_id = m.user_id
                          AND a.ip NOT IN ('', '127.0.0.1', '::1')))
           ORDER BY m.user_id LIMIT 1""",
        buyer,
        seller,
    )
    if shared:
        data = {"member": str(shared)}
        await signal(conn, f"user:{buyer}", "ring.self_purchase", f"seller:{seller}", data)
        await signal(conn, f"seller:{seller}", "ring.self_purchase", f"user:{buyer}", data)


_RULES: dict[str, Callable[[Connection, AuditEvent], Awaitable[None]]] = {
    "user.signed_up": _signed_up,
    "line.bad_code_answered": _bad_code,
    "batch.closed": _imported,
    "funding.failed": _refused,
    "funding.succeeded": _paid,
    "order.delivered": _bought,
}

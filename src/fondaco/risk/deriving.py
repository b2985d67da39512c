"""From what happened to signals: the events, read in their order, each giving the same signals every time."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from disposable_email_domains import blocklist

from fondaco.audit import AuditEvent
from fondaco.core.db import Connection
from fondaco.core.ids import parse_uuid
from fondaco.risk.acting import is_blocked
from fondaco.risk.actions import signal
from fondaco.risk.ties import bought, tie

CARDS_A_DAY = 3
REFUSED_AN_HOUR = 5
CARD_SHARED_BY = 3
"""So many accounts on one card are a ring."""


async def throw_away(conn: Connection, email: str) -> str | None:
    """The throw-away mail domain an address is at, or below; None when it is at none. What people said of a
    domain comes before the list, and of two domains the nearer one."""
    parts = email.lower().partition("@")[2].split(".")
    domains = [".".join(parts[i:]) for i in range(len(parts))]
    rows = await conn.fetch(
        """SELECT kind, value FROM risk.blocked WHERE kind IN ('disposable', 'genuine') AND value = ANY ($1)
           AND (until IS NULL OR until > now()) ORDER BY kind""",
        domains,
    )
    said: dict[str, str] = {row["value"]: row["kind"] for row in rows}
    for domain in domains:
        kind = said.get(domain) or ("disposable" if domain in blocklist else "")
        if kind:
            return domain if kind == "disposable" else None
    return None


async def derive(conn: Connection, events: list[AuditEvent]) -> None:
    """Record the signals of these events. The same events again record nothing."""
    for event in events:
        if rule := _RULES.get(event.kind):
            await rule(conn, event)


async def _signed_up(conn: Connection, event: AuditEvent) -> None:
    user_id = parse_uuid(event.ref.partition(":")[2])
    email = await conn.fetchval("SELECT email FROM identity.users WHERE id = $1", user_id)
    domain = await throw_away(conn, email) if email else None
    if domain:
        await signal(conn, event.ref, "address.disposable", "address", {"domain": domain})


async def _bad_code(conn: Connection, event: AuditEvent) -> None:
    """A key that did not work; late when the money went back because nobody answered in time."""
    if event.data.get("outcome") in ("replaced", "refunded"):
        party, ref = f"seller:{event.data['seller_id']}", f"report:{event.data['report_id']}"
        await signal(conn, party, "code.bad", ref, {"outcome": event.data["outcome"]})
        if event.actor == "system":
            await signal(conn, party, "delivery.late", ref)


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
    tied = await tie(conn, "card", user_id, mark, event.at)
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
    if tied.accounts >= CARD_SHARED_BY:
        told = tied.others if tied.new and tied.accounts == CARD_SHARED_BY else []
        for one in (user_id, *told):
            await signal(conn, f"user:{one}", "ring.card", f"card:{mark}", {"accounts": tied.accounts})


async def _device(conn: Connection, event: AuditEvent) -> None:
    """A browser somebody used."""
    user_id = parse_uuid(event.ref.partition(":")[2])
    if user_id:
        await tie(conn, "device", user_id, event.data["device"], event.at)


async def _bought(conn: Connection, event: AuditEvent) -> None:
    """Somebody bought: perhaps from a store of their own."""
    await bought(conn, UUID(event.data["buyer_id"]), UUID(event.data["seller_id"]))


_RULES: dict[str, Callable[[Connection, AuditEvent], Awaitable[None]]] = {
    "user.signed_up": _signed_up,
    "line.bad_code_answered": _bad_code,
    "batch.closed": _imported,
    "funding.failed": _refused,
    "funding.succeeded": _paid,
    "order.delivered": _bought,
    "device.seen": _device,
}
KINDS = frozenset(_RULES)
"""Events that are read as facts. None is of a decision: a tier never raises somebody's points."""

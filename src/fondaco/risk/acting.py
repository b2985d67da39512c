"""What people decide about a standing: one person within the machine, two for a ban or its end."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from fondaco import approvals, audit
from fondaco.core.clock import now
from fondaco.core.db import Connection, Database
from fondaco.core.ids import parse_uuid
from fondaco.core.pagination import MAX_LIMIT, Cursors, Page
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.risk.actions import day_of, facts_of, hold, move, side_of
from fondaco.risk.model import RISK_TIER, Block, NeedsTwo
from fondaco.risk.rules import CURRENT, Tier, judge
from fondaco.risk.ties import mark_tied_to
from fondaco.risk.words import TIER_WORDS

KINDS = ("domain", "card", "disposable", "genuine")
_BLOCKS = "risk.blocks"


async def known(conn: Connection, party: str) -> str:
    """The name of a party that exists. Raises NotFound."""
    side, _, text = party.partition(":")
    found = parse_uuid(text)
    if side not in CURRENT or found is None:
        raise NotFound()
    name: str | None = await conn.fetchval(
        "SELECT email FROM identity.users WHERE id = $1"
        if side == "user"
        else "SELECT name FROM sellers.seller WHERE id = $1",
        found,
    )
    if name is None:
        raise NotFound()
    return name


async def set_tier(db: Database, viewer: Viewer, party: str, tier: str, because: str) -> None:
    """Put somebody into a tier, one step of the machine, with a reason they read.

    It stands until there is a new signal, or their points have faded. Raises Invalid, NotFound, Conflict for
    a step the machine does not know, NeedsTwo for a ban or its end.
    """
    words = approvals.said(because, "because", least=3)
    if tier not in set(map(str, Tier)):
        raise Invalid(fields={"tier": "Choose a tier."})

    async def work(conn: Connection) -> None:
        await known(conn, party)
        await decide_by_hand(conn, party, Tier(tier), actor=viewer.actor, note=words)

    await db.run(viewer.as_staff, work)


async def decide_by_hand(
    conn: Connection, party: str, after: Tier, *, actor: str, note: str, two: bool = False
) -> int:
    """A person's decision in the caller's transaction; returns its id. `two`: two people agreed."""
    row = await hold(conn, party)
    before = Tier(row["tier"])
    if not RISK_TIER.allows(before, after):
        raise Conflict(f"Nobody goes from {TIER_WORDS[before]} to {TIER_WORDS[after]} in one step.")
    if Tier.BANNED in (before, after) and not two:
        raise NeedsTwo()
    facts = await facts_of(conn, party)
    moment = now()
    verdict = judge(CURRENT[side_of(party)], facts, day_of(moment))
    signals = [f.id for f in facts]
    return await move(conn, row, after, verdict, signals, actor=actor, note=note, at=moment)


async def ask_ban(db: Database, viewer: Viewer, party: str, because: str, *, lift: bool = False) -> UUID:
    """Ask a second person to ban somebody, or with `lift` to end a ban; returns the request's id. Raises
    NotFound, Conflict when they are banned (not banned) already, Invalid, approvals.AlreadyAsked."""
    words = approvals.said(because, "because", least=3)

    async def work(conn: Connection) -> UUID:
        name = await known(conn, party)
        row = await hold(conn, party)
        if (row["tier"] == Tier.BANNED) != lift:
            raise Conflict("They are not banned." if lift else "They are banned already.")
        payload = {"party": party, "name": name, "because": words}
        return await approvals.ask(conn, "risk.unban" if lift else "risk.ban", party, payload, words, viewer)

    return await db.run(viewer.as_staff, work)


def _ban_words(payload: Mapping[str, Any]) -> str:
    what = (
        "The store's listings are hidden and its payouts wait; what is held of its open orders goes back to "
        "the buyers; what it is owed stays its own."
        if side_of(payload["party"]) == "seller"
        else "They are signed out everywhere and cannot buy; what they paid for and their money stay theirs."
    )
    return f"{payload['name']} is banned. {what}"


def _unban_words(payload: Mapping[str, Any]) -> str:
    return f"The ban of {payload['name']} ends: they are restricted from then on."


@approvals.verb("risk.ban", permission="console.risk_ban", words=_ban_words)
async def ban_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """A ban two people agreed upon. Nothing of what is owed is touched."""
    note, party = payload["because"], payload["party"]
    await decide_by_hand(conn, party, Tier.BANNED, actor=request.actor, note=note, two=True)
    await mark_tied_to(conn, party)


@approvals.verb("risk.unban", permission="console.risk_ban", words=_unban_words)
async def unban_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """The end of a ban; an appeal against it that is open is granted with it."""
    note, party = payload["because"], payload["party"]
    await decide_by_hand(conn, party, Tier.RESTRICTED, actor=request.actor, note=note, two=True)
    appeal_id = await conn.fetchval(
        """UPDATE risk.appeal SET state = 'GRANTED', answer = $2, decided_at = now(), decided_by = $3
           WHERE party = $1 AND state = 'OPEN' RETURNING id""",
        party,
        note,
        request.decided_by,
    )
    if appeal_id:
        data = {"appeal_id": str(appeal_id), "granted": True}
        await audit.record(conn, "risk.appeal_decided", party, request.actor, data)


async def blocks(
    db: Database, viewer: Viewer, cursors: Cursors, *, limit: int = 50, cursor: str | None = None
) -> Page[Block]:
    """What is blocked or said of domains, newest first; what has run out is among it until somebody takes it
    out. Raises BadCursor."""
    limit = max(1, min(limit, MAX_LIMIT))
    at, kind, value = cursors.read(_BLOCKS, cursor) if cursor else ("infinity", "", "")
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT b.kind, b.value, b.reason, b.until, b.added_at, u.email AS added_by FROM risk.blocked b
           LEFT JOIN identity.users u ON u.id = b.added_by
           WHERE (b.added_at, b.kind, b.value) < ($1::text::timestamptz, $2, $3)
           ORDER BY b.added_at DESC, b.kind DESC, b.value DESC LIMIT $4""",
        at,
        kind,
        value,
        limit + 1,
    )
    found = [Block(**dict(r)) for r in rows]
    shown, after = found[:limit], None
    if len(found) > limit:
        after = cursors.make(_BLOCKS, [shown[-1].added_at.isoformat(), shown[-1].kind, shown[-1].value])
    return Page(shown, next=after)


async def block(
    db: Database, viewer: Viewer, *, kind: str, value: str, reason: str, days: int | None = None
) -> None:
    """Block a mail domain (nobody signs up with it) or a card by its mark (its payer is restricted), or say
    that a mail domain is a throw-away one ('disposable') or is none ('genuine'): for so many days, or until
    it is taken out. Again changes reason and expiry. Raises Invalid."""
    clean = value.strip() if kind == "card" else value.strip().lower().lstrip("@.")
    faults: dict[str, str] = {}
    if kind not in KINDS:
        faults["kind"] = "Choose what it is."
    if (
        not 2 < len(clean) <= 200
        or not clean.isascii()
        or " " in clean
        or (kind != "card" and "." not in clean)
    ):
        faults["value"] = "Write a domain such as example.com, or a card's mark."
    elif not all(c.isalnum() or c in ".-_" for c in clean):
        faults["value"] = "Only letters, digits, dots and hyphens."
    if days is not None and not 1 <= days <= 3650:
        faults["days"] = "Write 1 to 3650 days, or nothing."
    if faults:
        raise Invalid(fields=faults)
    why = approvals.said(reason, "reason", least=3)
    until = now() + timedelta(days=days) if days else None

    async def work(conn: Connection) -> None:
        await conn.execute(
            """INSERT INTO risk.blocked (kind, value, reason, until, added_by) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (kind, value) DO UPDATE SET reason = excluded.reason, until = excluded.until,
                 added_by = excluded.added_by, added_at = now()""",
            kind,
            clean,
            why,
            until,
            viewer.user(),
        )
        await audit.record(conn, "risk.blocked", f"block:{kind}:{clean}", viewer.actor, {"reason": why})

    await db.run(viewer.as_staff, work)


async def unblock(db: Database, viewer: Viewer, *, kind: str, value: str) -> None:
    """Take a block out. Raises NotFound."""
    if not (kind + value).isprintable():
        raise NotFound()

    async def work(conn: Connection) -> None:
        gone = await conn.fetchval(
            "DELETE FROM risk.blocked WHERE kind = $1 AND value = $2 RETURNING value", kind, value
        )
        if gone is None:
            raise NotFound()
        await audit.record(conn, "risk.unblocked", f"block:{kind}:{value}", viewer.actor)

    await db.run(viewer.as_staff, work)


async def is_blocked(conn: Connection, kind: str, value: str) -> bool:
    """Whether this is blocked now."""
    found: bool = await conn.fetchval(
        """SELECT EXISTS (SELECT 1 FROM risk.blocked WHERE kind = $1 AND value = $2
             AND (until IS NULL OR until > now()))""",
        kind,
        value,
    )
    return found

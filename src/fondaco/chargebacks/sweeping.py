"""What the clock does: holds that grow, debts that are paid, evidence that is due, and the provider asked
about what no event told."""

from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import structlog

from fondaco.chargebacks.debts import repay
from fondaco.chargebacks.model import OPEN
from fondaco.chargebacks.noting import hold_more, note_dispute
from fondaco.chargebacks.sending import LEASE, resolve_evidence, send_evidence
from fondaco.chargebacks.standing import refresh_standing
from fondaco.chargebacks.warned import answer_warning, note_warning
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Unavailable
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_disputes import DisputeFacts, WarningFacts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from fondaco.settings import Settings

log = structlog.get_logger()
BATCH = 50
LISTED = timedelta(days=3)  # how far back the provider's lists are compared
ASK_AGAIN = timedelta(hours=1)


async def sweep(db: Database, gateway: StripeGateway, settings: Settings) -> int:
    """Holds, debts and evidence; returns how many things were looked at."""
    done = await _grow(db)
    done += await _unanswered(db, settings)
    done += await _still_warned(db)
    return done + await _evidence(db, gateway, settings)


async def _grow(db: Database) -> int:
    """What a blocked wallet has gained is held for what is open, or pays what is owed."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT c.id, c.owed > 0 AS owes FROM chargebacks.chargeback c
           JOIN ledger.account a ON a.kind = 'wallet' AND a.owner = 'user:' || c.user_id
             AND a.currency = c.currency
           JOIN ledger.balance b ON b.account_id = a.id AND b.amount > 0
           WHERE (c.state = ANY ($1) AND c.held < c.taken) OR c.owed > 0
           ORDER BY c.owed > 0 DESC, c.opened_at, c.id LIMIT $2""",
        list(OPEN),
        BATCH,
    )
    for row in rows:
        await _one(db, row["id"], owes=row["owes"])
    return len(rows)


async def _one(db: Database, chargeback_id: UUID, *, owes: bool) -> None:
    async def work(conn: Connection) -> int:
        return await (repay if owes else hold_more)(conn, chargeback_id)

    await db.run(SYSTEM, work)


async def _unanswered(db: Database, settings: Settings) -> int:
    """Warnings whose job was lost."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT id FROM chargebacks.warning
           WHERE answered_at IS NULL AND noted_at < now() - interval '1 minute'
           ORDER BY noted_at LIMIT $1""",
        BATCH,
    )
    for row in rows:
        await _alone("warning.not_answered", str(row["id"]), answer_warning(db, settings, row["id"]))
    return len(rows)


async def _still_warned(db: Database) -> int:
    """A refund that a warning caused may fail later: then the money is in the wallet again, at risk."""

    async def work(conn: Connection) -> int:
        rows = await conn.fetch(
            """UPDATE chargebacks.warning w SET blocks = true FROM wallets.refund r, wallets.funding f
               WHERE r.id = w.refund_id AND f.id = w.funding_id AND r.state IN ('FAILED', 'CANCELED')
                 AND f.disputed = 0 AND NOT w.blocks AND w.cleared_at IS NULL RETURNING w.user_id"""
        )
        for row in rows:
            await refresh_standing(conn, row["user_id"], "system")
        return len(rows)

    return await db.run(SYSTEM, work)


async def _evidence(db: Database, gateway: StripeGateway, settings: Settings) -> int:
    """Sends what is confirmed or due, and finds out about what got no answer."""
    await db.execute(
        SYSTEM,
        """UPDATE chargebacks.evidence SET state = 'UNKNOWN'
           WHERE state = 'SENDING' AND called_at < now() - $1::interval""",
        LEASE,
    )
    hours = timedelta(hours=settings.evidence_hours)
    rows = await db.fetch(
        SYSTEM,
        """SELECT e.id, e.state FROM chargebacks.evidence e
           JOIN chargebacks.chargeback c ON c.id = e.chargeback_id
           WHERE e.state = 'UNKNOWN' OR e.state = 'CONFIRMED' AND e.confirmed_at < now() - interval '10 s'
              OR e.state = 'DRAFT' AND $2 AND c.due_by - $1::interval < now()
              OR e.state = 'DRAFT' AND c.due_by < now()
           ORDER BY c.due_by NULLS LAST, e.id LIMIT $3""",
        hours,
        settings.evidence_unconfirmed == "send",
        BATCH,
    )
    for row in rows:
        act = resolve_evidence if row["state"] == "UNKNOWN" else send_evidence
        await _alone("evidence.not_sent", str(row["id"]), act(db, gateway, row["id"]))
    return len(rows)


async def ask(db: Database, gateway: StripeGateway) -> int:
    """Ask the provider about chargebacks and warnings that no event told of, and about those that nobody
    spoke of for an hour; returns how many were noted."""
    since = int((now() - LISTED).timestamp())
    found = {facts.id: facts for facts in await gateway.list_disputes(since=since)}
    known = await db.fetch(
        SYSTEM,
        "SELECT provider_id, provider_status FROM chargebacks.chargeback WHERE provider_id = ANY ($1)",
        list(found),
    )
    same = {r["provider_id"] for r in known if found[r["provider_id"]].status == r["provider_status"]}
    due = await db.fetch(
        SYSTEM,
        """UPDATE chargebacks.chargeback SET asked_at = now() WHERE id IN (
             SELECT id FROM chargebacks.chargeback WHERE state = ANY ($1)
               AND greatest(heard_at, asked_at) < now() - $2::interval
             ORDER BY asked_at NULLS FIRST LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING provider_id""",
        list(OPEN),
        ASK_AGAIN,
        BATCH,
    )
    done = 0
    for facts in found.values():
        if facts.id not in same:
            done += await _alone("dispute.not_noted", facts.id, _note(db, facts))
    for row in due:
        done += await _alone("dispute.not_asked", row["provider_id"], _ask(db, gateway, row["provider_id"]))
    return done + await _ask_warnings(db, gateway, since)


async def _note(db: Database, facts: DisputeFacts) -> bool:
    return await db.run(SYSTEM, lambda conn: note_dispute(conn, facts))


async def _ask(db: Database, gateway: StripeGateway, provider_id: str) -> bool:
    return await _note(db, await gateway.retrieve_dispute(provider_id))


async def _ask_warnings(db: Database, gateway: StripeGateway, since: int) -> int:
    found = {facts.id: facts for facts in await gateway.list_warnings(since)}
    rows = await db.fetch(
        SYSTEM,
        "SELECT provider_id, actionable FROM chargebacks.warning WHERE provider_id = ANY ($1)",
        list(found),
    )
    same = {r["provider_id"] for r in rows if found[r["provider_id"]].actionable == r["actionable"]}
    done = 0
    for facts in found.values():
        if facts.id not in same:
            done += await _alone("warning.not_noted", facts.id, _note_warning(db, facts))
    return done


async def _note_warning(db: Database, facts: WarningFacts) -> bool:
    return await db.run(SYSTEM, lambda conn: note_warning(conn, facts))


async def _alone(event: str, about: str, attempt: Awaitable[object]) -> bool:
    """One that fails holds up none of those after it: it is looked at again later."""
    try:
        return bool(await attempt)
    except (ProviderUnknown, ProviderRefused) as error:
        log.warning(event, about=about, why=str(error))
    except Unavailable:  # nobody would fare better
        raise
    except Exception as error:
        log.error(event, about=about, why=type(error).__name__)
    return False

"""Handling events: they are hints. What they speak of is fetched from the provider first, then everything
they cause and their own end are one transaction. Order and repetition of events change nothing.

Events of one payment that wait together are handled together: asked once, settled once."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog

from fondaco import audit, chargebacks, payouts, reconciliation, wallets
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import Conflict, NotFound
from fondaco.core.viewer import Viewer
from fondaco.inbox.door import enqueue
from fondaco.inbox.model import (
    ACCOUNT_TYPES,
    CHANNEL,
    DISPUTE_TYPES,
    REFUND_TYPES,
    SESSION_TYPES,
    TRANSFER_TYPES,
    WARNING_TYPES,
    of_no_interest,
)
from fondaco.inbox.settle import settle_funding
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import (
    PaymentFacts,
    ProviderRefused,
    ProviderUnknown,
    RefundFacts,
    id_of,
    payment_of_intent,
    payment_of_session,
    refund_facts,
)

log = structlog.get_logger()
TRIES = 12
PATIENCE = timedelta(days=3)  # a provider that does not answer uses up no tries of what came in since then
WAIT_FOR_ROW = 5  # tries until something unknown to us is taken for not ours
SWEEP = 200

Verdict = tuple[str, str | None]  # state and why
Done = dict[str, PaymentFacts]  # paid and settled in this transaction, by the payment's id
Effect = Callable[[Connection, Done], Awaitable[Verdict]]
DONE: Verdict = ("PROCESSED", None)


class Asked:
    """What the provider said about one group of events: each thing is asked once."""

    def __init__(self, gateway: StripeGateway) -> None:
        self.gateway = gateway
        self._intents: dict[str, PaymentFacts] = {}
        self._sessions: dict[str, PaymentFacts] = {}
        self._refunds: dict[str, RefundFacts] = {}

    async def session(self, session_id: str) -> PaymentFacts:
        if session_id not in self._sessions:
            facts, intent = await self.gateway.retrieve_session_and_intent(session_id)
            self._sessions[session_id] = facts
            if intent and intent.intent_id:
                self._intents[intent.intent_id] = intent
        return self._sessions[session_id]

    async def intent(self, intent_id: str) -> PaymentFacts:
        if intent_id not in self._intents:
            self._intents[intent_id] = await self.gateway.retrieve_intent(intent_id)
        return self._intents[intent_id]

    async def refund(self, refund_id: str) -> RefundFacts:
        if refund_id not in self._refunds:
            self._refunds[refund_id] = await self.gateway.retrieve_refund(refund_id)
        return self._refunds[refund_id]


class Handling:
    """One event being handled: the row and the object in it."""

    def __init__(self, asked: "Asked", row: Record) -> None:
        self.gateway = asked.gateway
        self.asked = asked
        self.row = row
        self.object: dict[str, Any] = row["body"]["data"]["object"]
        self.last_wait = row["attempts"] + 1 >= WAIT_FOR_ROW

    async def differs(self, conn: Connection, what: str) -> Verdict:
        """The event says something else than the provider: not believed, and somebody is told."""
        log.error("event.differs", event_id=self.row["event_id"], what=what)
        data = {"wrong": f"event: {what}", "event": self.row["event_id"]}
        await audit.record(conn, "funding.unmatched", f"event:{self.row['event_id']}", "stripe", data)
        return ("IGNORED", f"It says something else than the provider: {what}.")


async def _session(handling: Handling) -> Effect:
    facts = await handling.asked.session(handling.object["id"])
    return _payment(handling, payment_of_session(handling.object), facts)


async def _intent(handling: Handling) -> Effect:
    facts = await handling.asked.intent(handling.object["id"])
    return _payment(handling, payment_of_intent(handling.object), facts)


async def _charge(handling: Handling) -> Effect:
    """A charge changes when its fee becomes known."""
    intent_id = id_of(handling.object.get("payment_intent"))
    if intent_id is None:
        return _nothing("It belongs to no payment of ours.")
    facts = await handling.asked.intent(intent_id)
    return _payment(handling, None, facts)


async def _refund(handling: Handling) -> Effect:
    facts = await handling.asked.refund(handling.object["id"])
    claimed = refund_facts(handling.object)

    async def effect(conn: Connection, done: Done) -> Verdict:
        if (claimed.amount, claimed.currency) != (facts.amount, facts.currency):
            return await handling.differs(conn, "amount")
        if await wallets.note_refund(conn, facts) or await reconciliation.note_sent_back(conn, facts):
            return DONE
        return await _unknown_refund(handling, conn, facts)

    return effect


async def _unknown_refund(handling: Handling, conn: Connection, facts: RefundFacts) -> Verdict:
    if parse_uuid(facts.refund_ref) and not handling.last_wait:
        return ("DEFERRED", "The refund it speaks of is not known yet.")
    return await handling.differs(conn, "a refund that was not requested here")


def _payment(handling: Handling, claimed: PaymentFacts | None, facts: PaymentFacts) -> Effect:
    async def effect(conn: Connection, done: Done) -> Verdict:
        if claimed is not None and (what := _difference(claimed, facts)):
            return await handling.differs(conn, what)
        if _said_already(facts, done):
            return DONE
        funding_id = parse_uuid(facts.funding_ref)
        if facts.paid and funding_id and not handling.last_wait:
            known = await conn.fetchval(
                "SELECT EXISTS (SELECT 1 FROM wallets.funding WHERE id = $1)", funding_id
            )
            if not known:
                return ("DEFERRED", "The funding it speaks of is not known yet.")
        settled = await settle_funding(conn, facts, handling.gateway.livemode)
        if settled.outcome == "not_ours":
            return ("IGNORED", "Nothing here speaks of it.")
        if settled.outcome == "unmatched":
            return ("PROCESSED", "The money matches nothing here; it is in suspense.")
        if facts.paid and facts.intent_id and settled.outcome in ("succeeded", "already"):
            done[facts.intent_id] = facts
        return DONE

    return effect


def _said_already(facts: PaymentFacts, done: Done) -> bool:
    """Whether the same payment was settled in this transaction from facts that say all that these do."""
    known = done.get(facts.intent_id or "")
    if known is None or facts.session_id not in (None, known.session_id):
        return False
    same = ("paid", "amount", "currency", "livemode", "funding_ref", "user_ref", "charge_id", "fee")
    return all(getattr(facts, name) == getattr(known, name) for name in same)


def _difference(claimed: PaymentFacts, facts: PaymentFacts) -> str:
    """What an event says differently from the provider, of the things that never change."""
    differences = {
        "total": claimed.session_total != facts.session_total,
        "amount": claimed.paid and facts.paid and claimed.amount != facts.amount,
        "currency": claimed.currency != facts.currency,
        "livemode": claimed.livemode != facts.livemode,
        "funding": claimed.funding_ref != facts.funding_ref,
        "user": claimed.user_ref != facts.user_ref,
        "mode": claimed.mode != facts.mode,
        "paid": claimed.paid and not facts.paid,
    }
    return ", ".join(name for name, differs in differences.items() if differs)


def _nothing(why: str) -> Effect:
    async def effect(conn: Connection, done: Done) -> Verdict:
        return ("IGNORED", why)

    return effect


def _noted(note: Callable[[Connection], Awaitable[bool]], otherwise: Effect) -> Effect:
    """What was asked is written down; `otherwise` when nothing here speaks of it."""

    async def effect(conn: Connection, done: Done) -> Verdict:
        return DONE if await note(conn) else await otherwise(conn, done)

    return effect


async def _dispute(handling: Handling) -> Effect:
    facts = await handling.gateway.retrieve_dispute(handling.object["id"])

    async def effect(conn: Connection, done: Done) -> Verdict:
        if await chargebacks.note_dispute(conn, facts):
            return DONE
        if not handling.last_wait:
            return ("DEFERRED", "The payment it disputes is not known yet.")
        return await handling.differs(conn, "a dispute of a payment that is not ours")

    return effect


async def _warning(handling: Handling) -> Effect:
    facts = await handling.gateway.retrieve_warning(handling.object["id"])

    async def unknown(conn: Connection, done: Done) -> Verdict:
        if not handling.last_wait:
            return ("DEFERRED", "The payment it warns of is not known yet.")
        return await handling.differs(conn, "a warning of a payment that is not ours")

    return _noted(lambda conn: chargebacks.note_warning(conn, facts), unknown)


async def _account(handling: Handling) -> Effect:
    account_id = handling.row["account"] or handling.row["object_id"]
    return _noted(await payouts.ask_account(handling.gateway, account_id), _nothing(_UNKNOWN))


async def _bank_payout(handling: Handling) -> Effect:
    account_id = handling.row["account"]
    if not account_id:
        facts = await handling.gateway.retrieve_bank_payout(handling.row["object_id"])
        return _noted(lambda conn: reconciliation.note_own_payout(conn, facts), _nothing(_UNKNOWN))
    note = await payouts.ask_bank_payout(handling.gateway, account_id, handling.row["object_id"])
    return _noted(note, _nothing(_UNKNOWN))


async def _transfer(handling: Handling) -> Effect:
    note, ours = await payouts.ask_transfer(handling.gateway, handling.row["object_id"])

    async def unknown(conn: Connection, done: Done) -> Verdict:
        return await handling.differs(conn, "a transfer that was not decided here")

    return _noted(note, unknown if ours else _nothing(_UNKNOWN))


_UNKNOWN = "Nothing here speaks of it."
VERBS: dict[str, Callable[[Handling], Awaitable[Effect]]] = {
    **dict.fromkeys(ACCOUNT_TYPES, _account),
    "payout.paid": _bank_payout,
    "payout.failed": _bank_payout,
    **dict.fromkeys(TRANSFER_TYPES, _transfer),
    **dict.fromkeys(SESSION_TYPES, _session),
    "payment_intent.succeeded": _intent,
    "charge.updated": _charge,
    **dict.fromkeys(REFUND_TYPES, _refund),
    **dict.fromkeys(DISPUTE_TYPES, _dispute),
    **dict.fromkeys(WARNING_TYPES, _warning),
}


async def handle_event(db: Database, gateway: StripeGateway, row_id: int) -> None:
    """Handle one kept event. Harmless to repeat and to run twice at once: one of them has the effect."""
    row = await db.fetchrow(
        SYSTEM,
        "SELECT * FROM inbox.event WHERE id = $1 AND state IN ('RECEIVED', 'DEFERRED', 'FAILED')",
        row_id,
    )
    if row is not None:
        await handle_group(db, gateway, [row])


async def handle_group(db: Database, gateway: StripeGateway, rows: Sequence[Record]) -> None:
    """Handle open events that speak of one payment (whole rows). What fails together is tried one by one,
    so that nothing is held up by what it came with. As harmless to repeat as one event."""
    try:
        effects = await _prepare(gateway, rows)
        if failpoints.armed:
            await failpoints.reached("inbox.after_ask")

        async def work(conn: Connection) -> None:
            await _apply(conn, rows, effects)

        await db.run(SYSTEM, work)
    except Exception as error:
        if len(rows) > 1:
            for row in rows:
                await handle_group(db, gateway, [row])
            return
        (row,) = rows
        log.warning("event.failed", event_id=row["event_id"], type=row["type"], why=type(error).__name__)
        await _failed(db, row["id"], error)


async def _prepare(gateway: StripeGateway, rows: Sequence[Record]) -> dict[int, Effect]:
    """Everything to be asked is asked here, before the transaction; the effect of each row, by its id.
    Sessions come first: what is said of a session is said of its payment too."""
    asked = Asked(gateway)
    ordered = sorted(rows, key=lambda row: (row["type"] not in SESSION_TYPES, row["id"]))
    return {row["id"]: await _effect(asked, row) for row in ordered}


async def _effect(asked: Asked, row: Record) -> Effect:
    why = of_no_interest(
        row["type"], row["account"], livemode=row["livemode"], own_mode=asked.gateway.livemode
    )
    if why:
        return _nothing(why)
    handling = Handling(asked, row)
    try:
        return await VERBS[row["type"]](handling)
    except ProviderRefused as error:
        if error.code != "resource_missing":
            raise

        async def unknown(conn: Connection, done: Done) -> Verdict:
            return await handling.differs(conn, "the provider knows no such object")

        return unknown


async def _apply(conn: Connection, rows: Sequence[Record], effects: dict[int, Effect]) -> None:
    mine = await conn.fetch(
        """SELECT e.id FROM inbox.event e JOIN unnest($1::bigint[], $2::int[]) t(id, attempts) ON t.id = e.id
           WHERE e.state IN ('RECEIVED', 'DEFERRED', 'FAILED') AND e.attempts = t.attempts
           ORDER BY e.id FOR UPDATE OF e SKIP LOCKED""",
        [row["id"] for row in rows],
        [row["attempts"] for row in rows],
    )
    held, done = {row["id"] for row in mine}, Done()
    ended: list[tuple[int, str, str | None]] = []
    for row_id, effect in effects.items():
        if row_id not in held:
            continue
        state, why = await effect(conn, done)
        if state == "DEFERRED":
            await _later(conn, row_id, "DEFERRED", why or "")
        else:
            ended.append((row_id, state, why))
    if not ended:
        return
    await conn.execute(
        """UPDATE inbox.event e
           SET state = t.state, failure = t.why, attempts = attempts + 1, handled_at = now()
           FROM unnest($1::bigint[], $2::text[], $3::text[]) t(id, state, why) WHERE e.id = t.id""",
        *(list(column) for column in zip(*ended, strict=True)),
    )
    if failpoints.armed:
        await failpoints.reached("worker.job.before_commit", conn)


async def _later(conn: Connection, row_id: int, state: str, why: str, *, away: bool = False) -> None:
    """Another try after a pause that doubles: 10 s, 20 s, ... up to an hour. `away`: the provider did not
    answer, which says nothing about the event."""
    row = await conn.fetchrow(
        """UPDATE inbox.event SET attempts = attempts + 1 WHERE id = $1
           RETURNING attempts, received_at > now() - $2::interval AS fresh""",
        row_id,
        PATIENCE,
    )
    assert row
    attempts: int = row["attempts"]
    if attempts >= TRIES and not (away and row["fresh"]):
        current = await conn.fetchval("SELECT state FROM inbox.event WHERE id = $1", row_id)
        if current == "RECEIVED":
            await conn.execute("UPDATE inbox.event SET state = 'FAILED' WHERE id = $1", row_id)
        event_id = await conn.fetchval(
            "UPDATE inbox.event SET state = 'DEAD', failure = $2 WHERE id = $1 RETURNING event_id",
            row_id,
            why,
        )
        log.error("event.dead", event_id=event_id, why=why)
        await audit.record(conn, "event.dead", f"event:{event_id}", "system", {"why": why})
        return
    await conn.execute(
        "UPDATE inbox.event SET state = $2, failure = $3, next_at = now() + $4 WHERE id = $1",
        row_id,
        state,
        why,
        min(timedelta(seconds=5 * 2 ** min(attempts, TRIES)), timedelta(hours=1)),
    )


async def _failed(db: Database, row_id: int, error: Exception) -> None:
    said = (str(error).splitlines() or [""])[0]  # the database's further lines show whole rows
    words = f"{type(error).__name__}: {said}"[:300].replace("\x00", "")

    async def work(conn: Connection) -> None:
        open_ = await conn.fetchval(
            """SELECT true FROM inbox.event WHERE id = $1 AND state IN ('RECEIVED', 'DEFERRED', 'FAILED')
               FOR UPDATE""",
            row_id,
        )
        if open_:
            await _later(conn, row_id, "FAILED", words, away=isinstance(error, ProviderUnknown))

    await db.run(SYSTEM, work)


async def replay(db: Database, viewer: Viewer, row_id: int) -> None:
    """Have a DEAD event handled again; for ops, audited. Raises NotFound, Conflict when it is not dead."""

    async def work(conn: Connection) -> None:
        row = await conn.fetchrow("SELECT event_id, state FROM inbox.event WHERE id = $1 FOR UPDATE", row_id)
        if row is None:
            raise NotFound()
        if row["state"] != "DEAD":
            raise Conflict("Only a dead event is replayed; this one is not, or no longer.")
        await conn.execute(
            "UPDATE inbox.event SET state = 'RECEIVED', attempts = 0, next_at = now() WHERE id = $1", row_id
        )
        await audit.record(conn, "event.replayed", f"event:{row['event_id']}", viewer.actor)
        await conn.execute("SELECT pg_notify($1, '')", CHANNEL)

    await db.run(viewer.as_staff, work)


async def sweep_events(db: Database) -> int:
    """Put on the queue what is due and lies there: no worker looks at the inbox, or it hangs."""

    async def work(conn: Connection) -> int:
        rows = await conn.fetch(
            """SELECT id FROM inbox.event WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD')
                 AND next_at < now() - interval '15 s'
               ORDER BY next_at LIMIT $1""",
            SWEEP,
        )
        if failpoints.armed:
            await failpoints.reached("sweeper.events.after_select", conn)
        for row in rows:
            await enqueue(conn, row["id"])
        return len(rows)

    return await db.run(SYSTEM, work)

"""Payouts leave in three commits: the intent, the claim with its attempt, the outcome. Between the last two
the provider is called; when no answer comes the payout is UNKNOWN, and the provider is asked before
anything is sent again. One payout makes one transfer, to the cent, through lost answers and crashes."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import Unavailable
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_connect import ReversalFacts, TransferFacts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from fondaco.ledger import payout_in_flight_of, platform, post
from fondaco.payouts.model import gate_words, refusal_words

log = structlog.get_logger()
KEY_LIVES = timedelta(hours=23)  # the provider forgets keys after 24 hours
LEASE = timedelta(minutes=2)  # longer than a call with all its repetitions
BATCH = 200
AT_ONCE = 4
_CHANGED = "The payout account was changed after this payout was decided. The money is back in the balance."
_DEBT = (
    "A refund came in meanwhile; what is owed is set against the balance first. "
    "The rest is paid with the next payout."
)


async def send_payout(db: Database, gateway: StripeGateway, payout_id: UUID) -> bool:
    """Send a decided payout. Harmless to repeat: only one sender gets it. False: the provider did not
    answer."""

    async def work(conn: Connection) -> Record | None:
        return await _claim(conn, payout_id)

    row = await db.run(SYSTEM, work)
    return row is None or await _call(db, gateway, row)


async def _claim(conn: Connection, payout_id: UUID) -> Record | None:
    """The payout, ours to send, with its attempt written down; None when it is not, or may not leave now."""
    row = await conn.fetchrow(
        "SELECT * FROM payouts.payout WHERE id = $1 AND state = 'CREATED' FOR UPDATE", payout_id
    )
    if row is None or not await _may_leave(conn, row):
        return None
    return await _begin(conn, row, fresh=True)


async def _begin(conn: Connection, row: Record, *, fresh: bool) -> Record | None:
    """To SENDING; `fresh`: with a new key. The attempt is committed before the call. None when a gate closed
    since it was looked at: it stays where it is, and the next turn of the sweeper decides."""
    if fresh:
        number: int = row["attempt"] + 1
        written = await conn.fetchval(
            """INSERT INTO payouts.attempt (payout_id, no, key, gates)
               SELECT $1, $2, $3, g FROM payouts.gates($4, $5) g WHERE g = '{}' RETURNING no""",
            row["id"],
            number,
            f"payout:{row['id']}:{number}",
            row["seller_id"],
            row["currency"],
        )
        if written is None:
            return None
    return await conn.fetchrow(
        """UPDATE payouts.payout SET state = 'SENDING', attempt = attempt + CASE WHEN $3 THEN 1 ELSE 0 END,
             called_at = CASE WHEN $3 THEN now() ELSE called_at END, checked_at = now(), key_burnt = false,
             lease_until = now() + $2::interval WHERE id = $1 RETURNING *""",
        row["id"],
        LEASE,
        fresh,
    )


async def _may_leave(conn: Connection, row: Record) -> bool:
    """Whether every gate is open now; a payout that may not leave is held or cancelled here."""
    account = await conn.fetchrow(
        "SELECT provider_id FROM payouts.account WHERE seller_id = $1 AND state <> 'CLOSED' FOR SHARE",
        row["seller_id"],
    )
    if account is None or account["provider_id"] != row["destination"]:
        await _cancel(conn, row, "account_changed", _CHANGED)
        return False
    closed = await _gates(conn, row)
    if "debt" in closed:
        await _cancel(conn, row, "debt", _DEBT)
        return False
    if closed and row["state"] == "CREATED":
        await hold(conn, row, "system", gate_words(closed[0])[0])
    return not closed


async def _gates(conn: Connection, row: Record) -> list[str]:
    return await conn.fetchval("SELECT payouts.gates($1, $2)", row["seller_id"], row["currency"])


async def _cancel(conn: Connection, row: Record, code: str, words: str) -> None:
    await conn.execute("SELECT payouts.give_back($1, 'CANCELLED', $2, $3, 'system')", row["id"], code, words)


async def hold(conn: Connection, row: Record, by: str, because: str) -> None:
    """A CREATED payout waits: for a gate (`by` 'system'), or for a person."""
    await conn.execute(
        "UPDATE payouts.payout SET state = 'HELD', held_by = $2, held_because = $3 WHERE id = $1",
        row["id"],
        by,
        because,
    )
    data = {"seller_id": str(row["seller_id"]), "amount": row["amount"], "currency": row["currency"]}
    await audit.record(conn, "payout.held", f"payout:{row['id']}", by, {**data, "because": because})


async def _call(db: Database, gateway: StripeGateway, row: Record) -> bool:
    payout_id: UUID = row["id"]
    try:
        if failpoints.armed:
            await failpoints.reached("payout.before_call")
        facts = await gateway.create_transfer(
            payout_id,
            attempt=row["attempt"],
            amount=row["amount"],
            currency=row["currency"],
            destination=row["destination"],
        )
    except ProviderUnknown as error:
        await _unknown(db, payout_id, error)
        return False
    except ProviderRefused as error:
        # Refused for good; but an earlier attempt may have gone through unseen, so look before giving up.
        try:
            if not await _find(db, gateway, payout_id):
                await _give_up(db, payout_id, error.code)
        except (ProviderUnknown, ProviderRefused) as silence:
            log.warning("payout.not_checked", payout=str(payout_id), why=str(silence))
            await _unknown(db, payout_id, ProviderUnknown(str(silence)))
            return False
        return True
    if failpoints.armed:
        await failpoints.reached("payout.after_call_before_store")
    await apply_transfer(db, facts)
    return True


async def _unknown(db: Database, payout_id: UUID, error: ProviderUnknown) -> None:
    log.warning("payout.unknown", payout=str(payout_id), why=str(error))
    await db.execute(
        SYSTEM,
        """UPDATE payouts.payout SET state = 'UNKNOWN', key_burnt = key_burnt OR $2, lease_until = NULL
           WHERE id = $1 AND state = 'SENDING'""",
        payout_id,
        error.burnt,
    )


async def _find(db: Database, gateway: StripeGateway, payout_id: UUID) -> bool:
    """Look for transfers of this payout at the provider and apply them; False: there is certainly none.

    Raises ProviderUnknown when the provider does not answer: then nothing is known."""
    found = await gateway.list_transfers(f"payout:{payout_id}")
    for facts in sorted(found, key=lambda f: (f.created, f.id)):
        await apply_transfer(db, facts)
    return bool(found)


async def _give_up(db: Database, payout_id: UUID, code: str) -> None:
    async def work(conn: Connection) -> None:
        row = await conn.fetchrow("SELECT * FROM payouts.payout WHERE id = $1 FOR UPDATE", payout_id)
        if row is not None and row["state"] in ("SENDING", "UNKNOWN"):
            await conn.execute(
                "SELECT payouts.give_back($1, 'FAILED', $2, $3, 'stripe')",
                payout_id,
                code,
                refusal_words(code),
            )

    await db.run(SYSTEM, work)


async def resolve_payout(db: Database, gateway: StripeGateway, payout_id: UUID) -> bool:
    """Find out what became of an UNKNOWN payout: found by listing, or certainly absent and sent again; given
    back when a gate closed meanwhile. False: the provider did not answer.

    Sent again with the same key while the provider remembers it, so that a call still on its way and this one
    are the same; with a new key only when it has been forgotten or holds a stored failure, and when no call
    of ours can still be under way.
    """
    row = await db.fetchrow(
        SYSTEM,
        """SELECT *, key_burnt OR called_at < now() - $2::interval AS forgotten,
             greatest(called_at, checked_at) < now() - $3::interval AS quiet
           FROM payouts.payout WHERE id = $1 AND state = 'UNKNOWN' AND second_id IS NULL""",
        payout_id,
        KEY_LIVES,
        LEASE,
    )
    if row is None:
        return True
    try:
        if await _find(db, gateway, payout_id):
            return True
    except (ProviderUnknown, ProviderRefused) as error:
        log.warning("payout.still_unknown", payout=str(payout_id), why=str(error))
        return False
    if row["forgotten"] and not row["quiet"]:
        return True
    claimed = await db.run(SYSTEM, lambda conn: _again(conn, row))
    return claimed is None or await _call(db, gateway, claimed)


async def _again(conn: Connection, seen: Record) -> Record | None:
    row = await conn.fetchrow(
        """SELECT * FROM payouts.payout WHERE id = $1 AND state = 'UNKNOWN' AND attempt = $2
             AND checked_at IS NOT DISTINCT FROM $3 FOR UPDATE""",
        seen["id"],
        seen["attempt"],
        seen["checked_at"],
    )
    if row is None:
        return None
    if closed := await _gates(conn, row):
        if seen["quiet"]:
            words = f"{gate_words(closed[0])[0]} The money is back in the balance."
            await conn.execute(
                "SELECT payouts.give_back($1, 'FAILED', $2, $3, 'system')", row["id"], closed[0], words
            )
        return None
    return await _begin(conn, row, fresh=seen["forgotten"])


async def apply_transfer(db: Database, facts: TransferFacts) -> None:
    """`note_transfer` in a transaction of its own, again after a lost race."""

    async def work(conn: Connection) -> None:
        await note_transfer(conn, facts)
        if failpoints.armed:
            await failpoints.reached("payout.after_store_before_commit", conn)

    await db.run(SYSTEM, work)


async def note_transfer(conn: Connection, facts: TransferFacts) -> bool:
    """Follow what the provider says of a transfer; False when it is none of ours."""
    payout_id = parse_uuid(facts.payout_ref)
    row = payout_id and await conn.fetchrow(
        "SELECT * FROM payouts.payout WHERE id = $1 FOR UPDATE", payout_id
    )
    if not row:
        return False
    if (facts.amount, facts.currency, facts.destination) != (
        row["amount"],
        row["currency"],
        row["destination"],
    ):
        log.error("payout.differs", payout=str(payout_id), provider=facts.id)
        raise ValueError("the provider's transfer is not the one decided")
    if row["transfer_id"] is None and row["state"] in ("SENDING", "UNKNOWN"):
        await _sent(conn, row, facts)
    elif row["transfer_id"] != facts.id:
        await _second(conn, row, facts)
        return True
    for reversal in facts.reversals:
        await _taken_back(conn, row["id"], reversal)
    return True


async def _taken_back(conn: Connection, payout_id: UUID, reversal: ReversalFacts) -> None:
    """A reversal at the provider, ours or made there by hand: booked once."""
    await conn.execute(
        """UPDATE payouts.reversal SET state = 'DONE', provider_id = $2, done_at = now()
           WHERE id = $1 AND state IN ('SENDING', 'UNKNOWN')""",
        parse_uuid(reversal.reversal_ref.removeprefix("reversal:")),
        reversal.id,
    )
    await conn.execute(
        "SELECT payouts.note_reversal($1, $2, $3, 'stripe')", payout_id, reversal.id, reversal.amount
    )


async def _sent(conn: Connection, row: Record, facts: TransferFacts) -> None:
    await conn.execute(
        """UPDATE payouts.payout SET state = 'SENT', transfer_id = $2, sent_at = now(), lease_until = NULL
           WHERE id = $1""",
        row["id"],
        facts.id,
    )
    data = {"seller_id": str(row["seller_id"]), "amount": row["amount"], "currency": row["currency"]}
    await audit.record(conn, "payout.sent", f"payout:{row['id']}", "stripe", {**data, "transfer": facts.id})
    await post(
        conn,
        "payout_sent",
        idem=f"tr:{facts.id}",
        ref=f"payout:{row['id']}",
        actor="stripe",
        legs=[
            (payout_in_flight_of(row["id"], row["currency"]), row["amount"]),
            (platform("psp_clearing", row["currency"]), -row["amount"]),
        ],
    )


async def _second(conn: Connection, row: Record, facts: TransferFacts) -> None:
    """A transfer too many: nothing goes on by itself, somebody is told."""
    if row["second_id"] is not None or facts.reversed_amount == facts.amount:
        return
    log.error("payout.second_transfer", payout=str(row["id"]), provider=facts.id)
    await conn.execute("UPDATE payouts.payout SET second_id = $2 WHERE id = $1", row["id"], facts.id)
    data = {"seller_id": str(row["seller_id"]), "transfer": facts.id, "first": row["transfer_id"]}
    await audit.record(conn, "payout.second_transfer", f"payout:{row['id']}", "stripe", data)


async def sweep_payouts(db: Database, gateway: StripeGateway) -> int:
    """Bring every payout on: those held by a gate that is open again, those to be sent, those without an
    answer. Stops early when the provider does not answer. Returns how many were looked at."""
    await db.execute(
        SYSTEM,
        """UPDATE payouts.payout SET state = 'UNKNOWN', lease_until = NULL
           WHERE state = 'SENDING' AND lease_until < now()""",
    )
    await db.run(SYSTEM, _let_go)
    rows = await db.fetch(
        SYSTEM,
        """SELECT id, state FROM payouts.payout WHERE state = 'CREATED' OR (state = 'UNKNOWN' AND second_id
             IS NULL)
           ORDER BY state, checked_at NULLS FIRST, created_at LIMIT $1""",
        BATCH,
    )
    if failpoints.armed:
        await failpoints.reached("sweeper.payouts.after_select")
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        answered = await asyncio.gather(*(_bring_on(db, gateway, row) for row in some))
        if not any(answered):
            break
    return len(rows)


async def _bring_on(db: Database, gateway: StripeGateway, row: Record) -> bool:
    """One payout of the sweep; one that cannot be brought on holds up no other."""
    verb = send_payout if row["state"] == "CREATED" else resolve_payout
    try:
        return await verb(db, gateway, row["id"])
    except Unavailable:  # nobody would fare better
        raise
    except Exception as error:
        log.error("payout.not_brought_on", payout=str(row["id"]), why=type(error).__name__)
        return True


async def _let_go(conn: Connection) -> None:
    """Payouts that a gate held go on once every gate is open; those whose account changed or whose seller
    owes are given back."""
    rows = await conn.fetch(
        """SELECT * FROM payouts.payout WHERE state = 'HELD' AND held_by = 'system'
             AND payouts.gates(seller_id, currency) <@ ARRAY['debt', 'account_none']
           ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED""",
        BATCH,
    )
    for row in rows:
        if await _may_leave(conn, row):
            await conn.execute(
                """UPDATE payouts.payout SET state = 'CREATED', held_by = NULL, held_because = NULL
                   WHERE id = $1""",
                row["id"],
            )
            data = {"seller_id": str(row["seller_id"])}
            await audit.record(conn, "payout.let_go", f"payout:{row['id']}", "system", data)

"""Refunds to the source: one request gives money back once, to the cent, through lost answers and crashes.

The money leaves the wallet when the refund is requested and waits in flight. A job sends it; when no answer
comes the refund is UNKNOWN and the provider is asked what happened before anything is sent again.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core import failpoints
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import parse_uuid, uuid7
from fondaco.core.problem import NotFound, Unavailable
from fondaco.core.queue import defer
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown, RefundFacts
from fondaco.ledger import platform, post, refund_in_flight_of, wallet_of
from fondaco.wallets.model import RefundTooLarge, WalletAtRisk
from fondaco.wallets.standing import is_blocked

log = structlog.get_logger()
KEY_LIVES = timedelta(hours=23)  # the provider forgets keys after 24 hours
LEASE = timedelta(minutes=2)  # longer than a call with all its repetitions
ASK_AGAIN = timedelta(minutes=10)
BATCH = 50
_OPEN = ("SENDING", "UNKNOWN", "PENDING")


async def request_refund(
    conn: Connection,
    funding_id: UUID,
    amount: int,
    *,
    reason: str,
    actor: str,
    even_at_risk: bool = False,
    direct: bool = False,
) -> UUID:
    """Take `amount` minor units from the wallet to send them back to the card; returns the refund's id.

    One transaction with the caller; a job sends it after the commit. Raises RefundTooLarge beyond what is
    left of the payment, InsufficientFunds when the wallet no longer holds it, WalletAtRisk while it is
    blocked (unless `even_at_risk`). `direct`: of a payment to a store's own account, from where the
    caller has just put it into the wallet; nothing else goes back by such a payment.
    """
    funding = await conn.fetchrow(
        "SELECT id, user_id, amount, currency, state, refunded, refund_pending, intent_id, account "
        "FROM wallets.funding WHERE id = $1 FOR UPDATE",
        funding_id,
    )
    if funding is None:
        raise NotFound()
    left = funding["amount"] - funding["refunded"] - funding["refund_pending"]
    if direct != bool(funding["account"]):
        raise RefundTooLarge()
    if funding["state"] not in ("SUCCEEDED", "PARTIALLY_REFUNDED") or not 0 < amount <= left:
        raise RefundTooLarge()
    if not even_at_risk and await is_blocked(conn, funding["user_id"]):
        raise WalletAtRisk()
    refund_id = uuid7()
    await conn.execute(
        "UPDATE wallets.funding SET refund_pending = refund_pending + $2 WHERE id = $1", funding_id, amount
    )
    await conn.execute(
        """INSERT INTO wallets.refund (id, funding_id, user_id, amount, currency, reason, state)
           VALUES ($1, $2, $3, $4, $5, $6, 'REQUESTED')""",
        refund_id,
        funding_id,
        funding["user_id"],
        amount,
        funding["currency"],
        reason,
    )
    data = {
        "user_id": str(funding["user_id"]),
        "funding_id": str(funding_id),
        "amount": amount,
        "currency": funding["currency"],
        "reason": reason,
    }
    await audit.record(conn, "refund.requested", f"refund:{refund_id}", actor, data)
    await defer(conn, "wallets.send_refund", {"refund_id": str(refund_id)})
    await _post(
        conn,
        "refund_intent",
        f"rf:{refund_id}",
        refund_id,
        (wallet_of(funding["user_id"], funding["currency"]), amount),
        (refund_in_flight_of(refund_id, funding["currency"]), -amount),
        actor=actor,
    )
    return refund_id


async def send_refund(db: Database, gateway: StripeGateway, refund_id: UUID) -> None:
    """Send a requested refund. Harmless to repeat: only one sender gets it, with one key per attempt."""
    async with db.transaction(SYSTEM) as conn:
        row = await conn.fetchrow(
            """UPDATE wallets.refund SET state = 'SENDING', attempt = attempt + 1, called_at = now(),
                 key_burnt = false WHERE id = $1 AND state = 'REQUESTED' RETURNING *""",
            refund_id,
        )
    if row is not None:
        await _call(db, gateway, row)


async def _call(db: Database, gateway: StripeGateway, row: Record) -> None:
    refund_id: UUID = row["id"]
    intent_id = await db.fetchval(
        SYSTEM, "SELECT intent_id FROM wallets.funding WHERE id = $1", row["funding_id"]
    )
    try:
        if failpoints.armed:
            await failpoints.reached("refund.before_call")
        facts = await gateway.create_refund(
            refund_id=refund_id, attempt=row["attempt"], intent_id=intent_id, amount=row["amount"]
        )
    except ProviderUnknown as error:
        await _unknown(db, refund_id, error)
        return
    except ProviderRefused as error:
        # Refused for good; but an earlier attempt may have gone through unseen, so look before giving up.
        if not await _find(db, gateway, refund_id, intent_id):
            await _give_up(db, refund_id, error.message)
        return
    if failpoints.armed:
        await failpoints.reached("refund.after_call_before_store")
    await apply_refund(db, facts)


async def _unknown(db: Database, refund_id: UUID, error: ProviderUnknown) -> None:
    log.warning("refund.unknown", refund=str(refund_id), why=str(error))
    await db.execute(
        SYSTEM,
        """UPDATE wallets.refund SET state = 'UNKNOWN', key_burnt = key_burnt OR $2
           WHERE id = $1 AND state = 'SENDING'""",
        refund_id,
        error.burnt,
    )


async def _find(db: Database, gateway: StripeGateway, refund_id: UUID, intent_id: str) -> bool:
    """Look for our refund among those of the payment; apply it when it is there.

    Raises ProviderUnknown when the provider does not answer: then nothing is known."""
    for facts in await gateway.list_refunds(intent_id):
        if facts.refund_ref == str(refund_id):
            await apply_refund(db, facts)
            return True
    return False


async def _give_up(db: Database, refund_id: UUID, why: str) -> None:
    async def work(conn: Connection) -> None:
        if (row := await _lock(conn, refund_id)) and row["state"] == "SENDING":
            await _back_to_wallet(conn, row, "FAILED", why)

    await db.run(SYSTEM, work)


async def resolve_refund(db: Database, gateway: StripeGateway, refund_id: UUID) -> None:
    """Find out what became of an UNKNOWN refund: found by listing, or provably absent and sent again.

    Sent again with the same key while the provider remembers it, so that a call still on its way and this
    one are the same; with a new key only when it has been forgotten or holds a stored failure.
    """
    row = await db.fetchrow(
        SYSTEM,
        """SELECT r.*, f.intent_id FROM wallets.refund r JOIN wallets.funding f ON f.id = r.funding_id
           WHERE r.id = $1 AND r.state = 'UNKNOWN'""",
        refund_id,
    )
    if row is None:
        return
    try:
        if await _find(db, gateway, refund_id, row["intent_id"]):
            return
    except (ProviderUnknown, ProviderRefused) as error:
        log.warning("refund.still_unknown", refund=str(refund_id), why=str(error))
        return
    fresh = row["key_burnt"] or row["called_at"] < now() - KEY_LIVES
    claimed = await db.fetchrow(
        SYSTEM,
        """UPDATE wallets.refund SET state = 'SENDING', attempt = attempt + $3,
             called_at = CASE WHEN $3 = 1 THEN now() ELSE called_at END, checked_at = now(),
             key_burnt = false WHERE id = $1 AND state = 'UNKNOWN' AND attempt = $2 RETURNING *""",
        refund_id,
        row["attempt"],
        1 if fresh else 0,
    )
    if claimed is not None:
        await _call(db, gateway, claimed)


async def apply_refund(db: Database, facts: RefundFacts) -> None:
    """`note_refund` in a transaction of its own, again after a lost race."""

    async def work(conn: Connection) -> None:
        await note_refund(conn, facts)
        if failpoints.armed:
            await failpoints.reached("refund.after_store_before_commit", conn)

    await db.run(SYSTEM, work)


async def note_refund(conn: Connection, facts: RefundFacts) -> bool:
    """Follow what the provider says of a refund, never backwards; False when it is none of ours."""
    refund_id = parse_uuid(facts.refund_ref)
    row = await _lock(conn, refund_id) if refund_id else None
    if row is None:
        return False
    if facts.amount != row["amount"] or facts.currency != row["currency"]:
        log.error("refund.differs", refund=str(refund_id), provider=facts.id)
        raise ValueError("the provider's refund is not the one requested")
    if row["provider_id"] is None:
        await conn.execute("UPDATE wallets.refund SET provider_id = $2 WHERE id = $1", row["id"], facts.id)
    elif row["provider_id"] != facts.id:
        raise ValueError("two refunds at the provider for one request")
    state: str = row["state"]
    if facts.state == "pending" and state in ("SENDING", "UNKNOWN"):
        await conn.execute("UPDATE wallets.refund SET state = 'PENDING' WHERE id = $1", row["id"])
    elif facts.state == "succeeded" and state in _OPEN:
        await _succeeded(conn, row, facts)
    elif facts.state in ("failed", "canceled") and state in _OPEN:
        end = "CANCELED" if facts.state == "canceled" and state == "PENDING" else "FAILED"
        await _back_to_wallet(conn, row, end, facts.failure)
    elif facts.state in ("failed", "canceled") and state == "SUCCEEDED":
        await _came_back(conn, row, facts)
    return True


async def _lock(conn: Connection, refund_id: UUID) -> Record | None:
    """The refund, locked after its funding: the order everybody keeps."""
    funding_id = await conn.fetchval("SELECT funding_id FROM wallets.refund WHERE id = $1", refund_id)
    if funding_id is None:
        return None
    await conn.execute("SELECT 1 FROM wallets.funding WHERE id = $1 FOR UPDATE", funding_id)
    return await conn.fetchrow("SELECT * FROM wallets.refund WHERE id = $1 FOR UPDATE", refund_id)


async def _succeeded(conn: Connection, row: Record, facts: RefundFacts) -> None:
    await _end(conn, row, "SUCCEEDED", None)
    await _count(conn, row, pending=-row["amount"], refunded=row["amount"])
    await _tell(conn, row, "refund.succeeded", late=False)
    await _post(
        conn,
        "refund_done",
        f"rfok:{facts.id}",
        row["id"],
        (refund_in_flight_of(row["id"], row["currency"]), row["amount"]),
        (platform("psp_clearing", row["currency"]), -row["amount"]),
    )


async def _back_to_wallet(conn: Connection, row: Record, state: str, why: str) -> None:
    """Failed before it was done: the money in flight returns to the wallet."""
    await _end(conn, row, state, why or "The refund did not go through.")
    await _count(conn, row, pending=-row["amount"], refunded=0)
    await _tell(conn, row, "refund.failed", late=False)
    await _post(
        conn,
        "refund_failed",
        f"rffail:{row['id']}",
        row["id"],
        (refund_in_flight_of(row["id"], row["currency"]), row["amount"]),
        (wallet_of(row["user_id"], row["currency"]), -row["amount"]),
    )


async def _came_back(conn: Connection, row: Record, facts: RefundFacts) -> None:
    """Failed after it was done: the bank returned the money, which belongs to the wallet again."""
    await _end(conn, row, "FAILED", facts.failure or "The bank returned the refund.")
    await _count(conn, row, pending=0, refunded=-row["amount"])
    await _tell(conn, row, "refund.failed", late=True)
    await _post(
        conn,
        "refund_late_failure",
        f"rflate:{facts.id}",
        row["id"],
        (platform("psp_clearing", row["currency"]), row["amount"]),
        (wallet_of(row["user_id"], row["currency"]), -row["amount"]),
    )


async def _end(conn: Connection, row: Record, state: str, failure: str | None) -> None:
    await conn.execute(
        "UPDATE wallets.refund SET state = $2, failure = $3, done_at = now() WHERE id = $1",
        row["id"],
        state,
        failure,
    )


async def _count(conn: Connection, row: Record, *, pending: int, refunded: int) -> None:
    """Move the funding's sums, and its state with them."""
    await conn.execute(
        """UPDATE wallets.funding SET refund_pending = refund_pending + $2, refunded = refunded + $3,
             state = CASE WHEN state IN ('DISPUTED', 'CHARGED_BACK') THEN state
                          WHEN refunded + $3 = amount THEN 'REFUNDED'
                          WHEN refunded + $3 > 0 THEN 'PARTIALLY_REFUNDED' ELSE 'SUCCEEDED' END
           WHERE id = $1""",
        row["funding_id"],
        pending,
        refunded,
    )


async def _tell(conn: Connection, row: Record, kind: str, *, late: bool) -> None:
    data: dict[str, Any] = {
        "user_id": str(row["user_id"]),
        "funding_id": str(row["funding_id"]),
        "amount": row["amount"],
        "currency": row["currency"],
    }
    await audit.record(conn, kind, f"refund:{row['id']}", "stripe", data | ({"late": True} if late else {}))


async def _post(
    conn: Connection, kind: str, key: str, refund_id: UUID, *legs: Any, actor: str = "stripe"
) -> None:
    await post(conn, kind, idem=key, ref=f"refund:{refund_id}", actor=actor, legs=legs)


async def sweep_refunds(db: Database, gateway: StripeGateway) -> int:
    """Bring every unfinished refund on: those never sent, those without answer, those pending. Returns how
    many were looked at."""
    await db.execute(
        SYSTEM,
        """UPDATE wallets.refund SET state = 'UNKNOWN'
           WHERE state = 'SENDING' AND greatest(called_at, checked_at) < now() - $1::interval""",
        LEASE,
    )
    due = await db.fetch(
        SYSTEM,
        """UPDATE wallets.refund SET checked_at = now() WHERE id IN (
             SELECT id FROM wallets.refund WHERE state = 'UNKNOWN'
               OR (state = 'REQUESTED' AND created_at < now() - $2::interval)
               OR (state = 'PENDING' AND coalesce(checked_at, created_at) < now() - $3::interval)
             ORDER BY checked_at NULLS FIRST LIMIT $1 FOR UPDATE SKIP LOCKED)
           RETURNING id, state, provider_id""",
        BATCH,
        LEASE / 2,
        ASK_AGAIN,
    )
    if failpoints.armed:
        await failpoints.reached("sweeper.refunds.after_select")
    for row in due:
        try:
            if row["state"] == "REQUESTED":
                await send_refund(db, gateway, row["id"])
            elif row["state"] == "UNKNOWN":
                await resolve_refund(db, gateway, row["id"])
            else:
                await apply_refund(db, await gateway.retrieve_refund(row["provider_id"]))
        except (ProviderUnknown, ProviderRefused) as error:
            log.warning("refund.not_checked", refund=str(row["id"]), why=str(error))
        except Unavailable:  # nobody would fare better
            raise
        except Exception as error:  # it holds up none of those after it
            log.error("refund.not_checked", refund=str(row["id"]), why=type(error).__name__)
    return len(due)

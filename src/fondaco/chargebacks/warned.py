"""Early fraud warnings: what is unspent goes back to the card before it can be disputed, up to a limit; what
was spent blocks the wallet until somebody has looked."""

from datetime import UTC, datetime
from uuid import UUID

from fondaco import audit, risk, wallets
from fondaco.chargebacks.noting import take_back_unseen
from fondaco.chargebacks.standing import refresh_standing
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.queue import defer
from fondaco.integrations.stripe_disputes import WarningFacts
from fondaco.ledger import balance, wallet_of
from fondaco.settings import Settings

_FUNDING = """SELECT id, user_id, group_id, amount, currency, state, refunded, refund_pending, disputed,
  account FROM wallets.funding"""


async def note_warning(conn: Connection, facts: WarningFacts) -> bool:
    """Make our books and states say what the warning is now; False when its payment is none of ours. Harmless
    to repeat, in any order. Until a job has answered it the whole wallet is blocked."""
    funding = await conn.fetchrow(
        f"{_FUNDING} WHERE charge_id = $1 OR intent_id = $2 ORDER BY id LIMIT 1 FOR UPDATE",
        facts.charge_id,
        facts.intent_id,
    )
    if funding is None:
        return False
    row = await conn.fetchrow("SELECT * FROM chargebacks.warning WHERE provider_id = $1 FOR UPDATE", facts.id)
    if row is None:
        row = await _first(conn, funding, facts)
    elif row["actionable"] and not facts.actionable:
        await conn.execute("UPDATE chargebacks.warning SET actionable = false WHERE id = $1", row["id"])
    await _block(conn, row["id"])
    return True


async def answer_warning(db: Database, settings: Settings, warning_id: UUID) -> None:
    """Send what is unspent back to the card, once; harmless to repeat."""

    async def work(conn: Connection) -> None:
        funding = await conn.fetchrow(
            f"{_FUNDING} WHERE id = (SELECT funding_id FROM chargebacks.warning WHERE id = $1) FOR UPDATE",
            warning_id,
        )
        row = await conn.fetchrow(
            "SELECT * FROM chargebacks.warning WHERE id = $1 AND answered_at IS NULL FOR UPDATE", warning_id
        )
        if funding is None or row is None:
            return
        await conn.execute("UPDATE chargebacks.warning SET answered_at = now() WHERE id = $1", warning_id)
        if row["actionable"]:
            await _send_back(conn, settings, funding, row)
        await _block(conn, warning_id)

    await db.run(SYSTEM, work)


async def _block(conn: Connection, warning_id: UUID) -> None:
    """The wallet is blocked for as long as a part of the payment neither went back nor is disputed."""
    user = await conn.fetchval(
        """UPDATE chargebacks.warning w SET blocks = w.actionable AND w.cleared_at IS NULL
             AND f.refunded + f.refund_pending + f.disputed < f.amount
           FROM wallets.funding f WHERE f.id = w.funding_id AND w.id = $1 RETURNING w.user_id""",
        warning_id,
    )
    await refresh_standing(conn, user)


async def _first(conn: Connection, funding: Record, facts: WarningFacts) -> Record:
    row = await conn.fetchrow(
        """INSERT INTO chargebacks.warning (id, provider_id, funding_id, user_id, fraud_type, actionable,
             blocks, warned_at) VALUES ($1, $2, $3, $4, $5, $6, false, $7) RETURNING *""",
        uuid7(),
        facts.id,
        funding["id"],
        funding["user_id"],
        facts.fraud_type,
        facts.actionable,
        datetime.fromtimestamp(facts.created, UTC),
    )
    assert row
    data = {
        "user_id": str(funding["user_id"]),
        "amount": funding["amount"],
        "currency": funding["currency"],
        "fraud_type": facts.fraud_type,
    }
    await audit.record(conn, "funding.warned", f"funding:{funding['id']}", "stripe", data)
    await defer(conn, "chargebacks.answer_warning", {"warning_id": str(row["id"])})
    await risk.signal(conn, f"user:{funding['user_id']}", "warning.fraud", f"warning:{facts.id}")
    return row


async def _send_back(conn: Connection, settings: Settings, funding: Record, warning: Record) -> None:
    """P12: what is not spent goes back to the card, so that it cannot be disputed any more."""
    left = funding["amount"] - funding["refunded"] - funding["refund_pending"] - funding["disputed"]
    if funding["account"]:  # none of it was ever in the wallet
        return
    if funding["state"] not in ("SUCCEEDED", "PARTIALLY_REFUNDED") or left > settings.warning_refund_limit:
        return
    user, currency = funding["user_id"], funding["currency"]
    await take_back_unseen(conn, user, currency, funding["group_id"], left)
    await refresh_standing(conn, user)  # locks the wallet
    unspent = min(left, await balance(conn, wallet_of(user, currency)))
    if unspent <= 0:
        return
    refund_id = await wallets.request_refund(
        conn, funding["id"], unspent, reason="early fraud warning", actor="system", even_at_risk=True
    )
    await conn.execute(
        "UPDATE chargebacks.warning SET refund_id = $2 WHERE id = $1", warning["id"], refund_id
    )

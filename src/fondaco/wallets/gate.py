"""THE gate: a payment's facts become money here and nowhere else.

Webhook, return page, sweeper and backfill all come through it with facts fetched from the provider. It
compares every one of them with our own row before any effect, and has its effect once.
"""

from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core.db import Connection, Record
from fondaco.core.ids import parse_uuid
from fondaco.integrations.stripe_facts import PaymentFacts
from fondaco.ledger import AccountRef, dest_clearing_of, platform, post, post_alike, wallet_of
from fondaco.wallets.model import Outcome, Settled

log = structlog.get_logger()
FEES_AT_ONCE = 100
_FEES = 7302_03  # advisory lock: fees being booked
PAID = ("SUCCEEDED", "PARTIALLY_REFUNDED", "REFUNDED", "DISPUTED", "CHARGED_BACK")


async def settle(conn: Connection, facts: PaymentFacts, livemode: bool) -> Settled:
    """Apply a payment's facts in the caller's transaction (system scope); `livemode` is our own mode.

    Paid and everything equal: the money goes to the wallet, once per payment. Paid but something differs:
    it goes to suspense, the funding stays as it is, and `funding.unmatched` is recorded. Not paid: the
    funding's state follows, never backwards.
    """
    row = await _lock(conn, facts.funding_ref)
    if not facts.paid:
        return await _unpaid(conn, row, facts, livemode)
    if wrong := _difference(row, facts, livemode):
        await _suspend(conn, row, facts, wrong, livemode)
        return _settled("unmatched", row)
    assert row is not None
    if row["state"] in PAID:
        if row["account"] and not row["transfer_id"]:
            await _passed_on(conn, row, facts)
        if row["session_id"] is None and facts.session_id:
            set_session = "UPDATE wallets.funding SET session_id = $2 WHERE id = $1"
            await conn.execute(set_session, row["id"], facts.session_id)
        await _fee_later(conn, facts)
        return _settled("already", row)
    await _succeed(conn, row, facts)
    return _settled("succeeded", row)


async def note_unpaid(conn: Connection, facts: PaymentFacts, livemode: bool) -> Settled:
    """Like `settle` for facts that bring no money; facts that do are left for `settle`."""
    row = await _lock(conn, facts.funding_ref)
    return _settled("open", row) if facts.paid else await _unpaid(conn, row, facts, livemode)


async def _lock(conn: Connection, funding_ref: str) -> Record | None:
    funding_id = parse_uuid(funding_ref)
    if funding_id is None:
        return None
    return await conn.fetchrow(
        """SELECT id, user_id, purpose, group_id, amount, currency, state, session_id, intent_id, seller_id,
             account, passed_on, kept, transfer_id
           FROM wallets.funding WHERE id = $1 FOR UPDATE""",
        funding_id,
    )


def _settled(outcome: Outcome, row: Record | None) -> Settled:
    if row is None:
        return Settled(outcome)
    return Settled(outcome, row["id"], row["user_id"], row["group_id"], row["amount"], row["currency"])


def _difference(row: Record | None, facts: PaymentFacts, livemode: bool) -> str:
    """What does not fit between paid facts and our row; '' when everything does."""
    if facts.livemode != livemode:
        return "livemode"
    if row is None:
        return "funding"
    differences = {
        "intent": not facts.intent_id,
        "charge": bool(row["account"]) and not facts.charge_id,
        "mode": facts.mode != "payment",
        "amount": facts.amount != row["amount"],
        "total": facts.session_total not in (None, row["amount"]),
        "currency": facts.currency != row["currency"],
        "user": facts.user_ref != str(row["user_id"]),
        "destination": (facts.account, facts.passed_on) != (row["account"] or "", row["passed_on"] or 0),
        "paid_twice": row["state"] in PAID and row["intent_id"] != facts.intent_id,
    }
    return ", ".join(name for name, differs in differences.items() if differs)


async def _succeed(conn: Connection, row: Record, facts: PaymentFacts) -> None:
    funding_id: UUID = row["id"]
    await conn.execute(
        """UPDATE wallets.funding SET state = 'SUCCEEDED', succeeded_at = now(), failure = NULL,
             intent_id = $2, charge_id = $3, session_id = coalesce(session_id, $4) WHERE id = $1""",
        funding_id,
        facts.intent_id,
        facts.charge_id,
        facts.session_id,
    )
    data = {
        "user_id": str(row["user_id"]),
        "purpose": row["purpose"],
        "amount": row["amount"],
        "currency": row["currency"],
        "late": row["state"] in ("EXPIRED", "FAILED", "CANCELED"),
    }
    if facts.card:
        data["card"] = facts.card
    if row["group_id"]:
        data["group_id"] = str(row["group_id"])
    await audit.record(conn, "funding.succeeded", f"funding:{funding_id}", "stripe", data)
    await _fee_later(conn, facts)
    if row["account"]:
        await _book_direct(conn, row, facts)
        return
    await post(
        conn,
        "top_up",
        idem=f"topup:{facts.intent_id}",
        ref=f"funding:{funding_id}",
        actor="stripe",
        legs=[
            (platform("psp_clearing", row["currency"]), row["amount"]),
            (wallet_of(row["user_id"], row["currency"]), -row["amount"]),
        ],
    )


async def _book_direct(conn: Connection, row: Record, facts: PaymentFacts) -> None:
    """A payment to a seller's own account: our share is earned with it, the rest passes on."""
    currency = row["currency"]
    legs = [
        (platform("psp_clearing", currency), row["amount"]),
        (dest_clearing_of(row["seller_id"], currency), -row["passed_on"]),
        *((AccountRef(each["kind"], each["owner"], currency), -each["amount"]) for each in row["kept"]),
    ]
    await post(
        conn,
        "destination_charge",
        idem=f"dc:{facts.charge_id}",
        ref=f"funding:{row['id']}",
        actor="stripe",
        legs=legs,
    )
    await _passed_on(conn, row, facts)


async def _passed_on(conn: Connection, row: Record, facts: PaymentFacts) -> None:
    """The provider's transfer of it, once it is known."""
    if facts.transfer_id is None:
        return
    await conn.execute(
        "UPDATE wallets.funding SET transfer_id = $2 WHERE id = $1", row["id"], facts.transfer_id
    )
    await post(
        conn,
        "destination_transfer",
        idem=f"tr:{facts.transfer_id}",
        ref=f"funding:{row['id']}",
        actor="stripe",
        legs=[
            (dest_clearing_of(row["seller_id"], row["currency"]), row["passed_on"]),
            (platform("psp_clearing", row["currency"]), -row["passed_on"]),
        ],
    )


async def _suspend(
    conn: Connection, row: Record | None, facts: PaymentFacts, wrong: str, livemode: bool
) -> None:
    """Money that is really with the provider but is not what we asked for: kept aside, and told."""
    ref = f"funding:{row['id']}" if row else f"payment:{facts.intent_id}"
    key = f"suspense:{facts.intent_id}"
    log.error("payment.unmatched", ref=ref, intent=facts.intent_id, wrong=wrong)
    known = await conn.fetchval("SELECT EXISTS (SELECT 1 FROM ledger.journal WHERE idem = $1)", key)
    if known:
        return
    data = {
        "wrong": wrong,
        "payment": facts.intent_id or "",
        "amount": facts.amount,
        "currency": facts.currency,
        "livemode": facts.livemode,
    }
    await audit.record(conn, "funding.unmatched", ref, "stripe", data)
    if facts.livemode != livemode or not facts.intent_id or facts.amount <= 0:
        return
    await _fee_later(conn, facts)
    await post(
        conn,
        "suspense",
        idem=key,
        ref=ref,
        actor="stripe",
        legs=[
            (platform("psp_clearing", facts.currency), facts.amount),
            (platform("suspense", facts.currency), -facts.amount),
        ],
    )


async def _fee_later(conn: Connection, facts: PaymentFacts) -> None:
    """The fee is noted here and booked soon after, many in one transaction: two journals on the same hot
    account in this one would lock its slots in any order."""
    fee = facts.fee
    if fee is None or fee.amount <= 0:
        return
    await conn.execute(
        """INSERT INTO wallets.fee_due (key, ref, amount, currency)
           SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM ledger.journal WHERE idem = $1)
           ON CONFLICT (key) DO NOTHING""",
        f"fee:{fee.transaction_id}",
        f"funding:{facts.funding_ref}",
        fee.amount,
        fee.currency,
    )


async def _unpaid(conn: Connection, row: Record | None, facts: PaymentFacts, livemode: bool) -> Settled:
    """Follow an unpaid payment: its page exists, a debit is under way, or nothing came of it."""
    if row is None or facts.livemode != livemode or facts.user_ref != str(row["user_id"]):
        return _settled("not_ours", row)
    if row["state"] not in ("CREATED", "PROCESSING"):
        return _settled("already" if row["state"] in PAID else "closed", row)
    if row["session_id"] and facts.session_id and row["session_id"] != facts.session_id:
        return _settled("not_ours", row)
    if facts.session_id is None:
        return _settled("open", row)  # one attempt of several: only the session says when it is over
    if facts.state in ("open", "processing"):
        await conn.execute(
            """UPDATE wallets.funding SET state = 'PROCESSING', session_id = $2,
                 session_url = coalesce($3, session_url), intent_id = CASE WHEN $4 THEN $5 ELSE intent_id END
               WHERE id = $1""",
            row["id"],
            facts.session_id,
            facts.url,
            facts.state == "processing",
            facts.intent_id,
        )
        return _settled("processing" if facts.state == "processing" else "open", row)
    return await _close(conn, row, facts)


async def _close(conn: Connection, row: Record, facts: PaymentFacts) -> Settled:
    state = {"expired": "EXPIRED", "canceled": "CANCELED"}.get(facts.state, "FAILED")
    words = (facts.failure or "The payment did not go through.") if state == "FAILED" else None
    await conn.execute(
        """UPDATE wallets.funding SET state = $2, failure = $3, session_id = coalesce(session_id, $4)
           WHERE id = $1""",
        row["id"],
        state,
        words,
        facts.session_id,
    )
    data = {"user_id": str(row["user_id"]), "purpose": row["purpose"]}
    if row["group_id"]:
        data["group_id"] = str(row["group_id"])
    await audit.record(conn, f"funding.{state.lower()}", f"funding:{row['id']}", "stripe", data)
    return _settled("failed" if state == "FAILED" else "closed", row)


async def book_fee(conn: Connection, key: str, ref: str, amount: int, currency: str) -> None:
    """Book what the provider charged, minor units, once per its balance transaction."""
    await post(
        conn,
        "provider_fee",
        idem=key,
        ref=ref,
        actor="stripe",
        legs=[(platform("psp_fees", currency), amount), (platform("psp_clearing", currency), -amount)],
    )


async def book_fees(conn: Connection, key: str | None = None) -> int:
    """Book noted fees in the caller's transaction, or the one of this key; returns how many. One such
    transaction at a time: each moves several slots of the same two accounts."""
    mine = await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", _FEES)
    if not mine:
        return 0
    rows = await conn.fetch(
        """DELETE FROM wallets.fee_due WHERE key IN (
             SELECT key FROM wallets.fee_due WHERE $2::text IS NULL OR key = $2 ORDER BY key LIMIT $1)
           RETURNING key, ref, amount, currency""",
        FEES_AT_ONCE,
        key,
    )
    by_currency: dict[str, list[Record]] = {}
    for row in rows:
        by_currency.setdefault(row["currency"], []).append(row)
    for currency, fees in by_currency.items():
        await post_alike(
            conn,
            "provider_fee",
            actor="stripe",
            journals=[(row["key"], row["ref"], row["amount"]) for row in fees],
            debit=platform("psp_fees", currency),
            credit=platform("psp_clearing", currency),
        )
    return len(rows)

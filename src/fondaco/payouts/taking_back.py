"""Transfers taken back, and what the seller's bank says. A reversal is three commits like a transfer; what
the bank does moves no money of ours and is noted only."""

from functools import partial
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.queue import defer
from fondaco.core.viewer import Viewer
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_balance import BankPayoutFacts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from fondaco.payouts.actions import read_reason
from fondaco.payouts.model import NotNow
from fondaco.payouts.sending import KEY_LIVES, LEASE, apply_transfer

log = structlog.get_logger()
_BANK_WORDS = {
    "account_closed": "The bank account is closed. Enter another one in your payout account.",
    "no_account": "The bank knows no such account. Check the number in your payout account.",
    "invalid_account_number": "The account number is not right. Correct it in your payout account.",
    "account_frozen": "The bank account is frozen. Ask your bank, or enter another one.",
    "debit_not_authorized": "The bank does not allow this. Ask your bank, or enter another account.",
    "bank_account_restricted": "The bank account is restricted. Ask your bank, or enter another one.",
    "could_not_process": "The bank could not do it. The payment provider tries again.",
    "declined": "The bank declined. Ask your bank, or enter another account.",
    "insufficient_funds": "The payment provider's account had not enough. It tries again.",
    "invalid_currency": "The bank account cannot take this currency. Add one that can.",
}
_BANK = "The bank refused. Open your payout account to see why and correct it."


async def take_back(
    db: Database, viewer: Viewer, payout_id: UUID, *, amount: int | None, because: str, second: bool = False
) -> UUID:
    """Have the provider take back `amount` minor units of a payout (None: all that is left), or, with
    `second`, the transfer that was one too many. The job does it. Raises NotFound, NotNow, Invalid."""
    words = read_reason(because)

    async def work(conn: Connection) -> UUID:
        row = await conn.fetchrow("SELECT * FROM payouts.payout WHERE id = $1 FOR UPDATE", payout_id)
        if row is None:
            raise NotFound()
        transfer_id, left = await _left(conn, row, second=second)
        if transfer_id is None or left == 0:
            raise NotNow()
        wanted = left if amount is None else amount
        if not 0 < wanted <= left:
            raise Invalid(fields={"amount": "Must be more than nothing and no more than what is left of it."})
        reversal_id = uuid7()
        await conn.execute(
            """INSERT INTO payouts.reversal (id, payout_id, transfer_id, amount, reason, state, asked_by)
               VALUES ($1, $2, $3, $4, $5, 'REQUESTED', $6)""",
            reversal_id,
            payout_id,
            transfer_id,
            wanted,
            words,
            viewer.actor,
        )
        data = {"seller_id": str(row["seller_id"]), "amount": wanted, "currency": row["currency"]}
        more = {"because": words, "transfer": transfer_id}
        await audit.record(conn, "payout.taking_back", f"payout:{payout_id}", viewer.actor, {**data, **more})
        await defer(conn, "payouts.take_back", {"reversal_id": str(reversal_id)})
        return reversal_id

    return await db.run(viewer.as_staff, work)


async def _left(conn: Connection, row: Record, *, second: bool) -> tuple[str | None, int]:
    """The transfer to be taken back, and how much of it nobody has taken or asked for yet."""
    transfer_id: str | None = row["second_id"] if second else row["transfer_id"]
    asked: int = await conn.fetchval(
        """SELECT coalesce(sum(amount), 0)::bigint FROM payouts.reversal
           WHERE transfer_id = $1 AND (state IN ('REQUESTED', 'SENDING', 'UNKNOWN') OR (state = 'DONE' AND
             $2))""",
        transfer_id,
        second,
    )
    return transfer_id, row["amount"] - asked - (0 if second else row["reversed"])


async def send_reversal(db: Database, gateway: StripeGateway, reversal_id: UUID) -> None:
    """Ask for one reversal, always under the same key. Harmless to repeat."""
    row = await db.fetchrow(
        SYSTEM,
        """UPDATE payouts.reversal SET state = 'SENDING', called_at = coalesce(called_at, now()), checked_at
             = now()
           WHERE id = $1 AND state IN ('REQUESTED', 'UNKNOWN') RETURNING *""",
        reversal_id,
    )
    if row is None:
        return
    try:
        facts = await gateway.create_reversal(
            row["transfer_id"], amount=row["amount"], key=f"reversal:{reversal_id}"
        )
    except ProviderUnknown as error:
        log.warning("reversal.unknown", reversal=str(reversal_id), why=str(error))
        await _end(db, row, "UNKNOWN", None, None)
        if error.burnt:  # its key answers so for a day: only the transfer can say what was done
            await _look(db, gateway, row, burnt=True)
        return
    except ProviderRefused as error:
        words = f"The payment provider refused ({error.code}): the seller's account there has too little."
        await _end(db, row, "FAILED", None, words)
        return
    await _end(db, row, "DONE", facts.id, None)


async def _end(db: Database, row: Record, state: str, provider_id: str | None, failure: str | None) -> None:
    async def work(conn: Connection) -> None:
        ended = await conn.fetchval(
            """UPDATE payouts.reversal SET state = $2, provider_id = $3, failure = $4,
                 done_at = CASE WHEN $2 = 'UNKNOWN' THEN NULL ELSE now() END
               WHERE id = $1 AND state = 'SENDING' RETURNING id""",
            row["id"],
            state,
            provider_id,
            failure,
        )
        if ended is None:
            return
        payout = await conn.fetchrow(
            "SELECT * FROM payouts.payout WHERE id = $1 FOR UPDATE", row["payout_id"]
        )
        assert payout
        if state == "DONE" and payout["transfer_id"] == row["transfer_id"]:
            await conn.execute(
                "SELECT payouts.note_reversal($1, $2, $3, $4)",
                row["payout_id"],
                provider_id,
                row["amount"],
                row["asked_by"],
            )
        elif state != "UNKNOWN":
            done = state == "DONE"
            kind = "payout.second_taken_back" if done else "payout.not_taken_back"
            data = {
                "seller_id": str(payout["seller_id"]),
                "amount": row["amount"],
                "currency": payout["currency"],
            }
            more = {"because": failure, "transfer": row["transfer_id"]}
            await audit.record(conn, kind, f"payout:{row['payout_id']}", "stripe", {**data, **more})
            if done:
                await conn.execute(
                    "UPDATE payouts.payout SET second_id = NULL WHERE id = $1 AND second_id = $2",
                    row["payout_id"],
                    row["transfer_id"],
                )

    await db.run(SYSTEM, work)


async def sweep_reversals(db: Database, gateway: StripeGateway) -> None:
    """Bring unfinished reversals on while their key is remembered; later what the transfer itself says
    counts."""
    await db.execute(
        SYSTEM,
        """UPDATE payouts.reversal SET state = 'UNKNOWN'
           WHERE state = 'SENDING' AND checked_at < now() - $1::interval""",
        LEASE,
    )
    rows = await db.fetch(
        SYSTEM,
        """SELECT id, payout_id, called_at < now() - $1::interval AS forgotten FROM payouts.reversal
           WHERE state = 'UNKNOWN' OR (state = 'REQUESTED' AND created_at < now() - $2::interval)
           ORDER BY checked_at NULLS FIRST LIMIT 50""",
        KEY_LIVES,
        LEASE,
    )
    for row in rows:
        if row["forgotten"]:
            await _look(db, gateway, row)
        else:
            await send_reversal(db, gateway, row["id"])


async def _look(db: Database, gateway: StripeGateway, row: Record, *, burnt: bool = False) -> None:
    """What the transfer says of a reversal counts. One it says nothing of, whose key is forgotten or keeps a
    failure, certainly never was once no call can be under way: it is over, so that it can be asked for
    anew."""
    try:
        found = await gateway.list_transfers(f"payout:{row['payout_id']}")
    except (ProviderUnknown, ProviderRefused) as error:
        log.warning("reversal.not_checked", reversal=str(row["id"]), why=str(error))
        return
    for facts in found:
        await apply_transfer(db, facts)
    row_now = await db.fetchrow(
        SYSTEM,
        """UPDATE payouts.reversal SET state = 'SENDING', checked_at = now()
           WHERE id = $1 AND state = 'UNKNOWN'
             AND CASE WHEN $3 THEN called_at ELSE checked_at END < now() - $2::interval RETURNING *""",
        row["id"],
        LEASE,
        burnt,
    )
    if row_now is not None:
        await _end(db, row_now, "FAILED", None, "It never reached the payment provider.")


async def note_bank_payout(conn: Connection, facts: BankPayoutFacts) -> bool:
    """What became of a payout from a seller's provider account to their bank: our payouts that went into it,
    the oldest first, follow. No money of ours moves. False: none of ours."""
    word = {"paid": "PAID", "failed": "BANK_FAILED", "canceled": "BANK_FAILED"}.get(facts.status)
    if word is None:
        return True
    rows = await conn.fetch(
        """SELECT * FROM payouts.payout WHERE destination = $1 AND currency = $2
             AND state IN ('SENT', 'PAID', 'BANK_FAILED') AND (bank_payout_id IS NULL OR bank_payout_id = $3)
             AND (bank_payout_id = $3 OR state = 'SENT') ORDER BY sent_at, id FOR UPDATE""",
        facts.account_id,
        facts.currency,
        facts.id,
    )
    mine = [row for row in rows if row["bank_payout_id"] == facts.id]
    left = facts.amount - sum(row["amount"] - row["reversed"] for row in mine)
    for row in rows:
        if row["bank_payout_id"] is None and (amount := row["amount"] - row["reversed"]) <= left:
            mine.append(row)
            left -= amount
    for row in mine:
        if row["state"] != word:
            await _at_bank(conn, row, word, facts)
    return bool(rows)


async def _at_bank(conn: Connection, row: Record, word: str, facts: BankPayoutFacts) -> None:
    words = _BANK_WORDS.get(facts.failure_code, _BANK) if word == "BANK_FAILED" else None
    await conn.execute(
        """UPDATE payouts.payout SET state = $2, bank_payout_id = $3, failure = $4,
             paid_at = CASE WHEN $2 = 'PAID' THEN now() END WHERE id = $1""",
        row["id"],
        word,
        facts.id,
        words,
    )
    data = {"seller_id": str(row["seller_id"]), "amount": row["amount"], "currency": row["currency"]}
    kind = "payout.paid" if word == "PAID" else "payout.bank_failed"
    await audit.record(conn, kind, f"payout:{row['id']}", "stripe", {**data, "because": words})


async def check_banks(db: Database, gateway: StripeGateway) -> int:
    """Ask about payouts that left over a day ago and of whose arrival nobody told us; returns how many
    accounts were asked about."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT destination, min(sent_at) AS since FROM payouts.payout
           WHERE state = 'SENT' AND sent_at < now() - interval '1 day'
             AND coalesce(checked_at, sent_at) < now() - interval '12 hours'
           GROUP BY destination ORDER BY min(checked_at) LIMIT 50""",
    )
    for row in rows:
        try:
            found = await gateway.list_bank_payouts(row["destination"], int(row["since"].timestamp()))
        except (ProviderUnknown, ProviderRefused) as error:
            log.warning("bank.not_checked", account=row["destination"], why=str(error))
            found = []
        await db.run(SYSTEM, partial(_note_all, row["destination"], sorted(found, key=lambda f: f.created)))
    return len(rows)


async def _note_all(destination: str, found: list[BankPayoutFacts], conn: Connection) -> None:
    await conn.execute(
        "UPDATE payouts.payout SET checked_at = now() WHERE destination = $1 AND state = 'SENT'", destination
    )
    for facts in found:
        await note_bank_payout(conn, facts)

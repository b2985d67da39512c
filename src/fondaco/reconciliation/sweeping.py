"""Payouts from our own account at the provider to our bank: each is a `sweep`, and one that the bank sends
back is its mirror. Told by events, and found by a run where no event came."""

from fondaco import audit
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_balance import BankPayoutFacts
from fondaco.integrations.stripe_facts import ProviderRefused
from fondaco.ledger import platform, post

_BACK = ("failed", "canceled")
ASKED_AT_ONCE = 200


async def note_own_payout(conn: Connection, facts: BankPayoutFacts) -> bool:
    """Book what the provider says of a payout to our own bank: out, and back when it failed. The money has
    left our account there from the moment it is made. Harmless to repeat."""
    await _book(conn, facts, f"sweep:{facts.id}", "sweep.booked", facts.amount)
    if facts.status in _BACK:
        await _book(conn, facts, f"sweepback:{facts.id}", "sweep.returned", -facts.amount)
    return True


async def _book(conn: Connection, facts: BankPayoutFacts, key: str, kind: str, amount: int) -> None:
    """`amount`: minor units that left the provider for the bank; below zero they came from there."""
    if await conn.fetchval("SELECT EXISTS (SELECT 1 FROM ledger.journal WHERE idem = $1)", key):
        return
    ref = f"sweep:{facts.id}"
    data = {"amount": amount, "currency": facts.currency, "why": facts.failure}
    await audit.record(conn, kind, ref, "stripe", data)
    bank, clearing = platform("bank", facts.currency), platform("psp_clearing", facts.currency)
    await post(conn, "sweep", idem=key, ref=ref, actor="stripe", legs=[(bank, amount), (clearing, -amount)])


async def ask_about_sweeps(db: Database, gateway: StripeGateway) -> int:
    """Book the payouts to our bank whose movements were seen and that nobody told of; answers how many
    were asked about. Raises ProviderUnknown."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT DISTINCT source_id FROM reconciliation.movement
           WHERE amount <> 0 AND journal_id IS NULL AND source_id IS NOT NULL
             AND type IN ('payout', 'payout_failure', 'payout_cancel')
           ORDER BY source_id LIMIT $1""",
        ASKED_AT_ONCE,
    )
    for row in rows:
        try:
            facts = await gateway.retrieve_bank_payout(row["source_id"])
        except ProviderRefused:
            continue

        async def work(conn: Connection, facts: BankPayoutFacts = facts) -> None:
            await note_own_payout(conn, facts)

        await db.run(SYSTEM, work)
    return len(rows)

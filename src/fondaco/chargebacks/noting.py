"""What a dispute is at the provider, made true here: in one transaction, from the object as it stands now, so
that order and repetition of events change nothing.

A chargeback attaches to a funding. The network's taking and the wallet's hold are one journal; no journal of
a chargeback ever moves an account of a seller.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from fondaco import refunds, risk, wallets
from fondaco.chargebacks.direct import lose_direct, reverse_direct
from fondaco.chargebacks.evidence import close_late, prepare
from fondaco.chargebacks.lines import attribute, bear, give_back_share
from fondaco.chargebacks.model import CHARGEBACK, ENDED, OPEN
from fondaco.chargebacks.standing import post_one, refresh_standing, standing, tell
from fondaco.core.clock import now
from fondaco.core.db import Connection, Record
from fondaco.core.ids import uuid7
from fondaco.integrations.stripe_balance import BalanceTransactionFacts
from fondaco.integrations.stripe_disputes import DisputeFacts
from fondaco.ledger import (
    AccountRef,
    balance,
    buyer_receivable_of,
    chargeback_held_of,
    platform,
    wallet_hold_of,
    wallet_of,
)
from fondaco.refunds import FrozenByCase, NotRefundable

_BACK = "The payment is disputed at the bank, and nobody had seen what it bought"
_UNSEEN = """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
  JOIN orders.order_group g ON g.id = o.group_id
  WHERE l.buyer_id = $1 AND l.currency = $2 AND l.escrow_state = 'HELD' AND l.delivery_state = 'DELIVERED'
    AND (g.funding_policy IN ('wallet', 'instant_credit') OR g.id = $3)
    AND NOT EXISTS (SELECT 1 FROM delivery.entitlement e WHERE e.line_id = l.id AND e.revealed_at IS NOT NULL)
  ORDER BY l.delivered_at DESC, l.id DESC LIMIT 200"""


async def note_dispute(conn: Connection, facts: DisputeFacts) -> bool:
    """Make our books and states say what the dispute is now; False when its payment is none of ours."""
    funding = await conn.fetchrow(
        """SELECT id, user_id, group_id, amount, currency, state, account FROM wallets.funding
           WHERE charge_id = $1 OR intent_id = $2 ORDER BY id LIMIT 1 FOR UPDATE""",
        facts.charge_id,
        facts.intent_id,
    )
    if funding is None:
        return False
    row = await _row(conn, funding, facts)
    await mirror_funding(conn, funding["id"])  # first of all: nothing of it goes back to the card any more
    taken = [m for m in facts.balance_transactions if m.amount < 0]
    back = [m for m in facts.balance_transactions if m.amount > 0]
    if taken and not await _booked(conn, f"dp:{facts.id}"):
        await _take(conn, row, funding, -sum(m.amount for m in taken), facts.id)
    await _fees(conn, row, facts.balance_transactions)
    if back and await _booked(conn, f"dp:{facts.id}"):
        await _give_back(conn, await _again(conn, row), funding, sum(m.amount for m in back), facts.id)
    elif facts.status == "lost" and await _booked(conn, f"dp:{facts.id}"):
        await _lose(conn, await _again(conn, row), funding, facts.id)
    await mirror_funding(conn, funding["id"])
    await attribute(conn, row["id"])
    row = await _again(conn, row)
    if row["state"] == "LOST" and row["reversed_at"] is None:
        await bear(conn, row)
    await _signal(conn, row)
    await (prepare(conn, row) if row["state"] in OPEN else close_late(conn, row["id"]))
    await refresh_standing(conn, row["user_id"])
    return True


async def _signal(conn: Connection, row: Record) -> None:
    """What it says about the buyer's standing; harmless to repeat."""
    party, ref = f"user:{row['user_id']}", f"chargeback:{row['id']}"
    await risk.signal(conn, party, "chargeback.opened", ref)
    if row["state"] in ("LOST", "WON"):
        await risk.signal(conn, party, f"chargeback.{row['state'].lower()}", ref)


async def _row(conn: Connection, funding: Record, facts: DisputeFacts) -> Record:
    """The chargeback's row, locked, in the state it is in now."""
    state = facts.status.upper()
    due = datetime.fromtimestamp(facts.evidence_due_by, UTC) if facts.evidence_due_by else None
    known = await conn.fetchrow(
        "SELECT * FROM chargebacks.chargeback WHERE provider_id = $1 FOR UPDATE", facts.id
    )
    if known is None:
        made = await conn.fetchrow(
            """INSERT INTO chargebacks.chargeback (id, provider_id, funding_id, user_id, amount, currency,
                 reason, state, provider_status, due_by, opened_at, ended_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *""",
            uuid7(),
            facts.id,
            funding["id"],
            funding["user_id"],
            facts.amount,
            facts.currency,
            facts.reason,
            state,
            facts.status,
            due,
            datetime.fromtimestamp(facts.created, UTC),
            now() if state in ENDED else None,
        )
        assert made
        await tell(conn, made, "chargeback.opened", state=state)
        return made
    moved = known["state"] != state and CHARGEBACK.allows(known["state"], state)
    same = known["state"] != state or (known["provider_status"], known["due_by"]) == (facts.status, due)
    if not moved and same:
        return known
    row = await conn.fetchrow(
        """UPDATE chargebacks.chargeback SET state = $2, provider_status = $3, due_by = coalesce($4, due_by),
             ended_at = CASE WHEN $5 THEN coalesce(ended_at, now()) END, heard_at = now(),
             version = version + 1
           WHERE id = $1 RETURNING *""",
        known["id"],
        state,
        facts.status,
        due,
        state in ENDED,
    )
    assert row
    if moved:
        await tell(conn, row, f"chargeback.{state.lower()}", state=state)
    return row


async def _again(conn: Connection, row: Record) -> Record:
    found = await conn.fetchrow("SELECT * FROM chargebacks.chargeback WHERE id = $1 FOR UPDATE", row["id"])
    assert found
    return found


async def _booked(conn: Connection, key: str) -> bool:
    booked: bool = await conn.fetchval("SELECT EXISTS (SELECT 1 FROM ledger.journal WHERE idem = $1)", key)
    return booked


async def _take(conn: Connection, row: Record, funding: Record, amount: int, dispute_id: str) -> None:
    """The network took the money. What the buyer has not seen yet is taken back first, so that the wallet can
    cover more of it; what is in the wallet is held."""
    user, currency = row["user_id"], row["currency"]
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('orders.release'))")  # first, as refunds do
    await refresh_standing(conn, user)  # locks the wallet: what is not bought by now is not bought any more
    held = 0
    if not funding["account"]:  # what a store's own account was paid was never in the wallet
        await take_back_unseen(conn, user, currency, funding["group_id"], amount)
        held = min(amount, await balance(conn, wallet_of(user, currency)))
    legs: list[tuple[AccountRef, int]] = [
        (chargeback_held_of(row["id"], currency), amount),
        (platform("psp_clearing", currency), -amount),
    ]
    if held:
        legs += [(wallet_of(user, currency), held), (wallet_hold_of(user, currency), -held)]
    await conn.execute(
        "UPDATE chargebacks.chargeback SET taken = $2, held = $3, version = version + 1 WHERE id = $1",
        row["id"],
        amount,
        held,
    )
    await post_one(conn, "chargeback_opened", f"dp:{dispute_id}", row, legs)


async def take_back_unseen(
    conn: Connection, user: UUID, currency: str, group_id: UUID | None, amount: int
) -> None:
    """Give back into the wallet what the buyer bought and has not seen, newest first, until it holds
    `amount` (minor units): from the wallet, or with the card payment of that purchase."""
    lines = await conn.fetch(_UNSEEN, user, currency, group_id)
    for line in lines:
        if await balance(conn, wallet_of(user, currency)) >= amount:
            return
        await conn.execute("SAVEPOINT taking_back")
        try:
            await refunds.refund_line(
                conn, line["id"], reason="chargeback", why=_BACK, actor="stripe", unseen=True
            )
        except (NotRefundable, FrozenByCase, refunds.AlreadyRevealed):
            await conn.execute("ROLLBACK TO SAVEPOINT taking_back")
        await conn.execute("RELEASE SAVEPOINT taking_back")


async def _fees(conn: Connection, row: Record, movements: Sequence[BalanceTransactionFacts]) -> None:
    """What the provider charges for it, or gives back of that."""
    for movement in movements:
        if movement.fee:
            kind = "chargeback_fee" if movement.fee > 0 else "chargeback_fee_back"
            legs = [
                (platform("chargeback_fees", movement.currency), movement.fee),
                (platform("psp_clearing", movement.currency), -movement.fee),
            ]
            await post_one(conn, kind, f"fee:{movement.id}", row, legs)


async def _give_back(conn: Connection, row: Record, funding: Record, amount: int, dispute_id: str) -> None:
    """The money came back. Before it was lost the wallet's hold ends with it; after, what the buyer owed of
    it is settled and the rest is the wallet's."""
    if row["reversed_at"] or await _booked(conn, f"dpwon:{dispute_id}"):
        return
    user, currency = row["user_id"], row["currency"]
    if not await _booked(conn, f"dplost:{dispute_id}"):
        legs = [
            (platform("psp_clearing", currency), amount),
            (chargeback_held_of(row["id"], currency), -amount),
        ]
        if row["held"]:
            legs += [(wallet_hold_of(user, currency), row["held"]), (wallet_of(user, currency), -row["held"])]
        await conn.execute(
            """UPDATE chargebacks.chargeback SET taken = taken - $2, held = 0, version = version + 1
               WHERE id = $1""",
            row["id"],
            amount,
        )
        await post_one(conn, "chargeback_won", f"dpwon:{dispute_id}", row, legs)
        return
    if funding["account"]:
        await reverse_direct(conn, row, funding, amount, dispute_id)
        return
    shared = await give_back_share(conn, row, amount)
    owed = min(amount - shared, row["owed"])
    loss = min(amount - shared - owed, row["written_off"])
    rest = amount - shared - owed - loss
    parts = (
        (platform("psp_clearing", currency), amount),
        (buyer_receivable_of(user, currency), -owed - shared),
        (platform("chargeback_loss", currency), -loss),
        (wallet_of(user, currency), -rest),
    )
    await conn.execute(
        """UPDATE chargebacks.chargeback SET owed = owed - $2, written_off = written_off - $3,
             repaid = 0, reversed_at = now(), version = version + 1 WHERE id = $1""",
        row["id"],
        owed,
        loss,
    )
    legs = [leg for leg in parts if leg[1]]
    await post_one(conn, "chargeback_reversed", f"dprev:{dispute_id}", row, legs)
    await tell(conn, row, "chargeback.reversed", amount=amount)


async def _lose(conn: Connection, row: Record, funding: Record, dispute_id: str) -> None:
    """The money is gone: the hold pays for it, the buyer owes the rest."""
    if await _booked(conn, f"dplost:{dispute_id}"):
        return
    if funding["account"]:
        await lose_direct(conn, row, funding, dispute_id)
        return
    user, currency = row["user_id"], row["currency"]
    owed = row["taken"] - row["held"]
    legs = [(chargeback_held_of(row["id"], currency), -row["taken"])]
    legs += [(wallet_hold_of(user, currency), row["held"])] if row["held"] else []
    legs += [(buyer_receivable_of(user, currency), owed)] if owed else []
    await conn.execute(
        """UPDATE chargebacks.chargeback SET taken = 0, held = 0, owed = $2, version = version + 1
           WHERE id = $1""",
        row["id"],
        owed,
    )
    await post_one(conn, "chargeback_lost", f"dplost:{dispute_id}", row, legs)


async def hold_more(conn: Connection, chargeback_id: object) -> int:
    """Hold what the wallet has gained since, as far as an open chargeback is not covered; answers how much
    more, in minor units."""
    row = await conn.fetchrow(
        """SELECT c.*, f.account FROM chargebacks.chargeback c JOIN wallets.funding f ON f.id = c.funding_id
           WHERE c.id = $1 FOR UPDATE OF c""",
        chargeback_id,
    )
    if row is None or row["account"] or row["state"] not in OPEN or row["held"] >= row["taken"]:
        return 0
    user, currency = row["user_id"], row["currency"]
    await wallets.stand(conn, user, await standing(conn, user))  # locks the wallet
    more = min(row["taken"] - row["held"], await balance(conn, wallet_of(user, currency)))
    if more <= 0:
        return 0
    await conn.execute(
        "UPDATE chargebacks.chargeback SET held = held + $2, version = version + 1 WHERE id = $1",
        row["id"],
        more,
    )
    key = f"dphold:{row['provider_id']}:{row['held'] + more}:{row['version']}"
    legs = [(wallet_of(user, currency), more), (wallet_hold_of(user, currency), -more)]
    await post_one(conn, "chargeback_hold", key, row, legs)
    return more


async def mirror_funding(conn: Connection, funding_id: object) -> None:
    """The funding says what is disputed of it, and in which state it therefore is."""
    await conn.execute(
        """UPDATE wallets.funding f SET disputed = c.disputed, state = CASE
             WHEN c.open THEN 'DISPUTED' WHEN c.disputed > 0 OR c.lost THEN 'CHARGED_BACK'
             WHEN f.refunded = f.amount THEN 'REFUNDED' WHEN f.refunded > 0 THEN 'PARTIALLY_REFUNDED'
             ELSE 'SUCCEEDED' END
           FROM (SELECT
                   sum(amount) FILTER (WHERE state IN ('NEEDS_RESPONSE', 'UNDER_REVIEW', 'LOST')) AS amount,
                   coalesce(bool_or(state = ANY ($2)), false) AS open,
                   coalesce(bool_or(state = 'LOST'), false) AS lost
                 FROM chargebacks.chargeback WHERE funding_id = $1) n,
             LATERAL (SELECT n.open, n.lost, least(coalesce(n.amount, 0), (SELECT amount - refunded
               - refund_pending FROM wallets.funding WHERE id = $1))::bigint AS disputed) c
           WHERE f.id = $1 AND f.state = ANY ($3)""",
        funding_id,
        list(OPEN),
        list(wallets.PAID),
    )

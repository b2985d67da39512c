"""Chargebacks of what a store's own account was paid: the store is not insulated, and knew it. Lost, its part
is taken back from that account or owed; the marketplace's part is its loss."""

from uuid import UUID

from fondaco import destination
from fondaco.chargebacks.standing import post_one, tell
from fondaco.core.db import Connection, Record
from fondaco.ledger import (
    balance,
    chargeback_held_of,
    dest_clearing_of,
    platform,
    post,
    seller_available_of,
    seller_receivable_of,
)


async def lose_direct(conn: Connection, row: Record, funding: Record, dispute_id: str) -> None:
    """The bank decided for the buyer (P14f)."""
    seller, left = await _passed_on(conn, funding["id"])
    currency, taken = row["currency"], row["taken"]
    part = min(left, taken)
    legs = [
        (chargeback_held_of(row["id"], currency), -taken),
        (dest_clearing_of(seller, currency), part),
        (platform("chargeback_loss", currency), taken - part),
    ]
    await conn.execute(
        "UPDATE chargebacks.chargeback SET taken = 0, written_off = $2, version = version + 1 WHERE id = $1",
        row["id"],
        taken - part,
    )
    await post_one(conn, "chargeback_lost", f"dplost:{dispute_id}", row, [leg for leg in legs if leg[1]])
    await destination.take_back(conn, funding["id"], part, cause=f"chargeback:{row['id']}")


async def reverse_direct(
    conn: Connection, row: Record, funding: Record, amount: int, dispute_id: str
) -> None:
    """The bank changed its mind: what the store lost is the store's again, to be paid out; the rest ours."""
    currency, cause = row["currency"], f"chargeback:{row['id']}"
    found = await conn.fetchrow("SELECT seller_id, amount FROM destination.reversal WHERE cause = $1", cause)
    part = min(found["amount"], amount) if found else 0
    back = [(platform("psp_clearing", currency), amount)]
    back += [(platform("chargeback_loss", currency), part - amount)] if amount > part else []
    back += [(dest_clearing_of(found["seller_id"], currency), -part)] if found and part else []
    await conn.execute(
        """UPDATE chargebacks.chargeback SET written_off = written_off - least(written_off, $2),
             reversed_at = now(), version = version + 1 WHERE id = $1""",
        row["id"],
        amount - part,
    )
    await post_one(conn, "chargeback_reversed", f"dprev:{dispute_id}", row, back)
    if found and part:
        await _to_the_store(conn, found["seller_id"], currency, part, row)
    await tell(conn, row, "chargeback.reversed", amount=amount)


async def _to_the_store(conn: Connection, seller: UUID, currency: str, part: int, row: Record) -> None:
    debt = min(part, await balance(conn, seller_receivable_of(seller, currency)))
    legs = [
        (dest_clearing_of(seller, currency), part),
        (seller_receivable_of(seller, currency), -debt),
        (seller_available_of(seller, currency), debt - part),
    ]
    await post(
        conn,
        "destination_returned",
        idem=f"dcback:{row['id']}",
        ref=f"funding:{row['funding_id']}",
        actor="stripe",
        legs=[leg for leg in legs if leg[1]],
    )


async def _passed_on(conn: Connection, funding_id: UUID) -> tuple[UUID, int]:
    """The store, and what it still has of a payment."""
    row = await conn.fetchrow(
        """SELECT f.seller_id, f.passed_on - coalesce((SELECT sum(r.amount) FROM destination.reversal r
             WHERE r.funding_id = f.id), 0)::bigint AS left FROM wallets.funding f WHERE f.id = $1""",
        funding_id,
    )
    assert row
    return row["seller_id"], row["left"]

"""Money of a sale to a store's own account going back: to the buyer's card, out of that account."""

from uuid import UUID

from fondaco import audit, wallets
from fondaco.core.db import Connection
from fondaco.core.ids import uuid7
from fondaco.core.queue import defer
from fondaco.ledger import AccountRef, dest_clearing_of, post, wallet_of


async def give_back(conn: Connection, funding_id: UUID, why: str) -> bool:
    """Send a whole payment back for which nothing could be delivered: to the buyer's card, the seller's part
    out of the seller's account. False: it did not go to a seller's account. One transaction with the caller.
    """
    row = await conn.fetchrow(
        "SELECT * FROM wallets.funding WHERE id = $1 AND account IS NOT NULL FOR UPDATE", funding_id
    )
    if row is None:
        return False
    currency, passed_on = row["currency"], row["passed_on"]
    legs = [
        *((AccountRef(each["kind"], each["owner"], currency), each["amount"]) for each in row["kept"]),
        (dest_clearing_of(row["seller_id"], currency), passed_on),
        (wallet_of(row["user_id"], currency), -row["amount"]),
    ]
    await post(
        conn,
        "destination_refund",
        idem=f"undelivered:{funding_id}",
        ref=f"funding:{funding_id}",
        actor="system",
        legs=legs,
    )
    await wallets.request_refund(
        conn, funding_id, row["amount"], reason=why, actor="system", even_at_risk=True, direct=True
    )
    await take_back(conn, funding_id, passed_on, cause=f"undelivered:{funding_id}")
    return True


async def take_back(conn: Connection, funding_id: UUID, amount: int, *, cause: str) -> None:
    """Have `amount` (minor units) of what a payment passed on taken back from the seller's account, once for
    each cause. A job asks for it after the commit."""
    if not amount:
        return
    reversal_id = uuid7()
    row = await conn.fetchrow(
        """INSERT INTO destination.reversal (id, cause, funding_id, seller_id, amount, currency, state)
           SELECT $1, $2, f.id, f.seller_id, $4, f.currency, 'REQUESTED' FROM wallets.funding f
           WHERE f.id = $3 AND f.account IS NOT NULL RETURNING seller_id, currency""",
        reversal_id,
        cause,
        funding_id,
        amount,
    )
    if row is None:
        raise ValueError(f"funding {funding_id} passed nothing on")
    data = {
        "reversal_id": str(reversal_id),
        "seller_id": str(row["seller_id"]),
        "amount": amount,
        "currency": row["currency"],
        "cause": cause,
    }
    await audit.record(conn, "direct.taking_back", f"funding:{funding_id}", "system", data)
    await defer(conn, "destination.send_reversal", {"reversal_id": str(reversal_id)})

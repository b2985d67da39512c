"""What the disputed money had paid for, and what sellers bear of a lost chargeback where the terms of their
sale say so.

By default they bear nothing: the marketplace insures what was delivered. A share is a journal of its own
kind, never one of the chargeback itself, and it is never more than the seller got for the line.
"""

from uuid import UUID

from fondaco import audit
from fondaco.chargebacks.standing import post_one
from fondaco.core.db import Connection, Record
from fondaco.ledger import (
    AccountRef,
    balance,
    buyer_receivable_of,
    seller_available_of,
    seller_receivable_of,
    seller_reserve_of,
)

# A card payment of an order paid for that order; a top-up for what was bought from the wallet since, and on
# credit and paid since, as far as it goes. What was given back is not there any more.
_PAID = """SELECT l.id, l.order_id, l.seller_id, l.total - l.refunded AS amount,
    coalesce(l.terms#>>'{refund,liability,policy}', 'platform') AS policy,
    coalesce((l.terms#>>'{refund,liability,bps}')::int, 0) AS bps
  FROM chargebacks.chargeback c JOIN wallets.funding f ON f.id = c.funding_id
  JOIN orders.order_line l ON l.buyer_id = c.user_id AND l.currency = c.currency
  JOIN orders.orders o ON o.id = l.order_id JOIN orders.order_group g ON g.id = o.group_id
  WHERE c.id = $1 AND l.total > l.refunded AND o.paid_at IS NOT NULL
    AND CASE WHEN f.group_id IS NULL THEN g.funding_policy = 'wallet' AND o.paid_at >= f.succeeded_at
               OR g.funding_policy = 'instant_credit' AND EXISTS (SELECT 1 FROM credit.credit k
                 WHERE k.group_id = g.id AND k.paid > 0 AND coalesce(k.ended_at, now()) >= f.succeeded_at)
             ELSE g.id = f.group_id END
  ORDER BY o.paid_at, l.id LIMIT 500"""


async def attribute(conn: Connection, chargeback_id: UUID) -> None:
    """Write down what the disputed money had paid for, once."""
    row = await conn.fetchrow(
        """SELECT c.amount, c.user_id, EXISTS (SELECT 1 FROM chargebacks.line l
             WHERE l.chargeback_id = c.id) AS known FROM chargebacks.chargeback c WHERE c.id = $1""",
        chargeback_id,
    )
    if row is None or row["known"]:
        return
    left: int = row["amount"]
    for line in await conn.fetch(_PAID, chargeback_id):
        if left <= 0:
            return
        amount = min(left, line["amount"])
        left -= amount
        await conn.execute(
            """INSERT INTO chargebacks.line (chargeback_id, line_id, order_id, buyer_id, seller_id, amount,
                 policy, bps) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
            chargeback_id,
            line["id"],
            line["order_id"],
            row["user_id"],
            line["seller_id"],
            amount,
            line["policy"],
            line["bps"],
        )


async def bear(conn: Connection, row: Record) -> None:
    """Have the sellers bear their shares of what a lost chargeback left owed; each line once."""
    lines = await conn.fetch(
        """SELECT k.line_id, k.order_id, k.seller_id, k.amount, k.bps,
             l.total - l.commission - l.tax - l.commission_tax - (l.refunded - l.refunded_commission
               - l.refunded_tax - l.refunded_commission_tax) AS part
           FROM chargebacks.line k JOIN orders.order_line l ON l.id = k.line_id
           WHERE k.chargeback_id = $1 AND k.policy <> 'platform' AND k.bps > 0 AND k.borne = 0
           ORDER BY k.seller_id, k.line_id""",
        row["id"],
    )
    owed: int = row["owed"]
    for line in lines:
        share = min(min(line["amount"], line["part"]) * line["bps"] // 10_000, owed)
        if share <= 0:
            continue
        owed -= share
        await _one(conn, row, line, share)


async def _one(conn: Connection, row: Record, line: Record, share: int) -> None:
    seller, currency = line["seller_id"], row["currency"]
    left, legs = share, list[tuple[AccountRef, int]]()
    for account in (seller_available_of(seller, currency), seller_reserve_of(seller, currency)):
        part = min(left, await balance(conn, account))
        legs += [(account, part)] if part > 0 else []
        left -= max(part, 0)
    legs += [(seller_receivable_of(seller, currency), left)] if left else []
    legs.append((buyer_receivable_of(row["user_id"], currency), -share))
    await conn.execute(
        """UPDATE chargebacks.chargeback SET owed = owed - $2, borne = borne + $2, version = version + 1
           WHERE id = $1""",
        row["id"],
        share,
    )
    await conn.execute(
        "UPDATE chargebacks.line SET borne = $3 WHERE chargeback_id = $1 AND line_id = $2",
        row["id"],
        line["line_id"],
        share,
    )
    await post_one(conn, "liability", f"liab:{row['provider_id']}:{line['line_id']}", row, legs)
    await _told(conn, row, line, "line.chargeback_share", share)


async def give_back_share(conn: Connection, row: Record, amount: int) -> int:
    """Give the sellers back what they bore, out of `amount` minor units that came back; answers how much."""
    lines = await conn.fetch(
        """SELECT line_id, order_id, seller_id, borne FROM chargebacks.line
           WHERE chargeback_id = $1 AND borne > 0 ORDER BY seller_id, line_id""",
        row["id"],
    )
    given = 0
    for line in lines:
        part = min(line["borne"], amount - given)
        if part <= 0:
            break
        given += part
        seller, currency = line["seller_id"], row["currency"]
        debt = min(part, await balance(conn, seller_receivable_of(seller, currency)))
        legs: list[tuple[AccountRef, int]] = [(buyer_receivable_of(row["user_id"], currency), part)]
        legs += [(seller_receivable_of(seller, currency), -debt)] if debt else []
        legs += [(seller_available_of(seller, currency), debt - part)] if part > debt else []
        await conn.execute(
            "UPDATE chargebacks.line SET borne = borne - $3 WHERE chargeback_id = $1 AND line_id = $2",
            row["id"],
            line["line_id"],
            part,
        )
        await post_one(conn, "liability_back", f"liabback:{row['provider_id']}:{line['line_id']}", row, legs)
        await _told(conn, row, line, "line.chargeback_share_back", part)
    await conn.execute(
        "UPDATE chargebacks.chargeback SET borne = borne - $2, version = version + 1 WHERE id = $1",
        row["id"],
        given,
    )
    return given


async def _told(conn: Connection, row: Record, line: Record, kind: str, amount: int) -> None:
    data = {
        "line_id": str(line["line_id"]),
        "seller_id": str(line["seller_id"]),
        "chargeback_id": str(row["id"]),
        "amount": amount,
        "currency": row["currency"],
    }
    await audit.record(conn, kind, f"order:{line['order_id']}", "stripe", data)

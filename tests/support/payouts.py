"""Builders for tests about payouts: a seller with money that has matured, a payout account."""

from uuid import UUID

import asyncpg

from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.ledger import AccountRef, post, seller_available_of, seller_receivable_of
from fondaco.orders.combiner import Combiner
from tests.support.money import give_money, make_buyer
from tests.support.shop import Shop, add_units, make_shop, purchase


async def activate(db: Database, seller_id: UUID, provider_id: str | None = None) -> str:
    """A payout account that can be paid, as if the provider had said so; its id there."""
    account_id = uuid7()
    provider_id = provider_id or f"acct_{account_id.hex}"
    async with db.transaction(SYSTEM) as conn:
        await conn.execute(
            """INSERT INTO payouts.account (id, seller_id, state, country, email)
               VALUES ($1, $2, 'NONE', 'DE', 'shop@example.test')""",
            account_id,
            seller_id,
        )
        for state in ("PENDING", "ACTIVE"):
            await conn.execute(
                "UPDATE payouts.account SET state = $2, provider_id = $3, checked_at = now() WHERE id = $1",
                account_id,
                state,
                provider_id,
            )
    return provider_id


async def earn(db: Database, owner: asyncpg.Connection, shop: Shop, lines: int = 1) -> list[UUID]:
    """So many lines of one unit are sold, released and matured, one after the other; their ids, the oldest
    first. Each leaves its price less 10 % payable."""
    await add_units(db, shop.listing_id, lines)
    found: list[UUID] = []
    for _ in range(lines):
        buyer = await make_buyer(db)
        await give_money(db, buyer.user(), shop.price)
        bought = await Combiner(db).buy(purchase(buyer, shop.wish()))
        line_id = await db.fetchval(
            SYSTEM,
            """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
               WHERE o.group_id = $1""",
            bought.group_id,
        )
        await release(db, line_id)
        await owner.execute("UPDATE orders.order_line SET matures_at = now() WHERE id = $1", line_id)
        await mature(db)
        found.append(line_id)
    return found


async def release(db: Database, line_id: UUID) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute("SELECT orders.release(ARRAY[$1::uuid], 'test')", line_id)

    await db.run(SYSTEM, work)


async def mature(db: Database) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute("SELECT orders.mature_due(1000)")

    await db.run(SYSTEM, work)


async def paid_shop(db: Database, owner: asyncpg.Connection, lines: int = 1, price: int = 1000) -> Shop:
    """A store with an active account and so many lines of `price` (less 10 %) payable."""
    shop = await make_shop(db, price=price)
    await activate(db, shop.seller_id)
    await earn(db, owner, shop, lines)
    return shop


async def owe(db: Database, shop: Shop, amount: int, currency: str = "EUR") -> None:
    """The seller owes so much, as after a refund of money that was paid out."""
    async with db.transaction(SYSTEM) as conn:
        legs: list[tuple[AccountRef, int]] = [
            (seller_receivable_of(shop.seller_id, currency), amount),
            (AccountRef("goodwill", "platform", currency), -amount),
        ]
        await post(conn, "adjustment", idem=f"debt:{uuid7()}", ref="test", actor="test", legs=legs)


async def give(db: Database, shop: Shop, amount: int, currency: str = "EUR") -> None:
    """The seller gets so much that belongs to no line."""
    async with db.transaction(SYSTEM) as conn:
        legs: list[tuple[AccountRef, int]] = [
            (AccountRef("goodwill", "platform", currency), amount),
            (seller_available_of(shop.seller_id, currency), -amount),
        ]
        await post(conn, "goodwill", idem=f"gift:{uuid7()}", ref="test", actor="test", legs=legs)


async def payouts_of(db: Database, shop: Shop) -> list[Record]:
    """The store's payouts, oldest first."""
    return await db.fetch(
        SYSTEM, "SELECT * FROM payouts.payout WHERE seller_id = $1 ORDER BY created_at, id", shop.seller_id
    )


async def items_of(db: Database, payout_id: UUID) -> list[tuple[UUID | None, int]]:
    """Line and amount of each item, the oldest line first."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT i.line_id, i.amount FROM payouts.item i LEFT JOIN payouts.payable p ON p.line_id = i.line_id
           WHERE i.payout_id = $1 ORDER BY p.matured_at NULLS LAST, i.line_id""",
        payout_id,
    )
    return [(row["line_id"], row["amount"]) for row in rows]

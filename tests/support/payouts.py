"""Builders for tests about payouts: a seller with money that has matured, a payout account."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from fondaco import payouts
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.ledger import AccountRef, payout_in_flight_of, post, seller_available_of, seller_receivable_of
from fondaco.orders.combiner import Combiner
from fondaco.settings import Settings
from tests.support.money import Till, amount_on, give_money, make_buyer
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


@dataclass
class Paying:
    """A store with money payable and an account at a running sandbox, whose platform has money to send."""

    till: Till
    shop: Shop
    account: str

    @property
    def db(self) -> Database:
        return self.till.db

    async def withdraw(self, amount: int | None = None) -> UUID:
        """A payout, decided and not sent."""
        payout_id = uuid7()
        await payouts.withdraw(
            self.db, self.till.settings, self.shop.owner, payout_id, amount=amount, currency="EUR"
        )
        return payout_id

    async def row(self, payout_id: UUID) -> Record:
        found = await self.db.fetchrow(SYSTEM, "SELECT * FROM payouts.payout WHERE id = $1", payout_id)
        assert found
        return found

    async def state(self, payout_id: UUID) -> str:
        return (await self.row(payout_id))["state"]

    async def send(self, payout_id: UUID, *, patient: bool = False) -> None:
        gateway = self.till.gateway if patient else self.till.impatient
        await payouts.send_payout(self.db, gateway, payout_id)

    async def sweep(self) -> None:
        await payouts.sweep_payouts(self.db, self.till.gateway)

    async def later(self, what: str) -> None:
        """As if so much time had gone by for the payouts that are open."""
        await self.db.execute(
            SYSTEM,
            f"""UPDATE payouts.payout SET called_at = called_at - interval '{what}',
                  checked_at = checked_at - interval '{what}',
                  lease_until = lease_until - interval '{what}'""",
        )

    @property
    def transfers(self) -> list[int]:
        """Amounts of all transfers that the sandbox made, by its own record."""
        return [fact["amount"] for fact in self.till.sandbox.truth() if fact["fact"] == "transfer.created"]

    async def told(self, *types: str) -> None:
        """Hand in the events of the store's own account, and do the work that follows."""
        options: Any = {"stripe_account": self.account}
        page = await self.till.gateway.client.v1.events.list_async({"limit": 100}, options)
        for event in [found.to_dict() for found in page.data][::-1]:
            if not types or event["type"] in types:
                await self.till.deliver({**event, "account": self.account})
        await self.till.work()

    async def available(self) -> int:
        return await amount_on(self.db, seller_available_of(self.shop.seller_id, "EUR"))

    async def in_flight(self, payout_id: UUID) -> int:
        return await amount_on(self.db, payout_in_flight_of(payout_id, "EUR"))

    async def whole(self) -> None:
        await self.till.whole()


async def connected(till: Till, shop: Shop, choice: str = "verified") -> str:
    """The store's account at the sandbox, with its page filled in; its id there."""
    await payouts.connect(till.db, till.gateway, till.settings, shop.owner)
    account = (await payouts.my_account(till.db, shop.owner)).provider_id
    assert account
    if choice:
        till.sandbox.post(f"/sandbox/accounts/{account}", choice=choice)
    await payouts.refresh(till.db, till.gateway, account)
    return account


async def paying(till: Till, owner: asyncpg.Connection, lines: int = 2) -> Paying:
    """A store with so many lines of 900 payable, and 50,000 at the platform to send."""
    shop = await make_shop(till.db, price=1000)
    account = await connected(till, shop)
    await earn(till.db, owner, shop, lines)
    await till.paid_top_up(await make_buyer(till.db), 50_000, "4000000000000077")
    return Paying(till, shop, account)


async def some_payouts(db: Database, settings: Settings, seller: Viewer, count: int = 1) -> UUID:
    """So many payouts of a store, decided and not sent, of money of no line; the id of the last one."""
    await give(db, Shop(seller.seller(), seller, seller.seller(), 0), settings.payout_min * count)
    live = "SELECT EXISTS (SELECT 1 FROM payouts.account WHERE seller_id = $1 AND state <> 'CLOSED')"
    if not await db.fetchval(SYSTEM, live, seller.seller()):
        await activate(db, seller.seller())
    payout_id = uuid7()
    for _ in range(count):
        payout_id = uuid7()
        await payouts.withdraw(db, settings, seller, payout_id, amount=settings.payout_min, currency="EUR")
    return payout_id

"""Builders for tests about stores that are paid at the sale."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fondaco import checks, destination, refunds
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.viewer import Viewer
from fondaco.ledger import dest_clearing_of, platform, seller_receivable_of
from fondaco.orders import place_with_card
from tests.support.money import Till, amount_on, make_buyer, make_staff
from tests.support.payouts import connected
from tests.support.shop import Shop, make_shop, purchase

AT_ONCE = "4000000000000077"  # money that can be used at once


@dataclass
class Direct:
    """A store that is paid at the sale, at a running sandbox."""

    till: Till
    shop: Shop
    account: str
    currency: str = "EUR"

    @property
    def db(self) -> Database:
        return self.till.db

    async def place(self, quantity: int = 1, buyer: Viewer | None = None) -> UUID:
        """An order with its payment page open; its group."""
        one = purchase(buyer or await make_buyer(self.db), self.shop.wish(quantity), currency=self.currency)
        placed = await place_with_card(self.db, self.till.gateway, self.till.settings, one)
        assert placed.checkout_url
        return placed.group_id

    async def pay(self, group_id: UUID, card: str = AT_ONCE) -> None:
        """The buyer pays at the page; no event is handed in yet."""
        self.till.sandbox.pay((await self.funding(group_id))["session_id"], card)

    async def sell(self, quantity: int = 1, card: str = AT_ONCE) -> UUID:
        """An order that is paid and handled; its group."""
        group_id = await self.place(quantity)
        await self.pay(group_id, card)
        await self.till.deliver_all()
        return group_id

    async def funding(self, group_id: UUID) -> Record:
        row = await self.db.fetchrow(SYSTEM, "SELECT * FROM wallets.funding WHERE group_id = $1", group_id)
        assert row
        return row

    async def line(self, group_id: UUID) -> UUID:
        return await self.db.fetchval(
            SYSTEM,
            """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
               WHERE o.group_id = $1""",
            group_id,
        )

    async def refund(self, line_id: UUID, amount: int | None = None, **how: Any) -> None:
        async def work(conn: Connection) -> None:
            known = {"reason": "goodwill", "why": "agreed", "actor": "system"} | how
            await refunds.refund_line(conn, line_id, amount, **known)

        await self.db.run(SYSTEM, work)

    async def refunded(self) -> list[tuple[int, str]]:
        rows = await self.db.fetch(SYSTEM, "SELECT amount, state FROM wallets.refund ORDER BY created_at, id")
        return [(row["amount"], row["state"]) for row in rows]

    async def reversals(self) -> list[tuple[int, str]]:
        rows = await self.db.fetch(
            SYSTEM, "SELECT amount, state FROM destination.reversal ORDER BY created_at, id"
        )
        return [(row["amount"], row["state"]) for row in rows]

    async def sweep(self) -> None:
        await destination.sweep_reversals(self.db, self.till.gateway)

    async def later(self, what: str) -> None:
        """As if so much time had gone by for the reversals that are open."""
        await self.db.execute(
            SYSTEM,
            f"""UPDATE destination.reversal SET called_at = called_at - interval '{what}',
                  checked_at = checked_at - interval '{what}'""",
        )

    def empty(self) -> None:
        """The store has everything on its account sent to its bank, if there is anything."""
        path = f"/sandbox/accounts/{self.account}/payout"
        self.till.sandbox.control.post(path, json={"currency": self.currency.lower()})

    async def passing(self) -> int:
        return await amount_on(self.db, dest_clearing_of(self.shop.seller_id, self.currency))

    async def owed(self) -> int:
        return await amount_on(self.db, seller_receivable_of(self.shop.seller_id, self.currency))

    def moved(self, fact: str) -> list[int]:
        """Amounts of everything of a kind that the sandbox did, by its own record."""
        named = {"transfer.reversed": "reversed"}.get(fact, "amount")
        return [each[named] for each in self.till.sandbox.truth() if each["fact"] == fact]

    async def whole(self) -> None:
        """Our books are whole, and what the provider owes us is what it says."""
        faults = [str(fault) for fault in await checks.verify_all(self.db, self.till.settings)]
        assert not faults, faults
        page = await self.till.gateway.client.v1.balance_transactions.list_async({"limit": 100})
        said = sum(each.net for each in page.data if each.currency == self.currency.lower())
        assert await amount_on(self.db, platform("psp_clearing", self.currency)) == said


async def at_sale(till: Till, shop: Shop) -> str:
    """The store is paid at the sale from now on; its account at the sandbox."""
    account = await connected(till, shop)
    admin = await make_staff(till.db, "admin")
    await destination.set_policy(till.db, admin, shop.seller_id, "destination", "a trusted store")
    return account


async def direct(till: Till, *, price: int = 1999, stock: int = 5, currency: str = "EUR") -> Direct:
    """A store with stock that is paid at the sale."""
    shop = await make_shop(till.db, price=price, stock=stock, currency=currency)
    return Direct(till, shop, await at_sale(till, shop), currency)

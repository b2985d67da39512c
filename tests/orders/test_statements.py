"""What a purchase costs the database: statements and commits, counted on the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from fondaco.core.db import Connection, Database
from fondaco.embedded import Endpoints
from fondaco.orders.combiner import Combiner
from tests.support.bouncer import direct_dsn
from tests.support.money import give_money, make_buyer
from tests.support.shop import make_shop, pay, place, purchase, states


class Counting(Database):
    """Writes down every statement its connections send."""

    sent: list[str]

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Connection]:
        async with super().held() as held:
            held.add_query_logger(self._note)
            try:
                yield held
            finally:
                held.remove_query_logger(self._note)

    def _note(self, query: "asyncpg.connection.LoggedQuery") -> None:
        self.sent.append(query.query)

    @property
    def commits(self) -> int:
        """Transactions: explicit ones, and statements outside any."""
        inside, n = False, 0
        for sql in self.sent:
            if sql.startswith("BEGIN"):
                inside = True
            elif sql == "COMMIT":
                inside, n = False, n + 1
            elif not inside:
                n += 1
        return n


@asynccontextmanager
async def counting(endpoints: Endpoints) -> AsyncIterator[Counting]:
    db = Counting(direct_dsn(endpoints), size=3)
    db.sent = []
    await db.open()
    try:
        yield db
    finally:
        await db.close()


async def test_a_wallet_purchase_is_one_statement(db: Database, endpoints: Endpoints) -> None:
    shop = await make_shop(db, stock=3)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    async with counting(endpoints) as counted:
        await Combiner(counted).buy(purchase(buyer, shop.wish(2)))
        assert len(counted.sent) == 1 and counted.commits == 1


async def test_purchases_together_share_calls(db: Database, endpoints: Endpoints) -> None:
    """The first goes at once, a second call may run beside it, all others wait together for the next."""
    shop = await make_shop(db, stock=40)
    buyers = [await make_buyer(db) for _ in range(34)]
    for buyer in buyers:
        await give_money(db, buyer.user(), 5000)
    async with counting(endpoints) as counted:
        combiner = Combiner(counted)
        await asyncio.gather(*(combiner.buy(purchase(b, shop.wish())) for b in buyers))
        assert counted.commits <= 4


async def test_from_payment_to_delivery(db: Database, endpoints: Endpoints) -> None:
    shop, other = await make_shop(db, stock=3), await make_shop(db, stock=3)
    group = await place(db, await make_buyer(db), shop.wish(2), other.wish())
    async with counting(endpoints) as counted:
        assert await pay(counted, group) == "succeeded"
        assert len(counted.sent) <= 25, counted.sent
        assert counted.commits <= 2
    assert {s[0] for s in await states(db, group)} == {"DELIVERED"}

"""What a purchase costs the database: statements and commits, counted on the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from fondaco.core.db import Connection, Database
from fondaco.core.problem import Invalid
from fondaco.core.web import Parts
from fondaco.delivery import reveal
from fondaco.embedded import Endpoints
from fondaco.orders import Wish, as_bought, cart_of, quote, set_in_cart
from fondaco.orders.combiner import Combiner
from fondaco.orders.quoting import present
from fondaco.vault import Vault
from tests.support.bouncer import direct_dsn
from tests.support.goods import add_keys, make_listing
from tests.support.money import give_money, make_buyer
from tests.support.people import make_seller
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


async def test_cart_quote_and_reveal_are_one_statement_each(
    db: Database, parts: Parts, endpoints: Endpoints
) -> None:
    vault, seller = parts.get(Vault), await make_seller(db)
    listing = await make_listing(db, seller, title="Night Train")
    await add_keys(db, vault, seller, listing, ["ALPHA-00001-KEYKEY"])
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    async with counting(endpoints) as counted:
        await cart_of(counted, buyer)  # the driver has learnt the types
        counted.sent.clear()
        await set_in_cart(counted, buyer, None, listing_id=listing.id, quantity=1)
        assert len(counted.sent) == counted.commits == 1, counted.sent
        shown, before = await present(counted, buyer, None, idem="a")
        assert before is None and len(counted.sent) == 2, counted.sent
        bought = await Combiner(counted).buy(purchase(buyer, *shown.wishes(), idem="a"))
        again, before = await present(counted, buyer, None, idem="a")
        assert before == bought.group_id and len(again.lines) == 1, "it was not bought from the cart"
        group = await as_bought(counted, buyer, bought.group_id)
        right = group.orders[0].lines[0].entitlements[0]
        await reveal(counted, vault, buyer, right)
        counted.sent.clear()
        await reveal(counted, vault, buyer, right)  # its data key is at hand now
        assert len(counted.sent) == counted.commits == 1, counted.sent


async def test_carts_looked_at_together_share_calls_and_stay_apart(
    db: Database, endpoints: Endpoints
) -> None:
    shop = await make_shop(db, stock=40)
    buyers = [await make_buyer(db) for _ in range(12)]
    for n, buyer in enumerate(buyers[:-1]):
        await give_money(db, buyer.user(), 100 + n)
        await set_in_cart(db, buyer, None, listing_id=shop.listing_id, quantity=1 + n % 10)
    async with counting(endpoints) as counted:
        carts = await asyncio.gather(*(cart_of(counted, buyer) for buyer in buyers))
        assert counted.commits <= 3
    assert [cart.count for cart in carts] == [*(1 + n % 10 for n in range(11)), 0]
    assert [cart.quote.wallet for cart in carts] == [*(100 + n for n in range(11)), 0]


async def test_a_price_nobody_was_shown_asks_the_database_nothing(db: Database, endpoints: Endpoints) -> None:
    """It would spoil the call for all others who ask at the same moment."""
    shop, buyer = await make_shop(db, stock=1), await make_buyer(db)
    async with counting(endpoints) as counted:
        for wish in (Wish(shop.listing_id, 1, 2**63), Wish(shop.listing_id, 1, None, 2**31)):
            with pytest.raises(Invalid):
                await quote(counted, buyer, [wish])
        assert not counted.sent

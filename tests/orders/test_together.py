"""Purchases decided together end as if they had come one by one: same verdicts, rows and books."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Problem
from fondaco.core.viewer import Viewer
from fondaco.embedded import Endpoints
from fondaco.ledger import verify
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import Bought, Wish
from fondaco.vault import Vault
from tests.conftest import make_settings
from tests.support.bouncer import database, direct_dsn
from tests.support.goods import make_article
from tests.support.money import give_money, make_buyer
from tests.support.postgres import Databases
from tests.support.shop import make_listing, make_shop, purchase

BUY = "SELECT n, verdict, group_id, data FROM orders.buy($1::jsonb) ORDER BY n"

# What is left of a database when the moments and what is drawn by lot are taken away.
PICTURE = {
    "groups": "SELECT id, buyer_id, idem, fingerprint, funding_policy, total, currency, from_cart "
    "FROM orders.order_group ORDER BY id",
    "orders": "SELECT id, number, group_id, buyer_id, seller_id, state, total, currency "
    "FROM orders.orders ORDER BY id",
    "lines": """SELECT id, order_id, buyer_id, seller_id, listing_id, quantity, unit_price, total, commission,
      terms, delivery_state, escrow_state, release_at - delivered_at AS days
      FROM orders.order_line ORDER BY id""",
    "delivered": """SELECT line_id, order_id, buyer_id, seller_id, listing_id, content_version, title,
      platform, region, count(unit_id) AS units, count(*) AS things FROM delivery.entitlement
      GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 ORDER BY 1""",
    "units": "SELECT listing_id, line_id, state, count(*) FROM inventory.stock_unit "
    "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "copies": "SELECT listing_id, on_hand, sold FROM inventory.counted ORDER BY 1",
    "shown": "SELECT id, in_stock FROM catalog.listing ORDER BY id",
    "carts": "SELECT cart_id, listing_id FROM orders.cart_line ORDER BY 1, 2",
    "balances": "SELECT kind, owner, currency, amount, entries FROM ledger.account_balance ORDER BY 1, 2, 3",
    "journals": "SELECT kind, idem, ref, actor FROM ledger.journal ORDER BY id",
    "moves": """SELECT a.owner, e.version, e.amount, e.balance_after, j.idem FROM ledger.entry e
      JOIN ledger.account a ON a.id = e.account_id JOIN ledger.journal j ON j.id = e.journal_id
      WHERE j.kind = 'purchase' ORDER BY 1, 2""",
    "events": "SELECT kind, ref, actor, data FROM audit.event ORDER BY id",
}


@dataclass(frozen=True)
class World:
    """A database to copy, who buys in it, and what: keys and articles of two stores, some of it short."""

    name: str
    buyers: tuple[Viewer, ...]
    goods: tuple[UUID, ...]


async def _furnish(endpoints: Endpoints) -> tuple[tuple[Viewer, ...], tuple[UUID, ...]]:
    # Directly: a pooler's connections stay, and what others are connected to cannot be cloned.
    db = await Database(direct_dsn(endpoints), size=2).open()
    vault = Vault(make_settings(endpoints))
    try:
        one, other = await make_shop(db, price=1000, stock=3), await make_shop(db, price=1000, stock=30)
        goods = [one.listing_id, other.listing_id]
        goods.append(await make_listing(db, one.seller_id, price=1000, stock=1))
        goods.append(await make_listing(db, one.seller_id, price=1000, stock=5, state="PAUSED"))
        for copies in (2, 40):
            made = await make_article(db, vault, other.owner, price=1000, copies=copies)
            goods.append(made.id)
        buyers = [await make_buyer(db) for _ in range(4)] + [one.owner]
        for buyer, money in zip(buyers, (0, 2999, 9000, 100_000, 100_000), strict=True):
            if money:
                await give_money(db, buyer.user(), money)
        for buyer in buyers[:3]:
            cart = uuid4()
            await db.execute(
                SYSTEM, "INSERT INTO orders.cart (id, user_id) VALUES ($1, $2)", cart, buyer.user()
            )
            for good in goods:
                await db.execute(
                    SYSTEM, "INSERT INTO orders.cart_line VALUES ($1, $2, 1, 1000, 1, now())", cart, good
                )
        return tuple(buyers), tuple(goods)
    finally:
        await db.close()


@pytest.fixture(scope="module")
def world(databases: Databases) -> Iterator[World]:
    name, endpoints = databases.new()
    buyers, goods = asyncio.run(_furnish(endpoints))
    yield World(name, buyers, goods)
    databases.cluster.drop_database(name)


line = st.tuples(st.integers(0, 5), st.integers(1, 3), st.sampled_from((1000,) * 9 + (999,)))
asked = st.tuples(
    st.integers(0, 4), st.lists(line, min_size=1, max_size=3), st.integers(0, 12), st.booleans()
)


async def _ended(endpoints: Endpoints, calls: list[list[dict[str, Any]]]) -> tuple[list[Any], dict[str, Any]]:
    """The verdicts of these calls, and the picture after them."""
    db = await database(endpoints, size=2).open()
    try:
        verdicts: list[Any] = []
        async with db.connection() as connection:
            for call in calls:
                rows = await connection.fetch(BUY, call)
                assert [r["n"] for r in rows] == list(range(len(call)))
                verdicts += [(r["verdict"], r["group_id"], r["data"]) for r in rows]
        picture = {name: [tuple(r) for r in await db.fetch(SYSTEM, sql)] for name, sql in PICTURE.items()}
        assert await verify(db) == []
        return verdicts, picture
    finally:
        await db.close()


def _told_alike(together: dict[str, Any], apart: dict[str, Any]) -> bool:
    """The same words; of what is sold out one listing in common, and the same of each of those. (Once
    a purchase is refused nobody looks how much there is of what only it still wants.)"""
    lines = [{line["listing_id"]: line for line in told.get("lines", [])} for told in (together, apart)]
    if not all(line["fault"] == "sold_out" for line in (*lines[0].values(), *lines[1].values())):
        return together == apart
    common = lines[0].keys() & lines[1].keys()
    alike = all(lines[0][listing] == lines[1][listing] for listing in common)
    return alike and (bool(common) or together == apart)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(batch=st.lists(asked, min_size=2, max_size=24), split=st.integers(1, 24))
def test_together_is_as_one_by_one(
    world: World,
    databases: Databases,
    batch: list[tuple[int, list[tuple[int, int, int]], int, bool]],
    split: int,
) -> None:
    """Mixed carts, shared wallets, repeated keys, changed prices, short stock, keys and articles."""
    wires = []
    for who, lines, key, from_cart in batch:
        wishes = [Wish(world.goods[what], quantity, price) for what, quantity, price in lines]
        wires.append(purchase(world.buyers[who], *wishes, idem=f"key {key}").wire("wallet"))
        wires[-1]["from_cart"] = from_cart
    found = []
    for calls in ([wires], [[w] for w in wires], [wires[:split], wires[split:]]):
        name = f"{world.name}_{uuid4().hex[:8]}"
        endpoints = databases.cluster.create_database(name, world.name)
        try:
            found.append(asyncio.run(_ended(endpoints, [c for c in calls if c])))
        finally:
            databases.cluster.drop_database(name)
    for other in found[1:]:
        for together, apart in zip(found[0][0], other[0], strict=True):
            assert together[:2] == apart[:2]
            assert _told_alike(together[2], apart[2]), (together, apart)
        for name in PICTURE:
            assert found[0][1][name] == other[1][name], name


async def test_calls_that_race_sell_nothing_twice(db: Database, endpoints: Endpoints) -> None:
    """Four processes with mixed baskets over short stock of both kinds: nothing is sold twice, all told."""
    vault = Vault(make_settings(endpoints))
    shop = await make_shop(db, price=1000, stock=40)
    keys = [shop.listing_id] + [
        await make_listing(db, shop.seller_id, price=1000, stock=25) for _ in range(2)
    ]
    articles = [(await make_article(db, vault, shop.owner, price=1000, copies=25)).id for _ in range(2)]
    buyers = [await make_buyer(db) for _ in range(8)]
    for buyer in buyers:
        await give_money(db, buyer.user(), 28_000)
    chance = random.Random(7)
    combiners = [Combiner(db) for _ in range(4)]
    sent = []
    for i in range(160):
        wishes = [
            Wish(good, chance.randint(1, 2), 1000)
            for good in chance.sample(keys + articles, chance.randint(1, 3))
        ]
        sent.append(combiners[i % 4].buy(purchase(chance.choice(buyers), *wishes)))
    ended = await asyncio.gather(*sent, return_exceptions=True)
    kinds = Counter(
        "bought" if isinstance(e, Bought) else getattr(e, "code", type(e).__name__) for e in ended
    )
    assert set(kinds) <= {"bought", "sold_out", "insufficient_funds"} and kinds["bought"] > 20, kinds
    assert all(isinstance(e, Bought | Problem) for e in ended)
    rows = await db.fetch(
        SYSTEM,
        """SELECT l.id, l.in_stock, c.on_hand, c.sold,
             (SELECT count(*) FROM inventory.stock_unit u
              WHERE u.listing_id = l.id AND u.state = 'SOLD') AS units,
             (SELECT count(*) FROM delivery.entitlement e WHERE e.listing_id = l.id) AS things,
             (SELECT coalesce(sum(i.quantity), 0) FROM orders.order_line i WHERE i.listing_id = l.id) AS asked
           FROM catalog.listing l LEFT JOIN inventory.counted c ON c.listing_id = l.id""",
    )
    for row in rows:
        assert row["things"] == row["asked"] == (row["units"] if row["sold"] is None else row["sold"])
        assert row["sold"] is None or row["on_hand"] + row["sold"] == 25
    assert await verify(db) == []


async def test_what_is_refused_is_let_go(db: Database) -> None:
    """Of a basket that is short of one thing nothing stays locked: another call takes it at once."""
    full, short = await make_shop(db, price=1000, stock=2), await make_shop(db, price=1000, stock=1)
    buyers = [await make_buyer(db) for _ in range(2)]
    for buyer in buyers:
        await give_money(db, buyer.user(), 10_000)
    async with db.connection() as first, db.connection() as second:
        await first.execute("BEGIN")
        refused = await first.fetch(BUY, [purchase(buyers[0], full.wish(2), short.wish(2)).wire("wallet")])
        bought = await second.fetch(BUY, [purchase(buyers[1], full.wish(2), short.wish()).wire("wallet")])
        await first.execute("COMMIT")
    assert [r["verdict"] for r in refused] == ["sold_out"] and refused[0]["data"]["lines"][0]["left"] == 1
    assert [r["verdict"] for r in bought] == ["bought"]

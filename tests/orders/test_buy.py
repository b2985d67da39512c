"""Buying from the wallet: one statement decides, takes, posts and delivers, for many at once."""

import asyncio
from collections import Counter

import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Problem
from fondaco.embedded import Endpoints
from fondaco.ledger import InsufficientFunds, escrow_of, wallet_of
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import Bought, Purchase
from tests.support.bouncer import database
from tests.support.money import amount_on, give_money, make_buyer
from tests.support.shop import add_units, books, make_listing, make_shop, purchase, stock_of, whole


async def codes(combiner: Combiner, *purchases: Purchase) -> list[str]:
    """How each of the purchases, sent together, ended: 'bought', 'again' or a problem's code."""
    ended = await asyncio.gather(*(combiner.buy(p) for p in purchases), return_exceptions=True)
    for e in ended:
        if isinstance(e, BaseException) and not isinstance(e, Problem):
            raise e
    return [("again" if e.again else "bought") if isinstance(e, Bought) else e.code for e in ended]  # type: ignore[union-attr]


async def test_a_purchase_is_paid_delivered_and_booked(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=5)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    bought = await Combiner(db).buy(purchase(buyer, shop.wish(2)))
    order = await db.fetchrow(
        buyer.as_user, "SELECT * FROM orders.orders WHERE group_id = $1", bought.group_id
    )
    assert order and (order["state"], order["total"], order["seller_id"]) == (
        "DELIVERED",
        3998,
        shop.seller_id,
    )
    line = await db.fetchrow(SYSTEM, "SELECT * FROM orders.order_line WHERE order_id = $1", order["id"])
    assert line and (line["delivery_state"], line["escrow_state"], line["commission"]) == (
        "DELIVERED",
        "HELD",
        399,
    )
    assert line["terms"]["platform"] == "Steam" and line["terms"]["commission_bps"] == 1000
    assert (line["release_at"] - line["delivered_at"]).days == 3
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 10_000 - 3998
    assert await amount_on(db, escrow_of(line["id"], "EUR")) == 3998
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 3, "SOLD": 2}
    event = await db.fetchrow(SYSTEM, "SELECT * FROM audit.event WHERE kind = 'order.delivered'")
    assert event and event["ref"] == f"order:{order['id']}" and event["data"]["funding"] == "wallet"
    await whole(db)


async def test_five_buyers_for_three_units(db: Database) -> None:
    shop = await make_shop(db, stock=3)
    buyers = [await make_buyer(db) for _ in range(5)]
    for b in buyers:
        await give_money(db, b.user(), 5000)
    ended = await codes(Combiner(db), *(purchase(b, shop.wish()) for b in buyers))
    assert Counter(ended) == {"bought": 3, "sold_out": 2}
    assert await stock_of(db, shop.listing_id) == {"SOLD": 3}
    assert (await books(db))["wallet"] == 5 * 5000 - 3 * 1999
    assert await codes(Combiner(db), purchase(buyers[0], shop.wish())) == ["sold_out"]
    assert not await db.fetchval(
        SYSTEM, "SELECT in_stock FROM catalog.listing WHERE id = $1", shop.listing_id
    )
    await whole(db)


async def test_losers_are_told_what_and_that_nothing_was_charged(db: Database) -> None:
    shop = await make_shop(db, stock=2, title="Night Train")
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 50_000)
    with pytest.raises(Problem) as lost:
        await Combiner(db).buy(purchase(buyer, shop.wish(3)))
    assert lost.value.code == "sold_out" and lost.value.status == 409
    assert lost.value.detail == "Of “Night Train” only 2 are left. Nothing was charged."
    assert lost.value.extra["lines"][0]["listing_id"] == str(shop.listing_id)
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 2}


async def test_a_purchase_gets_all_its_lines_or_none(db: Database) -> None:
    full, short = await make_shop(db, stock=5), await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 50_000)
    assert await codes(Combiner(db), purchase(buyer, full.wish(2), short.wish(2))) == ["sold_out"]
    assert await stock_of(db, full.listing_id) == {"AVAILABLE": 5}
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group") == 0
    assert await codes(Combiner(db), purchase(buyer, full.wish(2), short.wish(1))) == ["bought"]
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.orders") == 2  # one for each seller
    await whole(db)


async def test_the_same_listing_twice_is_added_up(db: Database) -> None:
    shop = await make_shop(db, stock=3)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 50_000)
    assert await codes(Combiner(db), purchase(buyer, shop.wish(2), shop.wish(2))) == ["sold_out"]
    assert await codes(Combiner(db), purchase(buyer, shop.wish(1), shop.wish(2))) == ["bought"]
    assert await stock_of(db, shop.listing_id) == {"SOLD": 3}
    assert await db.fetchval(SYSTEM, "SELECT quantity FROM orders.order_line") == 3
    await whole(db)


async def test_a_balance_for_seven_and_thirty_at_once(db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=40)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 7999)
    combiners = [Combiner(db) for _ in range(3)]  # as three processes would
    ended = await asyncio.gather(*(codes(combiners[i % 3], purchase(buyer, shop.wish())) for i in range(30)))
    assert Counter(e for (e,) in ended) == {"bought": 7, "insufficient_funds": 23}
    assert (await books(db))["wallet"] == 999
    await whole(db)


async def test_too_little_money_says_how_much(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=1)
    buyer = await make_buyer(db)
    with pytest.raises(InsufficientFunds) as refused:
        await Combiner(db).buy(purchase(buyer, shop.wish()))
    assert refused.value.extra == {"balance": 0, "total": 1999, "currency": "EUR"}
    assert "€19.99" in (refused.value.detail or "")


async def test_the_same_key_thirty_times_at_once_buys_once(db: Database) -> None:
    shop = await make_shop(db, stock=40)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 100_000)
    combiners = [Combiner(db) for _ in range(3)]
    ended = await asyncio.gather(
        *(codes(combiners[i % 3], purchase(buyer, shop.wish(), idem="one")) for i in range(30))
    )
    assert Counter(e for (e,) in ended) == {"bought": 1, "again": 29}
    assert await codes(combiners[0], purchase(buyer, shop.wish(2), idem="one")) == ["purchase_key_reused"]
    other = await make_buyer(db)
    await give_money(db, other.user(), 100_000)
    assert await codes(combiners[0], purchase(other, shop.wish(), idem="one")) == ["bought"]
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 38, "SOLD": 2}
    await whole(db)


async def test_one_bad_among_thirty_one_good(db: Database) -> None:
    shop = await make_shop(db, stock=40)
    gone = await make_listing(db, shop.seller_id, state="PAUSED", stock=3)
    buyers = [await make_buyer(db) for _ in range(32)]
    for b in buyers[:31]:
        await give_money(db, b.user(), 5000)
    bads: list[tuple[Purchase, str]] = [
        (purchase(buyers[31], shop.wish()), "insufficient_funds"),
        (purchase(buyers[0], shop.wish(price=1)), "price_changed"),
        (purchase(buyers[0], type(shop.wish())(gone, 1, 1999)), "not_for_sale"),
        (purchase(shop.owner, shop.wish()), "own_goods"),
        (purchase(buyers[0], shop.wish(11)), "too_many_units"),
    ]
    bad = bads[0][0]
    sent = [
        *(purchase(b, shop.wish()) for b in buyers[:15]),
        bad,
        *(purchase(b, shop.wish()) for b in buyers[15:31]),
    ]
    rows = await db.fetch(SYSTEM, "SELECT * FROM orders.buy($1::jsonb)", [p.wire("wallet") for p in sent])
    assert Counter(r["verdict"] for r in rows) == {"bought": 31, "insufficient_funds": 1}
    assert rows[15]["verdict"] == "insufficient_funds"
    for one, code in bads[1:]:
        assert await codes(Combiner(db), one) == [code]
    await whole(db)


async def test_a_purchase_the_database_refuses_fails_alone(db: Database) -> None:
    """A quantity no form lets through breaks the whole call; its neighbours are served one by one."""
    shop = await make_shop(db, stock=40, max_per_order=100)
    buyers = [await make_buyer(db) for _ in range(12)]
    for b in buyers:
        await give_money(db, b.user(), 5000)
    combiner = Combiner(db)
    sent = [purchase(b, shop.wish(-1 if i == 5 else 1)) for i, b in enumerate(buyers)]
    ended = await asyncio.gather(*(combiner.buy(p) for p in sent), return_exceptions=True)
    assert [isinstance(e, Bought) for e in ended] == [i != 5 for i in range(12)]
    assert isinstance(ended[5], Exception)
    await whole(db)


async def test_a_changed_price_is_never_charged_silently(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=2, title="Night Train")
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 50_000)
    asked = purchase(buyer, shop.wish())
    await db.execute(
        SYSTEM, "UPDATE catalog.listing SET price = 2499, price_version = 2 WHERE id = $1", shop.listing_id
    )
    with pytest.raises(Problem) as refused:
        await Combiner(db).buy(asked)
    assert refused.value.code == "price_changed" and "€24.99" in refused.value.detail
    assert refused.value.extra["lines"][0]["price"] == 2499
    by_version = type(shop.wish())(shop.listing_id, 1, None, 1)
    assert await codes(Combiner(db), purchase(buyer, by_version)) == ["price_changed"]
    assert await codes(Combiner(db), purchase(buyer, type(by_version)(shop.listing_id, 1, None, 2))) == [
        "bought"
    ]
    assert (await books(db))["wallet"] == 50_000 - 2499


async def test_keys_of_another_region_are_refused(db: Database) -> None:
    for region, country, ended in (
        ("EU", "DE", "bought"),
        ("EU", "US", "other_region"),
        ("US", "DE", "other_region"),
        ("GLOBAL", "US", "bought"),
        ("US", None, "bought"),
    ):
        shop = await make_shop(db, stock=1, region=region)
        buyer = await make_buyer(db, country=country)
        await give_money(db, buyer.user(), 5000)
        assert await codes(Combiner(db), purchase(buyer, shop.wish())) == [ended], (region, country)


async def test_one_currency_a_purchase(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    dollars = await make_listing(db, shop.seller_id, currency="USD", stock=1)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 50_000)
    both = purchase(buyer, shop.wish(), type(shop.wish())(dollars, 1, 1999))
    assert await codes(Combiner(db), both) == ["other_currency"]


async def test_a_suspended_store_sells_nothing(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 5000)
    await db.execute(SYSTEM, "UPDATE sellers.seller SET state = 'SUSPENDED' WHERE id = $1", shop.seller_id)
    assert await codes(Combiner(db), purchase(buyer, shop.wish())) == ["not_for_sale"]


async def test_crossing_baskets_do_not_block_each_other(db: Database) -> None:
    """Many baskets over the same listings in every order, buyers repeated: no deadlock, no wrong sale."""
    shops = [await make_shop(db, price=100, stock=30) for _ in range(4)]
    buyers = [await make_buyer(db) for _ in range(6)]
    for b in buyers:
        await give_money(db, b.user(), 10_000)
    combiners = [Combiner(db) for _ in range(3)]
    sent = []
    for i in range(60):
        order = shops[i % 4 :] + shops[: i % 4]
        sent.append(combiners[i % 3].buy(purchase(buyers[i % 6], *(s.wish() for s in order[:3]))))
    ended = await asyncio.gather(*sent, return_exceptions=True)
    wins = [e for e in ended if isinstance(e, Bought)]
    assert all(isinstance(e, Bought) or (isinstance(e, Problem) and e.code == "sold_out") for e in ended)
    sold = 0
    for s in shops:
        sold += (await stock_of(db, s.listing_id)).get("SOLD", 0)
    assert sold == 3 * len(wins) >= 90
    await whole(db)


async def test_somebody_who_goes_away_spoils_nothing(db: Database) -> None:
    shop = await make_shop(db, stock=40)
    buyers = [await make_buyer(db) for _ in range(20)]
    for b in buyers:
        await give_money(db, b.user(), 5000)
    combiner = Combiner(db)
    sent = [purchase(b, shop.wish()) for b in buyers]
    tasks = [asyncio.create_task(combiner.buy(p)) for p in sent]
    await asyncio.sleep(0)
    for gone in tasks[::4]:
        gone.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(e, Bought) for i, e in enumerate(ended) if i % 4)
    again = await codes(combiner, *(sent[::4]))
    assert set(again) <= {"bought", "again"}
    assert (await stock_of(db, shop.listing_id))["SOLD"] == 20
    await whole(db)


async def test_a_new_unit_puts_it_back_on_sale(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 50_000)
    assert await codes(Combiner(db), purchase(buyer, shop.wish())) == ["bought"]
    assert await codes(Combiner(db), purchase(buyer, shop.wish())) == ["sold_out"]
    await add_units(db, shop.listing_id, 1)
    assert await codes(Combiner(db), purchase(buyer, shop.wish())) == ["bought"]


async def test_without_a_database_everybody_is_told_at_once(db: Database, endpoints: Endpoints) -> None:
    shop = await make_shop(db, stock=40)
    buyers = [await make_buyer(db) for _ in range(8)]
    for b in buyers:
        await give_money(db, b.user(), 5000)
    full = await database(endpoints, size=1, timeout_s=0.2).open()
    try:
        combiner = Combiner(full)
        async with full.connection():  # the only connection is taken
            ended = await codes(combiner, *(purchase(b, shop.wish()) for b in buyers))
        assert set(ended) == {"unavailable"}
        assert await codes(combiner, purchase(buyers[0], shop.wish())) == ["bought"]
    finally:
        await full.close()

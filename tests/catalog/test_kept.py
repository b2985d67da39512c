"""What is kept of the shop is never older than the last committed change."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from fondaco import catalog, inventory
from fondaco.catalog import BrowseQuery, Kept, Made, OwnListing, showing
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.pagination import Cursors
from fondaco.core.viewer import Viewer
from fondaco.embedded import Endpoints
from fondaco.vault import Vault
from tests.orders.test_statements import counting
from tests.support.bouncer import direct_dsn
from tests.support.goods import add_keys, make_article, make_listing
from tests.support.money import give_money, make_buyer
from tests.support.people import make_seller
from tests.support.shop import make_shop, purchase

EPOCH = "SELECT sum(n)::bigint FROM catalog.epoch"


async def epoch(db: Database) -> int:
    found: int = await db.fetchval(SYSTEM, EPOCH)
    return found


async def kept_price(kept: Kept, db: Database, listing: OwnListing) -> int:
    """The price of a listing as this process would show it."""

    async def make(_: int | None) -> Made[int]:
        found = await catalog.listing_page(db, listing.slug)
        return catalog.made_of(found.card.price, 8, [found.card])

    return await kept.get(db, listing.slug, make)


async def numbered(kept: Kept, db: Database, key: object, size: int = 8) -> int:
    """How many answers this process had made when it made this one."""

    async def make(_: int | None) -> Made[int]:
        return Made(kept.made, size)

    return await kept.get(db, key, make)


async def test_an_answer_is_made_once_until_something_changes(db: Database) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=500)
    kept = Kept()
    assert [await kept_price(kept, db, listing) for _ in range(3)] == [500, 500, 500]
    assert (kept.made, kept.hits) == (1, 2)
    await catalog.change_price(db, seller, listing.id, price=700)
    assert [await kept_price(kept, db, listing) for _ in range(2)] == [700, 700]
    assert (kept.made, kept.hits) == (2, 3)


async def change(db: Database, seller: Viewer, listing: OwnListing, what: str) -> None:
    match what:
        case "price":
            await catalog.change_price(db, seller, listing.id, price=listing.price + 1)
        case "title":
            await catalog.edit(db, seller, listing.id, version=listing.version, title="Another name")
        case "pause":
            await catalog.pause(db, seller, listing.id)
        case "sold":
            sql = "UPDATE catalog.listing SET sold = sold + 1 WHERE id = $1"
            await db.execute(SYSTEM, sql, listing.id)
        case "in_stock":
            sql = "UPDATE catalog.listing SET in_stock = NOT in_stock WHERE id = $1"
            await db.execute(SYSTEM, sql, listing.id)
        case "name":
            sql = "UPDATE sellers.seller SET name = 'Another store' WHERE id = $1"
            await db.execute(SYSTEM, sql, seller.seller())
        case _:
            sql = "UPDATE sellers.seller SET state = 'SUSPENDED' WHERE id = $1"
            await db.execute(SYSTEM, sql, seller.seller())


@pytest.mark.parametrize("what", ["price", "title", "pause", "sold", "in_stock", "name", "state"])
async def test_the_epoch_moves_with_what_is_shown(db: Database, what: str) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    before = await epoch(db)
    await change(db, seller, listing, what)
    assert await epoch(db) > before


async def test_the_epoch_moves_when_shelves_and_rows_of_the_owner_do(
    db: Database, owner: asyncpg.Connection
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    for sql in (
        "UPDATE catalog.category SET name = 'Play' WHERE slug = 'games'",
        f"DELETE FROM catalog.listing WHERE id = '{listing.id}'",
    ):
        before = await epoch(db)
        await cast(Any, owner).execute(sql)
        assert await epoch(db) > before, sql


async def test_drafts_and_statements_that_change_nothing_leave_the_epoch(db: Database) -> None:
    seller = await make_seller(db)
    draft = await make_listing(db, seller, state="DRAFT")
    shown = await make_listing(db, seller)
    before = await epoch(db)
    await catalog.change_price(db, seller, draft.id, price=1234)
    await make_listing(db, seller, state="DRAFT")
    await catalog.change_price(db, seller, shown.id, price=shown.price)
    await db.execute(SYSTEM, "UPDATE catalog.listing SET in_stock = false WHERE id = ANY ('{}'::uuid[])")
    assert await epoch(db) == before


async def test_what_is_rolled_back_leaves_the_epoch(db: Database) -> None:
    listing = await make_listing(db, await make_seller(db))
    before = await epoch(db)

    async def work(conn: Connection) -> None:
        await conn.execute("UPDATE catalog.listing SET price = price + 1 WHERE id = $1", listing.id)
        raise LookupError

    with pytest.raises(LookupError):
        await db.run(SYSTEM, work)
    assert await epoch(db) == before


async def test_writers_do_not_wait_for_each_other(db: Database) -> None:
    """Transactions that each changed a listing of its own are all open at once: none waits for another."""
    seller = await make_seller(db)
    made = [await make_listing(db, seller) for _ in range(8)]
    before = await epoch(db)

    async def change_and_wait(listing: OwnListing, done: asyncio.Barrier) -> None:
        async with db.transaction(SYSTEM) as conn:
            await conn.execute("SET LOCAL lock_timeout = '2s'")
            await conn.execute("UPDATE catalog.listing SET price = price + 1 WHERE id = $1", listing.id)
            await done.wait()  # nobody commits before all have changed theirs

    done = asyncio.Barrier(len(made))
    await asyncio.gather(*(change_and_wait(listing, done) for listing in made))
    assert await epoch(db) == before + len(made)


async def test_nobody_may_move_the_epoch_by_hand(db: Database) -> None:
    for sql in (
        "UPDATE catalog.epoch SET n = n - 1",
        "DELETE FROM catalog.epoch",
        "INSERT INTO catalog.epoch DEFAULT VALUES",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(SYSTEM, sql)


async def test_racing_readers_never_see_a_price_older_than_the_last_answered(endpoints: Endpoints) -> None:
    """Two processes read while sellers change prices upwards: who begins to read after a change was answered
    sees that price or a later one."""
    one = await Database(direct_dsn(endpoints), size=4).open()
    two = await Database(direct_dsn(endpoints), size=4).open()
    try:
        seller = await make_seller(one)
        listings = [await make_listing(one, seller, price=100) for _ in range(3)]
        answered = {listing.id: 100 for listing in listings}
        reads = 0
        writing = True

        async def write(listing: OwnListing) -> None:
            for price in range(101, 131):
                await catalog.change_price(one, seller, listing.id, price=price)
                answered[listing.id] = price

        async def read(kept: Kept, db: Database) -> None:
            nonlocal reads
            while writing:
                for listing in listings:
                    least = answered[listing.id]
                    assert await kept_price(kept, db, listing) >= least
                    reads += 1

        processes = (Kept(), one), (Kept(), two)
        readers = [asyncio.create_task(read(*process)) for process in processes for _ in range(2)]
        await asyncio.gather(*(write(listing) for listing in listings))
        writing = False
        await asyncio.gather(*readers)
        assert reads >= 12
        for kept, db in processes:
            assert [await kept_price(kept, db, listing) for listing in listings] == [130] * 3
    finally:
        await one.close()
        await two.close()


async def test_a_change_while_an_answer_is_made_is_not_lost(db: Database) -> None:
    """The price changes after the answer's data were read and before it is kept."""
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=500)
    kept = Kept()

    async def make(_: int | None) -> Made[int]:
        found = await catalog.listing_page(db, listing.slug)
        if found.card.price == 500:
            await catalog.change_price(db, seller, listing.id, price=600)
        return catalog.made_of(found.card.price, 8, [found.card])

    assert await kept.get(db, listing.slug, make) == 500  # asked before the change
    assert await kept.get(db, listing.slug, make) == 600


async def test_many_who_ask_at_once_share_one_answer(db: Database) -> None:
    kept, made = Kept(), 0
    go = asyncio.Event()

    async def make(_: int | None) -> Made[int]:
        nonlocal made
        made += 1
        await go.wait()
        return Made(made, 8)

    asking = [asyncio.create_task(kept.get(db, "k", make)) for _ in range(6)]
    while len(asyncio.all_tasks()) > 1 and not made:
        await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*asking) == [1] * 6


async def test_what_fails_is_raised_and_not_kept(db: Database) -> None:
    kept = Kept()

    async def fail(_: int | None) -> Made[int]:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await kept.get(db, "k", fail)
    assert len(kept) == 0
    assert await numbered(kept, db, "k") == 0


async def test_stock_that_is_told_is_what_is_left(db: Database, vault: Vault) -> None:
    """Units sold and copies added show at once, though the epoch moves only with the first and the last."""
    shop = await make_shop(db, stock=3)
    seller = await make_seller(db)
    article = await make_article(db, vault, seller, copies=2)
    kept = Kept()
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 100_000)

    async def told(listing_id: UUID) -> int:
        async def make(_: int | None) -> Made[int]:
            found = await catalog.listing_page(db, str(listing_id))
            return catalog.made_of(found.card.stock.left or 0, 8, [found.card])

        return await kept.get(db, listing_id, make)

    assert (await told(shop.listing_id), await told(article.id)) == (3, 2)
    async with db.connection() as conn:
        await conn.fetch(
            "SELECT * FROM orders.buy($1::jsonb)", [purchase(buyer, shop.wish(1)).wire("wallet")]
        )
    assert await told(shop.listing_id) == 2
    await inventory.set_copies(db, seller, article.id, copies=5, version=2)
    assert await told(article.id) == 5


async def test_left_of_tells_the_same_as_left_up_to(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    keys = [await make_listing(db, seller) for _ in range(3)]
    for listing, n in zip(keys, (0, 4, 12), strict=True):
        if n:
            await add_keys(db, vault, seller, listing, n)
    articles = [await make_article(db, vault, seller, copies=n) for n in (7, 4000)]
    ids = [listing.id for listing in (*articles, *keys)]
    rows = await db.fetch(SYSTEM, "SELECT * FROM inventory.left_of($1)", ids)
    assert [r["listing_id"] for r in rows] == ids
    assert [r["available"] for r in rows] == [7, 10, 0, 4, 10]
    singly = [await db.fetchval(SYSTEM, "SELECT inventory.left_up_to($1, 10)", i) for i in ids]
    assert singly == [r["available"] for r in rows]


async def test_what_is_kept_has_a_bound_and_the_least_used_goes(db: Database) -> None:
    kept = Kept(most=20_000)
    for n in range(40):
        await numbered(kept, db, n, size=1000)
        await numbered(kept, db, 0, size=1000)
        assert kept.size <= 20_000
    assert len(kept) == 10
    made = kept.made
    assert await numbered(kept, db, 0) == 0  # used again and again, so still the first
    assert await numbered(kept, db, 1) == made  # forgotten, so made anew
    await numbered(kept, db, "too large", size=6000)
    assert len(kept) == 10


Find = Callable[[BrowseQuery], Awaitable[tuple[catalog.BrowseResult, float]]]


@pytest.fixture
def find(db: Database, cursors: Cursors) -> Find:
    kept = Kept()
    return lambda query: showing.browse_kept(kept, db, cursors, query)


async def test_what_answers_share_is_counted_once_and_until_the_last_is_gone(db: Database) -> None:
    kept = Kept(most=100_000)
    part = b"x" * 10_000

    async def keep(key: int, shares: list[bytes]) -> None:
        async def make(_: int | None) -> Made[int]:
            return Made(key, 1000, shares=shares)

        await kept.get(db, key, make)

    await keep(0, [])
    one = kept.size
    await keep(1, [part, part])
    assert kept.size == 2 * one + sys.getsizeof(part)
    await keep(2, [part])
    assert kept.size == 3 * one + sys.getsizeof(part), "counted once"
    await keep(3, [b"y" * 90_000])  # 0 to 2 have to go for it
    assert (len(kept), kept.size) == (1, one + sys.getsizeof(b"") + 90_000)
    await keep(4, [part])
    assert len(kept) == 1 and kept.size == one + sys.getsizeof(part), "the one before had no room"


async def test_small_counts_are_of_this_moment(db: Database, find: Find) -> None:
    seller = await make_seller(db)
    for n in range(1, 4):
        await make_listing(db, seller)
        found, good_for_s = await find(BrowseQuery())
        assert (found.total, len(found.items), good_for_s) == (n, n, float("inf"))


async def test_large_counts_may_be_late_but_listings_are_not(
    db: Database, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "EXACT", 1)
    monkeypatch.setattr(showing, "LATE_S", 3600.0)
    seller = await make_seller(db)
    listings = [await make_listing(db, seller) for _ in range(3)]
    assert (await find(BrowseQuery()))[0].total == 3
    await catalog.pause(db, seller, listings[0].id)
    found, good_for_s = await find(BrowseQuery())
    assert (found.total, len(found.items)) == (3, 2)
    assert good_for_s == 3600.0  # and no answer with them is kept for longer
    assert (await find(BrowseQuery(categories=("games",))))[0].total == 2  # a list not counted before


async def test_an_answer_is_not_kept_for_longer_than_it_is_good(db: Database) -> None:
    kept = Kept()

    async def make(_: int | None) -> Made[int]:
        return Made(kept.made, 8, good_for_s=0.0)

    assert [await kept.get(db, "k", make) for _ in range(3)] == [0, 1, 2]


async def test_what_did_not_change_is_handed_back(db: Database) -> None:
    """After a change elsewhere, who makes the answer gets the last one and may give it again."""
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    kept, seen = Kept(), list[str | None]()

    async def make(old: str | None) -> Made[str]:
        seen.append(old)
        return Made(old or "drawn", 8)

    await kept.get(db, "k", make)
    await catalog.change_price(db, seller, listing.id, price=7)
    assert await kept.get(db, "k", make) == "drawn"
    assert seen == [None, "drawn"]


async def test_a_kept_answer_costs_one_statement(endpoints: Endpoints, db: Database) -> None:
    listing = await make_listing(db, await make_seller(db))
    kept = Kept()
    async with counting(endpoints) as counted:
        await kept_price(kept, counted, listing)
        counted.sent.clear()
        await kept_price(kept, counted, listing)
        assert len(counted.sent) == 1


async def test_an_answer_of_several_looks_once(endpoints: Endpoints, db: Database) -> None:
    """What shows no listing is good at the epoch of a look sent since the whole began, at no older one."""
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=500)
    async with counting(endpoints) as counted:
        kept = Kept()
        await kept_price(kept, counted, listing)  # the driver has asked what it needs to know

        async def asked(since: float) -> tuple[int, int]:
            """The answer's number, and how many statements it took."""
            counted.sent.clear()

            async def make(_: int | None) -> Made[int]:
                return Made(kept.made, 8)

            return await kept.get(counted, "part", make, since), len(counted.sent)

        assert await asked(time.monotonic()) == (1, 1)
        began = time.monotonic()
        assert await asked(began) == (1, 1), "the look before does not count"
        assert await asked(began) == (1, 0)
        await catalog.change_price(db, seller, listing.id, price=700)
        assert await asked(began) == (1, 0), "as of when it began"
        assert await asked(time.monotonic()) == (2, 1)


async def test_what_is_beside_a_listing_is_looked_for_once_for_its_shelf(
    endpoints: Endpoints, db: Database, vault: Vault
) -> None:
    seller = await make_seller(db)
    titles = [("Salt", "Steam"), ("Pepper", "Steam"), ("Saffron", "GOG"), ("Sumac", "Steam")]
    made = {t: await make_listing(db, seller, title=t, platform=p, price=500) for t, p in titles}
    again = await make_listing(db, seller, title="Salt", region="US", price=400)
    for listing in (*made.values(), again):
        await add_keys(db, vault, seller, listing, 20)
    for sold, title in enumerate(["Saffron", "Pepper", "Sumac", "Salt"]):
        sql = "UPDATE catalog.listing SET sold = $2 WHERE id = $1"
        await db.execute(SYSTEM, sql, made[title].id, sold)
    kept = Kept()

    async def beside(title: str, limit: int = 5) -> list[str]:
        page = await catalog.listing_page(db, made[title].slug)
        return [c.title for c in await catalog.related_kept(kept, db, page.card, limit)]

    assert await beside("Salt") == ["Sumac", "Pepper", "Saffron"], "its platform first, then the best sold"
    assert await beside("Sumac") == ["Salt", "Pepper", "Saffron"]
    assert kept.made == 1, "once for all of the shelf and platform"
    assert await beside("Saffron") == ["Salt", "Sumac", "Pepper"]
    assert await beside("Pepper", 2) == ["Salt", "Sumac"], "as many as asked for, without its own product"
    await catalog.pause(db, seller, made["Sumac"].id)
    assert await beside("Salt") == ["Pepper", "Saffron"]


async def test_pages_asked_for_together_share_a_trip_and_nothing_else(
    endpoints: Endpoints, db: Database, vault: Vault
) -> None:
    one, two = await make_seller(db, "One"), await make_seller(db, "Two")
    salt = [await make_listing(db, s, title="Salt", price=p) for s, p in ((one, 500), (two, 400))]
    other = await make_listing(db, one, title="Pepper", price=300)
    await add_keys(db, vault, one, salt[0], 3)
    async with counting(endpoints) as counted:
        keys = [salt[0].slug, str(salt[1].id), other.slug, salt[0].slug]
        await catalog.listing_page(counted, keys[0])  # the driver has asked what it needs to know
        counted.sent.clear()
        pages = await asyncio.gather(*(catalog.listing_page(counted, key) for key in keys))
        assert len(counted.sent) <= 2, "they go at once or with the next call"
    assert [p.card.id for p in pages] == [salt[0].id, salt[1].id, other.id, salt[0].id]
    assert [[o.id for o in p.offers] for p in pages] == [[salt[1].id], [salt[0].id], [], [salt[1].id]]
    assert [p.card.stock.text for p in pages] == ["Only 3 left", "Sold out", "Sold out", "Only 3 left"]
    assert pages[0] == pages[3] == await catalog.listing_page(db, salt[0].slug)
    assert all(p.description and p.activation for p in pages)

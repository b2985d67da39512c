"""Purchases, card checkouts, late payments, expiries, cancellations and sellers' changes of the same articles
and keys, all at once: whoever loses a race is told so, and everything adds up."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from uuid import UUID

from fondaco import checks, inventory
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Problem
from fondaco.orders.actions import give_up, reserve
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import Wish
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.support.goods import make_article
from tests.support.money import give_money, make_buyer
from tests.support.shop import books, close_payment, make_listing, make_shop, pay, purchase


async def test_everything_at_once_adds_up(db: Database, settings: Settings) -> None:
    chance = random.Random(11)
    vault = Vault(settings)
    shop = await make_shop(db, price=1000, stock=30)
    goods = [shop.listing_id, await make_listing(db, shop.seller_id, price=1000, stock=20)]
    articles = [(await make_article(db, vault, shop.owner, price=1000, copies=15)).id for _ in range(3)]
    goods += articles
    buyers = [await make_buyer(db) for _ in range(5)]
    for buyer in buyers:
        await give_money(db, buyer.user(), 60_000)
    combiners = [Combiner(db), Combiner(db)]
    told: Counter[str] = Counter()

    def basket() -> list[Wish]:
        return [Wish(g, chance.randint(1, 2), 1000) for g in chance.sample(goods, chance.randint(1, 3))]

    async def by_wallet() -> None:
        await combiners[chance.randint(0, 1)].buy(purchase(chance.choice(buyers), *basket()))

    async def by_card(end: str) -> None:
        until = now() + timedelta(minutes=-1 if end in ("late", "expired") else 30)
        bought, _ = await reserve(db, purchase(chance.choice(buyers), *basket()), until)
        group: UUID = bought.group_id
        if end in ("late", "expired"):
            await close_payment(db, group)
            assert await give_up(db, group, "EXPIRED", "not paid in time", "system") == "done"
        if end == "cancelled":
            await give_up(db, group, "CANCELLED", "given up", "system")
        if end in ("paid", "late", "cancelled"):
            told[f"{end}: {await pay(db, group)}"] += 1

    async def restock() -> None:
        listing = chance.choice(articles)
        seen = await inventory.article(db, shop.owner, listing)
        copies = chance.randint(0, 12)
        await inventory.set_copies(db, shop.owner, listing, copies=copies, version=seen.version)

    async def rewrite() -> None:
        listing = chance.choice(articles)
        seen = await inventory.article(db, shop.owner, listing)
        text = f"Text {chance.random()}"
        await inventory.save_content(
            db, vault, shop.owner, listing, content=text, version=seen.content_version
        )

    acts = [by_wallet() for _ in range(50)]
    acts += [by_card(end) for end in ("paid", "late", "expired", "cancelled") for _ in range(8)]
    acts += [restock() for _ in range(12)] + [rewrite() for _ in range(6)]
    chance.shuffle(acts)
    ended = await asyncio.gather(*acts, return_exceptions=True)
    told.update(e.code if isinstance(e, Problem) else type(e).__name__ for e in ended if e)
    assert all(e is None or isinstance(e, Problem) for e in ended), told
    assert not {"unavailable", "broken"} & set(told), told
    rows = await db.fetch(
        SYSTEM,
        """SELECT c.on_hand, c.sold, (SELECT coalesce(sum(quantity), 0) FROM inventory.hold h
             WHERE h.listing_id = c.listing_id) AS held, (SELECT count(*) FROM delivery.entitlement e
             WHERE e.listing_id = c.listing_id) AS things, (SELECT sum(change) FROM inventory.put_up p
             WHERE p.listing_id = c.listing_id) AS up FROM inventory.counted c""",
    )
    for row in rows:
        assert (row["held"], row["things"]) == (0, row["sold"])
        assert row["up"] == row["on_hand"] + row["sold"]
    await books(db)
    assert [str(f) for f in await checks.verify_all(db, settings)] == []

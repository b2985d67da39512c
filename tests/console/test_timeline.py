"""The one story of an order: every kind of row is in it, no secret is, links lead where one may go."""

import json
from dataclasses import replace
from uuid import uuid4

import msgspec
import pytest

from fondaco import console
from fondaco.core.db import Database
from fondaco.core.problem import NotFound
from tests.support.money import Till, make_buyer, make_staff
from tests.support.shop import expire, make_shop, pay, place, purchase
from tests.support.story import ADDRESS, KEYS, tell


async def test_a_whole_purchase_is_told(till: Till) -> None:
    story = await tell(till)
    admin = await make_staff(till.db, "admin")
    items = await console.timeline(till.db, admin, story.order_id)
    assert {i.source for i in items} == {
        *("order", "funding", "provider", "journal", "stock", "entitlement", "reveal", "mail", "audit")
    }
    assert items == sorted(items, key=lambda i: i.at)
    words = [i.words for i in items]
    assert any(w.startswith(f"{story.group.orders[0].number} placed: 2 units") for w in words)
    assert "Paid and delivered" in words and "Order completed" in words
    assert "Stripe says: checkout.session.completed" in words
    journals = [i for i in items if i.source == "journal"]
    assert [j.words for j in journals][-1] == "Release: from escrow to seller and marketplace"
    assert all(sum(leg.amount for leg in j.legs) == 0 and len(j.legs) >= 2 for j in journals)
    assert {leg.amount for j in journals for leg in j.legs} >= {3998, -3998}
    reveal = next(i for i in items if i.source == "reveal")
    assert reveal.who == story.buyer.email and reveal.detail == "From 203.0.113.…"
    stock = next(i for i in items if i.source == "stock")
    assert stock.detail == "1 consumed, 1 sold"


async def test_no_secret_is_told(till: Till) -> None:
    story = await tell(till)
    admin = await make_staff(till.db, "admin")
    text = json.dumps(msgspec.to_builtins(await console.timeline(till.db, admin, story.order_id)))
    for secret in (*KEYS, ADDRESS, "_secret_", "token="):
        assert secret not in text


async def test_the_purchase_tells_of_all_its_orders(db: Database) -> None:
    a, b = await make_shop(db, price=1000, stock=1), await make_shop(db, price=500, stock=1)
    group = await place(db, await make_buyer(db), a.wish(), b.wish())
    staff = await make_staff(db, "support")
    items = await console.timeline(db, staff, group)
    assert sum(i.source == "order" for i in items) == 2
    one = await db.fetchval(staff.as_staff, "SELECT id FROM orders.orders WHERE group_id = $1 LIMIT 1", group)
    assert sum(i.source == "order" for i in await console.timeline(db, staff, one)) == 1


async def test_refunds_are_in_the_story_and_in_the_payments_own(db: Database) -> None:
    shop = await make_shop(db, price=700, stock=1)
    group = await place(db, await make_buyer(db), shop.wish(), minutes=-1)
    await expire(db, group)
    other = await make_buyer(db)
    from fondaco.orders import Combiner
    from tests.support.money import give_money

    await give_money(db, other.user(), 1000)
    await Combiner(db).buy(purchase(other, shop.wish()))
    await pay(db, group)
    finance = await make_staff(db, "finance")
    items = await console.timeline(db, finance, group)
    refund = next(i for i in items if i.source == "refund")
    assert refund.words == "Refund of €7.00 to where it came from"
    assert any(i.words.startswith("Refund on its way") for i in items)
    funding = await db.fetchval(finance.as_staff, "SELECT id FROM wallets.funding WHERE group_id = $1", group)
    own = await console.funding_timeline(db, finance, funding)
    assert {"funding", "refund", "journal", "audit"} <= {i.source for i in own}
    assert "order" not in {i.source for i in own}


async def test_links_lead_only_where_one_may_go(till: Till) -> None:
    story = await tell(till)
    doors = {"support": "/console/mails/", "finance": "/console/ledger/", "auditor": "/console/audit?"}
    seen = {}
    for role in doors:
        staff = await make_staff(till.db, role)
        seen[role] = " ".join(i.href for i in await console.timeline(till.db, staff, story.order_id))
    assert "/console/mails/" in seen["support"] and "/console/ledger/" not in seen["support"]
    assert "/console/inbox/" not in seen["support"] and "/console/audit" not in seen["support"]
    assert "/console/ledger/" in seen["finance"] and "/console/mails/" not in seen["finance"]
    assert all(door in seen["auditor"] for door in doors.values())


async def test_it_is_for_staff_and_of_orders_that_exist(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    group = await place(db, buyer, shop.wish())
    with pytest.raises(NotFound):
        await console.timeline(db, buyer, group)
    with pytest.raises(NotFound):
        await console.timeline(db, replace(buyer, staff_role="admin"), uuid4())

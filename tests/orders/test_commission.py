"""Commission rules: the most specific wins, frozen on the line; what could not be is refused in words."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.ledger import AccountRef, seller_pending_of
from fondaco.orders.combiner import Combiner
from fondaco.orders.commission import (
    RuleWish,
    add_commission_rule,
    affected_by,
    check_rule,
    commission_rules,
    end_commission_rule,
)
from fondaco.orders.commission_tax import commission_taxes, set_commission_tax
from tests.support.money import amount_on, give_money, make_buyer, make_staff
from tests.support.shop import Shop, make_shop, purchase


async def sold_at(db: Database, shop: Shop) -> tuple[int, int, int | None]:
    """Somebody buys one: the commission in minor units, its basis points, and the rule that said so."""
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 100_000)
    done = await Combiner(db).buy(purchase(buyer, shop.wish()))
    row = await db.fetchrow(
        SYSTEM,
        """SELECT l.commission, l.terms FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           WHERE o.group_id = $1""",
        done.group_id,
    )
    assert row
    return row["commission"], row["terms"]["commission_bps"], row["terms"]["commission_rule"]


async def rule(db: Database, staff: Viewer, bps: int, **scope: object) -> int:
    return await add_commission_rule(db, staff, RuleWish(bps=bps, reason="test", **scope))  # type: ignore[arg-type]


async def test_the_most_specific_rule_wins_and_is_frozen(db: Database) -> None:
    shop = await make_shop(db, price=2000, stock=20)
    staff = await make_staff(db, "finance")
    assert await sold_at(db, shop) == (200, 1000, None)
    band = await rule(db, staff, 900, currency="EUR", price_from=1000, price_to=2001)
    assert await sold_at(db, shop) == (180, 900, band)
    await rule(db, staff, 850, currency="EUR", price_from=1000, price_to=2000)
    assert await sold_at(db, shop) == (180, 900, band), "the upper end is not in the band"
    kind = await rule(db, staff, 800, kind="stocked_secret")
    assert await sold_at(db, shop) == (160, 800, kind)
    category = await rule(db, staff, 700, category="games")
    assert await sold_at(db, shop) == (140, 700, category)
    both = await rule(db, staff, 650, category="games", kind="stocked_secret")
    assert await sold_at(db, shop) == (130, 650, both)
    await db.execute(SYSTEM, "UPDATE sellers.seller SET commission_bps = 500 WHERE id = $1", shop.seller_id)
    assert (await sold_at(db, shop))[:2] == (100, 500), "the store's own share before rules of all stores"
    own = await rule(db, staff, 400, seller_id=shop.seller_id)
    assert await sold_at(db, shop) == (80, 400, own)
    newest = await rule(db, staff, 300, seller_id=shop.seller_id)
    assert await sold_at(db, shop) == (60, 300, newest)
    await end_commission_rule(db, staff, newest)
    assert await sold_at(db, shop) == (80, 400, own)
    with pytest.raises(NotFound):
        await end_commission_rule(db, staff, newest)
    frozen = await db.fetch(SYSTEM, "SELECT commission FROM orders.order_line ORDER BY id")
    assert [r["commission"] for r in frozen] == [200, 180, 180, 160, 140, 130, 100, 80, 60, 80]


async def test_rules_of_others_do_not_speak(db: Database) -> None:
    shop, other = await make_shop(db, price=2000, stock=2), await make_shop(db)
    staff = await make_staff(db, "finance")
    await rule(db, staff, 100, seller_id=other.seller_id)
    await rule(db, staff, 100, kind="article")
    await rule(db, staff, 100, category="gift-cards")
    await rule(db, staff, 100, currency="USD", price_from=0)
    assert await sold_at(db, shop) == (200, 1000, None)
    assert await affected_by(db, staff, RuleWish(bps=1, reason="x", seller_id=shop.seller_id)) == (1, 1)
    assert len(await commission_rules(db, staff)) == 4


async def test_unknown_stores_and_categories_are_refused(db: Database) -> None:
    staff = await make_staff(db, "finance")
    for scope in ({"seller_id": uuid4()}, {"category": "nowhere"}):
        with pytest.raises(Invalid):
            await rule(db, staff, 100, **scope)
    assert await commission_rules(db, staff) == []


@given(
    st.builds(
        RuleWish,
        bps=st.integers(-10, 6000),
        reason=st.sampled_from(["", "why", "x" * 501]),
        seller_id=st.one_of(st.none(), st.just(UUID(int=1))),
        category=st.one_of(st.none(), st.just("games")),
        kind=st.one_of(st.none(), st.sampled_from(["article", "thing"])),
        currency=st.one_of(st.none(), st.just("EUR")),
        price_from=st.one_of(st.none(), st.integers(0, 50)),
        price_to=st.one_of(st.none(), st.integers(1, 50)),
    )
)
def test_what_could_not_be_is_refused(wish: RuleWish) -> None:
    band = wish.price_from is not None or wish.price_to is not None
    good = (
        0 <= wish.bps <= 5000
        and wish.reason == "why"
        and wish.kind != "thing"
        and (wish.currency is not None) == band
        and (wish.price_to is None or (wish.price_from or 0) < wish.price_to)
        and any(part is not None for part in wish.scope())
    )
    if good:
        check_rule(wish)
    else:
        with pytest.raises(Invalid):
            check_rule(wish)


async def test_the_tax_on_the_share_is_of_the_stores_country_and_frozen(db: Database) -> None:
    """20.00 at 10 %: 2.00 share. The rate of a purchase stays; stores of other countries have none."""
    staff = await make_staff(db, "finance")
    before, german = await make_shop(db, price=2000, stock=9), await make_shop(db, price=2000, stock=9)
    await sold_at(db, before)
    assert await set_commission_tax(db, staff, country="de", bps=1900, reason="the law says so")
    assert not await set_commission_tax(db, staff, country="DE", bps=1900, reason="once more")
    await sold_at(db, german)
    moved = await make_shop(db, price=2000, stock=9)  # opened under the rate
    await db.execute(SYSTEM, "UPDATE sellers.seller SET country = 'FR' WHERE id = $1", moved.seller_id)
    await sold_at(db, moved)
    await set_commission_tax(db, staff, country="DE", bps=0, reason="it is over")
    await sold_at(db, german)
    rows = await db.fetch(
        SYSTEM,
        """SELECT l.commission_tax, l.terms->'commission_tax' AS terms FROM orders.order_line l
           ORDER BY l.delivered_at""",
    )
    taxed = {"bps": 1900, "country": "DE"}
    assert [(r["commission_tax"], r["terms"]) for r in rows] == [(0, None), (38, taxed), (0, None), (0, None)]
    assert await commission_taxes(db, staff) == []
    assert [t.bps for t in await commission_taxes(db, staff, ended=True)] == [1900]
    lines = [r["id"] for r in await db.fetch(SYSTEM, "SELECT id FROM orders.order_line")]
    await db.fetchval(SYSTEM, "SELECT orders.release($1, 'system')", lines)
    assert await amount_on(db, AccountRef("tax_payable", "country:DE", "EUR")) == 38
    assert await amount_on(db, seller_pending_of(german.seller_id, "EUR")) == 2 * 1800 - 38


async def test_a_store_cannot_choose_its_rate(db: Database) -> None:
    """Whoever writes it: the country's rate stands there."""
    staff = await make_staff(db, "finance")
    await set_commission_tax(db, staff, country="DE", bps=700, reason="the law says so")
    shop = await make_shop(db)
    for sql in ("commission_tax_bps = 0", "country = 'DE', commission_tax_bps = 5000"):
        await db.execute(SYSTEM, f"UPDATE sellers.seller SET {sql} WHERE id = $1", shop.seller_id)
        assert await db.fetchval(SYSTEM, "SELECT commission_tax_bps FROM sellers.seller") == 700
    for country, bps, reason, field in (
        ("D", 1, "x", "country"),
        ("DE", 5001, "x", "bps"),
        ("DE", 1, "", "reason"),
    ):
        with pytest.raises(Invalid) as refused:
            await set_commission_tax(db, staff, country=country, bps=bps, reason=reason)
        assert field in refused.value.fields

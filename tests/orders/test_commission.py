"""Commission rules: the most specific wins, frozen on the line; what could not be is refused in words."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.combiner import Combiner
from fondaco.orders.commission import (
    RuleWish,
    add_commission_rule,
    affected_by,
    check_rule,
    commission_rules,
    end_commission_rule,
)
from tests.support.money import give_money, make_buyer, make_staff
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

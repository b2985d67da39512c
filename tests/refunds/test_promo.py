"""What promotional credit paid of a line comes back as promotional credit, in proportion, to the cent."""

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.money import share
from fondaco.ledger import escrow_of, platform, post, promo_credit_of, wallet_of
from tests.refunds.test_refund_line import give_back, sold
from tests.support.money import amount_on
from tests.support.shop import books, make_shop


async def test_promotional_credit_comes_back_as_such(db: Database, owner: asyncpg.Connection) -> None:
    shop = await make_shop(db, price=1000, stock=2)
    buyer, _, first = await sold(db, shop)
    line = uuid7()
    await owner.execute(
        """INSERT INTO orders.order_line (id, order_id, buyer_id, seller_id, listing_id, quantity, unit_price,
             total, commission, currency, terms, delivery_state, escrow_state, delivered_at)
           SELECT $2, order_id, buyer_id, seller_id, listing_id, quantity, unit_price, total, commission,
             currency, terms, delivery_state,
             escrow_state, delivered_at FROM orders.order_line WHERE id = $1""",
        first,
        line,
    )
    promo, wallet = promo_credit_of(buyer.user(), "EUR"), wallet_of(buyer.user(), "EUR")
    async with db.transaction(SYSTEM) as conn:
        given = [(platform("promo_expense", "EUR"), 300), (promo, -300)]
        await post(conn, "promo_grant", idem="promo:1", ref="x", actor="x", legs=given)
        paid = [(wallet, 700), (promo, 300), (escrow_of(line, "EUR"), -1000)]
        await post(conn, "purchase", idem=f"buy:{line}", ref="x", actor="x", legs=paid)
    before = await amount_on(db, wallet)
    left, back = 300, []
    for amount, rest in ((333, 1000), (1, 667), (333, 666), (333, 333)):
        part = share(amount, [left, rest - left])[0]
        left -= part
        back.append(part)
        await give_back(db, line, amount)
        assert await amount_on(db, promo) == sum(back)
        assert await amount_on(db, wallet) == before + 1000 - rest + amount - sum(back)
    assert left == 0 and sum(back) == 300
    await books(db)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 5000), st.lists(st.integers(1, 900), max_size=12))
def test_parts_of_a_promotion_sum_to_it(total: int, promo: int, amounts: list[int]) -> None:
    promo = min(promo, total)
    left, rest = promo, total
    for asked in [*amounts, total]:
        amount = min(asked, rest)
        if not amount:
            break
        part = share(amount, [left, rest - left])[0]
        assert 0 <= part <= min(left, amount)
        left, rest = left - part, rest - amount
    assert rest or not left

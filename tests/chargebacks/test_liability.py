"""Who bears a lost chargeback: the marketplace by default, sellers only where their terms said so."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from fondaco.chargebacks.noting import note_dispute
from fondaco.core.db import SYSTEM, Connection
from fondaco.core.viewer import Viewer
from fondaco.ledger import seller_available_of, seller_receivable_of
from fondaco.orders import release_lines
from fondaco.orders.combiner import Combiner
from fondaco.orders.policies import refund_terms
from tests.chargebacks.test_money import dispute, even, owed, resolve, reveal_all, standing
from tests.support.money import Till, amount_on, make_buyer
from tests.support.shop import POLICY, Shop, make_shop, purchase


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def bought(till: Till, buyer: Viewer, shop: Shop, policy: str) -> Any:
    """A line bought under a liability policy; its id."""
    settings = till.settings.model_copy(update={"chargeback_liability": policy})
    asked = replace(purchase(buyer, shop.wish()), policy=replace(POLICY, refund=refund_terms(settings)))
    group = (await Combiner(till.db).buy(asked)).group_id
    return await till.db.fetchval(
        SYSTEM,
        """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           WHERE o.group_id = $1""",
        group,
    )


async def release(till: Till, line_id: Any) -> None:
    async def work(conn: Connection) -> None:
        await release_lines(conn, [line_id], "system")

    await till.db.run(SYSTEM, work)


async def of_the_seller(till: Till, shop: Shop) -> tuple[int, int]:
    seller = shop.owner.seller()
    return (
        await amount_on(till.db, seller_available_of(seller, "EUR")),
        await amount_on(till.db, seller_receivable_of(seller, "EUR")),
    )


@pytest.mark.parametrize(("policy", "share"), [("platform", 0), ("shared", 2250), ("seller", 4500)])
async def test_a_lost_one_reversed_leaves_everybody_where_they_were(
    till: Till, buyer: Viewer, owner: Any, policy: str, share: int
) -> None:
    shop = await make_shop(till.db, price=5000, stock=1)
    funding = await till.paid_top_up(buyer, 5000)
    line = await bought(till, buyer, shop, policy)
    await reveal_all(till, owner)
    await release(till, line)
    found = await dispute(till, funding)
    await till.deliver_all()
    assert await of_the_seller(till, shop) == (0, 0), "nothing before it is lost"
    await resolve(till, found, "lost")
    await till.deliver_all()
    assert await of_the_seller(till, shop) == (0, share)
    assert (await owed(till, buyer), await standing(till, buyer)) == (5000 - share, "LOCKED")
    await till.deliver_all()
    assert await of_the_seller(till, shop) == (0, share)
    await even(till)
    await resolve(till, found, "won")
    for _ in range(2):
        await till.deliver_all()
    assert await of_the_seller(till, shop) == (0, 0)
    assert (await owed(till, buyer), await till.wallet(buyer), await standing(till, buyer)) == (0, 0, "OK")
    await even(till)


async def test_money_that_comes_back_while_it_still_reads_lost_is_borne_by_nobody(
    till: Till, buyer: Viewer, owner: Any
) -> None:
    shop = await make_shop(till.db, price=5000, stock=1)
    funding = await till.paid_top_up(buyer, 5000)
    line = await bought(till, buyer, shop, "shared")
    await reveal_all(till, owner)
    await release(till, line)
    found = await dispute(till, funding)
    await till.deliver_all()
    await resolve(till, found, "lost")
    await till.deliver_all()
    assert await of_the_seller(till, shop) == (0, 2250)
    await resolve(till, found, "won")
    facts = msgspec.structs.replace(await till.gateway.retrieve_dispute(found), status="lost")
    for _ in range(2):
        await till.db.run(SYSTEM, lambda conn: note_dispute(conn, facts))
        assert (await of_the_seller(till, shop), await owed(till, buyer)) == ((0, 0), 0)
    await even(till)


async def test_the_terms_of_the_sale_count_not_those_of_today(till: Till, buyer: Viewer, owner: Any) -> None:
    shop = await make_shop(till.db, price=2000, stock=2)
    funding = await till.paid_top_up(buyer, 4000)
    for policy in ("platform", "seller"):
        await release(till, await bought(till, buyer, shop, policy))
    await reveal_all(till, owner)
    found = await dispute(till, funding)
    await resolve(till, found, "lost")
    await till.deliver_all()
    assert await of_the_seller(till, shop) == (0, 1800)
    assert await owed(till, buyer) == 2200
    await even(till)


async def test_no_journal_of_a_chargeback_may_move_an_account_of_a_seller(till: Till) -> None:
    rows = await till.db.fetch(
        SYSTEM,
        """SELECT journal_kind, account_kind FROM ledger.posting_rule
           WHERE journal_kind LIKE 'chargeback%' AND account_kind LIKE 'seller%'""",
    )
    assert [tuple(r) for r in rows] == []

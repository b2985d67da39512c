"""Credit that was paid with money a bank takes back."""

from typing import Any

from fondaco.core.db import SYSTEM, Database
from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import StripeGateway
from tests.chargebacks.test_money import dispute, even, held, reveal_all
from tests.conftest import make_settings
from tests.credit.builders import allow, owed, state_of, take
from tests.support.money import Till, make_buyer
from tests.support.sandbox import RunningSandbox
from tests.support.shop import make_shop


def a_till(db: Database, endpoints: Endpoints, sandbox: RunningSandbox) -> Till:
    settings = make_settings(endpoints, stripe_api_base=sandbox.url)
    return Till(db, settings, StripeGateway(settings), sandbox)


async def test_what_nobody_saw_is_taken_back_first(
    db: Database, endpoints: Endpoints, paying: RunningSandbox
) -> None:
    """Bought on credit, paid by the disputed top-up: its money comes back into the wallet and is held."""
    till = a_till(db, endpoints, paying)
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=2), await make_buyer(db)
    group = await take(db, buyer, shop.wish())
    funding = await till.paid_top_up(buyer, 500)
    assert await state_of(db, group) == "PAID" and await till.wallet(buyer) == 100
    await dispute(till, funding)
    await till.deliver_all()
    assert (await held(till, buyer), await till.wallet(buyer), await owed(db, buyer)) == (500, 0, 0)
    await even(till)


async def test_what_was_seen_is_what_the_disputed_money_paid_for(
    db: Database, endpoints: Endpoints, paying: RunningSandbox, owner: Any
) -> None:
    till = a_till(db, endpoints, paying)
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=2), await make_buyer(db)
    await take(db, buyer, shop.wish())
    funding = await till.paid_top_up(buyer, 500)
    await reveal_all(till, owner)
    await dispute(till, funding)
    await till.deliver_all()
    rows = await db.fetch(SYSTEM, "SELECT seller_id, amount FROM chargebacks.line")
    assert [(r["seller_id"], r["amount"]) for r in rows] == [(shop.seller_id, 400)]
    assert await held(till, buyer) == 100
    await even(till)

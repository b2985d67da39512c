"""A listing that has units does not stay sold out because a purchase held them for a moment."""

import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.inventory.jobs import correct_in_stock
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import SoldOut
from tests.support.money import give_money, make_buyer
from tests.support.shop import make_shop, purchase


async def test_units_held_for_a_moment_are_on_sale_again(db: Database, parts: Parts) -> None:
    shop, buyer = await make_shop(db, stock=2), await make_buyer(db)
    await give_money(db, buyer.user(), 5000)
    word = "SELECT in_stock FROM catalog.listing WHERE id = $1"
    async with db.transaction(SYSTEM) as conn:  # a purchase that holds both and takes neither
        await conn.execute("SELECT 1 FROM inventory.stock_unit FOR UPDATE")
        with pytest.raises(SoldOut):
            await Combiner(db).buy(purchase(buyer, shop.wish()))
    assert await db.fetchval(SYSTEM, word, shop.listing_id) is False
    await correct_in_stock(parts)
    assert await db.fetchval(SYSTEM, word, shop.listing_id) is True
    await Combiner(db).buy(purchase(buyer, shop.wish()))

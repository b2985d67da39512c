"""A card payment that comes late, for keys and articles together, when one of them is gone meanwhile."""

from fondaco import checks, inventory
from fondaco.core.db import SYSTEM, Database
from fondaco.ledger import wallet_of
from fondaco.orders.model import Wish
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.support.goods import make_article
from tests.support.money import amount_on, make_buyer
from tests.support.shop import expire, make_shop, pay, place, states, stock_of


async def test_short_of_one_kind_takes_nothing_of_the_other(db: Database, settings: Settings) -> None:
    shop, buyer = await make_shop(db, price=1000, stock=3), await make_buyer(db)
    article = await make_article(db, Vault(settings), shop.owner, price=900, copies=2)
    group = await place(db, buyer, shop.wish(2), Wish(article.id, 2, 900), minutes=-1)
    assert (await inventory.article(db, shop.owner, article.id)).held == 2
    assert await expire(db, group) == "done"
    seen = await inventory.article(db, shop.owner, article.id)
    assert (seen.copies, seen.held) == (2, 0)
    await inventory.set_copies(db, shop.owner, article.id, copies=1, version=seen.version)
    await pay(db, group)
    assert await states(db, group) == {("EXPIRED", "CANCELLED", "EMPTY")}
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 3}
    seen = await inventory.article(db, shop.owner, article.id)
    assert (seen.copies, seen.held, seen.sold) == (1, 0, 0)
    back = await db.fetchval(SYSTEM, "SELECT count(*) FROM wallets.refund")
    assert back == 1 and await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
    assert [str(f) for f in await checks.verify_all(db, settings)] == []

"""A purchase key is of one purchase for ever, also when the purchase confirms a quote."""

from uuid import UUID

import httpx

from fondaco.core.db import SYSTEM, Database
from tests.support.money import give_money
from tests.support.people import bearer, make_user
from tests.support.shop import make_listing, make_shop


async def test_a_key_used_for_other_goods_is_refused_and_the_same_goods_are_answered(
    client: httpx.AsyncClient, db: Database
) -> None:
    shop, buyer = await make_shop(db, stock=5), await make_user(db)
    other = await make_listing(db, shop.seller_id, stock=5, price=500)
    await give_money(db, buyer.user(), 50_000)
    headers = await bearer(db, buyer)

    async def buy(listing_id: UUID, quantity: int = 1) -> httpx.Response:
        lines = [{"listing_id": str(listing_id), "quantity": quantity}]
        quote = (await client.post("/api/v1/quotes", json={"lines": lines}, headers=headers)).json()
        return await client.post(
            "/api/v1/orders",
            json={"pay_with": "wallet", "lines": lines, "quote": quote["fingerprint"]},
            headers=headers | {"Idempotency-Key": "k"},
        )

    first = await buy(shop.listing_id)
    await db.execute(SYSTEM, "DELETE FROM core.idempotency")  # a day later
    for answer in (await buy(other), await buy(shop.listing_id, 2)):
        assert (answer.status_code, answer.json()["code"]) == (409, "purchase_key_reused")
    again = await buy(shop.listing_id)
    assert again.json()["order"]["id"] == first.json()["order"]["id"]
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group") == 1

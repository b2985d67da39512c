"""A key is of one purchase alone, also when the cart is bought or another price is confirmed."""

import httpx

from fondaco.core.db import SYSTEM, Database
from tests.support.money import give_money
from tests.support.people import bearer, make_user
from tests.support.shop import make_listing, make_shop


async def test_a_key_of_one_cart_does_not_answer_for_the_next_cart(
    client: httpx.AsyncClient, db: Database
) -> None:
    shop, buyer = await make_shop(db, price=500, stock=5), await make_user(db)
    other = await make_listing(db, shop.seller_id, stock=5, price=700)
    await give_money(db, buyer.user(), 50_000)
    client.headers.update(await bearer(db, buyer))

    async def fill(listing: object) -> str:
        cart = await client.put(f"/api/v1/cart/lines/{listing}", json={"quantity": 1})
        return str(cart.json()["quote"]["fingerprint"])

    async def buy(quote: str, pay_with: str = "wallet") -> httpx.Response:
        sent = {"pay_with": pay_with, "quote": quote}
        return await client.post("/api/v1/orders", json=sent, headers={"Idempotency-Key": "k"})

    first_quote = await fill(shop.listing_id)
    first = await buy(first_quote)
    assert first.status_code == 201
    again = await buy(first_quote)
    assert again.content == first.content and again.headers["idempotent-replayed"] == "true"

    second = await buy(await fill(other))
    assert (second.status_code, second.json()["code"]) == (409, "purchase_key_reused")
    by_card = await buy(first_quote, "card")
    assert (by_card.status_code, by_card.json()["code"]) == (409, "purchase_key_reused")
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group") == 1


async def test_a_key_does_not_answer_for_the_same_goods_at_another_price(
    client: httpx.AsyncClient, db: Database
) -> None:
    shop, buyer = await make_shop(db, price=500, stock=5), await make_user(db)
    await give_money(db, buyer.user(), 50_000)
    client.headers.update(await bearer(db, buyer))
    lines = [{"listing_id": str(shop.listing_id), "quantity": 1}]

    async def buy() -> httpx.Response:
        quote = (await client.post("/api/v1/quotes", json={"lines": lines})).json()["fingerprint"]
        sent = {"pay_with": "wallet", "lines": lines, "quote": quote}
        return await client.post("/api/v1/orders", json=sent, headers={"Idempotency-Key": "k"})

    assert (await buy()).status_code == 201
    await db.execute(SYSTEM, "UPDATE catalog.listing SET price = 900, price_version = price_version + 1")
    dearer = await buy()
    assert (dearer.status_code, dearer.json()["code"]) == (409, "purchase_key_reused")

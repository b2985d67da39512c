"""Buying over the API: from quote to key, for machines; refusals as problems."""

from uuid import uuid4

import httpx

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.web import Parts
from fondaco.vault import Vault
from tests.support.goods import add_keys, make_listing
from tests.support.money import give_money
from tests.support.people import bearer, make_api_key, make_seller, make_user
from tests.support.shop import make_shop, whole


async def test_from_quote_to_key(client: httpx.AsyncClient, db: Database, parts: Parts) -> None:
    seller, buyer = await make_seller(db), await make_user(db)
    listing = await make_listing(db, seller, price=1999)
    await add_keys(db, parts.get(Vault), seller, listing, ["ALPHA-00001-APIKEY", "BRAVO-00002-APIKEY"])
    await give_money(db, buyer.user(), 10_000)
    client.headers.update(await bearer(db, buyer))

    put = await client.put(f"/api/v1/cart/lines/{listing.id}", json={"quantity": 2})
    assert put.status_code == 200, put.text
    quote = (await client.post("/api/v1/quotes", json={})).json()
    assert quote["can_buy"] and quote["total"] == 3998 and quote["enough"]
    bought = await client.post("/api/v1/orders", json={"pay_with": "wallet", "quote": quote["fingerprint"]})
    assert bought.status_code == 201, bought.text
    group = bought.json()["order"]
    assert group["state"] == "DELIVERED" and bought.json()["checkout_url"] is None
    order = group["orders"][0]
    assert "APIKEY" not in bought.text

    assert (await client.get("/api/v1/cart")).json()["count"] == 0
    for i in (group["id"], order["id"]):
        assert (await client.get(f"/api/v1/orders/{i}")).json()["id"] == group["id"]
    listed = (await client.get("/api/v1/orders", params={"state": "DELIVERED"})).json()
    assert [g["id"] for g in listed["items"]] == [group["id"]] and listed["states"] == {"DELIVERED": 1}
    assert not (await client.get("/api/v1/orders", params={"state": "EXPIRED"})).json()["items"]
    library = (await client.get("/api/v1/library", params={"state": "new"})).json()
    assert len(library["items"]) == 2 and "APIKEY" not in str(library)
    shown = await client.post(f"/api/v1/library/{library['items'][0]['id']}/reveal")
    assert shown.status_code == 200 and shown.json()["secret"].endswith("APIKEY")
    assert "no-store" in shown.headers["cache-control"]
    page = (await client.get(f"/api/v1/library/{library['items'][0]['id']}")).json()
    assert len(page["reveals"]) == 1 and "APIKEY" not in str(page)
    receipt = await client.get(f"/api/v1/orders/{order['id']}/receipt")
    assert receipt.headers["content-type"] == "application/pdf" and receipt.content.startswith(b"%PDF")
    done = await client.post(f"/api/v1/orders/{order['id']}/confirm")
    assert done.json()["state"] == "COMPLETED"
    assert (await client.post(f"/api/v1/orders/{order['id']}/cancel")).json()["code"] == "not_waiting"
    await whole(db)

    client.headers.update(await make_api_key(db, seller, "sales.read", "balance.read"))
    sold = (await client.get("/api/v1/seller/orders")).json()
    assert [o["id"] for o in sold["items"]] == [order["id"]] and "APIKEY" not in str(sold)
    one = (await client.get(f"/api/v1/seller/orders/{order['id']}")).json()
    assert one["lines"][0]["revealed"] == 1 and one["net"] == 3599
    money = (await client.get("/api/v1/seller/balance")).json()["items"]
    assert money == [{"currency": "EUR", "held": 0, "pending": 3599, "available": 0}]
    sales = (await client.get("/api/v1/seller/sales", params={"days": 7})).json()["items"]
    assert len(sales) == 7 and sales[-1]["gross"] == 3998


async def test_lines_with_the_price_seen_need_no_quote(client: httpx.AsyncClient, db: Database) -> None:
    shop, buyer = await make_shop(db, price=1999, stock=3), await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    client.headers.update(await bearer(db, buyer))
    line = {"listing_id": str(shop.listing_id), "quantity": 1, "price": 1999}
    key = {"Idempotency-Key": uuid4().hex}
    first = await client.post("/api/v1/orders", json={"pay_with": "wallet", "lines": [line]}, headers=key)
    again = await client.post("/api/v1/orders", json={"pay_with": "wallet", "lines": [line]}, headers=key)
    assert first.status_code == again.status_code == 201
    assert first.json()["order"]["id"] == again.json()["order"]["id"]
    cheaper = {**line, "price": 1}
    refused = await client.post("/api/v1/orders", json={"pay_with": "wallet", "lines": [cheaper]})
    assert refused.status_code == 409 and refused.json()["code"] == "price_changed"
    assert refused.json()["lines"][0]["price"] == 1999
    bare = {"listing_id": str(shop.listing_id), "quantity": 1}
    assert (
        await client.post("/api/v1/orders", json={"pay_with": "wallet", "lines": [bare]})
    ).status_code == 422
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group") == 1


async def test_hostile_quantities_and_prices(client: httpx.AsyncClient, db: Database) -> None:
    shop, buyer = await make_shop(db, price=1999, stock=3), await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    client.headers.update(await bearer(db, buyer))
    good = {"listing_id": str(shop.listing_id), "quantity": 1, "price": 1999}
    hostile = [-1, 0, 1.5, "1e3", 2**31, 2**63, None, [], True, "１", " 1", "+1", "01"]
    for name, value in [(n, v) for n in ("quantity", "price") for v in hostile]:
        if name == "price" and value is None:
            continue  # a price may be left out; then nothing is bought either
        sent = {"pay_with": "wallet", "lines": [{**good, name: value}]}
        answer = await client.post("/api/v1/orders", json=sent)
        assert answer.status_code in (400, 422), (name, value, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    raw = f'{{"pay_with":"wallet","lines":[{{"listing_id":"{shop.listing_id}","quantity":1e309}}]}}'
    nan = raw.replace("1e309", "NaN")
    for body in (raw, nan, raw[:-3], "\x00", '{"pay_with":"wallet","lines":[],"total":1}'):
        answer = await client.post(
            "/api/v1/orders", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422), answer.text
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group") == 0


async def test_fields_that_are_ours_to_set_are_refused(client: httpx.AsyncClient, db: Database) -> None:
    shop, buyer = await make_shop(db, stock=3), await make_user(db)
    client.headers.update(await bearer(db, buyer))
    line = {"listing_id": str(shop.listing_id), "price": 1999}
    for extra in ({"total": 1}, {"buyer_id": str(uuid7())}, {"commission": 0}, {"state": "DELIVERED"}):
        answer = await client.post("/api/v1/orders", json={"pay_with": "wallet", "lines": [line], **extra})
        assert answer.status_code in (400, 422)


async def test_others_things_answer_like_nothing(client: httpx.AsyncClient, db: Database) -> None:
    shop, buyer, stranger = await make_shop(db, stock=3), await make_user(db), await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    line = {"listing_id": str(shop.listing_id), "price": 1999}
    client.headers.update(await bearer(db, buyer))
    group = (await client.post("/api/v1/orders", json={"pay_with": "wallet", "lines": [line]})).json()[
        "order"
    ]
    order = group["orders"][0]
    key = order["lines"][0]["entitlements"][0]
    client.headers.update(await bearer(db, stranger))
    nothing = str(uuid7())
    for method, path in (
        ("GET", "/api/v1/orders/{}"),
        ("POST", "/api/v1/orders/{}/cancel"),
        ("POST", "/api/v1/orders/{}/confirm"),
        ("POST", "/api/v1/orders/{}/pay"),
        ("GET", "/api/v1/orders/{}/receipt"),
        ("GET", "/api/v1/library/{}"),
        ("POST", "/api/v1/library/{}/reveal"),
        ("GET", "/api/v1/seller/orders/{}"),
    ):
        foreign = await client.request(method, path.format(key if "library" in path else order["id"]))
        random = await client.request(method, path.format(nothing))
        assert foreign.status_code == random.status_code == 404, path
        assert foreign.content == random.content
    del client.headers["Authorization"]
    assert (await client.get(f"/api/v1/orders/{order['id']}")).status_code == 401


async def test_guests_have_carts_and_quotes_too(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, price=500, stock=3)
    first = await client.put(f"/api/v1/cart/lines/{shop.listing_id}", json={"quantity": 2})
    token = {"Cart-Token": first.json()["token"]}
    assert (await client.get("/api/v1/cart", headers=token)).json()["quote"]["total"] == 1000
    assert (await client.get("/api/v1/cart")).json()["count"] == 0
    user = await make_user(db)
    merged = await client.post("/api/v1/cart/merge", headers={**token, **await bearer(db, user)})
    assert merged.json()["count"] == 2
    assert (await client.get("/api/v1/cart", headers=token)).json()["count"] == 0
    assert (await client.delete("/api/v1/cart", headers=await bearer(db, user))).status_code == 204


async def test_too_little_money_says_how_much(client: httpx.AsyncClient, db: Database) -> None:
    shop, buyer = await make_shop(db, price=1999, stock=3), await make_user(db)
    await give_money(db, buyer.user(), 1000)
    client.headers.update(await bearer(db, buyer))
    line = {"listing_id": str(shop.listing_id), "price": 1999}
    answer = await client.post("/api/v1/orders", json={"pay_with": "wallet", "lines": [line]})
    assert answer.status_code == 409 and answer.json()["code"] == "insufficient_funds"
    assert (answer.json()["balance"], answer.json()["total"]) == (1000, 1999)
    assert "€9.99" in answer.json()["detail"]

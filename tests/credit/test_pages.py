"""Credit through the pages, without scripts: offered at the checkout, told on the order, paid from the
wallet's page, seen and set at the desk."""

import asyncpg
import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.ledger import wallet_of
from fondaco.settings import Settings
from tests.credit.builders import TERMS, age, allow, owed, state_of, take
from tests.pages.account.browser import send, text_of
from tests.pages.account.conftest import Doors
from tests.pages.console.conftest import Desk
from tests.pages.storefront.buying import into_cart
from tests.support.money import amount_on, give_money
from tests.support.people import bearer, make_user
from tests.support.sandbox import RunningSandbox
from tests.support.shop import Shop, make_shop

DESK = "/console/credit"
LATER = "pay €4.00 later"


async def at_the_checkout(
    client: httpx.AsyncClient, db: Database, doors: Doors, wallet: int = 0
) -> tuple[Viewer, Shop, httpx.Response]:
    buyer = await doors.enter(await make_user(db, country="DE"))
    if wallet:
        await give_money(db, buyer.user(), wallet)
    shop = await make_shop(db, price=400, stock=3)
    await into_cart(client, db, shop.listing_id)
    return buyer, shop, await client.get("/checkout")


async def test_nothing_is_offered_where_there_is_no_credit(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    _, _, page = await at_the_checkout(client, db, doors)
    assert LATER not in page.text
    forced = await send(client, page, "/checkout", pay_with="instant_credit")
    assert forced.status_code == 409 and "not offered here. Nothing was charged." in text_of(forced.text)


async def test_it_is_offered_bought_told_and_paid(
    client: httpx.AsyncClient, db: Database, doors: Doors, paying: RunningSandbox
) -> None:
    await allow(db)
    buyer, _, page = await at_the_checkout(client, db, doors, wallet=150)
    words = text_of(page.text)
    assert LATER in words and "You owe €2.50, as your wallet pays €1.50 of it now" in words
    done = await send(client, page, "/checkout", pay_with="instant_credit")
    order = await client.get(done.headers["location"])
    words = text_of(order.text)
    assert "1 key is in your library" in words and "On credit" in words, words
    assert "€2.50 still to be paid" in words and "Bought on credit" in words
    wallet = await client.get("/wallet")
    assert "You owe €2.50" in text_of(wallet.text) and "Pay €2.50 now" in text_of(wallet.text)
    going = await send(client, wallet, "/wallet/credit/pay")
    row = await db.fetchrow(SYSTEM, "SELECT id, session_id, session_url, amount FROM wallets.funding")
    assert row and going.headers["location"] == row["session_url"] and row["amount"] >= 250
    paying.pay(row["session_id"])
    await client.get(f"/wallet/top-ups/{row['id']}?paid=1")
    assert await owed(db, buyer) == 0
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == row["amount"] - 250
    words = text_of((await client.get("/wallet")).text)
    assert "You owe" not in words and "Paid: owed for a purchase on credit" in words
    assert "Nothing is owed for it any more" in text_of((await client.get(done.headers["location"])).text)


async def test_nothing_is_owed_and_nothing_is_paid(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await doors.enter()
    seen = await client.get("/wallet")
    token = {"_csrf_token": client.cookies.get("csrf") or ""}
    origin = {"Origin": str(client.base_url).rstrip("/")}
    answer = await client.post("/wallet/credit/pay", data=token, headers=origin)
    assert seen.status_code == 200 and answer.status_code == 303


async def test_what_is_overdue_is_said(
    client: httpx.AsyncClient, db: Database, doors: Doors, owner: asyncpg.Connection
) -> None:
    await allow(db)
    buyer, shop, _ = await at_the_checkout(client, db, doors)
    await age(owner, await take(db, buyer, shop.wish()), 15)
    words = text_of((await client.get("/wallet")).text)
    assert "Overdue" in words and "was due" in words
    assert LATER not in (await client.get("/checkout")).text


async def test_the_api_buys_tells_and_pays(client: httpx.AsyncClient, db: Database) -> None:
    await allow(db)
    buyer = await make_user(db, country="DE")
    client.headers.update(await bearer(db, buyer))
    shop = await make_shop(db, price=400, stock=3)
    line = {"listing_id": str(shop.listing_id), "quantity": 1, "price": 400}
    body = {"pay_with": "instant_credit", "lines": [line]}
    key = {"Idempotency-Key": "one"}
    bought = await client.post("/api/v1/orders", json=body, headers=key)
    assert bought.status_code == 201, bought.text
    again = await client.post("/api/v1/orders", json=body, headers=key)
    assert again.json()["order"]["id"] == bought.json()["order"]["id"] and await owed(db, buyer) == 400
    refused = await client.post("/api/v1/orders", json=body, headers={"Idempotency-Key": "two"})
    assert (refused.status_code, refused.json()["code"], refused.json()["because"]) == (
        409,
        "no_credit",
        "cap",
    )
    told = (await client.get("/api/v1/credit")).json()
    assert told["owed"] == {"EUR": 400} and told["credits"][0]["state"] == "OWED"
    empty = await client.post("/api/v1/credit/pay")
    assert (empty.status_code, empty.json()["code"]) == (409, "nothing_to_pay_with")
    await give_money(db, buyer.user(), 500)
    paid = await client.post("/api/v1/credit/pay")
    assert paid.status_code == 200 and paid.json()["owed"] == {}
    over = await client.post("/api/v1/credit/pay")
    assert (over.status_code, over.json()["code"]) == (409, "no_credit_owed")


@pytest.fixture
async def desk(client: httpx.AsyncClient, db: Database) -> Desk:
    return Desk(client, db)


FORM = {
    "order_max": "4",
    "cap": "5",
    "cap_warning": "0",
    "total_cap": "300",
    "days_to_pay": "14",
    "remind_days": "3",
    "write_off_days": "30",
    "reason": "An offer <b>now</b>",
}


async def test_terms_are_looked_at_set_changed_and_ended(desk: Desk) -> None:
    await desk.as_("finance")
    assert "No credit is given" in await desk.get(DESK)
    assert 'value="5.00"' in await desk.get(f"{DESK}/terms")
    tried = (await desk.post(f"{DESK}/terms", 200, **FORM)).text
    assert "all together up to €300.00" in tried
    assert await desk.db.fetchval(SYSTEM, "SELECT count(*) FROM credit.policy") == 0
    await desk.post(f"{DESK}/terms", **FORM, act="set")
    page = await desk.get(DESK)
    assert "&lt;b&gt;now" in page and "<b>now" not in page and "Credit is given" in page
    await desk.post(f"{DESK}/terms", **FORM | {"cap": "8"}, act="set")
    assert "Terms that have ended" in await desk.get(f"{DESK}/terms")
    assert "Give no more credit?" in await desk.get(f"{DESK}/terms/end")
    await desk.post(f"{DESK}/terms/end")
    assert "No credit is given" in await desk.get(DESK)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cap", "x"),
        ("cap", "0"),
        ("order_max", "6"),
        ("cap_warning", "6"),
        ("total_cap", "1"),
        ("days_to_pay", "0"),
        ("days_to_pay", "91"),
        ("remind_days", "15"),
        ("write_off_days", ""),
        ("reason", ""),
    ],
)
async def test_what_cannot_be_is_said_beside_the_field(desk: Desk, field: str, value: str) -> None:
    await desk.as_("admin")
    answer = await desk.post(f"{DESK}/terms", 422, **FORM | {field: value}, act="set")
    assert f'id="f-{field}-error"' in answer.text
    assert await desk.db.fetchval(SYSTEM, "SELECT count(*) FROM credit.policy") == 0


async def test_the_desk_shows_who_owes_what_and_how_old_it_is(
    desk: Desk, owner: asyncpg.Connection, settings: Settings
) -> None:
    await allow(desk.db)
    buyer, shop = await make_user(desk.db, country="DE"), await make_shop(desk.db, price=200, stock=9)
    old, _ = await take(desk.db, buyer, shop.wish()), await take(desk.db, buyer, shop.wish())
    await age(owner, old, 20)
    await desk.as_("auditor")
    words = text_of(await desk.get(DESK))
    assert "What is owed, by age" in words and "Overdue" in words and "€4.00" in words
    assert "by 1 buyer" in words and buyer.email in words
    assert await state_of(desk.db, old) == "OWED" and TERMS.total_cap
    assert "Nothing matches" in text_of(await desk.get(f"{DESK}?state=PAID"))
    await desk.get(f"{DESK}/terms", 403)
    group = text_of(await desk.get(f"/console/orders/{old}"))
    assert "Bought on credit" in group and "Delivered on credit" in group and "on credit" in group


async def test_support_does_not_see_it(desk: Desk) -> None:
    await desk.as_("support")
    await desk.get(DESK, 403)

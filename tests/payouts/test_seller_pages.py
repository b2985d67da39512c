"""What a seller sees of its money, and does with it: pages and API."""

import asyncpg

from fondaco.core.db import SYSTEM
from fondaco.payouts.batch import run_due
from fondaco.settings import Settings
from tests.pages.account.browser import hidden_fields, text_of
from tests.pages.seller.conftest import Desk, desk
from tests.support.payouts import activate, earn, owe, paid_shop, payouts_of
from tests.support.people import make_api_key, make_member, make_seller
from tests.support.shop import make_shop

__all__ = ["desk"]
WITHDRAW = "/seller/payouts/withdraw"


async def test_why_nothing_goes_out_and_what_to_do(desk: Desk, owner: asyncpg.Connection) -> None:
    shop = await make_shop(desk.db, price=1000)
    await earn(desk.db, owner, shop)
    await desk.enter(shop.owner)
    words = text_of(await desk.see("/seller/balance"))
    assert "You have not set up where the money goes." in words and "€9.00" in words
    assert "Where shall your money go?" in text_of(await desk.see("/seller/payout-account"))
    refused = text_of(await desk.see(WITHDRAW))
    assert "Not now" in refused and "Continue" not in refused
    await activate(desk.db, shop.seller_id)
    words = text_of(await desk.see("/seller/balance"))
    assert "€9.00 goes out with the next payout" in words
    await owe(desk.db, shop, 200)
    words = text_of(await desk.see("/seller/balance"))
    assert "€7.00 goes out with the next payout" in words and "You owe €2.00" in words


async def test_a_withdrawal_is_confirmed_and_sent_once(desk: Desk, owner: asyncpg.Connection) -> None:
    shop = await paid_shop(desk.db, owner, 2)
    await desk.enter(shop.owner)
    for typed, words in (("x", "amount"), ("18.01", "At most €18.00"), ("0", "At most €18.00")):
        answer = await desk.send(WITHDRAW, WITHDRAW, amount=typed)
        assert answer.status_code == 422 and words in text_of(answer.text), typed
    asked = await desk.send(WITHDRAW, WITHDRAW, amount="12.50")
    assert asked.status_code == 200 and "Pay out €12.50?" in text_of(asked.text)
    assert await payouts_of(desk.db, shop) == []
    fields = hidden_fields(asked.text, WITHDRAW)
    for _ in range(2):
        done = await desk.client.post(WITHDRAW, data=fields, headers={"Origin": "http://127.0.0.1:8000"})
        assert done.status_code == 303, done.text
    (payout,) = await payouts_of(desk.db, shop)
    assert payout["amount"] == 1250
    page = text_of(await desk.see(f"/seller/payouts/{payout['id']}"))
    assert "€9.00" in page and "€3.50" in page and "Withdrawal" in page
    assert "€12.50" in text_of(await desk.see("/seller/payouts?state=CREATED"))
    assert "Nothing matches" in text_of(await desk.see("/seller/payouts?state=PAID"))
    entries = text_of(await desk.see("/seller/balance?account=available"))
    assert "Set aside for a payout" in entries


async def test_who_may(desk: Desk, owner: asyncpg.Connection, settings: Settings) -> None:
    shop = await paid_shop(desk.db, owner)
    await run_due(desk.db, settings)
    (payout,) = await payouts_of(desk.db, shop)
    await desk.enter(await make_member(desk.db, shop.owner, "manager"))
    await desk.see("/seller/payouts")
    await desk.see(WITHDRAW, 403)
    await desk.enter(await make_member(desk.db, shop.owner, "finance"))
    await desk.see(WITHDRAW)
    assert "The store's owner sets it up" in await desk.see("/seller/payout-account")
    await desk.enter(await make_member(desk.db, shop.owner, "fulfilment"))
    await desk.see("/seller/payouts", 403)
    await desk.enter(await make_seller(desk.db))
    await desk.see(f"/seller/payouts/{payout['id']}", 404)
    assert "No payout yet" in await desk.see("/seller/payouts")


async def test_the_api(desk: Desk, owner: asyncpg.Connection) -> None:
    shop = await paid_shop(desk.db, owner, 2)
    desk.client.headers.update(await make_api_key(desk.db, shop.owner, "payouts.request", "balance.read"))
    money = (await desk.client.get("/api/v1/seller/money")).json()
    assert money["account"]["state"] == "ACTIVE"
    assert (money["buckets"][0]["available"], money["buckets"][0]["gates"]) == (1800, [])
    wanted = {"json": {"amount": 1000}, "headers": {"Idempotency-Key": "one"}}
    first = await desk.client.post("/api/v1/seller/payouts", **wanted)
    again = await desk.client.post("/api/v1/seller/payouts", **wanted)
    assert first.status_code == again.status_code == 201, first.text
    assert first.json() == again.json()
    assert first.json()["amount"] == 1000
    await owner.execute("DELETE FROM core.idempotency")  # its answer was never kept: the payout is
    third = await desk.client.post("/api/v1/seller/payouts", **wanted)
    assert third.json()["id"] == first.json()["id"]
    listed = (await desk.client.get("/api/v1/seller/payouts")).json()["items"]
    assert [p["id"] for p in listed] == [first.json()["id"]]
    for state, n in (("CREATED", 1), ("PAID", 0)):
        some = await desk.client.get("/api/v1/seller/payouts", params={"state": state})
        assert len(some.json()["items"]) == n
    assert (await desk.client.get("/api/v1/seller/payouts", params={"state": "X"})).status_code == 422
    one = (await desk.client.get(f"/api/v1/seller/payouts/{listed[0]['id']}")).json()
    assert [i["amount"] for i in one["items"]] == [900, 100]
    more = await desk.client.post("/api/v1/seller/payouts", json={"amount": 801})
    assert (more.status_code, more.json()["code"]) == (409, "not_enough_available")
    await owner.execute("UPDATE sellers.seller SET state = 'SUSPENDED'")
    closed = await desk.client.post("/api/v1/seller/payouts", json={})
    assert (closed.status_code, closed.json()["code"]) == (409, "payouts_closed")
    assert closed.json()["reasons"] == ["store_suspended"]
    bad = await desk.client.post("/api/v1/seller/payouts", json={"amount": 0})
    assert bad.status_code == 422
    assert await desk.db.fetchval(SYSTEM, "SELECT count(*) FROM payouts.payout") == 1

"""Refunds on the pages and in the API: buyers, sellers and desks, and the mails that follow."""

from uuid import UUID, uuid4

import httpx
import pytest

from fondaco import orders, refunds
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from fondaco.settings import Settings
from tests.pages.account.browser import text_of
from tests.pages.account.conftest import Doors
from tests.refunds.test_refund_line import entitlements, line_of, reveal
from tests.support.money import give_money
from tests.support.people import make_member, make_user, sign_in
from tests.support.shop import Shop, make_shop, purchase


@pytest.fixture
def doors(client: httpx.AsyncClient, db: Database) -> Doors:
    return Doors(client, db)


async def delivered(
    db: Database, parts: Parts, settings: Settings, n: int = 2
) -> tuple[Viewer, Shop, UUID, UUID]:
    """A purchase of n keys on the marketplace's terms: buyer, shop, group and line."""
    shop = await make_shop(db, price=1000, stock=n + 2)
    buyer = await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    asked = purchase(buyer, shop.wish(n))
    fields = {name: getattr(asked, name) for name in asked.__dataclass_fields__}
    asked = type(asked)(**{**fields, "policy": orders.policy_of(settings)})
    done = await orders.buy_with_wallet(parts.get(orders.Combiner), asked)
    line = await db.fetchval(SYSTEM, "SELECT id FROM orders.order_line WHERE buyer_id = $1", buyer.user())
    return buyer, shop, done.group_id, line


async def order_of(db: Database, line: UUID) -> UUID:
    return (await line_of(db, line))["order_id"]


async def see(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status_code == status, (path, answer.status_code, answer.text[:800])
    return text_of(answer.text)


async def post(client: httpx.AsyncClient, path: str, status: int = 303, **fields: str) -> httpx.Response:
    await client.get("/browse")
    fields["_csrf_token"] = client.cookies.get("csrf") or ""
    answer = await client.post(path, data=fields, headers={"Origin": "http://127.0.0.1:8000"})
    assert answer.status_code == status, (path, answer.status_code, answer.text[:800])
    return answer


async def test_a_buyer_gives_back_on_the_page(
    db: Database, parts: Parts, settings: Settings, client: httpx.AsyncClient, doors: Doors
) -> None:
    buyer, _, group, line = await delivered(db, parts, settings)
    await doors.enter(buyer)
    assert "Give it back" in await see(client, f"/orders/{group}")
    assert "€20.00 are in your wallet at once" in await see(client, f"/orders/lines/{line}/return")
    await post(client, f"/orders/lines/{line}/return")
    page = await see(client, f"/orders/{group}")
    assert "€20.00 given back to you" in page and "Refunded" in page and "Give it back" not in page
    one = (await entitlements(db, line))[0]["id"]
    assert "Its money went back to you" in await see(client, f"/library/{one}")
    await doors.enter()
    await see(client, f"/orders/lines/{line}/return", 404)
    await post(client, f"/orders/lines/{line}/return", 404)


async def test_a_bad_key_from_report_to_replacement(
    db: Database, parts: Parts, settings: Settings, client: httpx.AsyncClient, doors: Doors
) -> None:
    buyer, shop, _, line = await delivered(db, parts, settings, 1)
    one = (await entitlements(db, line))[0]["id"]
    await reveal(db, buyer, one)
    await doors.enter(buyer)
    assert "It does not work" in await see(client, f"/library/{one}")
    await post(client, f"/library/{one}/report", 422, why="x")
    await post(client, f"/library/{one}/report", why="It says: already used")
    assert "Waits for the seller" in await see(client, f"/library/{one}")
    report = await db.fetchval(SYSTEM, "SELECT id FROM refunds.report")
    order = await order_of(db, line)
    await doors.enter(shop.owner)
    assert "The buyer says a key does not work" in await see(client, f"/seller/orders/{order}")
    listed = await client.get("/seller/reports")
    assert "It says: already used" in listed.text and f'href="/seller/reports/{report}"' in listed.text
    assert "already used" not in await see(client, "/seller/reports?state=REFUSED")
    await doors.enter((await make_shop(db)).owner)
    assert "No key was reported" in await see(client, "/seller/reports")
    await doors.enter(shop.owner)
    assert "It says: already used" in await see(client, f"/seller/reports/{report}")
    await post(client, f"/seller/reports/{report}/refuse", 422, words="")
    await post(client, f"/seller/reports/{report}/replace")
    await post(client, f"/seller/reports/{report}/refund", 409)
    await doors.enter(buyer)
    assert "This key was replaced" in await see(client, f"/library/{one}")
    await read_events(parts)
    mails = await db.fetch(SYSTEM, "SELECT template FROM notifications.mail ORDER BY template")
    assert {"bad_key_reported", "bad_key_answered"} <= {m["template"] for m in mails}
    said = "SELECT count(*) FROM notifications.mail m WHERE m::text LIKE '%already used%'"
    assert await db.fetchval(SYSTEM, said) == 0  # nobody's own words are in a mail


async def test_a_seller_gives_money_back_on_the_page(
    db: Database, parts: Parts, settings: Settings, client: httpx.AsyncClient, doors: Doors
) -> None:
    _, shop, _, line = await delivered(db, parts, settings)
    order = await order_of(db, line)
    form = f"/seller/orders/{order}/lines/{line}/refund"
    await doors.enter(shop.owner)
    assert "Give money back" in await see(client, f"/seller/orders/{order}")
    assert "€20.00 are left to give back" in await see(client, form)
    await post(client, form, 422, amount="abc", reason="other")
    await post(client, form, 422, amount="5.00", reason="")
    await post(client, form, 409, amount="50.00", reason="other")
    await post(client, form, amount="5.00", reason="wrong_goods", why="Sorry for that")
    page = await see(client, f"/seller/orders/{order}")
    assert "€5.00 given back" in page and "Sorry for that" in page and "€13.50" in page
    await doors.enter(await make_member(db, shop.owner, "read_only"))
    await see(client, f"/seller/orders/{order}")
    await see(client, form, 403)
    await read_events(parts)
    mails = await db.fetch(SYSTEM, "SELECT template FROM notifications.mail")
    assert "line_refunded" in {m["template"] for m in mails}


async def test_a_desk_gives_back_and_asks_above_the_limit(
    db: Database, parts: Parts, settings: Settings, client: httpx.AsyncClient, doors: Doors
) -> None:
    buyer, _, _, line = await delivered(db, parts, settings)
    order = await order_of(db, line)
    form = f"/console/orders/{order}/lines/{line}/refund"
    await doors.enter(await make_user(db, staff_role="finance"))
    assert "Give money back" in await see(client, f"/console/orders/{order}")
    await post(client, form, 422, amount="1.00", reason="other", why="")
    await post(client, form, amount="1.00", reason="other", why="Agreed on the phone")
    page = await see(client, f"/console/orders/{order}")
    assert "€1.00 to the wallet" in page and "Money given back to the buyer" in page
    await doors.enter(await make_user(db, staff_role="ops"))
    await post(client, form, amount="2.00", reason="other", why="Agreed on the phone")
    assert (await line_of(db, line))["refunded"] == 100
    assert "Asked for a second person" in await see(client, f"/console/orders/{order}")
    await doors.enter(await make_user(db, staff_role="support"))
    await see(client, form, 403)
    await doors.enter(await make_user(db, staff_role="admin"))
    await post(client, f"/console/people/{buyer.user_id}/goodwill", 422, amount="", why="x")
    page = (await client.get(f"/console/people/{buyer.user_id}/goodwill")).text
    key = page.split('name="key" value="')[1].split('"')[0]
    await post(
        client, f"/console/people/{buyer.user_id}/goodwill", amount="3.00", why="For the trouble", key=key
    )
    journal = await db.fetchval(SYSTEM, "SELECT id FROM ledger.journal WHERE kind = 'goodwill'")
    assert "Undo it" in await see(client, f"/console/ledger/journals/{journal}")
    await post(client, f"/console/ledger/journals/{journal}/undo", because="It was the wrong person")
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM approvals.request WHERE state = 'OPEN'") == 2


async def test_finance_adjusts_balances_and_asks_for_forfeits(
    db: Database, parts: Parts, client: httpx.AsyncClient, doors: Doors
) -> None:
    buyer, shop = await make_user(db), await make_shop(db)
    slug = await db.fetchval(SYSTEM, "SELECT slug FROM sellers.seller WHERE id = $1", shop.seller_id)
    form = "/console/adjustments"
    await doors.enter(await make_user(db, staff_role="support"))
    await see(client, form, 403)
    await doors.enter(await make_user(db, staff_role="finance"))
    assert "No adjustments yet" in await see(client, form)
    given = {"act": "credit", "amount": "3.00", "why": "Charged twice", "evidence": "Ticket 4711"}
    await doors.enter(await make_user(db, staff_role="finance"))
    assert "Adjust the balance" in await see(client, f"/console/people/{buyer.user_id}")
    for wrong in (
        {"who": "nobody@example.test"},
        {"who": "a\x00b"},
        {"act": "gift"},
        {"evidence": ""},
        {"amount": "x"},
    ):
        await post(client, form, 422, **{**given, "who": str(buyer.email), "key": uuid4().hex, **wrong})
    key = (await client.get(form)).text.split('name="key" value="')[1].split('"')[0]
    for _ in range(2):
        await post(client, form, **given, who=str(buyer.email), key=key)
    page = await see(client, form)
    assert page.count("Ticket 4711") == 1 and "€3.00" in page
    await post(client, form, 409, **{**given, "act": "forfeit"}, who=slug, key=uuid4().hex)
    await post(client, form, **{**given, "amount": "30.00"}, who=slug, key=uuid4().hex)
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM approvals.request WHERE state = 'OPEN'") == 1
    await read_events(parts)
    mail = await db.fetchrow(SYSTEM, "SELECT * FROM notifications.mail WHERE template = 'money_adjusted'")
    assert mail
    as_finance = {"Authorization": f"Bearer {await sign_in(db, await make_user(db, staff_role='finance'))}"}
    listed = (await client.get("/api/v1/console/adjustments", headers=as_finance)).json()["items"]
    assert [one["amount"] for one in listed] == [300]
    body = {"key": uuid4().hex, "amount": -100, "currency": "EUR", "why": "Too much", "evidence": "Ticket 12"}
    answer = await client.post(
        "/api/v1/console/adjustments", json={**body, "user_id": str(buyer.user())}, headers=as_finance
    )
    assert (answer.status_code, answer.json()) == (200, {"done": True})
    answer = await client.post(
        "/api/v1/console/forfeits", json={**body, "seller_id": str(shop.seller_id)}, headers=as_finance
    )
    assert answer.status_code == 409


async def test_the_api(
    db: Database, parts: Parts, settings: Settings, client: httpx.AsyncClient, doors: Doors
) -> None:
    buyer, shop, group, line = await delivered(db, parts, settings)
    as_buyer = {"Authorization": f"Bearer {await sign_in(db, buyer)}"}
    as_seller = {"Authorization": f"Bearer {await sign_in(db, shop.owner)}"}
    url = f"/api/v1/seller/order-lines/{line}/refund"
    assert (await client.post(url, json={"reason": "other"}, headers=as_buyer)).status_code == 404
    given = await client.post(url, json={"reason": "other", "amount": 700}, headers=as_seller)
    assert given.status_code == 201 and given.json()["amount"] == 700
    above = await client.post(url, json={"reason": "other", "amount": 1301}, headers=as_seller)
    assert above.status_code == 409 and above.json()["code"] == "refund_above_rest"
    order = (await client.get(f"/api/v1/orders/{group}", headers=as_buyer)).json()
    shown = order["orders"][0]["lines"][0]
    assert shown["refunded"] == 700 and shown["release_policy"] == "delivered_days" and shown["return_until"]
    back = await client.post(f"/api/v1/order-lines/{line}/return", headers=as_buyer)
    assert [r["amount"] for r in back.json()["items"]] == [700, 1300]
    listed = await client.get(f"/api/v1/seller/orders/{order['orders'][0]['id']}/refunds", headers=as_seller)
    assert len(listed.json()["items"]) == 2
    again = await client.post(f"/api/v1/order-lines/{line}/return", headers=as_buyer)
    assert again.status_code == 409
    assert (await refunds.own_refunds(db, buyer, group))[0].amount == 700


async def test_a_store_s_own_release_policy(
    db: Database, client: httpx.AsyncClient, doors: Doors, settings: Settings, parts: Parts
) -> None:
    shop = await make_shop(db, price=1000, stock=3)
    page = f"/console/sellers/{shop.seller_id}/release"
    await doors.enter(await make_user(db, staff_role="finance"))
    assert "3 days after the delivery" in await see(client, page)
    await post(client, page, 422, policy="revealed_hours", days="61", hours="")
    await post(client, page, policy="confirmed", days="20", hours="")
    buyer = await make_user(db)
    await give_money(db, buyer.user(), 1000)
    await orders.buy_with_wallet(parts.get(orders.Combiner), purchase(buyer, shop.wish()))
    terms = await db.fetchval(SYSTEM, "SELECT terms FROM orders.order_line")
    assert "20 days" in orders.release_words(terms) and terms["release"]["policy"] == "confirmed"
    await post(client, page, policy="")
    assert (
        await db.fetchval(SYSTEM, "SELECT release FROM sellers.seller WHERE id = $1", shop.seller_id) is None
    )
    await see(client, f"/console/sellers/{buyer.user_id}/release", 404)
    await doors.enter(await make_user(db, staff_role="ops"))
    await see(client, page, 403)

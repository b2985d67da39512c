"""How a store is paid on its pages and on the desk, and what buyers of such a store see."""

import httpx
import pytest

from fondaco import approvals, destination
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Problem
from tests.pages.account.conftest import Doors
from tests.refunds.test_pages import post, see
from tests.support.money import give_money, make_staff
from tests.support.payouts import activate
from tests.support.people import make_user, sign_in
from tests.support.shop import Shop, make_shop


@pytest.fixture
def doors(client: httpx.AsyncClient, db: Database) -> Doors:
    return Doors(client, db)


@pytest.fixture
async def shop(db: Database) -> Shop:
    shop = await make_shop(db, price=1000, stock=5)
    await activate(db, shop.seller_id)
    await db.execute(SYSTEM, "UPDATE payouts.account SET transfers_active = true")
    return shop


async def test_the_owner_asks_and_finance_approves(
    db: Database, client: httpx.AsyncClient, doors: Doors, shop: Shop
) -> None:
    await doors.enter(shop.owner)
    assert "money is held here" in await see(client, "/seller/paid-at-sale")
    await post(client, "/seller/paid-at-sale", 422, policy="destination", reason="")
    await post(client, "/seller/paid-at-sale", policy="destination", reason="We are well known")
    assert "Waiting for finance" in await see(client, "/seller/paid-at-sale")
    request = await db.fetchval(SYSTEM, "SELECT id FROM approvals.request WHERE kind = 'store.funding'")
    await approvals.decide(db, await make_staff(db, "finance"), request, True)
    page = await see(client, "/seller/paid-at-sale")
    assert "Buyers pay the store's own account" in page and "Waiting for finance" not in page
    assert (await destination.own_policy(db, shop.owner)).version == 1
    with pytest.raises(Problem) as refused:
        await destination.ask_for(db, shop.owner, "destination", "again")
    assert refused.value.code == "same_already"


async def test_a_store_without_an_account_cannot(
    db: Database, client: httpx.AsyncClient, doors: Doors
) -> None:
    bare = await make_shop(db)
    await doors.enter(bare.owner)
    assert "complete it first" in await see(client, "/seller/paid-at-sale")
    await post(client, "/seller/paid-at-sale", 409, policy="destination", reason="please")


async def test_an_administrator_decides_alone_and_finance_does_not(
    db: Database, client: httpx.AsyncClient, doors: Doors, shop: Shop
) -> None:
    form = f"/console/sellers/{shop.seller_id}/funding"
    await doors.enter(await make_user(db, staff_role="support"))
    await see(client, form, 403)
    await doors.enter(await make_user(db, staff_role="finance"))
    await post(client, form, policy="destination", reason="A trusted store")
    assert (await destination.own_policy(db, shop.owner)).policy == "standard"
    await doors.enter(await make_user(db, staff_role="admin"))
    assert "waiting under approvals" in await see(client, form)
    await post(client, form, policy="destination", reason="A trusted store")
    assert "Version 1" in await see(client, form)
    await post(client, form, policy="standard", reason="Not any more")
    assert (await destination.own_policy(db, shop.owner)).version == 2


async def test_a_cart_with_such_a_store_takes_two_payments(
    db: Database, client: httpx.AsyncClient, doors: Doors, shop: Shop
) -> None:
    await destination.set_policy(db, await make_staff(db, "admin"), shop.seller_id, "destination", "trusted")
    other = await make_shop(db, price=700, stock=5)
    buyer = await make_user(db)
    await give_money(db, buyer.user(), 5000)
    await doors.enter(buyer)
    for each in (shop, other):
        await post(client, "/cart/add", listing_id=str(each.listing_id), quantity="1")
    page = await see(client, "/checkout")
    assert "takes 2 payments" in page and "Pay €7.00 from your wallet" in page
    name = str(shop.owner.seller_name)
    assert f"Pay {name} first" in page
    slug = await db.fetchval(SYSTEM, "SELECT slug FROM sellers.seller WHERE id = $1", shop.seller_id)
    page = await see(client, f"/checkout?store={slug}")
    assert "Pay €10.00 by card" in page and "from your wallet" not in page
    assert f"Sold and paid directly to {name}" in page and "Escrow" not in page
    html = (await client.get("/checkout")).text
    quote = html.split('name="quote" value="')[1].split('"')[0]
    await post(client, "/checkout", quote=quote, idem="k1", pay_with="wallet", store="")
    page = await see(client, "/checkout")
    assert "Pay €10.00 by card" in page and "takes 2" not in page


async def test_the_quote_says_it_and_a_mixed_purchase_is_refused(
    db: Database, client: httpx.AsyncClient, shop: Shop, doors: Doors
) -> None:
    await destination.set_policy(db, await make_staff(db, "admin"), shop.seller_id, "destination", "trusted")
    other = await make_shop(db, price=700, stock=5)
    lines = [{"listing_id": str(each.listing_id), "quantity": 1} for each in (shop, other)]
    told = (await client.post("/api/v1/quotes", json={"lines": lines})).json()
    assert (told["purchases"], [line["at_sale"] for line in told["lines"]]) == (2, [True, False])
    assert "directly to this store" in told["lines"][0]["words"]
    bearer = {"Authorization": f"Bearer {await sign_in(db, await make_user(db))}"}
    body = {"pay_with": "card", "lines": lines, "quote": told["fingerprint"]}
    answer = await client.post("/api/v1/orders", json=body, headers=bearer)
    assert (answer.status_code, answer.json()["code"]) == (409, "paid_at_sale")

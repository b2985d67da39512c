"""Chargebacks as pages, without scripts: the desk's queue, the store's words, the blocked wallet."""

from typing import Any

import httpx
import pytest

from fondaco import chargebacks
from fondaco.core.db import SYSTEM
from fondaco.core.viewer import Viewer
from tests.cases.test_pages import window
from tests.chargebacks.test_money import buy, dispute, owed, resolve, reveal_all, standing, the_one
from tests.support.money import Till, make_buyer, make_staff
from tests.support.shop import make_shop


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def test_from_the_dispute_to_the_evidence(
    client: httpx.AsyncClient, till: Till, buyer: Viewer, owner: Any
) -> None:
    shop = await make_shop(till.db, price=2000, stock=3)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    await dispute(till, funding)
    await till.deliver_all()
    one = await the_one(till)
    finance = await window(client, till.db, await make_staff(till.db, "finance"))
    support = await window(client, till.db, await make_staff(till.db, "support"))
    seller = await window(client, till.db, shop.owner)
    own = await window(client, till.db, buyer)
    desk = f"/console/chargebacks/{one['id']}"

    assert desk in await finance.get("/console/chargebacks")
    assert desk in await finance.get("/console/chargebacks?state=NEEDS_RESPONSE&sort=new")
    assert desk not in await finance.get("/console/chargebacks?only=owing")
    page = await finance.get(desk)
    assert "Send the evidence" in page
    assert "opened by the customer" not in page, "this one was never opened by a person"
    assert "Sellers may add to it" in page
    assert "Send the evidence" not in await support.get(desk)

    sales = await seller.get("/seller/chargebacks")
    assert f"/seller/chargebacks/{one['id']}" in sales
    page = await seller.get(f"/seller/chargebacks/{one['id']}")
    assert "Your money is untouched" in page
    assert str(buyer.email) not in page
    assert (
        "Say it in some words."
        in (await seller.post(f"/seller/chargebacks/{one['id']}/add", status=422, text=" ")).text
    )
    await seller.post(f"/seller/chargebacks/{one['id']}/add", text="He thanked us by mail.")
    assert "He thanked us by mail." in await seller.get(f"/seller/chargebacks/{one['id']}")

    assert "Your wallet is blocked" in await own.get("/wallet")
    version = await till.db.fetchval(SYSTEM, "SELECT version FROM chargebacks.evidence")
    await finance.post(f"{desk}/words", version=version, words="A buyer of many years.")
    stale = await finance.post(f"{desk}/words", status=409, version=version, words="Twice.")
    assert "Twice." in stale.text
    page = await finance.get(f"{desk}/confirm")
    assert "He thanked us by mail." in page
    assert "A buyer of many years." in page
    await finance.post(f"{desk}/confirm", version=version + 1)
    evidence = await till.db.fetchval(SYSTEM, "SELECT id FROM chargebacks.evidence")
    await chargebacks.send_evidence(till.db, till.gateway, evidence)
    page = await finance.get(desk)
    assert "SHA-256 of what was sent" in page
    await seller.post(f"/seller/chargebacks/{one['id']}/add", status=409, text="One more thing.")
    sent = await till.db.fetchrow(SYSTEM, "SELECT state, sent FROM chargebacks.evidence")
    assert sent
    assert sent["state"] == "SENT"
    assert "He thanked us by mail." in sent["sent"]["uncategorized_text"]


async def test_a_stranger_sees_none_of_it(client: httpx.AsyncClient, till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    await dispute(till, funding)
    await till.deliver_all()
    one = await the_one(till)
    other = await make_shop(till.db, price=2000, stock=1)
    seller = await window(client, till.db, other.owner)
    await seller.get(f"/seller/chargebacks/{one['id']}", status=404)
    await seller.post(f"/seller/chargebacks/{one['id']}/add", status=404, text="Not mine at all.")
    assert "No chargebacks" in await seller.get("/seller/chargebacks")
    stranger = await window(client, till.db, await make_buyer(till.db))
    assert "Your wallet is blocked" not in await stranger.get("/wallet")
    await stranger.get(f"/console/chargebacks/{one['id']}", status=404)


async def test_a_lost_one_is_written_off_by_two_and_the_wallet_let_go(
    client: httpx.AsyncClient, till: Till, buyer: Viewer, owner: Any
) -> None:
    shop = await make_shop(till.db, price=5000, stock=1)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    found = await dispute(till, funding)
    await resolve(till, found, "lost")
    await till.deliver_all()
    one = await the_one(till)
    assert await owed(till, buyer) == 5000
    own = await window(client, till.db, buyer)
    assert "Your wallet is locked" in await own.get("/wallet")
    first = await window(client, till.db, await make_staff(till.db, "finance"))
    second = await window(client, till.db, await make_staff(till.db, "admin"))
    desk = f"/console/chargebacks/{one['id']}"
    assert desk in await first.get("/console/chargebacks?only=owing")
    await first.get(f"{desk}/write-off")
    await first.post(f"{desk}/write-off", status=422, because="")
    answer = await first.post(f"{desk}/write-off", because="He cannot be found.")
    request = answer.headers["location"]
    await first.post(f"{request}/approve")
    assert await owed(till, buyer) == 5000, "nobody approves what they asked for"
    await second.post(f"{request}/approve")
    assert await owed(till, buyer) == 0
    assert await standing(till, buyer) == "WALLET_AT_RISK"
    assert "Let the wallet go" in await first.get(desk)
    await first.get(f"/console/people/{buyer.user()}/let-go")
    await first.post(f"/console/people/{buyer.user()}/let-go", because="All is settled.")
    assert await standing(till, buyer) == "OK"
    assert "Your wallet is" not in await own.get("/wallet")

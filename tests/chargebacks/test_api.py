"""Chargebacks over the API: the buyer's program, the store's, the desk's."""

from typing import Any

import httpx
import pytest

from fondaco.core.viewer import Viewer
from tests.chargebacks.test_money import buy, dispute, resolve, reveal_all, the_one
from tests.support.money import Till, make_buyer, make_staff
from tests.support.people import bearer
from tests.support.shop import make_shop


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def test_from_the_dispute_to_the_write_off(
    client: httpx.AsyncClient, till: Till, buyer: Viewer, owner: Any
) -> None:
    shop = await make_shop(till.db, price=5000, stock=1)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    found = await dispute(till, funding)
    await till.deliver_all()
    one = await the_one(till)
    mine, theirs = await bearer(till.db, buyer), await bearer(till.db, shop.owner)
    desk = await bearer(till.db, await make_staff(till.db, "finance"))
    support = await bearer(till.db, await make_staff(till.db, "support"))

    block = (await client.get("/api/v1/wallet/block", headers=mine)).json()
    assert (block["state"], block["open"], block["held"]) == ("WALLET_AT_RISK", 1, 0)
    sales = (await client.get("/api/v1/seller/chargebacks", headers=theirs)).json()["items"]
    assert [(s["id"], s["amount"], s["touched"]) for s in sales] == [(str(one["id"]), 5000, False)]
    assert str(buyer.email) not in str(sales)
    sale = f"/api/v1/seller/chargebacks/{one['id']}"
    added = await client.post(f"{sale}/statements", headers=theirs, json={"text": "It works."})
    assert (added.status_code, added.json()["statements"]) == (201, ["It works."])
    assert (await client.get(sale, headers=mine)).status_code in (403, 404)

    page = (await client.get("/api/v1/console/chargebacks?state=NEEDS_RESPONSE", headers=desk)).json()
    assert [row["id"] for row in page["items"]] == [str(one["id"])]
    path = f"/api/v1/console/chargebacks/{one['id']}"
    version = (await client.get(path, headers=support)).json()["evidence"][0]["version"]
    words = {"text": "He opened it at once.", "version": version}
    assert (await client.put(f"{path}/words", headers=support, json=words)).status_code == 403
    written = await client.put(f"{path}/words", headers=desk, json=words)
    assert "He opened it at once." in written.json()["evidence"][0]["shown"]["uncategorized_text"]
    moved = await client.post(f"{path}/confirm", headers=desk, json={"version": version})
    assert (moved.status_code, moved.json()["code"]) == (409, "evidence_moved")
    done = await client.post(f"{path}/confirm", headers=desk, json={"version": version + 1})
    assert (done.status_code, done.json()["evidence"][0]["state"]) == (200, "CONFIRMED")

    nothing = await client.post(f"{path}/write-off", headers=desk, json={"why": "Nothing owed."})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_owed")
    await resolve(till, found, "lost")
    await till.deliver_all()
    asked = await client.post(f"{path}/write-off", headers=desk, json={"why": "Gone."})
    assert asked.status_code == 201, asked.text
    early = await client.post(
        f"/api/v1/console/people/{buyer.user()}/let-go", headers=desk, json={"why": "Too early."}
    )
    assert (early.status_code, early.json()["code"]) == (409, "still_at_stake")
    figures = (await client.get("/api/v1/console/chargeback-outcomes", headers=desk)).json()
    assert (figures["outcomes"], figures["owed"]) == ({"LOST": 1}, {"EUR": 5000})

"""Standing pages, the risk desk, mails and the API: what is said is what is known, and acts happen."""

import httpx
import pytest

from fondaco import risk
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from fondaco.risk import Tier
from tests.risk.test_acting import say, tier_of
from tests.support.money import make_buyer, make_staff
from tests.support.people import bearer
from tests.support.shop import make_shop


@pytest.fixture
async def admin(db: Database) -> Viewer:
    return await make_staff(db, "admin")


@pytest.fixture
async def desk(db: Database, admin: Viewer, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser of an admin."""
    token = (await bearer(db, admin))["Authorization"].removeprefix("Bearer ")
    client.cookies.set("session", token)
    client.headers.update({"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"})
    return client


async def test_a_buyer_reads_why_and_appeals(db: Database, client: httpx.AsyncClient, parts: Parts) -> None:
    buyer = await make_buyer(db)
    await say(db, f"user:{buyer.user()}", "chargeback.opened")
    headers = await bearer(db, buyer)
    found = (await client.get("/api/v1/standing", headers=headers)).json()
    assert found["standing"]["tier"] == "AT_RISK" and found["lower_on"] and found["may_appeal"]
    assert [c["words"] for c in found["counted"]] == ["A card payment was disputed at the bank"]
    answer = await client.post("/api/v1/standing/appeal", headers=headers, json={"text": "It was not me."})
    assert answer.status_code == 201 and answer.json()["appeal"]["state"] == "OPEN"
    again = await client.post("/api/v1/standing/appeal", headers=headers, json={"text": "It was not me."})
    assert (again.status_code, again.json()["code"]) == (409, "appeal_open")
    await read_events(parts)
    mails = await db.fetch(SYSTEM, "SELECT subject, plain FROM notifications.mail ORDER BY created_at, id")
    assert {m["subject"] for m in mails} == {"Your standing has changed", "An appeal waits for an answer"}
    told = next(m["plain"] for m in mails if m["subject"] == "Your standing has changed")
    assert "disputed at the bank" in told and "5 items in 24 hours" in told and "it gets better on" in told


async def test_pages_say_it(db: Database, client: httpx.AsyncClient) -> None:
    shop = await make_shop(db)
    await say(db, f"seller:{shop.seller_id}", "code.duplicate", "case.lost")
    await say(db, f"user:{shop.owner.user()}", "chargeback.opened")
    token = (await bearer(db, shop.owner))["Authorization"].removeprefix("Bearer ")
    client.cookies.set("session", token)
    own = await client.get("/account/standing")
    assert (
        own.status_code == 200 and "A card payment was disputed" in own.text and "Send the appeal" in own.text
    )
    store = await client.get("/seller/standing")
    assert store.status_code == 200 and "payable 7 days after its release" in store.text


async def test_the_desk_sees_and_acts(desk: httpx.AsyncClient, db: Database, admin: Viewer) -> None:
    assert "Everybody is in the normal tier" in (await desk.get("/console/risk")).text
    buyer = await make_buyer(db)
    party = f"user:{buyer.user()}"
    await say(db, party, "chargeback.opened", "velocity.cards")
    await risk.appeal(db, buyer, "user", "It was my bank.")
    home = (await desk.get("/console/risk")).text
    assert "It was my bank." in home and buyer.email in home
    page = await desk.get(f"/console/risk/user/{buyer.user()}?rules=buyer-1")
    assert page.status_code == 200 and "The same" in page.text and "<svg" in page.text
    assert (await desk.get(f"/console/risk/user/{buyer.user()}?rules=seller-1")).status_code == 422
    assert (await desk.get(f"/console/risk/nobody/{buyer.user()}")).status_code == 404


async def test_the_desk_by_api(db: Database, client: httpx.AsyncClient, admin: Viewer) -> None:
    buyer = await make_buyer(db)
    party = f"user:{buyer.user()}"
    base = f"/api/v1/console/risk/parties/user/{buyer.user()}"
    headers = await bearer(db, admin)
    answer = await client.post(f"{base}/tier", headers=headers, json={"tier": "AT_RISK", "because": "Odd."})
    assert answer.status_code == 200, answer.text
    assert await tier_of(db, party) is Tier.AT_RISK
    refused = await client.post(f"{base}/tier", headers=headers, json={"tier": "BANNED", "because": "Odd."})
    assert (refused.status_code, refused.json()["code"]) == (409, "needs_two")
    asked = await client.post(f"{base}/ban", headers=headers, json={"because": "Very odd."})
    assert asked.status_code == 201 and await tier_of(db, party) is Tier.AT_RISK
    rows = (await client.get("/api/v1/console/risk/standings", headers=headers)).json()["items"]
    assert [r["party"] for r in rows] == [party]
    appeal = await risk.appeal(db, buyer, "user", "I am not odd.")
    done = await client.post(
        f"/api/v1/console/risk/appeals/{appeal}", headers=headers, json={"grant": True, "answer": "Right."}
    )
    assert done.status_code == 200 and await tier_of(db, party) is Tier.WARNING
    other = await bearer(db, await make_staff(db, "support"))
    refused = await client.post(f"{base}/tier", headers=other, json={"tier": "AT_RISK", "because": "Odd."})
    assert refused.status_code == 403

"""Standing pages, the risk desk, mails and the API: what is said is what is known, and acts happen."""

import re
from html import unescape

import httpx
import pytest

from fondaco import risk
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from fondaco.risk import Tier
from fondaco.risk.jobs import read_events as signals_of_events
from fondaco.settings import Settings
from fondaco.vault import mark as mark_of
from tests.risk.test_acting import say, tier_of
from tests.support.app import calling
from tests.support.money import make_buyer, make_staff
from tests.support.people import bearer
from tests.support.shop import make_shop, pay, place


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
    assert "What we look at" in own.text and "browsers you share" not in own.text
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


async def test_an_appeal_goes_to_and_fro_on_the_pages(
    desk: httpx.AsyncClient, db: Database, settings: Settings, parts: Parts
) -> None:
    shop = await make_shop(db)
    token = (await bearer(db, shop.owner))["Authorization"].removeprefix("Bearer ")
    for party in (f"user:{shop.owner.user()}", f"seller:{shop.seller_id}"):
        await say(db, party, "ring.self_purchase")
    async with calling(settings, parts) as theirs:
        theirs.cookies.set("session", token)
        theirs.headers.update(desk.headers)
        for path in ("/account/standing", "/seller/standing"):
            assert await send(theirs, path, path, text="It was not me.") == 303
            assert await send(theirs, path, f"{path}/words", text="") == 422
            assert await send(theirs, path, f"{path}/words", text="Here is more of it.") == 303
        ids = [r["id"] for r in await db.fetch(SYSTEM, "SELECT id FROM risk.appeal ORDER BY made_at")]
        home = (await desk.get("/console/risk/appeals")).text
        assert home.count("Here is more of it.") == 2 and "Ask them" in home
        for appeal in ids:
            act = f"/console/risk/appeals/{appeal}"
            assert await send(desk, "/console/risk", act, act="ask", answer="Who was it?") == 303
            assert await send(desk, "/console/risk", act, act="nothing", answer="Who was it?") == 404
        for path in ("/account/standing", "/seller/standing"):
            assert "Who was it?" in (await theirs.get(path)).text
        for appeal in ids:
            act = f"/console/risk/appeals/{appeal}"
            assert await send(desk, "/console/risk", act, act="refuse", answer="It was you.") == 303
        assert await send(theirs, "/account/standing", "/account/standing/words", text="But no.") == 409


async def send(client: httpx.AsyncClient, page: str, path: str, **fields: str) -> int:
    """Fill in a form as a browser does; the status of the answer."""
    await client.get(page)
    token = client.cookies.get("csrf") or ""
    return (await client.post(path, data={**fields, "_csrf_token": token})).status_code


async def test_staff_read_what_holds_about_them(desk: httpx.AsyncClient, db: Database) -> None:
    buyer = await make_buyer(db)
    await say(db, f"user:{buyer.user()}", "chargeback.opened")
    page = (await desk.get(f"/console/risk/user/{buyer.user()}")).text
    assert "This buyer can buy 5 items in 24 hours at most." in page and "You can buy" not in page
    assert "This buyer can have 1 case open at a time." in page


async def test_lists_of_the_desk_go_on_behind_their_first_page(
    desk: httpx.AsyncClient, db: Database, admin: Viewer
) -> None:
    buyers = [await make_buyer(db) for _ in range(27)]
    for buyer in buyers:
        await say(db, f"user:{buyer.user()}", "chargeback.opened")
        await risk.appeal(db, buyer, "user", f"It was not {buyer.email}.")
    for n in range(27):
        await risk.block(db, admin, kind="domain", value=f"d{n}.example", reason="Fraud.")
    for path, every in {
        "/console/risk": [b.email for b in buyers],
        "/console/risk/appeals": [f"It was not {b.email}." for b in buyers],
        "/console/risk/blocks": [f"d{n}.example<" for n in range(27)],
    }.items():
        first = (await desk.get(path)).text
        found = re.search(r'rel="next" href="([^"]+)"', first)
        assert found, path
        second = (await desk.get(unescape(found[1]))).text
        told = [
            first.partition("<h2>Not normal")[2] or first,
            second.partition("<h2>Not normal")[2] or second,
        ]
        assert all((one in told[0]) != (one in told[1]) for one in every), path
        assert 'rel="next"' not in second
    assert (await desk.get("/console/risk?after=broken")).status_code == 400
    only = (await desk.get("/console/risk?side=seller")).text
    assert "Nobody matches" in only


async def shared_card(db: Database, parts: Parts, mark: str, accounts: int) -> list[Viewer]:
    buyers = [await make_buyer(db) for _ in range(accounts)]
    shop = await make_shop(db, stock=accounts)
    for buyer in buyers:
        await pay(db, await place(db, buyer, shop.wish()), card=mark)
    await signals_of_events(parts)
    return buyers


async def test_rings_are_shown_with_everybody_in_them(
    desk: httpx.AsyncClient, db: Database, parts: Parts, settings: Settings
) -> None:
    assert "Nothing is shared" in (await desk.get("/console/risk/rings")).text
    card = mark_of(settings, "card", "fingerprint")
    buyers = await shared_card(db, parts, card, 3)
    other = await make_buyer(db)
    for one in (buyers[0], other):
        await risk.device_seen(db, one.user(), "device_a")
    await signals_of_events(parts)
    listed = (await desk.get("/console/risk/rings")).text
    assert f"/console/risk/rings/{card}" in listed and "/console/risk/rings/device_a" in listed
    assert "device_a" not in (await desk.get("/console/risk/rings?kind=card")).text
    one = (await desk.get(f"/console/risk/rings/{card}")).text
    assert all(b.email in one for b in buyers) and other.email not in one and "Block this card" in one
    file = (await desk.get(f"/console/risk/user/{other.user()}")).text
    assert all(b.email in file for b in buyers), "over two steps"
    assert "<svg" in file and "Card of 3 accounts" in file
    for unknown in ("card_unknown", "%00", "other_thing", "%F0%9F%92%B3"):
        assert (await desk.get(f"/console/risk/rings/{unknown}")).status_code in (400, 404)
    headers = await bearer(db, await make_staff(db, "support"))
    page = (await desk.get(f"/api/v1/console/risk/rings/{card}?limit=2", headers=headers)).json()
    rest = await desk.get(
        f"/api/v1/console/risk/rings/{card}", params={"cursor": page["next"]}, headers=headers
    )
    assert len(page["items"]) == 2 and len(rest.json()["items"]) == 1 and rest.json()["next"] is None
    marks = (await desk.get("/api/v1/console/risk/rings?limit=1", headers=headers)).json()
    assert marks["items"][0]["mark"] == "device_a" and marks["next"]


async def test_a_card_is_blocked_by_its_mark_and_its_fingerprint_is_not_kept(
    desk: httpx.AsyncClient, db: Database, parts: Parts, settings: Settings
) -> None:
    card = mark_of(settings, "card", "fingerprint")
    page = (await desk.get("/console/risk/blocks")).text
    token = re.search(r'name="_csrf_token" value="([^"]+)"', page)
    fields = {"kind": "card", "value": "fingerprint", "reason": "Reported."}
    if token:
        fields["_csrf_token"] = token[1]
    answer = await desk.post("/console/risk/blocks", data=fields)
    assert answer.status_code == 303
    kept = await db.fetch(SYSTEM, "SELECT kind, value FROM risk.blocked")
    assert [(r["kind"], r["value"]) for r in kept] == [("card", card)]
    [payer] = await shared_card(db, parts, card, 1)
    assert await db.fetchval(
        SYSTEM, "SELECT kind FROM risk.signal WHERE party = $1", f"user:{payer.user()}"
    ) == ("card.blocked")

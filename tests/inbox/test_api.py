"""The inbox over the API: ops read and replay, auditors read, others see no desk."""

import json

import httpx
import pytest

from fondaco import inbox
from fondaco.core.db import SYSTEM, Database
from fondaco.settings import Settings
from tests.inbox.test_door import an_event, kept
from tests.support.money import make_buyer, make_staff, signature
from tests.support.people import bearer

ROOT = "/api/v1/console/inbox/events"


async def deliver(client: httpx.AsyncClient, settings: Settings, n: int) -> None:
    for _ in range(n):
        body = json.dumps(an_event()).encode()
        head = signature(body, settings.webhook_secrets[0])
        answer = await client.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": head})
        assert answer.status_code == 200


async def test_events_in_pages_and_one_by_one(
    client: httpx.AsyncClient, db: Database, settings: Settings
) -> None:
    await deliver(client, settings, 5)
    me = await bearer(db, await make_staff(db, "auditor"))
    first = (await client.get(f"{ROOT}?limit=3", headers=me)).json()
    rest = (await client.get(ROOT, params={"limit": 3, "cursor": first["next"]}, headers=me)).json()
    ids = [e["id"] for e in first["items"] + rest["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 5
    one = (await client.get(f"{ROOT}/{ids[0]}", headers=me)).json()
    assert (one["event"]["state"], one["body"]["type"]) == ("RECEIVED", "payment_intent.succeeded")
    assert (await client.get(f"{ROOT}?state=DEAD", headers=me)).json()["items"] == []
    assert (await client.get(f"{ROOT}?state=GONE", headers=me)).status_code == 422
    assert (await client.get(f"{ROOT}/999999", headers=me)).status_code == 404


async def test_only_ops_and_admin_replay(client: httpx.AsyncClient, db: Database, settings: Settings) -> None:
    await deliver(client, settings, 1)
    [event] = await inbox.list_events(db, SYSTEM)
    for state in ("FAILED", "DEAD"):
        await db.execute(SYSTEM, "UPDATE inbox.event SET state = $1", state)
    auditor = await bearer(db, await make_staff(db, "auditor"))
    ops = await bearer(db, await make_staff(db, "ops"))
    assert (await client.post(f"{ROOT}/{event.id}/replay", headers=auditor)).status_code == 403
    done = await client.post(f"{ROOT}/{event.id}/replay", headers=ops)
    assert (done.status_code, done.json()["state"]) == (200, "RECEIVED")
    again = await client.post(f"{ROOT}/{event.id}/replay", headers=ops)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_the_door_takes_deliveries_only(client: httpx.AsyncClient, db: Database, method: str) -> None:
    answer = await client.request(method, "/webhooks/stripe")
    assert answer.status_code == 405
    assert await kept(db) == 0


async def test_others_see_no_desk(client: httpx.AsyncClient, db: Database) -> None:
    customer = await bearer(db, await make_buyer(db))
    support = await bearer(db, await make_staff(db, "support"))
    assert (await client.get(ROOT, headers=customer)).status_code == 404
    assert (await client.get(ROOT, headers=support)).status_code == 403
    assert (await client.get(ROOT)).status_code == 401


async def test_what_opens_a_payment_is_not_shown(db: Database) -> None:
    row_id = await db.fetchval(
        SYSTEM,
        """INSERT INTO inbox.event (provider, event_id, type, api_version, livemode, object_id,
             object_created, body, source, state)
           VALUES ('stripe', 'evt_hidden', 'x.y', '1', false, 'pi_1', now(),
             '{"data": {"object": {"id": "pi_1", "client_secret": "pi_1_secret_abc"}}}', 'webhook',
             'RECEIVED')
           RETURNING id""",
    )
    _, body = await inbox.read_event(db, SYSTEM, row_id)
    assert body["data"]["object"] == {"id": "pi_1", "client_secret": "hidden"}

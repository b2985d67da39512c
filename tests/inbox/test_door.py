"""The door: what is forged, old or broken leaves nothing but a count; what is right is kept once."""

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from fondaco import inbox
from fondaco.app import build_parts
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.embedded import Endpoints
from fondaco.inbox.model import CHANNEL
from fondaco.integrations.stripe import MAX_BODY, StripeGateway
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.support.app import calling
from tests.support.bouncer import database
from tests.support.money import Till, journals, make_buyer, signature

PATH = "/webhooks/stripe"


def an_event(**changes: object) -> dict[str, Any]:
    return {
        "id": f"evt_{os.urandom(8).hex()}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(now().timestamp()),
        "livemode": False,
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
        **changes,
    }


@asynccontextmanager
async def instance(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A web process of its own, as far as the database can tell."""
    parts = build_parts(settings)
    db = await parts.get(Database).open()
    try:
        async with calling(settings, parts) as found:
            yield found
    finally:
        await db.close()


@pytest.fixture
async def door(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with instance(settings) as client:
        yield client


async def kept(db: Database) -> int:
    return await db.fetchval(SYSTEM, "SELECT count(*) FROM inbox.event")


async def refused(db: Database) -> dict[str, int]:
    rows = await db.fetch(SYSTEM, "SELECT reason, n FROM inbox.refusal")
    return {r["reason"]: r["n"] for r in rows}


async def give(door: httpx.AsyncClient, settings: Settings, event: dict[str, Any]) -> None:
    body = json.dumps(event).encode()
    head = signature(body, settings.webhook_secrets[0])
    answer = await door.post(PATH, content=body, headers={"Stripe-Signature": head})
    assert answer.status_code == 200


async def test_a_right_delivery_is_kept_once_and_told_to_the_workers(
    door: httpx.AsyncClient, db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    await owner.add_listener(CHANNEL, lambda *heard: told.put_nowait(heard[2]))
    event = an_event()
    await give(door, settings, event)
    assert await asyncio.wait_for(told.get(), 10) == CHANNEL
    await give(door, settings, event)
    assert await kept(db) == 1
    assert await inbox.count_states(db, SYSTEM) == {"RECEIVED": 1}
    assert await refused(db) == {}


@pytest.mark.parametrize(
    "change", [{"type": "payment_intent.created"}, {"account": "acct_1"}, {"livemode": True}]
)
async def test_what_can_have_no_effect_ends_at_the_door(
    door: httpx.AsyncClient, db: Database, settings: Settings, change: dict[str, object]
) -> None:
    await give(door, settings, an_event(**change))
    [event] = await inbox.list_events(db, SYSTEM)
    assert (event.state, event.attempts) == ("IGNORED", 0)
    assert event.failure and event.handled_at


async def test_one_that_cannot_be_kept_does_not_keep_out_those_it_came_with(
    door: httpx.AsyncClient, db: Database, settings: Settings
) -> None:
    """A number that PostgreSQL has no room for."""
    good = [json.dumps(an_event()).encode() for _ in range(3)]
    bad = json.dumps(an_event(padding=0)).replace('"padding": 0', f'"padding": 1{"0" * 140_000}').encode()
    answers = await asyncio.gather(
        *(
            door.post(
                PATH, content=body, headers={"Stripe-Signature": signature(body, settings.webhook_secrets[0])}
            )
            for body in (good[0], bad, *good[1:])
        )
    )
    assert [answer.status_code == 200 for answer in answers] == [True, False, True, True]
    assert await kept(db) == 3


def forgeries(body: bytes, secret: str) -> dict[str, list[tuple[str, bytes]]]:
    """Header lines and body of deliveries that must not pass."""
    stamp = int(now().timestamp())
    good = signature(body, secret)
    code = good.split("v1=")[1]
    other = json.dumps(json.loads(body), separators=(",", ":")).encode()
    return {
        "no header": [],
        "empty header": [("", body)],
        "rubbish": [("hello", body)],
        "another secret": [(signature(body, "whsec_" + "x" * 32), body)],
        "empty secret": [(signature(body, ""), body)],
        "not keyed": [(f"t={stamp},v1={hashlib.sha256(body).hexdigest()}", body)],
        "too old": [(signature(body, secret, stamp - 301), body)],
        "too new": [(signature(body, secret, stamp + 302), body)],
        "truncated body": [(good, body[:-1])],
        "longer body": [(good, body + b" ")],
        "written anew": [(good, other)],
        "truncated code": [(good[:-1], body)],
        "empty code": [(f"t={stamp},v1=", body)],
        "v0 only": [(good.replace("v1=", "v0="), body)],
        "another stamp": [(f"t={stamp - 1},v1={code}", body)],
        "no stamp": [(f"v1={code}", body)],
        "two stamps": [(f"t={stamp - 5},{good}", body)],
        "stamp not a number": [(f"t=soon,v1={code}", body)],
        "stamp in other digits": [(f"t={stamp}".replace("1", "\u0661") + f",v1={code}", body)],
        "two headers": [(good, body), (signature(body, "whsec_" + "y" * 32), body)],
        "eleven codes": [(f"t={stamp}," + ",".join(["v1=00"] * 10) + f",v1={code}", body)],
    }


@pytest.mark.parametrize("name", list(forgeries(b"{}", "x")))
async def test_forgeries_leave_only_a_count(
    door: httpx.AsyncClient, db: Database, settings: Settings, name: str
) -> None:
    body = json.dumps(an_event()).encode()
    lines = forgeries(body, settings.webhook_secrets[0])[name]
    headers = [("stripe-signature", line.encode()) for line, _ in lines]
    sent = lines[0][1] if lines else body
    answer = await door.post(PATH, content=sent, headers=[(k.encode(), v) for k, v in headers])
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_delivery"
    assert await kept(db) == 0
    assert sum((await refused(db)).values()) == 1


async def test_the_edges_of_the_tolerance_pass(settings: Settings) -> None:
    gateway, body = StripeGateway(settings), json.dumps(an_event()).encode()
    stamp = int(now().timestamp())
    for off in (-295, 0, 295):
        assert gateway.verify(body, signature(body, settings.webhook_secrets[0], stamp + off))


async def test_while_a_secret_is_rotated_both_are_good(endpoints: Endpoints) -> None:
    old, new = "whsec_" + "o" * 32, "whsec_" + "n" * 32
    gateway = StripeGateway(make_settings(endpoints, stripe_webhook_secrets=f"{new}, {old}"))
    body = json.dumps(an_event()).encode()
    stamp = int(now().timestamp())
    for secret in (old, new):
        assert gateway.verify(body, signature(body, secret))
    right = hmac.new(old.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert gateway.verify(body, f"t={stamp},v1={'0' * 64},v0=x,v1={right}")


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(an_event(id="")).encode(),
        json.dumps(an_event(id=7)).encode(),
        json.dumps(an_event(object="charge")).encode(),
        json.dumps(an_event(created="soon")).encode(),
        json.dumps(an_event(created=2**70)).encode(),
        json.dumps(an_event(livemode=None)).encode(),
        json.dumps(an_event(data=[])).encode(),
        json.dumps(an_event(data={"object": "x"})).encode(),
    ],
)
async def test_signed_nonsense_is_refused(
    door: httpx.AsyncClient, db: Database, settings: Settings, content: bytes
) -> None:
    head = signature(content, settings.webhook_secrets[0])
    answer = await door.post(PATH, content=content, headers={"Stripe-Signature": head})
    assert answer.status_code == 400
    assert await kept(db) == 0
    assert await refused(db) == {"malformed": 1}


async def test_too_much_is_not_read(door: httpx.AsyncClient, db: Database, settings: Settings) -> None:
    body = json.dumps(an_event(padding="x" * MAX_BODY)).encode()
    head = signature(body, settings.webhook_secrets[0])
    answer = await door.post(PATH, content=body, headers={"Stripe-Signature": head})
    assert answer.status_code == 413
    assert await kept(db) == 0


async def test_letters_the_database_cannot_keep_do_not_stop_an_event(
    door: httpx.AsyncClient, db: Database, settings: Settings
) -> None:
    event = an_event(
        data={"object": {"id": "cus_1", "object": "customer", "name": "Zero\x00 \\u0000 \ud83d\ude00"}}
    )
    body = json.dumps(event).encode()
    head = signature(body, settings.webhook_secrets[0])
    answer = await door.post(PATH, content=body, headers={"Stripe-Signature": head})
    assert answer.status_code == 200
    name = await db.fetchval(SYSTEM, "SELECT body #>> '{data,object,name}' FROM inbox.event")
    assert name == "Zero \\u0000 \U0001f600"


async def test_a_database_that_has_no_time_asks_for_another_try(
    settings: Settings, endpoints: Endpoints
) -> None:
    parts = build_parts(settings)
    busy = await database(endpoints, size=1, timeout_s=0.2).open()
    parts.add(busy)
    body = json.dumps(an_event()).encode()
    headers = {"Stripe-Signature": signature(body, settings.webhook_secrets[0])}
    try:
        async with calling(settings, parts) as client:
            async with busy.connection():
                answer = await client.post(PATH, content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert "retry-after" in answer.headers
            assert (await client.post(PATH, content=body, headers=headers)).status_code == 200
        assert await kept(busy) == 1
    finally:
        await busy.close()


async def test_fifty_duplicates_at_once_over_two_web_processes(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    [event] = await till.events("checkout.session.completed")
    body = json.dumps(event).encode()
    headers = {"Stripe-Signature": signature(body, till.secret)}
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(instance(till.settings)) for _ in range(2)]
        answers = await asyncio.gather(
            *(clients[n % 2].post(PATH, content=body, headers=headers) for n in range(50))
        )
    assert {a.status_code for a in answers} == {200}
    assert await kept(till.db) == 1
    await till.work()
    assert await till.wallet(buyer) == 2500
    assert len(await journals(till.db, "top_up")) == 1
    assert await till.audited("funding.succeeded") == 1
    await till.whole()

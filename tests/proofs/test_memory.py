"""Web and worker hold no more memory after many visitors and payments than after few."""

import json
import os
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from fondaco import inbox, worker
from fondaco.api import limits
from fondaco.app import create_app
from fondaco.bench.market import PRICE, Market
from fondaco.catalog import Kept
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.support.held import left_behind
from tests.support.money import Till, make_buyer
from tests.support.sandbox import RunningSandbox, run_sandbox

WARM, ROUNDS = 5, 10


async def test_what_is_kept_of_every_round_is_told_and_what_is_replaced_is_not() -> None:
    kept, last = dict[str, bytes](), dict[str, bytes]()

    async def keep(number: int) -> None:
        kept[f"visitor {number}"] = bytes(100)

    async def replace(number: int) -> None:
        last["visitor"] = bytes(100)

    found = await left_behind(keep, WARM, ROUNDS)
    assert len(found) == 1 and __file__ in found[0]
    assert await left_behind(replace, WARM, ROUNDS) == []


async def ask(app: Any, method: str, path: str, body: object = None, **headers: str) -> Any:
    """One request to the application itself, without a client that would keep things of its own: the answer
    as data when it is JSON. Raises AssertionError when the server failed."""
    where, _, query = path.partition("?")
    sent = [json.dumps(body).encode() if body is not None else b""]
    given = {"host": "127.0.0.1:8000", "content-type": "application/json", "accept": "*/*"} | headers
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": where, "raw_path": where.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {}, "extensions": {},
    }  # fmt: skip
    answered: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent.pop() if sent else b"", "more_body": False}

    async def send(message: Any) -> None:
        answered.append(message)

    await app(scope, receive, send)
    assert answered[0]["status"] < 500, (path, answered)
    content = b"".join(message.get("body", b"") for message in answered[1:])
    return json.loads(content) if content[:1] == b"{" else answered[0]["status"]


@pytest.mark.slow
async def test_visitors_leave_nothing_in_the_web_process(
    settings: Settings, parts: Parts, db: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round somebody else, with words, keys and addresses nobody used before. What is kept on purpose
    has a bound, here so low that it is full before anything is counted."""
    monkeypatch.setattr(limits, "MAX_ACTORS", 8)
    parts.add(Kept(12_000))
    market = Market(db, owner, settings)
    await market.open(WARM + ROUNDS)
    [listing] = await market.add_listings(1)
    await market.import_keys(listing, WARM + ROUNDS)
    slug = await owner.fetchval("SELECT slug FROM catalog.listing WHERE id = $1", listing)
    app = create_app(settings, parts)
    line = {"listing_id": str(listing), "price": PRICE}

    async def visit(number: int) -> None:
        fresh = os.urandom(8).hex()
        for page in ("/", f"/browse?q={fresh}", f"/l/{slug}?from={fresh}", f"/{fresh}", f"/api/v1/{fresh}"):
            await ask(app, "GET", page)
        known = {"authorization": f"Bearer {market.buyers[number].token}"}
        order = {"pay_with": "wallet", "lines": [line]}
        placed = await ask(app, "POST", "/api/v1/orders", order, idempotency_key=fresh, **known)
        again = await ask(app, "POST", "/api/v1/orders", order, idempotency_key=fresh, **known)
        assert again == placed  # kept in the database
        [right] = placed["order"]["orders"][0]["lines"][0]["entitlements"]
        shown = await ask(app, "POST", f"/api/v1/library/{right}/reveal", **known)
        assert shown["secret"].startswith("BENCH-")
        await ask(app, "GET", "/api/v1/library?limit=20", **known)
        await ask(app, "GET", "/api/v1/library", authorization=f"Bearer {fresh}")
        await ask(app, "POST", "/api/v1/session", {"email": f"{fresh}@example.test", "password": fresh})

    left = await left_behind(visit, WARM, ROUNDS)
    assert not left, "\n".join(left)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.mark.slow
async def test_payments_and_the_clock_leave_nothing_in_the_worker(
    sandbox: RunningSandbox, db: Database, parts: Parts, endpoints: Any
) -> None:
    """Each round a buyer pays, the provider's events come, and everything the clock brings is done once."""
    settings = make_settings(endpoints, stripe_api_base=sandbox.url)
    till = Till(db, settings, StripeGateway(settings), sandbox)
    for part in (settings, till.gateway):
        parts.add(part)
    periodic = worker.collect().periodic

    async def day(number: int) -> None:
        sandbox.reset()  # only what is new is listed
        buyer = await make_buyer(db)
        funding = await till.top_up(buyer)
        sandbox.pay(funding.session_id or "")
        await till.deliver_all()
        for _, _, work in periodic:
            await work(parts)
        states = await inbox.count_states(db, SYSTEM)
        assert states and set(states) <= {"PROCESSED", "IGNORED"}, states

    assert len(periodic) > 20
    left = await left_behind(day, WARM, ROUNDS)
    assert not left, "\n".join(left)

"""The inbox under events that cannot be kept, types it did not know yesterday, and a leader cut off."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from fondaco import inbox, wallets
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.inbox import draining, missed, model
from fondaco.inbox.draining import keep_draining
from fondaco.integrations.stripe import StripeGateway
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.inbox.test_door import an_event
from tests.support.money import Till, journals, make_buyer, signature
from tests.support.sandbox import RunningSandbox, run_sandbox

PAID = ("checkout.session.completed", "payment_intent.succeeded")


@pytest.fixture(scope="session")
def inbox_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def till(inbox_sandbox: RunningSandbox, db: Database, endpoints: Endpoints) -> Till:
    inbox_sandbox.reset()
    settings = make_settings(endpoints, stripe_api_base=inbox_sandbox.url)
    return Till(db, settings, StripeGateway(settings), inbox_sandbox)


def deep(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


BAD: list[dict[str, object]] = [
    {"created": 2**39},  # beyond the last year there is
    {"data": {"object": {"id": "pi_1", "object": "payment_intent", "deep": deep(700)}}},
]


@pytest.mark.parametrize("bad", BAD)
async def test_a_delivery_that_cannot_be_read_keeps_out_none_it_came_with(
    db: Database, settings: Settings, bad: dict[str, object]
) -> None:
    gateway = StripeGateway(settings)
    bodies = [msgspec.json.encode(event) for event in (an_event(), an_event(**bad), an_event())]
    answers = await asyncio.gather(
        *(
            inbox.receive(db, gateway, body, [signature(body, settings.webhook_secrets[0])])
            for body in bodies
        ),
        return_exceptions=True,
    )
    assert [answer is True for answer in answers] == [True, False, True]
    assert await inbox.count_states(db, SYSTEM) == {"RECEIVED": 2}


@asynccontextmanager
async def provider_that_lists(events: list[dict[str, Any]]) -> AsyncGenerator[str]:
    """A provider that knows one call: the list of its events, newest first. Its address."""
    page = {"object": "list", "url": "/v1/events", "has_more": False, "data": events[::-1]}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(page).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


HALF_A_LETTER = "\ud83d"  # what is left when a name is cut in the middle of an emoji


async def test_backfill_goes_past_an_event_that_cannot_be_kept(db: Database, endpoints: Endpoints) -> None:
    events = [an_event(), an_event(created=2**39), an_event(livemode=None), an_event()]
    async with provider_that_lists(events) as address:
        gateway = StripeGateway(make_settings(endpoints, stripe_api_base=address))
        assert await inbox.backfill(db, gateway) == 2
        assert await inbox.backfill(db, gateway) == 0
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM inbox.backfill") == 1
    assert {e.event_id for e in await inbox.list_events(db, SYSTEM)} == {events[0]["id"], events[3]["id"]}


async def test_half_a_letter_in_a_name_keeps_no_event_out(db: Database, endpoints: Endpoints) -> None:
    said = {"id": "pi_1", "object": "payment_intent", "description": f"Gift {HALF_A_LETTER}"}
    async with provider_that_lists([an_event(data={"object": said}), an_event()]) as address:
        gateway = StripeGateway(make_settings(endpoints, stripe_api_base=address))
        assert await inbox.backfill(db, gateway) == 2
    kept = await db.fetchval(
        SYSTEM, "SELECT body #>> '{data,object,description}' FROM inbox.event ORDER BY id LIMIT 1"
    )
    assert kept == "Gift ?"


async def test_what_an_older_door_ignored_is_taken_up_once_it_has_an_effect(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade while web servers of the old version still answer: their word is not the last."""
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    with monkeypatch.context() as older:
        older.setattr(model, "TYPES", frozenset({"refund.updated"}))
        await till.deliver_all()
        assert set(await inbox.count_states(till.db, SYSTEM)) == {"IGNORED"}
    assert await inbox.backfill(till.db, till.gateway) == len(PAID)
    assert await inbox.backfill(till.db, till.gateway) == 0
    await till.work()
    assert await till.wallet(buyer) == 2500
    assert await inbox.backfill(till.db, till.gateway) == 0  # what is ignored for other reasons stays so
    await till.whole()


async def test_a_new_type_is_looked_for_as_far_back_as_the_provider_remembers(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    monkeypatch.setattr(missed, "OVERLAP", timedelta(days=-1))  # all there is was compared long ago
    with monkeypatch.context() as older:
        older.setattr(model, "TYPES", frozenset({"refund.updated"}))
        older.setattr(missed, "LISTED", {"refund.updated"})
        till.sandbox.pay(funding.session_id or "")
        [first, _] = await till.events(*PAID)
        await till.deliver(first)
        assert await inbox.backfill(till.db, till.gateway) == 0
    assert await inbox.backfill(till.db, till.gateway) == len(PAID)
    assert await inbox.backfill(till.db, till.gateway) == 0
    await till.work()
    assert await till.wallet(buyer) == 2500
    await till.whole()


async def test_a_fee_that_becomes_known_is_asked_for_though_another_was_booked(till: Till) -> None:
    """One funding, two payments (the second is in suspense): each has its own fee."""
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    facts = await till.gateway.retrieve_session(funding.session_id or "")
    assert facts.fee
    await inbox.settle_facts(till.db, msgspec.structs.replace(facts, fee=None), till.gateway.livemode)
    other = msgspec.structs.replace(
        facts, intent_id="pi_other", fee=msgspec.structs.replace(facts.fee, transaction_id="txn_other")
    )
    await inbox.settle_facts(till.db, other, till.gateway.livemode)
    await till.work()
    assert await journals(till.db, "provider_fee") == ["fee:txn_other"]
    charge = (await till.gateway.client.v1.charges.retrieve_async(facts.charge_id or "")).to_dict()
    await till.deliver(an_event(type="charge.updated", data={"object": charge}))
    await till.work()
    assert await journals(till.db, "provider_fee") == ["fee:txn_other", f"fee:{facts.fee.transaction_id}"]
    assert (await wallets.read_funding(till.db, SYSTEM, funding.id)).state == "SUCCEEDED"


async def test_a_provider_away_for_a_day_costs_no_event(till: Till) -> None:
    """A bank returned a refund, and the provider fell silent: nobody but this event will ever say so."""
    buyer = await make_buyer(till.db)
    funding = await till.paid_top_up(buyer, 500, "4000000000005126")
    async with till.db.transaction(SYSTEM) as conn:
        await wallets.request_refund(conn, funding.id, 500, reason="test", actor="system")
    await till.work()
    before = {event["id"] for event in await till.events()}
    till.sandbox.advance(60)
    for event in await till.events():
        if event["id"] not in before:
            await till.deliver(event)
    rows = await inbox.list_events(till.db, SYSTEM, states=["RECEIVED"])
    assert rows and await till.wallet(buyer) == 0
    silent = till.settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"})
    nowhere = StripeGateway(silent, retries=0)
    for _ in range(40):  # ten seconds, twenty... then every hour: a day and more
        for row in rows:
            await inbox.handle_event(till.db, nowhere, row.id)
    assert set(await inbox.count_states(till.db, SYSTEM)) <= {"FAILED", "IGNORED", "PROCESSED"}
    await till.db.execute(SYSTEM, "UPDATE inbox.event SET next_at = now()")
    await till.work()
    assert await till.wallet(buyer) == 500
    await till.whole()


class Cable:
    """A way to the database that can be cut without either end being told."""

    def __init__(self, dsn: str) -> None:
        at = urlsplit(dsn)
        self._to = dict(parse_qsl(at.query))
        self._dsn = at
        self.cut = asyncio.Event()
        self.given_up = asyncio.Event()  # the near end closed its connection after the cut
        self._ends: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def laid(self) -> AsyncGenerator[str]:
        """The connection string of its near end."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            port = server.sockets[0].getsockname()[1]
            yield self._dsn._replace(query=f"host=127.0.0.1&port={port}").geturl()
        finally:
            server.close()
            for end in self._ends:
                end.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut.is_set():
            writer.close()
            return
        host, port = self._to["host"], self._to["port"]
        if host.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._ends += [writer, far_writer]
        await asyncio.gather(self._carry(far_reader, writer), self._carry(reader, far_writer, near=True))

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, near: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if not self.cut.is_set():
                    writer.write(data)
        if not self.cut.is_set():
            writer.close()
        elif near:
            self.given_up.set()


LOOKING = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1 AND objsubid = 1
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def leader(db: Database, *, other_than: int = 0) -> int:
    """The server's process of the session that holds the lock of the look."""
    while (pid := await db.fetchval(SYSTEM, LOOKING, draining.LOCK)) in (None, other_than):
        await asyncio.sleep(0.02)
    return int(pid)


async def test_a_leader_whose_session_died_unheard_stops_leading(
    db: Database, endpoints: Endpoints, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to the database is cut and the server lets go of the lock: the next worker looks, and the
    first one finds out by asking."""
    monkeypatch.setattr(draining, "ALIVE_S", 0.1)
    monkeypatch.setattr(draining, "ANSWER_S", 0.5)
    gateway, stop, cable = StripeGateway(settings), asyncio.Event(), Cable(settings.direct_dsn)
    async with cable.laid() as dsn:
        cut_off = make_settings(endpoints, database_direct_url=dsn)
        workers = [asyncio.create_task(keep_draining(Parts(db, gateway, cut_off), stop))]
        try:
            first = await leader(db)
            cable.cut.set()
            await db.fetchval(SYSTEM, "SELECT pg_terminate_backend($1)", first)
            workers.append(asyncio.create_task(keep_draining(Parts(db, gateway, settings), stop)))
            assert await leader(db, other_than=first)
            await asyncio.wait_for(cable.given_up.wait(), 30)
        finally:
            stop.set()
            await asyncio.gather(*workers)


def test_the_provider_takes_the_list_of_types() -> None:
    """It refuses more than twenty in one question, and then nothing that was missed would be found."""
    assert 0 < len(missed.LISTED) <= 20

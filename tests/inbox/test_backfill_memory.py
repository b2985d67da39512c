"""The backfill holds a part of the provider's list, however long the list is."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fondaco import inbox
from fondaco.core.db import SYSTEM, Database
from fondaco.embedded import Endpoints
from fondaco.inbox import missed
from fondaco.integrations.stripe import StripeGateway
from tests.conftest import make_settings
from tests.inbox.test_door import an_event

PAGE = 10


@asynccontextmanager
async def provider_with_pages(count: int) -> AsyncGenerator[str]:
    """A provider that knows one call: the list of its `count` events, newest first, a page at a time. Its
    address. Each event is made as it is told: this process holds no more of them than it must."""

    def event(n: int) -> dict[str, Any]:
        said = {"id": f"pi_{n}", "object": "payment_intent", "description": f"{n} " * 10_000}
        return an_event(id=f"evt_{n:06}", created=1_700_000_000 + n, data={"object": said})

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        after = parse_qs(urlsplit(asked).query).get("starting_after", [f"evt_{count}"])[0]
        last = int(after.removeprefix("evt_"))
        told = [event(n) for n in range(last - 1, max(-1, last - 1 - PAGE), -1)]
        page = {"object": "list", "url": "/v1/events", "has_more": last > PAGE, "data": told}
        body = json.dumps(page).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def peak_of_backfill(db: Database, endpoints: Endpoints, count: int, *, missing: int) -> int:
    """The most bytes held beyond those held before, by a backfill over so many events."""
    async with provider_with_pages(count) as address:
        gateway = StripeGateway(make_settings(endpoints, stripe_api_base=address))
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert await inbox.backfill(db, gateway) == missing
        return tracemalloc.get_traced_memory()[1] - before


async def test_a_long_list_takes_no_more_memory_than_a_short_one(
    db: Database, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "COMPARED", PAGE)
    warm, few, many = PAGE, 8 * PAGE, 24 * PAGE + 1
    await peak_of_backfill(db, endpoints, warm, missing=warm)  # loads the client, fills what is kept once
    tracemalloc.start()
    try:
        short = await peak_of_backfill(db, endpoints, few, missing=few - warm)
        long = await peak_of_backfill(db, endpoints, many, missing=many - few)
        again = await peak_of_backfill(db, endpoints, many, missing=0)
    finally:
        tracemalloc.stop()
    assert long < 2 * short and again < 2 * short, (short, long, again)
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM inbox.event") == many

"""What is kept of the shop when two looks at the database overtake each other."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from fondaco.catalog import Kept, Made
from fondaco.core.db import PUBLIC, Connection, Database
from fondaco.embedded import Endpoints
from tests.support.bouncer import Pooled
from tests.support.shop import make_shop

TITLE = "SELECT title FROM catalog.listing"


class Slow(Database):
    """Its next connection is given when `go` is set: the others are all taken."""

    go: asyncio.Event | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        if (go := self.go) is not None:
            self.go = None
            await go.wait()
        async with super().connection() as found:
            yield found


async def test_a_look_that_was_overtaken_brings_no_old_part_into_a_new_page(
    db: Database, owner: asyncpg.Connection, endpoints: Endpoints
) -> None:
    """A page's look waits for a connection while a later one is answered; then the catalogue changes; then
    the first is answered. What the page is put together from must be of its own epoch."""
    await make_shop(db)
    slow = Slow(endpoints.app_dsn, size=4, pooled=isinstance(endpoints, Pooled))
    await slow.open()
    kept = Kept()
    try:

        async def part(_: str | None) -> Made[str]:
            return Made(await slow.fetchval(PUBLIC, TITLE), 10)

        async def page(_: str | None) -> Made[str]:
            return Made(await kept.get(slow, "part", part, begun), 10)

        before = await kept.get(slow, "part", part)
        begun = time.monotonic()
        slow.go = go = asyncio.Event()
        first = asyncio.create_task(kept.get(slow, "page", page))
        while slow.go:
            await asyncio.sleep(0)
        await kept.get(slow, "part", part)  # sent later, answered first
        await owner.execute("UPDATE catalog.listing SET title = 'Another title'")
        go.set()
        assert await first != before
        assert await kept.get(slow, "page", page) == "Another title"
    finally:
        await slow.close()

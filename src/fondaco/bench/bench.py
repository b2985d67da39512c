"""What every measurement has at hand: a stack, a database as the application, a market, words to say."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from rich.console import Console

from fondaco import checks
from fondaco.bench.market import Market
from fondaco.bench.stack import Stack
from fondaco.core.db import Database


@dataclass(frozen=True)
class Options:
    """How long and how often; `clients` is how many at once where a measurement takes several."""

    seconds: float = 3.0
    rounds: int = 3
    clients: tuple[int, ...] = (1, 16, 64)
    minutes: float = 60.0
    listings: int = 10_000
    web: int = 1
    spread: int = 1_000
    """Listings that purchases are spread over."""
    percent: int = 100
    """Of the full size, where millions are measured."""


@dataclass
class Bench:
    """One stack and what is in it."""

    stack: Stack
    market: Market
    console: Console

    def say(self, words: str) -> None:
        """A line about what is being done."""
        self.console.print(words, style="dim", markup=False, highlight=False)

    async def undelivered(self, groups: Sequence[str], patience: float) -> int:
        """How many of these order groups are still not delivered when they have been waited for."""
        until = time.monotonic() + patience
        while True:
            left: int = await self.market.owner.fetchval(
                """SELECT count(*) FROM unnest($1::uuid[]) AS g(id)
                   WHERE NOT EXISTS (SELECT 1 FROM orders.orders o WHERE o.group_id = g.id)
                      OR EXISTS (SELECT 1 FROM orders.orders o
                                 WHERE o.group_id = g.id AND o.state = 'PENDING_PAYMENT')""",
                [UUID(group) for group in groups],
            )
            if not left or time.monotonic() > until:
                return left
            await asyncio.sleep(0.2)

    async def faults(self) -> list[str]:
        """What is wrong in the books, the stock and every state; [] when all is well."""
        self.say("Verifying the books.")
        return [str(fault) for fault in await checks.verify_all(self.market.db, self.stack.settings)]


@asynccontextmanager
async def prepared(stack: Stack, console: Console, buyers: int) -> AsyncGenerator[Bench]:
    """A market with so many buyers on a running stack."""
    db = await Database(stack.endpoints.app_dsn, size=3).open()
    connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    owner: Any = await connect(stack.endpoints.owner_dsn)
    try:
        market = Market(db, owner, stack.settings)
        await market.open(buyers)
        yield Bench(stack, market, console)
    finally:
        await owner.close()
        await db.close()

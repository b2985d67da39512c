"""A transaction is kept or it says that it is not; a cancelled one leaves nothing open."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest

from fondaco.core.db import SYSTEM, Database, NotCommitted


@pytest.fixture(autouse=True)
async def table(owner: asyncpg.Connection) -> None:
    await owner.execute(
        """CREATE TABLE public.note (id int PRIMARY KEY);
           GRANT SELECT, INSERT ON public.note TO fondaco_app"""
    )


async def test_a_transaction_that_failed_inside_never_passes_for_committed(db: Database) -> None:
    async def swallow() -> None:
        async with db.transaction(SYSTEM) as conn:
            await conn.execute("INSERT INTO public.note VALUES (1)")
            with suppress(asyncpg.UniqueViolationError):
                await conn.execute("INSERT INTO public.note VALUES (1)")

    with pytest.raises(NotCommitted):
        await swallow()
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM public.note") == 0


async def test_cancelled_transactions_give_their_connections_back(
    db: Database, owner: asyncpg.Connection
) -> None:
    async def work(number: int) -> None:
        async with db.transaction(SYSTEM) as conn:
            await conn.execute("INSERT INTO public.note VALUES ($1)", number)
            await conn.execute("SELECT pg_sleep(0.01)")
            await conn.execute("INSERT INTO public.note VALUES ($1)", -number)

    for number in range(1, 120):
        task = asyncio.create_task(work(number))
        for _ in range(number % 12):  # cut off at every step a transaction has
            await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    halves = """SELECT count(*) FROM public.note n
                WHERE NOT EXISTS (SELECT FROM public.note m WHERE m.id = -n.id)"""
    assert await db.fetchval(SYSTEM, halves) == 0
    open_ = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
               AND usename = 'fondaco_app' AND state LIKE 'idle in transaction%'"""
    assert await owner.fetchval(open_) == 0
    assert await asyncio.gather(*(db.fetchval(SYSTEM, "SELECT 1") for _ in range(20))) == [1] * 20

"""A request that goes away in the middle of its transaction leaves nothing behind on its connection."""

import asyncio
import random

from fondaco.core.db import SYSTEM
from fondaco.embedded import Endpoints
from tests.support.bouncer import database


async def test_who_asked_before_is_not_known_to_who_asks_next(endpoints: Endpoints) -> None:
    chance = random.Random(3)
    db = await database(endpoints, size=2).open()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: None)

    async def asked(n: int) -> None:
        async with db.transaction(SYSTEM) as connection:
            await connection.execute("SELECT pg_sleep(0.003)")
            await connection.execute("SELECT 1 / $1::int", n % 3)

    try:
        for _ in range(60):
            gone = [asyncio.create_task(asked(n)) for n in range(4)]
            await asyncio.sleep(chance.uniform(0, 0.006))
            for task in gone:
                task.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
            for _ in range(2):
                async with db.held() as connection:
                    found = await connection.fetchval("SELECT current_setting('fondaco.scope', true)")
                    assert not found
                    assert not connection.is_in_transaction()
    finally:
        await db.close()

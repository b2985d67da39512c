"""A server that dies under a connection: whatever the driver then says is told as trouble of the database."""

import asyncio

import asyncpg
import pytest

from fondaco.core.db import SYSTEM, Database, trouble
from fondaco.core.problem import Unavailable
from fondaco.embedded import Endpoints


@pytest.mark.parametrize("pause_ms", [0, 1, 3, 10])
async def test_a_connection_cut_in_a_transaction_is_trouble_and_nothing_else(
    endpoints: Endpoints, db: Database, pause_ms: int
) -> None:
    killer = await asyncpg.connect(endpoints.admin_dsn)

    async def cut_off() -> None:
        async with db.transaction(SYSTEM) as conn:
            pid = await conn.fetchval("SELECT pg_backend_pid()")
            await killer.execute("SELECT pg_terminate_backend($1)", pid)
            await asyncio.sleep(pause_ms / 1000)
            await conn.fetchval("SELECT 1")

    try:
        for _ in range(8):
            with pytest.raises(Exception) as caught:
                await cut_off()
            assert isinstance(caught.value, Unavailable) or trouble(caught.value), repr(caught.value)
    finally:
        await killer.close()
    assert await db.fetchval(SYSTEM, "SELECT 1") == 1


def test_a_statement_begun_during_the_servers_last_words_is_trouble() -> None:
    said = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
    assert isinstance(trouble(said), Unavailable)

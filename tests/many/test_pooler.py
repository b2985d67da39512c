"""Behind PgBouncer in transaction mode: every statement reaches one server whole, and none leaves anything
there for the next."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import pytest

from fondaco.core.db import PUBLIC, SYSTEM, Database, Scope
from fondaco.embedded import Endpoints
from tests.support.bouncer import Bouncer, Pooled, database, direct_dsn, program
from tests.support.postgres import Databases

SERVERS, CLIENTS, ROUNDS = 2, 32, 25
LOCAL = (
    "SELECT current_setting('fondaco.scope', true), current_setting('fondaco.user', true), "
    "current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('timezone')"
)

pytestmark = pytest.mark.skipif(program() is None, reason="Debian's pgbouncer is not installed")


@pytest.fixture(scope="module")
def narrow(databases: Databases) -> Iterator[Bouncer]:
    """A pooler with two servers' connections for everybody; each transaction gets the next one."""
    bouncer = Bouncer(databases.cluster, pool=SERVERS)
    bouncer.start()
    yield bouncer
    bouncer.stop()


@pytest.fixture
def through(narrow: Bouncer, endpoints: Endpoints) -> Pooled:
    return narrow.before(
        Endpoints(owner_dsn=endpoints.owner_dsn, app_dsn=direct_dsn(endpoints), admin_dsn=endpoints.admin_dsn)
    )


@pytest.fixture
async def wide(through: Pooled) -> AsyncIterator[Database]:
    """As many clients as the test has, so that the pooler is the narrow place."""
    db = await database(through, size=CLIENTS).open()
    yield db
    await db.close()


async def test_this_pooler_does_hand_out_another_server(through: Pooled) -> None:
    """What the driver does by default, keeping prepared statements, fails here: so these tests can."""
    one, two, three = [await asyncpg.connect(through.app_dsn) for _ in range(3)]
    try:
        first = await one.fetchval("SELECT pg_backend_pid() + $1::int", 0)
        for other in (two, three):
            await other.execute("BEGIN")  # they take both servers; the one that was not ours is given back
        for other in (two, three):
            if await other.fetchval("SELECT pg_backend_pid()") != first:
                await other.execute("ROLLBACK")
        with pytest.raises(asyncpg.InvalidSQLStatementNameError):
            await one.fetchval("SELECT pg_backend_pid() + $1::int", 0)
    finally:
        for connection in (one, two, three):
            await connection.close()


async def test_thirty_two_clients_on_two_servers_never_mix(wide: Database) -> None:
    servers: Counter[int] = Counter()

    async def client(number: int) -> None:
        user = uuid4()
        for n in range(ROUNDS):
            mine = {"client": number, "round": n, "text": os.urandom(8).hex()}
            async with wide.connection() as bare:
                said = await bare.fetchrow("SELECT $1::jsonb AS told, pg_backend_pid() AS pid", mine)
            assert said["told"] == mine
            servers[said["pid"]] += 1
            async with wide.transaction(Scope("user", user=user)) as conn:
                first = await conn.fetchval("SELECT pg_backend_pid()")
                assert await conn.fetchval("SELECT core.viewer_user()") == user
                assert await conn.fetchval("SELECT $1::text[]", [mine["text"]]) == [mine["text"]]
                assert await conn.fetchval("SELECT pg_backend_pid()") == first
            assert await wide.fetchval(PUBLIC, "SELECT core.viewer_user()") is None

    await asyncio.gather(*(client(n) for n in range(CLIENTS)))
    assert len(servers) == SERVERS
    assert sum(servers.values()) == CLIENTS * ROUNDS


async def test_a_transaction_has_its_limits_and_leaves_no_setting_behind(wide: Database) -> None:
    for _ in range(2 * SERVERS):
        async with wide.transaction(SYSTEM) as conn:
            assert tuple(await conn.fetchrow(LOCAL)) == ("system", "", "30s", "10s", "UTC")
        async with wide.connection() as conn:
            assert (await conn.fetchrow(LOCAL))[2:4] == ("30s", "10s")
        async with wide.held() as conn:  # as the pooler hands the server on, with nothing said
            await conn.execute("BEGIN")
            found = await conn.fetchrow(LOCAL)
            await conn.execute("ROLLBACK")
        assert [found[0] or "", found[1] or ""] == ["", ""]
        assert tuple(found[2:4]) == ("0", "0")


async def test_what_fails_leaves_the_server_fit_for_the_next(wide: Database) -> None:
    async def fail(n: int) -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await wide.fetchval(SYSTEM, "SELECT 1 / $1::int", 0)
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with wide.connection() as conn:
                await conn.fetchval("SELECT 1 / $1::int", 0)
        assert await wide.fetchval(SYSTEM, "SELECT $1::int", n) == n

    await asyncio.gather(*(fail(n) for n in range(CLIENTS)))


async def test_no_lock_of_a_session_stays_on_a_server(wide: Database, owner: asyncpg.Connection) -> None:
    await asyncio.gather(*(wide.execute(SYSTEM, "SELECT core.hit($1, 5, 60)", f"k{n}") for n in range(64)))
    assert await owner.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    left = "SELECT count(*) FROM pg_prepared_statements"
    for _ in range(SERVERS):
        assert await wide.fetchval(SYSTEM, f"{left} WHERE name <> ''") == 0

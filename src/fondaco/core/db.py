"""The database: a pool, transactions that say who is asking, and retries that cannot hurt."""

import asyncio
import errno
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from fondaco.core.gather import Gather
from fondaco.core.problem import NoRoom, Unavailable

T = TypeVar("T")
Connection = asyncpg.pool.PoolConnectionProxy  # type: ignore[type-arg]
Record = asyncpg.Record

# Whoever loses one of these races simply runs again: it says nothing about money or stock.
RETRY = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
LOST = (
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement begun while the driver was reading the server's last words
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ProtocolViolationError,  # what a pooler says when it has no server to give
    ConnectionError,
    OSError,
)


# What the server says when it can serve nobody right now: no connection or memory, stopping, broken disk,
# somebody else in the way for too long.
OVERLOADED = (
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    *RETRY,
    ConnectionError,
    TimeoutError,
)
# The driver's words for a lost connection (the pool takes it back in the middle of its use), in the one class
# that also tells mistakes of its callers.
_GONE = ("closed", "released back to the pool")
FULL_FOR_S = 15.0  # so long a disk that was full counts as full


def trouble(error: BaseException) -> Unavailable | None:
    """The database's trouble as a Problem, when it is that: whatever was asked may be asked again."""
    if isinstance(error, asyncpg.DiskFullError) or getattr(error, "errno", None) == errno.ENOSPC:
        return NoRoom()
    away = isinstance(error, asyncpg.InterfaceError) and any(words in str(error) for words in _GONE)
    away = away or isinstance(error, asyncpg.InternalClientError)
    return Unavailable() if away or isinstance(error, OVERLOADED) else None


class NotCommitted(RuntimeError):
    """A statement of the transaction had failed and its error was swallowed: nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, as the row-level policies see it: system (staff desks, workers), a user, a seller,
    or the public (nothing private)."""

    kind: str
    user: UUID | None = None
    seller: UUID | None = None

    def sql(self) -> str:
        # Only our own literals and UUIDs get in here, so plain text is safe; it must be one simple
        # query, because that is one round trip together with BEGIN.
        return (
            f"SELECT set_config('fondaco.scope','{self.kind}',true),"
            f"set_config('fondaco.user','{self.user or ''}',true),"
            f"set_config('fondaco.seller','{self.seller or ''}',true)"
        )


SYSTEM = Scope("system")
PUBLIC = Scope("public")


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# A transaction pooler hands out another server's connection for each transaction and passes on few startup
# parameters: what a session would be told once is said in each transaction instead.
LIMITS = (
    "SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '10s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '60s'; "
)


async def _prepare_pooled(connection: Any) -> None:
    # The driver asks in several steps, which only a transaction is sure to keep on one server.
    async with connection.transaction():
        await _prepare(connection)


async def _leave(_: Any) -> None:
    """What a connection goes back to the pool with: nothing to undo. No session keeps anything (all that is
    set, is set for a transaction; a law's test says so) and the driver has ended any open transaction, so
    the driver's own four statements of resetting, a round trip after each use, are not sent."""


async def _prepare(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=_encode,
            decoder=msgspec.json.decode,
        )


class Database:
    """A pool of connections as the application's role.

    `dsn` may point at a transaction pooler when `pooled` is true: no prepared statements are kept, no
    session state is relied on, and nothing is said outside a transaction.
    """

    def __init__(self, dsn: str, *, size: int = 8, pooled: bool = False, timeout_s: float = 10) -> None:
        self._dsn = dsn
        self._size = size
        self._pooled = pooled
        self._timeout_s = timeout_s
        self._pool: Any = None  # an asyncpg.Pool: the driver is not typed
        self._full_at = -FULL_FOR_S
        self._gathers: dict[str, Gather[tuple[Any, ...], list[Record]]] = {}

    async def open(self) -> "Database":
        create_pool: Any = asyncpg.create_pool  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        self._pool = await create_pool(
            self._dsn,
            min_size=1,
            max_size=self._size,
            init=_prepare_pooled if self._pooled else _prepare,
            reset=_leave,
            statement_cache_size=0 if self._pooled else 256,
            server_settings={"application_name": "fondaco", "timezone": "UTC"}
            if self._pooled
            else {
                "application_name": "fondaco",
                "statement_timeout": "30s",
                "lock_timeout": "10s",
                "idle_in_transaction_session_timeout": "60s",
                "timezone": "UTC",
            },
        )
        return self

    async def close(self) -> None:
        if self._pool:
            pool, self._pool = self._pool, None
            await pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A bare connection for one single-call verb that runs as its definer (it needs no scope). The
        statement is its own transaction; behind a pooler BEGIN and COMMIT keep all of it on one server and
        give it its limits."""
        async with self.held() as connection:
            if not self._pooled:
                yield connection
                return
            async with self._begun(connection, f"BEGIN; {LIMITS}"):
                yield connection

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[Connection]:
        """A connection whose user says BEGIN first and ends it, in plain `execute` without arguments."""
        pool = self._pool
        assert pool, "open() first"
        try:
            held: Connection = await pool.acquire(timeout=self._timeout_s)
        except (TimeoutError, *LOST) as error:
            raise Unavailable() from error
        try:
            yield held
        except asyncpg.DiskFullError:
            self._full_at = time.monotonic()
            raise
        finally:
            await pool.release(held)  # also while the database is being closed, which waits for this

    @property
    def full(self) -> bool:
        """Whether the server's disk was full just now."""
        return time.monotonic() - self._full_at < FULL_FOR_S

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncGenerator[Connection]:
        """One transaction as `scope`; commits at the end, rolls back on any exception."""
        begin = f"BEGIN; {LIMITS if self._pooled else ''}{scope.sql()}"
        async with self.held() as connection, self._begun(connection, begin):
            yield connection

    @asynccontextmanager
    async def _begun(self, connection: Connection, begin: str) -> AsyncGenerator[None]:
        await connection.execute(begin)
        try:
            yield
        except BaseException:
            try:
                await connection.execute("ROLLBACK")
            except (asyncpg.PostgresError, *LOST):
                # It is gone: what broke it is told, and nobody gets this connection again.
                with suppress(asyncpg.InterfaceError):  # the pool has taken it back already
                    connection.terminate()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            raise
        # PostgreSQL answers ROLLBACK, without an error, when a statement before had failed.
        if await connection.execute("COMMIT") != "COMMIT":
            raise NotCommitted()

    async def run(self, scope: Scope, work: Callable[[Connection], Awaitable[T]], *, tries: int = 5) -> T:
        """`work` in one transaction, again when it lost a deadlock or serialisation race."""
        for attempt in range(1, tries + 1):
            try:
                async with self.transaction(scope) as connection:
                    return await work(connection)
            except RETRY:
                if attempt == tries:
                    raise
                await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    async def fetch(self, scope: Scope, sql: str, *args: Any) -> list[Record]:
        """Rows of one read."""
        async with self.transaction(scope) as connection:
            return await connection.fetch(sql, *args)

    async def fetchrow(self, scope: Scope, sql: str, *args: Any) -> Record | None:
        """First row of one read, or None."""
        async with self.transaction(scope) as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, scope: Scope, sql: str, *args: Any) -> Any:
        """First value of one read, or None."""
        async with self.transaction(scope) as connection:
            return await connection.fetchval(sql, *args)

    async def called(self, sql: str, *args: Any, tries: int = 5) -> list[Record]:
        """The rows of one single-call verb that runs as its definer; again when it lost a deadlock or
        serialisation race. It is committed when this returns."""
        for attempt in range(1, tries + 1):
            try:
                async with self.connection() as connection:
                    return await connection.fetch(sql, *args)
            except RETRY:
                if attempt == tries:
                    raise
                await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    async def gathered(self, sql: str, *key: Any) -> list[Record]:
        """The rows of one key, read by a single-call verb that takes an array for each part of the key and
        answers rows whose `n` says which key (from 1). Keys that arrive together go in one call, and none
        joins a call already sent. The verb runs as its definer."""
        gather = self._gathers.get(sql)
        if gather is None:
            gather = self._gathers[sql] = Gather(partial(self._ask, sql))
        return await gather.get(key)

    async def _ask(self, sql: str, keys: Sequence[tuple[Any, ...]]) -> list[list[Record]]:
        async with self.connection() as connection:
            rows = await connection.fetch(sql, *(list(part) for part in zip(*keys, strict=True)))
        found: list[list[Record]] = [[] for _ in keys]
        for row in rows:
            place: int = row["n"] - 1
            found[place].append(row)
        return found

    async def execute(self, scope: Scope, sql: str, *args: Any) -> str:
        """One statement; returns PostgreSQL's command tag."""
        async with self.transaction(scope) as connection:
            return await connection.execute(sql, *args)


async def throttle(connection: Connection, key: str, limit: int, window_s: int) -> int:
    """Count one hit on a shared limit; 0 when within it, else the seconds to wait."""
    wait: int = await connection.fetchval("SELECT core.hit($1, $2, $3)", key, limit, window_s)
    return wait

"""A slow disk, no connection left, a pool that is used up: slower or told to ask again, never broken."""

import asyncio
import contextlib
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from fondaco.core.db import Database
from fondaco.core.migrate import migrate
from fondaco.embedded import Cluster, Endpoints
from fondaco.embedded.leftovers import read_lock_file
from tests.faults.stack import Buyer, Processes, buyer_of, processes, told, until, whole
from tests.support.postgres import THROWN_AWAY, new_root

DELAY_US = 60_000


def server_pid(cluster: Cluster) -> int:
    lock = read_lock_file(next(cluster.root.rglob("postmaster.pid")).parent)
    assert lock
    return lock.pid


@contextlib.contextmanager
def slow_disk(pid: int) -> Iterator[None]:
    """Every fdatasync of this server and what it starts takes longer. Skips where nobody may be traced."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    children = subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    attach = [word for one in (str(pid), *children) for word in ("-p", one)]
    calls = "fdatasync,fsync"
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}",
         "-e", f"inject={calls}:delay_enter={DELAY_US}", *attach],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(timeout=1)
            assert tracer.stderr
            pytest.skip(f"processes cannot be traced here: {tracer.stderr.read().strip()[:200]}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(timeout=10)
        assert tracer.stderr
        tracer.stderr.close()


async def pace(buyer: Buyer, rounds: int) -> float:
    """Seconds a purchase takes when eight buy at once, the median."""
    spent: list[float] = []

    async def one() -> None:
        began = time.monotonic()
        assert (await buyer.buy()).status_code == 201
        spent.append(time.monotonic() - began)

    for _ in range(rounds):
        await asyncio.gather(*(one() for _ in range(8)))
    return statistics.median(spent)


async def test_a_slow_disk_slows_and_breaks_nothing(folder: Path) -> None:
    cluster = Cluster(new_root(), settings={**THROWN_AWAY, "fsync": "on", "wal_sync_method": "fdatasync"})
    cluster.start()
    try:
        endpoints = cluster.create_database("shop")
        migrate(endpoints.owner_dsn)
        with processes(folder, endpoints) as stack:
            db = await Database(endpoints.app_dsn, size=4).open()
            stack.web()
            async with buyer_of(db, stack.url) as buyer:
                quick = await pace(buyer, 3)
                with slow_disk(server_pid(cluster)):
                    slow = await pace(buyer, 4)
                    page = await buyer.http.get("/health/ready")
                    assert page.status_code == 200
                assert slow > quick and slow >= DELAY_US / 1e6, (quick, slow)
                assert await pace(buyer, 2) < slow
                assert {a.status_code for a in buyer.answers} == {201}
            await whole(db, stack.settings)
            await db.close()
    finally:
        cluster.stop()
        cluster.destroy()


@contextlib.asynccontextmanager
async def holders(dsn: str, most: int = 500) -> AsyncIterator[int]:
    """Take every connection the server has left for this role."""
    held: list[asyncpg.Connection] = []
    try:
        with contextlib.suppress(asyncpg.TooManyConnectionsError, asyncpg.InsufficientResourcesError):
            while len(held) < most:
                held.append(await asyncpg.connect(dsn))
        yield len(held)
    finally:
        await asyncio.gather(*(c.close() for c in held), return_exceptions=True)


async def test_the_server_has_no_connection_left(folder: Path) -> None:
    cluster = Cluster(new_root(), settings={**THROWN_AWAY, "max_connections": "20"})
    cluster.start()
    try:
        endpoints = cluster.create_database("shop")
        migrate(endpoints.owner_dsn)
        with processes(folder, endpoints) as stack:
            db = await Database(endpoints.app_dsn, size=1).open()
            stack.web(DATABASE_POOL_SIZE="8")
            async with buyer_of(db, stack.url) as buyer:
                assert (await buyer.buy()).status_code == 201
                async with holders(endpoints.app_dsn) as count:
                    assert count >= 5
                    await crowd(buyer, stack)
                await recovers(buyer)
            await whole(db, stack.settings)
            await db.close()
    finally:
        cluster.stop()
        cluster.destroy()


async def crowd(buyer: Buyer, stack: Processes) -> None:
    """Many ask at once: each is served, or told to ask again; a purchase asked again with its key is one."""
    keys = [uuid4().hex for _ in range(12)]
    pages = [buyer.page("/cart") for _ in range(12)]
    answers = await asyncio.gather(*(buyer.buy(k) for k in keys), *pages)
    assert {a.status_code for a in answers} <= {200, 201, 503}, [a.text[:200] for a in answers]
    assert all(told(a) for a in answers if a.status_code == 503)


async def recovers(buyer: Buyer) -> None:
    async def served() -> bool:
        answers = await asyncio.gather(*(buyer.buy() for _ in range(8)), buyer.http.get("/health/ready"))
        return {a.status_code for a in answers} == {200, 201}

    await until(served, why="it did not recover by itself")


async def test_all_connections_of_the_process_are_held(
    stack: Processes, db: Database, endpoints: Endpoints
) -> None:
    """Somebody locks what pages and purchases need, so that the pool runs out. Nobody is made to wait again
    and again: not once for each try, nor once for each who asked before."""
    stack.web(DATABASE_POOL_SIZE="2")
    async with buyer_of(db, stack.url) as buyer:
        assert (await buyer.buy()).status_code == 201
        locker = await asyncpg.connect(endpoints.admin_dsn)
        block = locker.transaction()
        await block.start()
        await locker.execute("LOCK TABLE orders.orders IN ACCESS EXCLUSIVE MODE")
        keys = [uuid4().hex for _ in range(2)]
        began = time.monotonic()
        buys = [asyncio.create_task(buyer.buy(k)) for k in keys]
        await asyncio.sleep(0.3)
        waiting = [
            asyncio.create_task(buyer.http.get("/api/v1/orders")),
            asyncio.create_task(buyer.page("/orders")),
        ]
        done = await asyncio.gather(*buys)
        assert time.monotonic() - began < 25
        await block.rollback()
        await locker.close()
        done += await asyncio.gather(*waiting)
        assert {a.status_code for a in done} <= {200, 201, 503}, [(a.status_code, a.text[:300]) for a in done]
        late = [a for a in done if a.status_code == 503]
        assert late and all(told(a) for a in late), [a.text[:200] for a in late]
        await recovers(buyer)
        again = [await buyer.buy(k) for k in keys]
        assert {a.status_code for a in again} == {201}
        first = {a.request.headers["idempotency-key"]: a.json()["order"]["id"] for a in done
                 if a.status_code == 201 and "idempotency-key" in a.request.headers}  # fmt: skip
        for answer in again:
            key = answer.request.headers["idempotency-key"]
            assert first.get(key, answer.json()["order"]["id"]) == answer.json()["order"]["id"]
    await whole(db, stack.settings)

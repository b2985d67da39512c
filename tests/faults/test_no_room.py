"""No room left: for PostgreSQL's data, for pictures, for logs. Told in words, nothing half done, and over by
itself."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fondaco.core.db import Database
from fondaco.core.migrate import migrate
from fondaco.embedded import Cluster, ClusterError, Endpoints
from tests.faults.stack import Processes, buyer_of, processes, told, until, whole
from tests.support.postgres import THROWN_AWAY

SMALL = {**THROWN_AWAY, "max_wal_size": "64MB", "min_wal_size": "32MB", "wal_recycle": "on"}


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in memory; only root may make one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take up all the room that is left."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    return ballast


async def test_the_database_s_disk_is_full(folder: Path) -> None:
    folder.chmod(0o711)
    with small_disk(folder / "disk", "320m") as disk:
        cluster = Cluster(disk / "pg", settings=SMALL)
        cluster.start()
        try:
            endpoints = cluster.create_database("shop")
            migrate(endpoints.owner_dsn)
            with processes(folder / "run", endpoints) as stack:
                await _survives(cluster, stack, disk)
        finally:
            cluster.stop()


async def _survives(cluster: Cluster, stack: Processes, disk: Path) -> None:
    db = await Database(stack.endpoints.app_dsn, size=4).open()
    stack.web()
    async with buyer_of(db, stack.url, stock=1000) as buyer:
        assert (await buyer.buy("before")).status_code == 201
        ballast = fill(disk)
        refused = await until(lambda: _refused(buyer.buy), seconds=20, why="the disk never got full")
        assert told(refused), refused.text
        red = await buyer.http.get("/health/ready")
        assert red.status_code == 503 and "retry-after" in red.headers
        page = await buyer.page("/cart")
        assert page.status_code in (200, 503)
        same = refused.request.headers["idempotency-key"]
        ballast.unlink()
        # A server that gave up is started again by whoever keeps it, as `fondaco up` does.
        if not await asyncio.to_thread(cluster.running):
            with contextlib.suppress(ClusterError):
                await asyncio.to_thread(cluster.start)
        again = await until(lambda: _bought(buyer.buy, same), why="it did not recover by itself")
        assert again.json()["order"]["id"]
        await until(lambda: _green(buyer.http), seconds=20)
        answers = {a.status_code for a in buyer.answers}
        assert answers <= {201, 503}, [a.text for a in buyer.answers if a.status_code not in (201, 503)][:2]
        assert all(told(a) for a in buyer.answers if a.status_code == 503)
        bought = {a.json()["order"]["id"] for a in buyer.answers if a.status_code == 201}
        await db.close()
        db = await Database(stack.endpoints.app_dsn, size=2).open()
        await whole(db, stack.settings)
        async with db.connection() as conn:
            await conn.execute("SELECT set_config('fondaco.scope', 'system', false)")
            kept = {str(r["id"]) for r in await conn.fetch("SELECT id FROM orders.order_group")}
        assert bought <= kept, "an order that was acknowledged is gone"
    await db.close()


async def _refused(buy) -> httpx.Response | None:  # type: ignore[no-untyped-def]
    answers = await asyncio.gather(*(buy() for _ in range(8)))
    return next((a for a in answers if a.status_code == 503), None)


async def _bought(buy, key: str) -> httpx.Response | None:  # type: ignore[no-untyped-def]
    answer = await buy(key)
    return answer if answer.status_code == 201 else None


async def _green(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == 200


async def test_no_room_for_logs_or_pictures_stops_no_sale(folder: Path, endpoints: Endpoints) -> None:
    db = await Database(endpoints.app_dsn, size=4).open()
    with small_disk(folder / "disk", "8m") as disk, processes(disk, endpoints) as stack:
        stack.web(FONDACO_MODE="demo")
        async with buyer_of(db, stack.url, stock=20) as buyer:
            ballast = fill(disk)
            for _ in range(5):
                assert (await buyer.buy()).status_code == 201
            for _ in range(20):  # each of these is logged
                assert (await buyer.http.get("/nothing-here")).status_code == 404
            assert (await buyer.http.get("/health/ready")).status_code == 200
            ballast.unlink()
            assert (await buyer.buy()).status_code == 201
        await whole(db, stack.settings)
    await db.close()


async def test_a_picture_without_room_is_refused_in_words(folder: Path, endpoints: Endpoints) -> None:
    from fondaco.core.problem import Unavailable
    from fondaco.integrations.blobs import Blobs

    with small_disk(folder / "disk", "1m") as disk:
        blobs = Blobs(Processes(folder / "run", endpoints).settings.model_copy(
            update={"blob_url": f"file://{disk}/blobs"}
        ))  # fmt: skip
        await blobs.put("old", b"x" * 1000, "image/webp")
        ballast = fill(disk)
        with pytest.raises(Unavailable, match="Nothing was saved"):
            await blobs.put("new", b"y" * 200_000, "image/webp")
        assert await blobs.get("new") is None, "half a picture was kept"
        assert await blobs.get("old") == b"x" * 1000
        ballast.unlink()
        await blobs.put("new", b"y" * 200_000, "image/webp")
        assert await blobs.get("new") == b"y" * 200_000

"""The worker: jobs survive kill -9, periodic jobs run once per interval, stopping is quick."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.queue import defer
from fondaco.embedded import Endpoints
from fondaco.worker import Backoff, collect
from tests.support.bouncer import database_settings, direct_dsn
from tests.support.sandbox import run_sandbox

TABLES = """
CREATE TABLE public.begun (key text PRIMARY KEY);
CREATE TABLE public.effect (key text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE public.tick (worker int NOT NULL, at timestamptz NOT NULL);
GRANT SELECT, INSERT ON public.begun, public.effect, public.tick TO fondaco_app;
"""


@pytest.fixture
async def tables(owner: asyncpg.Connection) -> None:
    await owner.execute(TABLES)


def environment(endpoints: Endpoints) -> dict[str, str]:
    def key() -> str:
        return base64.b64encode(os.urandom(32)).decode()

    return os.environ | {
        **database_settings(endpoints),
        "SECRET_KEY": key(),
        "VAULT_KEYS": f"k1:{key()}",
        "FINGERPRINT_KEY": key(),
        "SIGNING_KEY": key(),
        "STRIPE_WEBHOOK_SECRETS": "whsec_" + "t" * 32,
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def worker(endpoints: Endpoints) -> Iterator[subprocess.Popen[str]]:
    """A worker process, at work when this gives it; killed at the end if it still lives."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.worker.holder"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(endpoints),
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("worker ready: 3 tasks"), (line, process.stderr and process.stderr.read())
        yield process
    finally:
        process.kill()
        process.communicate()


async def until(
    found: Callable[[], Awaitable[Any]], *, seconds: float = 30, why: str = "it never happened"
) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := await found():
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(why)


async def put(db: Database, task: str, **arguments: Any) -> None:
    async with db.transaction(SYSTEM) as conn:
        await defer(conn, task, arguments)


async def test_a_job_of_a_killed_worker_is_done_by_another(
    endpoints: Endpoints, db: Database, tables: None
) -> None:
    with worker(endpoints) as first:
        await put(db, "test.hang_once", key="a")
        await until(lambda: db.fetchval(SYSTEM, "SELECT key FROM public.begun"))
        first.send_signal(signal.SIGKILL)
        first.wait()
        with worker(endpoints):
            await until(
                lambda: db.fetchval(SYSTEM, "SELECT key FROM public.effect"),
                seconds=30,
                why="nobody took over within 30 seconds",
            )
            await until(
                lambda: db.fetchval(
                    SYSTEM, "SELECT true FROM public.procrastinate_jobs WHERE status = 'succeeded'"
                )
            )
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM public.effect") == 1


async def test_jobs_exist_only_when_their_transaction_commits(
    endpoints: Endpoints, db: Database, tables: None
) -> None:
    async def undone(conn: Connection) -> None:
        await defer(conn, "test.effect", {"key": "never"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.run(SYSTEM, undone)
    async with db.transaction(SYSTEM) as conn:
        await defer(conn, "test.effect", {"key": "once"}, queueing_lock="one")
        await defer(conn, "test.effect", {"key": "twice"}, queueing_lock="one")
        await defer(conn, "test.effect", {"key": "other"})
    with worker(endpoints):
        await until(lambda: db.fetchval(SYSTEM, "SELECT count(*) = 2 FROM public.effect"))
    rows = await db.fetch(SYSTEM, "SELECT key FROM public.effect")
    assert {r["key"] for r in rows} == {"once", "other"}


async def test_two_workers_share_a_periodic_job(endpoints: Endpoints, db: Database, tables: None) -> None:
    with worker(endpoints), worker(endpoints):
        await until(lambda: db.fetchval(SYSTEM, "SELECT count(*) >= 8 FROM public.tick"))
    closest = await db.fetchval(
        SYSTEM,
        "SELECT min(gap) FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM public.tick) t",
    )
    # Claimed half a second apart by the database's clock; writing the tick may be a little late.
    rows = await db.fetch(SYSTEM, "SELECT at FROM public.tick ORDER BY at")
    spread = (rows[-1]["at"] - rows[0]["at"]).total_seconds()
    assert spread >= 0.5 * (len(rows) - 1) - 0.45, closest


async def test_it_stops_within_five_seconds_and_gives_back_what_it_held(
    endpoints: Endpoints, db: Database, tables: None
) -> None:
    with worker(endpoints) as process:
        await put(db, "test.hang_once", key="b")
        await until(lambda: db.fetchval(SYSTEM, "SELECT key FROM public.begun"))
        began = time.monotonic()
        process.terminate()
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert time.monotonic() - began < 6
    assert await db.fetchval(SYSTEM, "SELECT status::text FROM public.procrastinate_jobs") == "todo"


async def test_a_failing_job_is_tried_again_later_and_told_without_its_words(
    endpoints: Endpoints, db: Database, tables: None
) -> None:
    with worker(endpoints) as process:
        await put(db, "test.fail", code="canary-arg")
        await until(
            lambda: db.fetchval(
                SYSTEM,
                "SELECT true FROM public.procrastinate_jobs WHERE status = 'todo' AND attempts = 1 "
                "AND scheduled_at > now()",
            )
        )
        process.terminate()
        _, said = await asyncio.to_thread(process.communicate, timeout=10)
    assert "job_will_be_tried_again" in said
    assert "RuntimeError" in said
    assert "canary" not in said


async def test_it_works_on_after_its_connections_were_cut(
    endpoints: Endpoints, db: Database, tables: None
) -> None:
    with worker(endpoints):
        await put(db, "test.effect", key="before")
        await until(lambda: db.fetchval(SYSTEM, "SELECT key FROM public.effect WHERE key = 'before'"))
        await db.close()
        cutter = await asyncpg.connect(direct_dsn(endpoints))
        cut = await cutter.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
        )
        assert len(cut) >= 2
        await cutter.close()
        await db.open()
        await put(db, "test.effect", key="after")
        await until(lambda: db.fetchval(SYSTEM, "SELECT key FROM public.effect WHERE key = 'after'"))


def test_the_waits_grow_and_end() -> None:
    from procrastinate.jobs import Job

    def job(attempts: int) -> Job:
        return Job(id=1, queue="default", lock=None, queueing_lock=None, task_name="t", attempts=attempts)

    decisions = [Backoff().get_retry_decision(exception=ValueError(), job=job(n)) for n in range(10)]
    assert decisions[-1] is None
    times = [d.retry_at for d in decisions[:-1] if d and d.retry_at]
    assert len(times) == 9
    assert times == sorted(times)


def test_every_module_s_jobs_have_names_of_their_own() -> None:
    work = collect()
    assert {name.split(".")[0] for name, _, _ in work.periodic} >= {"audit", "api", "notifications"}


async def test_the_jobs_of_all_modules_run_without_a_fault(
    endpoints: Endpoints, db: Database, tmp_path: Path
) -> None:
    names = {name for name, _, _ in collect().periodic}
    with run_sandbox(tmp_path) as sandbox:
        process = subprocess.Popen(
            [sys.executable, "-m", "fondaco.worker"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(endpoints)
            | {"STRIPE_API_BASE": sandbox.url, "BLOB_URL": f"file://{tmp_path}/blobs"},
        )
        try:
            await until(
                lambda: db.fetchval(
                    SYSTEM, "SELECT count(*) = $2 FROM core.schedule WHERE name = ANY ($1)", names, len(names)
                )
            )
            await asyncio.sleep(1.5)  # so that what began can fail
        finally:
            process.terminate()
            _, said = await asyncio.to_thread(process.communicate, timeout=10)
    assert process.returncode == 0
    assert "failed" not in said, said

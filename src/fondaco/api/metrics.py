"""Numbers for monitoring: requests answered by all processes of this server, what waits in the database.

Counters of several processes live in files of one folder (`up.counts`); each process reads them all.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from fondaco import checks, reconciliation
from fondaco.api.answers import parts_of
from fondaco.core import counting
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database

REGISTRY = CollectorRegistry()  # what is counted
PRESENT = CollectorRegistry()  # what is asked when somebody wants to know
REQUESTS = Counter("fondaco_requests", "Requests answered.", ["route", "method", "status"], registry=REGISTRY)
SECONDS = Histogram(
    "fondaco_request_seconds",
    "Time to the end of the answer.",
    ["route"],
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
WAITING = Gauge("fondaco_waiting", "Rows that await work, counted up to 10,000.", ["what"], registry=PRESENT)
OLDEST = Gauge("fondaco_oldest_waiting_seconds", "Age of the oldest of them.", ["what"], registry=PRESENT)
FAULTS = Gauge(
    "fondaco_check_faults", "Faults the checks have found and that are still there.", registry=PRESENT
)
LOOKED = Gauge(
    "fondaco_check_age_seconds", "Since the last finished run of the checks.", ["kind"], registry=PRESENT
)
MEMORY = Gauge(
    "fondaco_web_memory_bytes", "Resident memory of each web process here.", ["pid"], registry=PRESENT
)
BREAKS = Gauge(
    "fondaco_breaks_open",
    "Differences to the provider nobody has explained: no payout leaves.",
    registry=PRESENT,
)
OLDEST_BREAK = Gauge("fondaco_oldest_break_seconds", "Age of the oldest of them.", registry=PRESENT)
COMPARED = Gauge(
    "fondaco_reconciled_age_seconds",
    "Since the last finished comparison with the provider; -1 when there was none.",
    registry=PRESENT,
)
SUSPENSE = Gauge(
    "fondaco_suspense_minor_units", "Money that matches nothing, by currency.", ["currency"], registry=PRESENT
)
FAILED = Gauge("fondaco_failed", "Rows a person must look at.", ["what"], registry=PRESENT)

_QUEUES = """
SELECT 'jobs' AS what,
       (SELECT count(*) FROM (SELECT 1 FROM public.procrastinate_jobs WHERE status = 'todo'
          LIMIT $1) t) AS waiting,
       (SELECT coalesce(extract(epoch FROM now() - min(e.at)), 0)::int
        FROM (SELECT id FROM public.procrastinate_jobs WHERE status = 'todo' ORDER BY id LIMIT $1) j
        JOIN public.procrastinate_events e ON e.job_id = j.id
        WHERE e.type = 'deferred') AS oldest,
       (SELECT count(*) FROM (SELECT 1 FROM public.procrastinate_jobs WHERE status = 'failed'
          LIMIT $1) t) AS failed
UNION ALL
SELECT 'mails',
       (SELECT count(*) FROM (SELECT 1 FROM notifications.mail WHERE state IN ('QUEUED', 'FAILED')
          ORDER BY next_at LIMIT $1) t),
       (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::int
        FROM ((SELECT created_at FROM notifications.mail WHERE state = 'QUEUED'
            ORDER BY created_at, id LIMIT 1)
          UNION ALL (SELECT created_at FROM notifications.mail WHERE state = 'FAILED'
            ORDER BY created_at, id LIMIT 1)) t),
       (SELECT count(*) FROM (SELECT 1 FROM notifications.mail WHERE state = 'UNDELIVERABLE' LIMIT $1) t)
UNION ALL
SELECT 'provider_events',
       (SELECT count(*) FROM (SELECT 1 FROM inbox.event WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD')
          ORDER BY next_at LIMIT $1) t),
       (SELECT coalesce(extract(epoch FROM now() - min(t.received_at)), 0)::int
        FROM (SELECT received_at FROM inbox.event WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD')
          ORDER BY next_at LIMIT $1) t),
       (SELECT count(*) FROM (SELECT 1 FROM inbox.event WHERE state = 'DEAD' LIMIT $1) t)
"""


class Measure:
    """ASGI middleware: counts each request under its route's pattern, never under its address."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = str(parts_of(scope).get("path_template", ""))
            _requests(route, scope["method"], status).inc()
            _seconds(route).observe(time.perf_counter() - began)


@cache
def _requests(route: str, method: str, status: int) -> Counter:
    """The counter of these labels. There are as many as routes and outcomes: unknown paths have no route."""
    return REQUESTS.labels(route, method, str(status))


@cache
def _seconds(route: str) -> Histogram:
    return SECONDS.labels(route)


async def render(db: Database) -> bytes:
    """The present numbers in Prometheus' text format."""
    for row in await db.fetch(SYSTEM, _QUEUES, counting.MOST_WAITING):
        WAITING.labels(row["what"]).set(row["waiting"])
        OLDEST.labels(row["what"]).set(row["oldest"])
        FAILED.labels(row["what"]).set(row["failed"])
    await _checks(db)
    await _reconciliation(db)
    MEMORY.clear()
    for pid, size in memory().items():
        MEMORY.labels(pid).set(size)
    return generate_latest(_counted()) + generate_latest(PRESENT)


class _Together:
    """The counters of all processes that share the folder, those that have ended too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for kind in ("counter", "histogram") for file in self._folder.glob(f"{kind}_*.db")]
        found: Iterable[Metric] = cast(Any, MultiProcessCollector).merge(files)
        return found


def _counted() -> CollectorRegistry:
    folder = os.environ.get(SHARED)
    if not folder:
        return REGISTRY
    together = CollectorRegistry()
    together.register(cast(Collector, _Together(Path(folder))))
    return together


def memory() -> dict[int, int]:
    """Resident bytes of each web process of this server by its number; none where the system hides them."""
    folder = os.environ.get(SHARED)
    pids = {os.getpid()}
    if folder:
        pids |= {int(file.stem.rpartition("_")[2]) for file in Path(folder).glob("counter_*.db")}
    sizes: dict[int, int] = {}
    for pid in sorted(pids):
        with contextlib.suppress(OSError):  # it has ended
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            sizes[pid] = pages * os.sysconf("SC_PAGE_SIZE")
    return sizes


async def _checks(db: Database) -> None:
    stands = await checks.summary(db, SYSTEM)
    FAULTS.set(stands.open)
    for run in (stands.minute, stands.full):
        if run and run.ended_at:
            LOOKED.labels(run.kind).set(max(0, (now() - run.ended_at).total_seconds()))


async def _reconciliation(db: Database) -> None:
    stands, at = await reconciliation.standing(db, SYSTEM), now()
    BREAKS.set(stands.open)
    OLDEST_BREAK.set(max(0, (at - stands.oldest_at).total_seconds()) if stands.oldest_at else 0)
    COMPARED.set(max(0, (at - stands.done_at).total_seconds()) if stands.done_at else -1)
    SUSPENSE.clear()
    for currency, amount in stands.suspense.items():
        SUSPENSE.labels(currency).set(amount)

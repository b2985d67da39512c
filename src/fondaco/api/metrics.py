"""Numbers for monitoring: requests of this process, and what waits in the database."""

import time

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fondaco.api.answers import parts_of
from fondaco.core.db import SYSTEM, Database

REGISTRY = CollectorRegistry()
REQUESTS = Counter("fondaco_requests", "Requests answered.", ["route", "method", "status"], registry=REGISTRY)
SECONDS = Histogram(
    "fondaco_request_seconds",
    "Time to the end of the answer.",
    ["route"],
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WAITING = Gauge("fondaco_waiting", "Rows that await work.", ["what"], registry=REGISTRY)
OLDEST = Gauge("fondaco_oldest_waiting_seconds", "Age of the oldest of them.", ["what"], registry=REGISTRY)
FAILED = Gauge("fondaco_failed", "Rows a person must look at.", ["what"], registry=REGISTRY)

_QUEUES = """
SELECT 'jobs' AS what,
       (SELECT count(*) FROM public.procrastinate_jobs WHERE status = 'todo') AS waiting,
       (SELECT coalesce(extract(epoch FROM now() - min(e.at)), 0)::int
        FROM public.procrastinate_jobs j JOIN public.procrastinate_events e ON e.job_id = j.id
        WHERE j.status = 'todo' AND e.type = 'deferred') AS oldest,
       (SELECT count(*) FROM public.procrastinate_jobs WHERE status = 'failed') AS failed
UNION ALL
SELECT 'mails',
       (SELECT count(*) FROM notifications.mail WHERE state IN ('QUEUED', 'FAILED')),
       (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::int
        FROM notifications.mail WHERE state IN ('QUEUED', 'FAILED')),
       (SELECT count(*) FROM notifications.mail WHERE state = 'UNDELIVERABLE')
UNION ALL
SELECT 'provider_events',
       (SELECT count(*) FROM inbox.event WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD')),
       (SELECT coalesce(extract(epoch FROM now() - min(received_at)), 0)::int
        FROM inbox.event WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD')),
       (SELECT count(*) FROM inbox.event WHERE state = 'DEAD')
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
            REQUESTS.labels(route, scope["method"], str(status)).inc()
            SECONDS.labels(route).observe(time.perf_counter() - began)


async def render(db: Database) -> bytes:
    """The present numbers in Prometheus' text format."""
    for row in await db.fetch(SYSTEM, _QUEUES):
        WAITING.labels(row["what"]).set(row["waiting"])
        OLDEST.labels(row["what"]).set(row["oldest"])
        FAILED.labels(row["what"]).set(row["failed"])
    return generate_latest(REGISTRY)

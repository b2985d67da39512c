"""The worker process: what the queue holds and what the clock brings, collected from all modules.

A module's `jobs.py` may name `tasks` (name -> coroutine taking Parts and the job's arguments), `periodic`
(name, seconds between, coroutine taking Parts) and `loops` (name, coroutine taking Parts and an event, at
work until that is set; it sees to its own failures). Jobs run at least once: a killed worker's jobs are run
again by another within half a minute, so each guards its effect itself. Periodic jobs run at most once per
interval however many workers there are.
"""

import asyncio
import contextlib
import importlib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any

import procrastinate
import structlog
from procrastinate import exceptions, jobs, retry

from fondaco.core import failpoints, garbage
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.logs import places, setup_logs
from fondaco.modules import MODULES
from fondaco.settings import BadSettings, Settings, arm_faults, load

log = structlog.get_logger()
Task = Callable[..., Awaitable[None]]
Periodic = tuple[str, float, Callable[[Parts], Awaitable[Any]]]
Loop = tuple[str, Callable[[Parts, asyncio.Event], Coroutine[Any, Any, None]]]

CONCURRENCY = 8
TRIES = 10
HEARTBEAT_S = 3.0
STALLED_S = 12.0  # without a heartbeat for so long, a worker counts as killed
RESCUE_EVERY_S = 5.0
STOP_S = 3.0  # for jobs under way, when told to stop


@dataclass(frozen=True)
class Work:
    """Everything there is to do."""

    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    periodic: Sequence[Periodic] = ()
    loops: Sequence[Loop] = ()


def collect() -> Work:
    """The tasks and periodic jobs of every module; ValueError when two share a name."""
    tasks: dict[str, Task] = {}
    periodic: list[Periodic] = []
    loops: list[Loop] = []
    for module in MODULES:
        if find_spec(f"fondaco.{module}.jobs") is None:
            continue
        found = importlib.import_module(f"fondaco.{module}.jobs")
        mine: Mapping[str, Task] = getattr(found, "tasks", {})
        if twice := tasks.keys() & mine.keys():
            raise ValueError(f"two modules name a task {sorted(twice)}")
        tasks |= mine
        periodic += getattr(found, "periodic", [])
        loops += getattr(found, "loops", [])
    names = [name for name, _, _ in periodic]
    if len(names) != len(set(names)):
        raise ValueError(f"two periodic jobs share a name among {sorted(names)}")
    return Work(tasks, periodic, loops)


class QueueClock:
    """The database's time, by which the queue says what is due, however wrong this machine's clock is."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return now() + self._ahead

    async def set(self, db: Database) -> None:
        """Compare the two; done now and then, so that nothing waits for the database when it is asked."""
        async with db.connection() as connection:
            there: datetime = await connection.fetchval("SELECT clock_timestamp()")
        self._ahead = there - now()


class Backoff(retry.BaseRetryStrategy):
    """Ten tries, 2 s to 5 min apart. A job cut off by a stopping worker is simply run again."""

    def __init__(self, clock: QueueClock | None = None) -> None:
        self._clock = clock or QueueClock()

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision | None:
        if isinstance(exception, exceptions.JobAborted | asyncio.CancelledError):
            return retry.RetryDecision(retry_at=self._clock.now())
        if job.attempts + 1 >= TRIES or isinstance(exception, exceptions.TaskNotFound):
            return None
        return retry.RetryDecision(
            retry_at=self._clock.now() + timedelta(seconds=min(300, 2 ** (job.attempts + 1)))
        )


def build_queue(
    dsn: str, parts: Parts, tasks: Mapping[str, Task], clock: QueueClock | None = None
) -> procrastinate.App:
    """The queue's application with all tasks registered; open it before use."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=dsn, min_size=1, max_size=CONCURRENCY + 2)
    )
    for name, task in tasks.items():
        app.task(name=name, retry=Backoff(clock), pass_context=True)(_guarded(parts, name, task))
    return app


def _guarded(parts: Parts, name: str, task: Task) -> Callable[..., Awaitable[None]]:
    """The task as the queue calls it; failures are told with their place, never with their values."""

    async def run(context: procrastinate.JobContext, /, **arguments: Any) -> None:
        try:
            if failpoints.armed:
                await failpoints.reached("worker.claim.after")
            await task(parts, **arguments)
            if failpoints.armed:
                await failpoints.reached("worker.job.after_commit_before_ack")
        except Exception as error:
            last = context.job.attempts + 1 >= TRIES
            tell = log.error if last else log.warning
            tell(
                "job_failed" if last else "job_will_be_tried_again",
                task=name,
                job=context.job.id,
                attempt=context.job.attempts + 1,
                error=type(error).__name__,
                where=places(error),
            )
            raise

    return run


async def rescue(queue: procrastinate.App, clock: QueueClock | None = None) -> int:
    """Put the jobs of killed workers back; returns how many."""
    rescued, clock = 0, clock or QueueClock()
    for job in await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
        with contextlib.suppress(exceptions.ConnectorException):  # another worker was quicker
            if job.attempts + 1 >= TRIES:
                await queue.job_manager.finish_job(job, jobs.Status.FAILED, delete_job=False)
                log.error("job_failed", task=job.task_name, job=job.id, error="its worker died each time")
            else:
                await queue.job_manager.retry_job(job, retry_at=clock.now())
                log.warning("job_of_a_dead_worker", task=job.task_name, job=job.id)
            rescued += 1
    await queue.job_manager.prune_stalled_workers(seconds_since_heartbeat=STALLED_S)
    return rescued


async def forget_old_jobs(parts: Parts) -> None:
    """Drop finished jobs after a day, failed ones after a month."""
    await parts.get(Database).execute(
        SYSTEM,
        """DELETE FROM public.procrastinate_jobs WHERE id IN (
             SELECT j.id FROM public.procrastinate_jobs j
             JOIN public.procrastinate_events e ON e.job_id = j.id AND e.type::text = j.status::text
             WHERE (j.status IN ('succeeded', 'cancelled', 'aborted') AND e.at < now() - interval '1 day')
                OR (j.status = 'failed' AND e.at < now() - interval '30 days')
             LIMIT 10000)""",
    )


async def claim(db: Database, name: str, every: float) -> float:
    """0 when this worker shall run the periodic job now, else the seconds until anybody may."""
    async with db.connection() as connection:
        wait = await connection.fetchval("SELECT core.claim_run($1, $2)", name, every)
    return max(0.0, wait)


async def _beat(db: Database, parts: Parts, job: Periodic, stop: asyncio.Event) -> None:
    """One periodic job, for ever. Whatever fails is told and tried at its next time."""
    name, every, work = job
    while not stop.is_set():
        wait = every
        try:
            wait = await claim(db, name, every)
            if wait == 0:
                wait = every
                await work(parts)
        except Exception as error:
            log.error("periodic_job_failed", job=name, error=type(error).__name__, where=places(error))
            wait = max(1.0, every)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0.05, wait))


async def _keep_time(db: Database, clock: QueueClock, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 60)
        with contextlib.suppress(Exception):  # the last comparison stands until the database is back
            await clock.set(db)


async def _serve(queue: procrastinate.App, stop: asyncio.Event) -> None:
    """The queue's worker; it starts again when the database was away."""
    while not stop.is_set():
        serving = asyncio.create_task(
            queue.run_worker_async(
                name="fondaco",
                concurrency=CONCURRENCY,
                listen_notify=True,
                fetch_job_polling_interval=1.0,
                update_heartbeat_interval=HEARTBEAT_S,
                stalled_worker_timeout=STALLED_S,
                shutdown_graceful_timeout=STOP_S,
                install_signal_handlers=False,
            )
        )
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        serving.cancel()
        try:
            await serving
        except asyncio.CancelledError:
            pass
        except Exception as error:
            log.error("queue_interrupted", error=type(error).__name__)
        if not stop.is_set():
            await asyncio.sleep(1)


def build_parts(settings: Settings) -> Parts:
    """The program's parts with a pool that fits the worker, not yet opened."""
    from fondaco.app import build_parts

    size = max(settings.database_pool_size, CONCURRENCY + 4)
    parts = build_parts(settings.model_copy(update={"database_pool_size": size}))
    parts.add(settings)
    return parts


async def run(
    settings: Settings,
    work: Work | None = None,
    parts: Parts | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Work until told to stop (SIGTERM, SIGINT, or the event given). `parts` are opened and closed here."""
    todo = work or collect()
    parts = parts or build_parts(settings)
    stop = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    db = parts.get(Database)
    clock = QueueClock()
    queue = build_queue(settings.direct_dsn, parts, todo.tasks, clock)
    periodic: list[Periodic] = [
        *todo.periodic,
        ("worker.rescue", RESCUE_EVERY_S, lambda _: rescue(queue, clock)),
        ("worker.forget_old_jobs", 600.0, forget_old_jobs),
    ]
    await db.open()
    try:
        await clock.set(db)
        async with queue.open_async():
            beats = [asyncio.create_task(_keep_time(db, clock, stop))]
            beats.append(asyncio.create_task(garbage.keep_tidy(stop)))
            beats += [asyncio.create_task(_beat(db, parts, job, stop)) for job in periodic]
            beats += [asyncio.create_task(loop(parts, stop)) for _, loop in todo.loops]
            sys.stdout.write(f"worker ready: {len(todo.tasks)} tasks, {len(periodic)} periodic jobs\n")
            sys.stdout.flush()
            await _serve(queue, stop)
            _, late = await asyncio.wait(beats, timeout=1)
            for beat in late:
                beat.cancel()
            await asyncio.gather(*late, return_exceptions=True)
    finally:
        await db.close()


def main() -> int:
    """The command: exit code 0 when told to stop, 1 when the settings cannot be used."""
    try:
        settings = load()
    except BadSettings as error:
        sys.stderr.write(f"The settings cannot be used:\n{error}\n")
        return 1
    setup_logs(settings)
    arm_faults(settings)
    work, parts = collect(), build_parts(settings)
    _ = parts.get(StripeGateway).client  # loads much, and is asked in a moment anyway
    garbage.settle()
    asyncio.run(run(settings, work, parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())

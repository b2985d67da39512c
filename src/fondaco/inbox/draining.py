"""The workers' look at the inbox: woken by every commit that leaves something to do, and every second.

Of all workers one looks: it holds a lock of its own database session, so that a killed one lets go at once.
Events that wait together are taken together, those of one payment are one group. Nothing is written to take
an event: only its end is, and that only once, whoever else is at it (`handling`).
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import structlog

from fondaco.core.db import SYSTEM, Database, Record
from fondaco.core.web import Parts
from fondaco.inbox.handling import handle_group
from fondaco.inbox.model import CHANNEL, SESSION_TYPES
from fondaco.inbox.settle import adds_nothing
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import id_of, part
from fondaco.settings import Settings

log = structlog.get_logger()
AT_ONCE = 8  # groups under way: each may wait for the provider
LOOK = 64
ALIVE_S = 5.0  # a session whose server is gone, or whose way there is cut, is not told: it asks this often
ANSWER_S = 10.0
GATHER_S = 0.05  # after being woken: events of one payment arrive a few milliseconds apart
IDLE_S = 1.0
LOCK = 7302_02

# Due events with the funding they speak of when its money is here and its fee booked: any for a payment of
# which the event says nothing more, the very one for a charge that may have changed because of it.
_DUE = """
SELECT e.*, f.id AS funding_id, f.user_id, f.amount, f.currency, f.session_id, f.intent_id, f.charge_id,
  f.passed_on, f.transfer_id
FROM inbox.event e LEFT JOIN LATERAL (
  SELECT k.* FROM (
    SELECT * FROM wallets.funding WHERE session_id = e.object_id
    UNION ALL SELECT * FROM wallets.funding WHERE intent_id = e.object_id
    UNION ALL SELECT * FROM wallets.funding WHERE charge_id = e.object_id) k
  WHERE k.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED', 'REFUNDED')
    AND EXISTS (SELECT 1 FROM ledger.journal j WHERE j.ref = 'funding:' || k.id AND j.kind = 'provider_fee'
      AND (e.type <> 'charge.updated' OR j.idem = 'fee:' || (e.body #>> '{data,object,balance_transaction}')))
  LIMIT 1) f ON true
WHERE e.state NOT IN ('PROCESSED', 'IGNORED', 'DEAD') AND e.next_at <= now() AND e.id <> ALL ($1::bigint[])
ORDER BY e.next_at, e.id LIMIT $2
"""


class Drain:
    """Handles what waits in the inbox; several groups at a time. `on_end` is called when one has ended."""

    def __init__(
        self, db: Database, gateway: StripeGateway, on_end: Callable[[], None] = lambda: None
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._on_end = on_end
        self._waiting: deque[list[Record]] = deque()
        self._busy: dict[asyncio.Task[None], list[Record]] = {}

    @property
    def room(self) -> bool:
        """Whether another group could be begun now."""
        return len(self._busy) < AT_ONCE

    @property
    def idle(self) -> bool:
        """Whether everything that was taken is begun and there is room for more."""
        return self.room and not self._waiting

    async def look(self) -> int:
        """Take what is due and not taken yet and begin as many groups as there is room for; returns how many
        events were taken. Their handling goes on meanwhile."""
        taken = 0
        if self.room and not self._waiting:
            known = [row["id"] for rows in self._busy.values() for row in rows]
            rows = await self._db.fetch(SYSTEM, _DUE, known, LOOK)
            taken = len(rows)
            ends = {row["id"] for row in rows if adds_nothing(row, livemode=self._gateway.livemode)}
            if ends:
                await self._end(sorted(ends))
            self._waiting.extend(_groups([row for row in rows if row["id"] not in ends]))
        while self._waiting and self.room:
            group = self._waiting.popleft()
            task = asyncio.create_task(handle_group(self._db, self._gateway, group))
            self._busy[task] = group
            task.add_done_callback(self._ended)
        return taken

    async def all(self) -> int:
        """Handle everything that is due now; returns how many events were taken."""
        taken = 0
        while (count := await self.look()) or self._waiting or self._busy:
            taken += count
            if self._busy:
                until = asyncio.FIRST_COMPLETED if self._waiting else asyncio.ALL_COMPLETED
                await asyncio.wait(self._busy, return_when=until)
        return taken

    async def stop(self) -> None:
        """Cut off what is under way: another look takes it again."""
        for task in list(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._busy.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            log.warning("inbox.group_failed", error=type(error).__name__)
        self._on_end()

    async def _end(self, ids: Sequence[int]) -> None:
        """Events that say nothing that is not known and done: nothing is to be asked."""
        await self._db.execute(
            SYSTEM,
            """UPDATE inbox.event SET state = 'PROCESSED', failure = NULL, attempts = attempts + 1,
                 handled_at = now()
               WHERE id IN (SELECT id FROM inbox.event WHERE id = ANY ($1)
                 AND state IN ('RECEIVED', 'DEFERRED', 'FAILED') ORDER BY id FOR UPDATE SKIP LOCKED)""",
            list(ids),
        )


def _groups(rows: Sequence[Record]) -> list[list[Record]]:
    """Rows that speak of one payment or one refund, together; in the order of the first of each."""
    found: dict[str, list[Record]] = {}
    for row in rows:
        found.setdefault(_about(row), []).append(row)
    return list(found.values())


def _about(row: Record) -> str:
    body: Any = row["body"]
    said = part(part(part(body).get("data")).get("object"))
    if row["type"] in SESSION_TYPES or row["type"] == "charge.updated":
        return id_of(said.get("payment_intent")) or row["object_id"]
    return row["object_id"]


async def drain(db: Database, gateway: StripeGateway) -> int:
    """Handle everything that is due now; returns how many events were taken."""
    return await Drain(db, gateway).all()


async def keep_draining(parts: Parts, stop: asyncio.Event) -> None:
    """The worker's loop, until told to stop. When its session is lost it begins anew."""
    while not stop.is_set():
        woken = asyncio.Event()
        work = Drain(parts.get(Database), parts.get(StripeGateway), woken.set)
        try:
            await _session(parts.get(Settings).direct_dsn, work, woken, stop)
        except Exception as error:
            log.warning("inbox.interrupted", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1)
        finally:
            await work.stop()


async def _session(dsn: str, work: Drain, woken: asyncio.Event, stop: asyncio.Event) -> None:
    connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    session: Any = await connect(dsn, timeout=10, command_timeout=ANSWER_S)
    try:

        def wake(*_: Any) -> None:
            woken.set()

        session.add_termination_listener(wake)
        while not await session.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            if await _set_within(stop, IDLE_S):
                return
        await session.add_listener(CHANNEL, wake)
        alive = time.monotonic()
        while not stop.is_set() and not session.is_closed():
            if time.monotonic() > alive + ALIVE_S:
                await session.execute("SELECT 1")
                alive = time.monotonic()
            woken.clear()
            await work.look()
            if await _set_within(woken, IDLE_S) and work.idle:
                await _set_within(stop, GATHER_S)
    finally:
        session.terminate()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()

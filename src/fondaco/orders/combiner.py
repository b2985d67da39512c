"""Purchases that arrive together go to the database together: one call, one commit, a verdict for each."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from fondaco.core import failpoints
from fondaco.core.db import LOST, RETRY, Database, trouble
from fondaco.core.problem import Problem, Unavailable
from fondaco.orders.model import Bought, Purchase, refusal

log = structlog.get_logger()
MAX_BATCH = 32
MAX_CALLS = 2
_TRIES = 5
_BUY = "SELECT n, verdict, group_id, data FROM orders.buy($1::jsonb) ORDER BY n"

# What a second try can heal: a lost race, or a connection that broke with the outcome unknown. A purchase
# that did commit answers `same_again`, because its key is kept for ever.
_AGAIN = (*RETRY, *LOST, asyncpg.UniqueViolationError)

_Waiting = tuple[Purchase, "asyncio.Future[Bought]"]


class Combiner:
    """Gathers the purchases of this process.

    When nothing is in flight a purchase goes at once, with those of the same turn of the event loop. Those
    that arrive while calls are in flight form the next batch. A batch that fails as a whole is made again one
    by one, so that a bad purchase fails alone.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._starting = False

    async def buy(self, purchase: Purchase) -> Bought:
        """Buy from the wallet. Raises the Problem that says why not; then nothing was charged.

        When the caller is cancelled a purchase already on its way goes on; asking again with the same key
        tells how it ended.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Bought] = loop.create_future()
        self._waiting.append((purchase, answer))
        if not self._starting and len(self._calls) < MAX_CALLS:
            self._starting = True
            loop.call_soon(self._start)
        return await answer

    def _start(self) -> None:
        self._starting = False
        while self._waiting and len(self._calls) < MAX_CALLS:
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < MAX_BATCH:
                one = self._waiting.popleft()
                if not one[1].done():
                    batch.append(one)
            if batch:
                call = asyncio.create_task(self._serve(batch))
                self._calls.add(call)
                call.add_done_callback(self._ended)

    def _ended(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._start()

    async def _serve(self, batch: list[_Waiting]) -> None:
        try:
            try:
                verdicts = await self._call([purchase for purchase, _ in batch])
            except Unavailable as error:  # nobody would fare better alone
                for _, answer in batch:
                    _settle(answer, error)
                return
            except Exception as error:
                if len(batch) == 1:
                    raise
                log.warning("purchases.singly", error=type(error).__name__, batch=len(batch))
                for one in batch:
                    await self._serve([one])
                return
            for (_, answer), verdict in zip(batch, verdicts, strict=True):
                _settle(answer, verdict)
        except Exception as error:
            for _, answer in batch:
                _settle(answer, error)
        except asyncio.CancelledError:
            for _, answer in batch:
                _settle(answer, Unavailable())
            raise

    async def _call(self, purchases: Sequence[Purchase]) -> list[Bought | Problem]:
        """One round trip; lost races run again."""
        wire = [purchase.wire("wallet") for purchase in purchases]
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._db.connection() as connection:
                    if failpoints.armed:
                        await failpoints.reached("buy.before_call", connection)
                    rows = await connection.fetch(_BUY, wire)
                if failpoints.armed:
                    await failpoints.reached("buy.after_call")
                break
            except _AGAIN as error:
                if attempt == _TRIES:
                    if len(purchases) == 1 or isinstance(error, LOST):
                        raise Unavailable() from error
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - jitter
            except asyncpg.PostgresError as error:
                # Waited long enough for a lock, no room, a server that stops: all would only wait again.
                if problem := trouble(error):
                    raise problem from error
                raise
        else:
            raise AssertionError("unreachable")
        return [verdict_of(row["verdict"], row["group_id"], row["data"]) for row in rows]


def verdict_of(verdict: str, group_id: UUID | None, data: dict[str, Any]) -> Bought | Problem:
    """What a verdict of the database means to the buyer."""
    if group_id and verdict in ("bought", "same_again"):
        return Bought(group_id, again=verdict == "same_again")
    return refusal(verdict, data)


def _settle(answer: "asyncio.Future[Bought]", verdict: Bought | Exception) -> None:
    if answer.done():
        return
    if isinstance(verdict, Exception):
        answer.set_exception(verdict)
    else:
        answer.set_result(verdict)

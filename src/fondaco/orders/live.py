"""Live state of orders: whoever watches a reference is woken when something happened to it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from weakref import WeakKeyDictionary

import structlog

from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Unavailable
from fondaco.core.web import Parts

log = structlog.get_logger()
EVERY_S = 0.4
_watchers: "WeakKeyDictionary[Database, Watcher]" = WeakKeyDictionary()
_Place = tuple[int, int]


class Watcher:
    """One poller for all streams of this process; it rests while nobody watches."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._woken: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._places: dict[str, _Place] = {}
        self._poller: asyncio.Task[None] | None = None

    async def watch(self, *refs: str) -> AsyncIterator[None]:
        """Yields once at the start, and again whenever a new event names one of `refs`."""
        event = asyncio.Event()
        for ref in refs:
            self._woken[ref].add(event)
        try:
            for ref, place in (await self._look(refs)).items():
                self._places.setdefault(ref, place)
            if self._poller is None or self._poller.done():
                self._poller = asyncio.create_task(self._poll())
            while True:
                yield
                await event.wait()
                event.clear()
        finally:
            for ref in refs:
                self._woken[ref].discard(event)
                if not self._woken[ref]:
                    del self._woken[ref]
                    self._places.pop(ref, None)

    async def _poll(self) -> None:
        while self._woken:
            await asyncio.sleep(EVERY_S)
            try:
                places = await self._look(list(self._woken))
            except Exception as error:  # the next round asks again
                log.warning("live.poll", error=type(error).__name__)
                continue
            for ref, place in places.items():
                if ref in self._woken and self._places.get(ref) != place:
                    self._places[ref] = place
                    for event in self._woken[ref]:
                        event.set()

    async def _look(self, refs: tuple[str, ...] | list[str]) -> dict[str, _Place]:
        """Newest event and number of events per reference: ids may commit out of order, counts show it."""
        rows = await self._db.fetch(
            SYSTEM,
            """SELECT r.ref, coalesce(max(e.id), 0) AS newest, count(e.id) AS n
               FROM unnest($1::text[]) r(ref) LEFT JOIN audit.event e ON e.ref = r.ref GROUP BY r.ref""",
            list(refs),
        )
        return {row["ref"]: (row["newest"], row["n"]) for row in rows}


async def watch(parts: Parts, *refs: str) -> AsyncIterator[None]:
    """Yields at once, then each time something happened to one of `refs` ('order:<id>', 'funding:<id>'...).

    The caller has checked that the viewer may see them, and reads the state itself after each yield.
    """
    db = parts.get(Database)
    watcher = _watchers.setdefault(db, Watcher(db))
    stream = watcher.watch(*refs)
    try:
        with suppress(Unavailable):
            async for _ in stream:
                yield
    finally:
        await stream.aclose()  # type: ignore[attr-defined]

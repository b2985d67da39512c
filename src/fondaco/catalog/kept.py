"""What a web process keeps of the shop: answers made once and given again until the catalogue changes.

Each use asks the database, in one statement with those of the same moment, for the epoch (catalog.epoch:
moved by every transaction that changes what the shop shows) and for how much is left of the listings the
answer shows. The answer is given again only when both are as they were when it was made. The epoch is read
before the data, and it moves in the transaction that changes them: whoever looks after a change was committed
never gets what was before it. An answer put together from several asks once: `since` says from when on a look
counts, and what shows no listing is good at the epoch of the last look sent since then.
"""

import asyncio
import hashlib
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import msgspec

from fondaco.catalog.model import LOW_STOCK, Card
from fondaco.core.db import Database
from fondaco.core.gather import Gather

T = TypeVar("T")
MOST_BYTES = 64 << 20
_EXTRA = 1000  # bytes an answer costs at least beside its own
_LOOK = """SELECT (SELECT coalesce(sum(n), 0) FROM catalog.epoch) || '@' ||
    extract(epoch FROM pg_postmaster_start_time()) AS epoch,
  ARRAY(SELECT available FROM inventory.left_of($1)) AS left"""


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """An answer, its size in bytes, the listings it shows with how many it says are left of each, for how
    many seconds it is good at most, and parts it shares with other answers, counted once for all."""

    value: T
    size: int
    listings: tuple[UUID, ...] = ()
    left: tuple[int, ...] = ()
    good_for_s: float = math.inf
    shares: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    made: Made[Any]
    epoch: str
    at: float  # time.monotonic() before it was looked at
    size: int  # bytes, with its key: what visitors ask for decides how long a key is


class Kept:
    """The answers of one process, the least used given up first when they are more than `most` bytes."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.size = 0
        self.hits = 0
        self.made = 0
        self._most = most
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._shares: dict[int, int] = {}  # id of a shared part -> in how many answers it is
        self._making: dict[Hashable, tuple[str, asyncio.Future[None]]] = {}
        self._looks: tuple[Database, Gather[tuple[UUID, ...], tuple[str, tuple[int, ...]]]] | None = None
        self._last = (-math.inf, "")  # when the last look was sent, and the epoch it found

    def __len__(self) -> int:
        return len(self._entries)

    async def get(
        self,
        db: Database,
        key: Hashable,
        make: Callable[[T | None], Awaitable[Made[T]]],
        since: float = math.inf,
    ) -> T:
        """The answer kept under `key`, if it is still what `make` would give; else a new one. `since`, of
        time.monotonic(), is when whatever this is a part of began; without it every use asks for itself.

        `make` gets the answer that is no longer good (None: there is none), to give it again when nothing of
        it changed. Whatever `make` raises is raised, and nothing is kept.
        """
        value, _ = await self.get_patiently(db, key, make, lambda _: 0.0, since)
        return value

    async def get_patiently(
        self,
        db: Database,
        key: Hashable,
        make: Callable[[T | None], Awaitable[Made[T]]],
        patience: Callable[[T], float],
        since: float = math.inf,
    ) -> tuple[T, bool]:
        """The same for what may be given for `patience` seconds though the catalogue changed, and whether it
        was given so."""
        while True:
            entry = self._entries.get(key)
            at = time.monotonic()
            epoch, left = await self._look(db, entry.made.listings if entry else (), since)
            if entry and at < entry.at + entry.made.good_for_s:
                same = entry.epoch == epoch and entry.made.left == left
                if same or at < entry.at + patience(entry.made.value):
                    if key in self._entries:
                        self._entries.move_to_end(key)
                    self.hits += 1
                    return entry.made.value, not same
            if self._entries.get(key) is not entry:
                continue  # somebody made it meanwhile
            others = self._making.get(key)
            if others is None or others[0] != epoch:
                return await self._make(key, epoch, at, make, entry), False
            # Somebody is making it from what was there at this epoch: look again when it is done.
            await asyncio.wait([others[1]])

    async def _make(
        self,
        key: Hashable,
        epoch: str,
        at: float,
        make: Callable[[T | None], Awaitable[Made[T]]],
        old: _Entry | None,
    ) -> T:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine = self._making[key] = (epoch, done)
        try:
            made = await make(old.made.value if old else None)
            self.made += 1
            self._keep(key, _Entry(made, epoch, at, made.size + max(_EXTRA, _weight(key))))
            return made.value
        finally:
            done.set_result(None)
            if self._making.get(key) is mine:
                del self._making[key]

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        if key in self._entries:
            self._drop(self._entries.pop(key))
        if entry.size > self._most // 4:
            return
        self._entries[key] = entry
        self.size += entry.size
        for part in entry.made.shares:
            among = self._shares.get(id(part), 0)
            self._shares[id(part)] = among + 1
            self.size += 0 if among else sys.getsizeof(part)
        while self.size > self._most:
            _, gone = self._entries.popitem(last=False)
            self._drop(gone)

    def _drop(self, entry: _Entry) -> None:
        self.size -= entry.size
        for part in entry.made.shares:
            self._shares[id(part)] -= 1
            if not self._shares[id(part)]:
                del self._shares[id(part)]
                self.size -= sys.getsizeof(part)

    async def _look(
        self, db: Database, listings: tuple[UUID, ...], since: float
    ) -> tuple[str, tuple[int, ...]]:
        if self._looks is None or self._looks[0] is not db:
            self._looks, self._last = (db, Gather(partial(self._ask, db))), (-math.inf, "")
        if not listings and self._last[0] >= since:
            return self._last[1], ()
        return await self._looks[1].get(listings)

    async def _ask(
        self, db: Database, pages: Sequence[tuple[UUID, ...]]
    ) -> list[tuple[str, tuple[int, ...]]]:
        sent = time.monotonic()
        found = await _looked(db, pages)
        if _saw_more(looked := (sent, found[0][0]), self._last):
            self._last = looked
        return found


def _saw_more(look: tuple[float, str], other: tuple[float, str]) -> bool:
    """Whether a look saw later changes than another. The one sent later need not: it may have got its
    connection first."""
    (sent, epoch), (before, known) = look, other
    (n, _, started), (m, _, begun) = epoch.partition("@"), known.partition("@")
    return (int(n), sent) > (int(m), before) if started == begun else sent > before


async def _looked(db: Database, pages: Sequence[tuple[UUID, ...]]) -> list[tuple[str, tuple[int, ...]]]:
    """What is so now for the listings of pages that are looked at in the same moment."""
    listings = list(dict.fromkeys(chain.from_iterable(pages)))
    async with db.connection() as conn:
        row = await conn.fetchrow(_LOOK, listings)
    assert row
    left: dict[UUID, int] = dict(zip(listings, row["left"], strict=True))
    return [(row["epoch"], tuple(left[listing] for listing in page)) for page in pages]


def _weight(key: Any) -> int:
    if isinstance(key, tuple):
        return 60 + sum(map(_weight, cast(tuple[Any, ...], key)))
    return sys.getsizeof(key)


def made_of(
    value: T,
    size: int,
    cards: Iterable[Card],
    good_for_s: float = math.inf,
    shares: Sequence[bytes] = (),
) -> Made[T]:
    """An answer that shows these cards."""
    shown = {card.id: _left(card) for card in cards}
    return Made(value, size, tuple(shown), tuple(shown.values()), good_for_s, shares)


def _left(card: Card) -> int:
    return LOW_STOCK if card.stock.word == "in_stock" else card.stock.left or 0


def digest_of(*data: Any) -> bytes:
    """Short for all of `data`, which msgspec can write as JSON: equal when they are equal."""
    return hashlib.blake2b(msgspec.json.encode(data), digest_size=16).digest()

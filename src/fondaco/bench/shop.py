"""The shop over many listings: pages and lists, first and deep, filtered, asked again and never asked before.

The catalogue is written by set-based SQL (`catalogue.fill`). Kept pages are asked for by one address; those
never asked before by addresses that differ and mean the same, so that nothing kept can answer. Listing pages
are asked for twice: in a web process that has shown none of them, and in one that has shown them all.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from rich.console import Console

from fondaco import catalog
from fondaco.bench import load
from fondaco.bench.bench import Options
from fondaco.bench.catalogue import fill
from fondaco.bench.load import Plan, connect, request
from fondaco.bench.processes import cpu_ticks, micros
from fondaco.bench.report import Result, Table, median, ms, percentile, ratio
from fondaco.bench.stack import Stack
from fondaco.catalog import BrowseQuery
from fondaco.core.db import PUBLIC, Database
from fondaco.core.pagination import Cursors

CLIENTS = 16
DEEP = 10_000  # pages of 50
PAGE = 50
_WAYS = 4_000  # addresses never asked before, for each client
_SHOWN = 2_000  # listings asked for again
_UNMEASURED = 64  # listings that a process just started shows before it is measured
_FASTEST = 1_500  # listing pages a second that nothing comes near


@dataclass(frozen=True)
class _Way:
    """What each client asks for. `fresh`: of a web process that has shown nothing but `before`; otherwise
    `before` is asked once, as all else that was."""

    clients: Sequence[Sequence[str]]
    fresh: bool = False
    before: Sequence[str] = ()


@dataclass(frozen=True)
class _Round:
    """What came back; processor time of web and of PostgreSQL for one good answer, in microseconds."""

    outcome: load.Outcome
    cpu: Sequence[float]


async def shop(console: Console, options: Options) -> Result:
    """All of it over `options.listings` listings."""
    result = Result("catalogue")
    with Stack(web=options.web, worker=False) as stack:
        console.print(f"Writing {options.listings:,} listings.", style="dim")
        await fill(stack.endpoints.owner_dsn, options.listings)
        db = await Database(stack.endpoints.app_dsn, size=2).open()
        try:
            result.tables.append(await _depths(db, stack, options, result))
        finally:
            await db.close()
        asked = await _ways(stack, result.raw["deep"])
        rounds: dict[str, list[_Round]] = {name: [] for name in asked}
        for number in range(options.rounds):
            for name, way in asked.items():
                one = await _played(stack, way, options, number)
                rounds[name].append(one)
                if bad := {s: n for s, n in one.outcome.statuses.items() if int(s) >= 400}:
                    result.faults.append(f"{name}: {bad}, first: {one.outcome.first_refusal}")
        result.tables.insert(0, _table(options, rounds))
        result.raw["rates"] = {name: [one.outcome.rate for one in taken] for name, taken in rounds.items()}
        result.raw["cpu_us"] = {name: [one.cpu for one in taken] for name, taken in rounds.items()}
    return result


def _table(options: Options, rounds: dict[str, list[_Round]]) -> Table:
    table = Table(
        f"The shop over {options.listings:,} listings, {CLIENTS} clients",
        ("what", "answers/s", "p50 ms", "p99 ms", ": first JSON page", "web CPU us", "PostgreSQL CPU us"),
        note=f"Medians of {options.rounds} rounds of {options.seconds:g} s, in turns; processor time of an "
        "answer. New: a filter never asked for before, counts and all, answered from the database. Deep: by "
        f"cursor after {DEEP:,} pages of {PAGE}, or the last. First time: no page is asked for twice, and of "
        f"a web process just started; again: {_SHOWN:,} listings at random that it has shown.",
    )
    first = median([one.outcome.rate for one in rounds["JSON page of 50, new"]])
    for name, taken in rounds.items():
        rate = median([one.outcome.rate for one in taken])
        times = [took for one in taken for took in one.outcome.micros]
        cells = (ms(percentile(times, 0.5)), ms(percentile(times, 0.99)), ratio(rate, first))
        each = [median(cpu) for cpu in zip(*(one.cpu for one in taken), strict=True)]
        table.add(name, f"{rate:.0f}", *cells, *(f"{cpu:.0f}" for cpu in each))
    return table


async def _played(stack: Stack, way: _Way, options: Options, number: int) -> _Round:
    """One round. Each begins at another place, so that new addresses stay new."""
    seconds = options.seconds
    if way.fresh:
        stack.restart_web()
        seconds = min(seconds, sum(map(len, way.clients)) / _FASTEST)
    await _ask_once(stack, way.before)
    turned: list[list[str]] = []
    for requests in way.clients:
        at = number * len(requests) // max(1, options.rounds)
        turned.append([*requests[at:], *requests[:at]])
    pids = (stack.pid("web"), stack.pid("postgres"))
    before = [cpu_ticks(pid) for pid in pids]
    plan = Plan(port=stack.port, seconds=seconds, clients=turned, first_key=number << 40, warm=0.0)
    outcome = await load.run(plan)
    each = [
        micros(cpu_ticks(pid) - was) / max(1, outcome.good) for pid, was in zip(pids, before, strict=True)
    ]
    return _Round(outcome, each)


async def _ask_once(stack: Stack, requests: Sequence[str]) -> None:
    async def ask(mine: Sequence[str]) -> None:
        link = await connect("127.0.0.1", stack.port)
        try:
            for one in mine:
                await link.ask(one.encode())
        finally:
            link.close()

    await asyncio.gather(*(ask(requests[n::CLIENTS]) for n in range(CLIENTS)))


async def _ways(stack: Stack, deep: str) -> dict[str, _Way]:
    open_connection: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    connection: Any = await open_connection(stack.endpoints.owner_dsn)
    try:
        rows = await connection.fetch("SELECT slug FROM catalog.on_sale ORDER BY md5(slug) LIMIT 40000")
    finally:
        await connection.close()
    pages = [_get(f"/l/{row['slug']}") for row in rows]
    unmeasured = pages[: min(_UNMEASURED, len(pages) // 2)]
    once, shown = pages[len(unmeasured) :], pages[:_SHOWN]
    pick = random.Random(1)  # noqa: S311 - which pages are asked for
    return {
        "list page of 24 (HTML)": _same("/browse"),
        "list page of 24 (HTML), new": _new("/browse?sort=new&", "q", _marks),
        "list page, deep (HTML), new": _new(f"/browse?sort=new&after={deep}&", "q", _marks),
        "listing page (HTML), first time": _Way(
            [once[n::CLIENTS] or once for n in range(CLIENTS)], fresh=True, before=unmeasured
        ),
        "listing page (HTML), again": _Way(
            [[pick.choice(shown) for _ in range(500)] for _ in range(CLIENTS)], before=shown
        ),
        "JSON page of 50": _same("/api/v1/listings?limit=50"),
        "JSON page of 50, new": _new("/api/v1/listings?limit=50&"),
        "JSON page, deep, new": _new(f"/api/v1/listings?limit=50&cursor={deep}&"),
        "JSON page, one category, new": _new("/api/v1/listings?limit=50&category=games&"),
        "JSON page, search, new": _new("/api/v1/listings?limit=50&q=silent&"),
    }


def _get(path: str) -> str:
    return request("GET", path)


def _same(path: str) -> _Way:
    return _Way([[_get(path)]] * CLIENTS)


def _price(number: int) -> str:
    """A highest price nothing comes near."""
    return str(90_000_000 + number)


def _new(path: str, name: str = "price_max", value: Callable[[int], str] = _price) -> _Way:
    """Addresses that differ and mean the same."""
    return _Way(
        [
            [_get(f"{path}{name}={value(n * CLIENTS + client)}") for n in range(_WAYS)]
            for client in range(CLIENTS)
        ]
    )


def _marks(number: int) -> str:
    """A number in marks the search passes over: pages know no highest price."""
    return f"{number:020b}".replace("0", "-").replace("1", ".")


async def _depths(db: Database, stack: Stack, options: Options, result: Result) -> Table:
    """The first page against the deep one, in this process and without counts, in turns."""
    cursors = Cursors(stack.settings.key)
    table = Table(
        f"A page of {PAGE} without counts over {options.listings:,} listings, one at a time",
        ("order", "listings before", "first page ms", "deep page ms", "deep : first"),
        note="Medians of 200 pages each, in turns, in one process. The deep page is asked for by the cursor "
        f"after {DEEP:,} pages, or the last. Aim: at most 1.3.",
    )
    for sort in ("newest", "price_up", "popular"):
        passed, cursor = await _deep(db, cursors, sort)
        taken: dict[str | None, list[float]] = {None: [], cursor: []}
        for _ in range(200):
            for at, times in taken.items():
                began = time.perf_counter()
                await catalog.shelf(db, cursors, BrowseQuery(sort=sort, limit=PAGE, cursor=at))
                times.append((time.perf_counter() - began) * 1e6)
        first, deep = median(taken[None]), median(taken[cursor])
        table.add(sort, f"{passed:,}", ms(first), ms(deep), ratio(deep, first))
        result.raw.setdefault("depths", {})[sort] = {"before": passed, "first_us": first, "deep_us": deep}
        if sort == "newest":
            result.raw["deep"] = cursor
    return table


async def _deep(db: Database, cursors: Cursors, sort: str) -> tuple[int, str]:
    """How many listings come before the page after DEEP pages, or before the last, and its cursor."""
    there: int = await db.fetchval(PUBLIC, "SELECT count(*) FROM catalog.in_order")
    passed = min(DEEP * PAGE, (there - 1) // PAGE * PAGE)
    start = catalog.SORTS[sort].start(cursors, None, [])
    around = await db.fetch(
        PUBLIC,
        f"SELECT l.* FROM catalog.in_order l ORDER BY {start.order} OFFSET {max(passed - 1, 0)} LIMIT 2",
    )
    return passed, start.page(around, 1, lambda row: row).next or ""

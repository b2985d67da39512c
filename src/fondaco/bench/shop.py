"""The shop over many listings: pages and lists, first and deep, filtered, asked again and never asked before.

The catalogue is written by set-based SQL (`catalogue.fill`). Kept pages are asked for by one address; those
never asked before by addresses that differ and mean the same, so that nothing kept can answer.
"""

import random
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec
from rich.console import Console

from fondaco.bench import load
from fondaco.bench.bench import Options
from fondaco.bench.catalogue import fill
from fondaco.bench.load import Link, Plan, connect, request
from fondaco.bench.report import Result, Table, median, ms, percentile, ratio
from fondaco.bench.stack import Stack

CLIENTS = 16
DEEP = 10_000
_WAYS = 4_000  # addresses never asked before, for each client


async def shop(console: Console, options: Options) -> Result:
    """All of it over `options.listings` listings."""
    result = Result("catalogue")
    with Stack(web=options.web, worker=False) as stack:
        console.print(f"Writing {options.listings:,} listings.", style="dim")
        await fill(stack.endpoints.owner_dsn, options.listings)
        asked = await _requests(stack)
        table = Table(
            f"The shop over {options.listings:,} listings, {CLIENTS} clients",
            ("what", "answers/s", "p50 ms", "p99 ms", ": first JSON page"),
            note=f"Medians of {options.rounds} rounds of {options.seconds:g} s, in turns. New: a filter "
            "never asked for before, counts and all, answered from the database. Deep: by cursor after "
            f"{DEEP:,} listings, or the last.",
        )
        rates: dict[str, list[float]] = {name: [] for name in asked}
        micros: dict[str, list[int]] = {name: [] for name in asked}
        for number in range(options.rounds):
            for name, clients in asked.items():
                outcome = await load.run(_plan(stack, clients, options, number))
                rates[name].append(outcome.rate)
                micros[name] += outcome.micros
                if bad := {s: n for s, n in outcome.statuses.items() if int(s) >= 400}:
                    result.faults.append(f"{name}: {bad}, first: {outcome.first_refusal}")
        first = median(rates["JSON page of 50, new"])
        for name, taken in rates.items():
            p50, p99 = percentile(micros[name], 0.5), percentile(micros[name], 0.99)
            table.add(name, f"{median(taken):.0f}", ms(p50), ms(p99), ratio(median(taken), first))
        result.tables.append(table)
        result.raw = {"rates": rates}
    return result


def _plan(stack: Stack, clients: list[list[str]], options: Options, number: int) -> Plan:
    """Each round begins at another place, so that new addresses stay new."""
    turned: list[list[str]] = []
    for requests in clients:
        at = number * len(requests) // max(1, options.rounds)
        turned.append(requests[at:] + requests[:at])
    return Plan(port=stack.port, seconds=options.seconds, clients=turned, first_key=number << 40)


async def _requests(stack: Stack) -> dict[str, list[list[str]]]:
    link = await connect("127.0.0.1", stack.port)
    try:
        deep = await _deep(link)
    finally:
        link.close()
    open_connection: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    connection: Any = await open_connection(stack.endpoints.owner_dsn)
    try:
        rows = await connection.fetch("SELECT slug FROM catalog.on_sale ORDER BY md5(slug) LIMIT 2000")
    finally:
        await connection.close()
    slugs = [str(row["slug"]) for row in rows]
    pick = random.Random(1)  # noqa: S311 - which pages are asked for
    return {
        "list page of 24 (HTML)": _same("/browse"),
        "list page of 24 (HTML), new": _new("/browse?sort=new&", "q", _marks),
        "list page, deep (HTML), new": _new(f"/browse?sort=new&after={deep}&", "q", _marks),
        "listing page (HTML)": [
            [_get(f"/l/{pick.choice(slugs)}") for _ in range(500)] for _ in range(CLIENTS)
        ],
        "JSON page of 50": _same("/api/v1/listings?limit=50"),
        "JSON page of 50, new": _new("/api/v1/listings?limit=50&"),
        "JSON page, deep, new": _new(f"/api/v1/listings?limit=50&cursor={deep}&"),
        "JSON page, one category, new": _new("/api/v1/listings?limit=50&category=games&"),
        "JSON page, search, new": _new("/api/v1/listings?limit=50&q=silent&"),
    }


def _get(path: str) -> str:
    return request("GET", path)


def _same(path: str) -> list[list[str]]:
    return [[_get(path)]] * CLIENTS


def _price(number: int) -> str:
    """A highest price nothing comes near."""
    return str(90_000_000 + number)


def _new(path: str, name: str = "price_max", value: Callable[[int], str] = _price) -> list[list[str]]:
    """Addresses that differ and mean the same."""
    return [
        [_get(f"{path}{name}={value(n * CLIENTS + client)}") for n in range(_WAYS)]
        for client in range(CLIENTS)
    ]


def _marks(number: int) -> str:
    """A number in marks the search passes over: pages know no highest price."""
    return f"{number:020b}".replace("0", "-").replace("1", ".")


async def _deep(link: Link) -> str:
    """The cursor after DEEP listings, or the last there is."""
    cursor, seen = "", 0
    while seen < DEEP:
        more = f"&cursor={cursor}" if cursor else ""
        status, answer = await link.ask(_get(f"/api/v1/listings?limit=100{more}").encode())
        if status != 200:
            raise RuntimeError(f"the list was refused: {answer[:300]!r}")
        page = msgspec.json.decode(answer)
        seen += len(page["items"])
        if not page["next"]:
            break
        cursor = page["next"]
    return cursor

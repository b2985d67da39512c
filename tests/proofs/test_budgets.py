"""What a GET route may ask of the database: so many statements, so many rows, and no more when the data are
ten times as many. Generated from the route table; the budgets are a page of the docs.

A budget is written anew by FONDACO_WRITE_BUDGETS=1 pytest tests/proofs/test_budgets.py.
"""

import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from fondaco.app import build_parts
from fondaco.bench.market import Market
from fondaco.catalog import counting as catalog_counting
from fondaco.core import counting
from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.identity.permissions import PERMISSIONS
from fondaco.orders import Combiner
from fondaco.settings import Settings
from tests.proofs.marketplace import Counting, World
from tests.support.app import application, calling
from tests.support.bouncer import direct_dsn
from tests.support.postgres import chosen

PAGE = Path(__file__).resolve().parents[2] / "docs" / "drawn" / "query-budgets.md"
SMALL, LARGE = 60, 600
COUNTED = 30
STEPS = (10, 25, 50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 9600)
# Without database, without end, or opening a content or file that this marketplace has only as a copy.
WITHOUT = re.compile(
    r"/(live|content)$|files/\{file_id|^/(static|media|favicon|robots|health|api/docs|api/v1/openapi)"
)
PLACES = {  # what stands in a path beside ids
    "/c/": "category", "/l/": "listing", "/s/": "store",
    "/api/v1/stores/": "store", "/api/v1/listings/": "listing_id",
}  # fmt: skip
ACTS = {"/console/people/": "close", "/seller/listings/": "pause"}

# What grows with the data. A budget of these holds for the larger marketplace only.
ALL = "adds up every entry there is, as a proof does"
HELD = "adds up the lines under buyer protection now; what is released leaves it"
PERIOD = "adds up the days it shows"
DISPUTED = "adds up the chargebacks of one buyer, or of the months it shows"
TIED = "looks for the newest of one party's cards and browsers"
GROWS = {
    "/api/v1/console/chargeback-outcomes": DISPUTED,
    "/api/v1/console/chargebacks": DISPUTED,
    "/api/v1/console/ledger/accounts/{account_id:int}/entries": "puts one account's entries in order",
    "/api/v1/console/risk/parties/{side:str}/{party_id:uuid}": TIED,
    "/api/v1/seller/batches": "counts the units of the batches it shows",
    "/api/v1/seller/money": HELD,
    "/api/v1/wallet/block": DISPUTED,
    "/console/chargebacks": DISPUTED,
    "/console/payouts": "adds up the payouts that wait, and the days it shows",
    "/console/risk/{side:str}/{party_id:uuid}": TIED,
    "/console/sellers/{seller_id:uuid}/balance": HELD,
    "/seller/balance/why": HELD,
    "/seller/payouts/withdraw": HELD,
    "/api/v1/console/ledger/trial-balance": ALL,
    "/api/v1/seller/balance": HELD,
    "/api/v1/seller/sales": PERIOD,
    "/console": PERIOD,
    "/console/ledger": ALL,
    "/console/ledger/trial-balance": ALL,
    "/console/ledger/trial-balance.csv": ALL,
    "/console/people/{user_id:uuid}": "adds up what one person has spent",
    "/seller": f"{PERIOD}; {HELD}",
    "/seller/balance": HELD,
    "/sitemap.xml": "names every listing",
}


@dataclass(frozen=True)
class Cost:
    """What one request asked for."""

    statements: int
    rows: int


@dataclass(frozen=True)
class Budget(Cost):
    """What a route may ask for, at either size. `grows`: why it may be more on more data."""

    grows: str = ""


@pytest.fixture
async def counted(endpoints: Endpoints, owner: asyncpg.Connection) -> AsyncIterator[Counting]:
    """Small tables are read by their indexes, as they will be when they are large."""
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE {name} SET enable_seqscan = off")
    db = Counting(direct_dsn(endpoints), size=4, pooled=True)
    await db.open()
    yield db
    await db.close()


def routes(settings: Settings, parts: Parts) -> Iterator[tuple[str, str]]:
    """(path, desk) of every GET route that reads something."""
    with application(settings, parts) as app:
        found = app.routes
    for route in found:
        for handler in getattr(route, "route_handlers", []):
            if "GET" in handler.http_methods and not WITHOUT.search(route.path):
                roles = PERMISSIONS[str(handler.opt.get("permit"))]
                desk = "buyer" if "customer" in roles or "anonymous" in roles else "staff"
                yield route.path, "seller" if "seller.owner" in roles and desk == "staff" else desk


def fill(path: str, ids: dict[str, str]) -> str:
    """The path with the things of the marketplace in it."""

    def value(found: "re.Match[str]") -> str:
        name = found[1]
        if name == "act":
            return next(act for begin, act in ACTS.items() if path.startswith(begin))
        if name in ("side", "party_id"):
            return "user" if name == "side" else ids["buyer"]
        if name in ("slug", "key"):
            return ids[next(place for begin, place in PLACES.items() if path.startswith(begin))]
        if path.endswith("/article"):
            return ids["article_id"]
        return ids["buyer" if name == "user_id" and path.startswith("/console") else name]

    return re.sub(r"\{(\w+):\w+\}", value, path) + ("?list=orders" if path.endswith("/views") else "")


async def measure(settings: Settings, db: Counting, world: World) -> tuple[dict[str, Cost], list[str]]:
    """The cost of every route, each asked by a program that starts with nothing kept; and what failed."""
    costs, faults = dict[str, Cost](), list[str]()
    parts = build_parts(settings)
    parts._parts |= {Database: db, Combiner: Combiner(db)}  # it is no Database by name
    async with calling(settings, parts) as client:
        for path, desk in sorted(routes(settings, parts)):
            token = world.tokens[desk]
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            if not path.startswith("/api/"):
                headers = {"Cookie": f"session={token}", "Accept": "text/html"}
            db.statements = db.rows = 0
            answer = await client.get(fill(path, world.ids), headers=headers)
            costs[path] = Cost(db.statements, db.rows)
            if answer.status_code not in (200, 303) and not (answer.status_code == 409 and desk == "staff"):
                faults.append(f"{path}: {answer.status_code}")
    return costs, faults


def roomy(rows: int) -> int:
    """The next step above, so that another plan of the same kind is no breach."""
    return next((step for step in STEPS if step >= rows * 1.2), rows // 10_000 * 20_000 + 20_000)


def written(small: dict[str, Cost], large: dict[str, Cost]) -> str:
    """The page of budgets."""
    lines = [
        "<!-- Written by tests/proofs/test_budgets.py. Do not edit. -->\n",
        "# Query budgets\n",
        "What each GET route may ask of the database for one answer, with nothing kept in memory: statements "
        "(without BEGIN and COMMIT) and rows read from tables, by a buyer, seller or member of staff with "
        f"{SMALL} and with {LARGE + SMALL} listings, orders, top-ups and mails. A test asks every route on "
        "both and fails when one asks for more. Counts stop at a number, which the test makes so low "
        f"({COUNTED}) that both are beyond it. Where rows may grow with the data, the reason is told.\n",
        "| route | statements | rows | grows |",
        "|---|---|---|---|",
    ]
    for path in sorted(small):
        statements = max(small[path].statements, large[path].statements)
        rows = roomy(max(small[path].rows, large[path].rows))
        lines.append(f"| `{path}` | {statements} | {rows} | {GROWS.get(path, '')} |")
    return "\n".join(lines) + "\n"


def budgets() -> dict[str, Budget]:
    """The page, read."""
    found = re.findall(r"^\| `(\S+)` \| (\d+) \| (\d+) \| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    return {path: Budget(int(n), int(rows), why) for path, n, rows, why in found}


@pytest.mark.slow
@pytest.mark.skipif(chosen() != ("embedded18", False), reason="the plans of another version differ")
async def test_no_route_asks_for_more_than_its_budget_however_much_there_is(
    settings: Settings,
    parts: Parts,
    db: Database,
    counted: Counting,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Counts stop at a number that neither marketplace is to be below.
    monkeypatch.setattr(counting, "MOST", COUNTED)
    monkeypatch.setattr(counting, "MOST_WAITING", COUNTED)
    monkeypatch.setattr(catalog_counting, "COUNTED", COUNTED)
    world = World(db, owner, parts, Market(db, owner, settings))
    await world.open()
    await world.grow(SMALL)
    small, faults = await measure(settings, counted, world)
    await world.grow(LARGE)
    large, more = await measure(settings, counted, world)
    grown = [
        f"{path}: {small[path].rows} rows, then {large[path].rows}"
        for path in small
        if large[path].rows > 2 * small[path].rows + 25 and path not in GROWS
    ]
    still = [
        f"{path}: no longer grows, take it from GROWS"
        for path in GROWS
        if large[path].rows <= 2 * small[path].rows + 25
    ]
    assert not faults + more + grown + still, "\n".join(faults + more + grown + still)
    if os.environ.get("FONDACO_WRITE_BUDGETS"):
        PAGE.write_text(written(small, large))
    allowed = budgets()
    assert allowed.keys() == small.keys(), "run it with FONDACO_WRITE_BUDGETS=1"
    over = [
        f"{path}: {cost.statements} statements and {cost.rows} rows, allowed are "
        f"{allowed[path].statements} and {allowed[path].rows}"
        for costs in (small, large)
        for path, cost in costs.items()
        if cost.statements > allowed[path].statements or cost.rows > allowed[path].rows
    ]
    assert not over, "\n".join(over)
    assert {path: budget.grows for path, budget in allowed.items() if budget.grows} == GROWS

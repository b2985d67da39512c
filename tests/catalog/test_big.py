"""A large catalogue costs no more than a small one: rows PostgreSQL touches for a page, first and deep."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from fondaco import catalog
from fondaco.bench.catalogue import fill
from fondaco.catalog import BrowseQuery, counting
from fondaco.core.db import PUBLIC, SYSTEM, Connection, Database
from fondaco.core.pagination import Cursors
from fondaco.embedded import Endpoints
from tests.support.bouncer import direct_dsn

LISTINGS = 6000
Statement = tuple[str, list[Any]]


class Noting(Database):
    """Writes down the statements that read, with their arguments."""

    sent: list[Statement]

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[Connection]:
        async with super().held() as held:
            held.add_query_logger(self._note)
            try:
                yield held
            finally:
                held.remove_query_logger(self._note)

    def _note(self, query: Any) -> None:
        self.sent.append((query.query, list(query.args or ())))


@pytest.fixture
async def big(endpoints: Endpoints) -> AsyncIterator[Noting]:
    await fill(endpoints.owner_dsn, LISTINGS)
    db = Noting(direct_dsn(endpoints), size=2)
    db.sent = []
    await db.open()
    yield db
    await db.close()


async def touched(db: Noting) -> int:
    """Rows the noted statements look at in tables, shown or passed over."""
    statements, total = [s for s in db.sent if s[0].lstrip().startswith("WITH")], 0
    assert statements
    for sql, args in statements:
        text = await db.fetchval(PUBLIC, f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *args)
        total += _rows(msgspec.json.decode(text)[0]["Plan"] if isinstance(text, str) else text[0]["Plan"])
    return total


def _rows(node: dict[str, Any]) -> int:
    one = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    # So few stores are read as a whole, whatever for: they are not counted.
    own = int(one * node["Actual Loops"]) if node.get("Relation Name", "seller") != "seller" else 0
    return own + sum(_rows(child) for child in node.get("Plans", []))


async def page(db: Noting, cursors: Cursors, query: BrowseQuery) -> tuple[str | None, int]:
    """The cursor to the next page, and the rows this one touched."""
    db.sent.clear()
    found = await catalog.shelf(db, cursors, query)
    assert len(found.items) == query.limit
    return found.next, await touched(db)


@pytest.mark.parametrize("in_stock", [False, True])
async def test_deep_pages_touch_as_few_rows_as_the_first(
    big: Noting, cursors: Cursors, in_stock: bool
) -> None:
    for sort in catalog.SORTS:
        query = BrowseQuery(sort=sort, in_stock=in_stock, limit=50)
        cursor, first = await page(big, cursors, query)
        for _ in range(40):
            cursor = (
                await catalog.shelf(
                    big, cursors, BrowseQuery(sort=sort, in_stock=in_stock, limit=100, cursor=cursor)
                )
            ).next
        _, deep = await page(big, cursors, BrowseQuery(sort=sort, in_stock=in_stock, limit=50, cursor=cursor))
        # For each row of a page: itself twice, its variant, its category; few are passed over.
        assert first <= 51 * 6 and deep <= 51 * 6, (sort, first, deep)


async def test_narrowed_pages_touch_few_rows(big: Noting, cursors: Cursors) -> None:
    for query in (
        BrowseQuery(categories=("learning",), sort="popular"),
        BrowseQuery(categories=("games",), sort="newest"),
        BrowseQuery(sellers=("store-3",), sort="popular"),
    ):
        _, rows = await page(big, cursors, query)
        assert rows <= 25 * 6, query


async def test_counting_looks_at_a_bounded_number_of_rows(
    big: Noting, cursors: Cursors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "COUNTED", 500)
    big.sent.clear()
    assert (await counting.count(big, BrowseQuery())).at_least
    assert await touched(big) <= 1300  # the 501 looked at, paused ones passed over, stores and categories


async def test_the_filled_catalogue_is_sound(big: Noting) -> None:
    """What measurements run on is what the product itself could have made."""
    wrong = await big.fetchval(
        SYSTEM,
        """SELECT count(*) FROM catalog.listing l WHERE l.state = 'PUBLISHED'
           AND l.in_stock <> (inventory.left_up_to(l.id, 1) > 0)""",
    )
    assert wrong == 0
    shown = await big.fetchval(PUBLIC, "SELECT count(*) FROM catalog.on_sale")
    assert LISTINGS * 0.9 < shown < LISTINGS

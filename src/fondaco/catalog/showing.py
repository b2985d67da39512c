"""The shop as visitors see it, with what is kept of it: the same answers as `shop`, made only when needed.

`since` is that of `Kept.get`.
"""

import math

from fondaco.catalog.counting import Counted, count
from fondaco.catalog.kept import Kept, Made, made_of
from fondaco.catalog.listing import beside
from fondaco.catalog.model import BrowseResult, Card, Category
from fondaco.catalog.shop import categories, result, shelf
from fondaco.catalog.wanted import BrowseQuery
from fondaco.core.db import Database
from fondaco.core.pagination import Cursors

EXACT = 1000  # counts up to here are always those of this moment
LATE_S = 5.0  # counts beyond may be this old


async def browse_kept(
    kept: Kept, db: Database, cursors: Cursors, query: BrowseQuery, since: float = math.inf
) -> tuple[BrowseResult, float]:
    """One page of what is on sale, as it is now, and for how many seconds it may be kept at most.

    Counts of more than EXACT matches may be LATE_S seconds old. Raises Invalid, BadCursor.
    """
    counts, good_for_s = await counts_kept(kept, db, query, since)
    return result(await shelf(db, cursors, query), counts), good_for_s


async def counts_kept(
    kept: Kept, db: Database, query: BrowseQuery, since: float = math.inf
) -> tuple[Counted, float]:
    """How many match, and the facets: one count for all pages and orders of a list; and for how many seconds
    an answer with it may be kept at most. Raises Invalid."""

    async def make(_: Counted | None) -> Made[Counted]:
        found = await count(db, query)
        return Made(found, 200 * sum(len(facet.values) for facet in found.facets))

    found, late = await kept.get_patiently(db, ("counts", query.narrowing), make, _patience, since)
    return found, LATE_S if late else math.inf


def _patience(counted: Counted) -> float:
    return LATE_S if counted.total > EXACT else 0.0


async def categories_kept(kept: Kept, db: Database, since: float = math.inf) -> list[Category]:
    """The shelves, in their order."""

    async def make(_: list[Category] | None) -> Made[list[Category]]:
        found = await categories(db)
        return Made(found, 200 * len(found))

    return await kept.get(db, "categories", make, since)


async def related_kept(
    kept: Kept, db: Database, card: Card, limit: int, since: float = math.inf
) -> list[Card]:
    """Other products on the shelf of `card`, as they are now: looked for once for all of its shelf and
    platform, one more than are shown, because its own product may be among them."""

    async def make(_: list[Card] | None) -> Made[list[Card]]:
        found = await beside(db, card.category, card.platform, limit + 1)
        return made_of(found, 1000 * len(found), found)

    near = await kept.get(db, ("beside", card.category, card.platform, limit), make, since)
    return [other for other in near if other.product_id != card.product_id][:limit]

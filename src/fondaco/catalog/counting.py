"""How many listings match a query, and what they can be narrowed to. Looks at 10,000 matches at most, however
large the catalogue is."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fondaco.catalog.model import BrowseFacet, FacetCount
from fondaco.catalog.regions import region_name
from fondaco.catalog.wanted import PRICE_BANDS, BrowseQuery, Where
from fondaco.core.db import PUBLIC, Connection, Database, Record

COUNTED = 10_000  # facets and totals are counted within this many matches
_VALUES = 60  # of one facet
_BAND = (
    f"(ARRAY[{', '.join(repr(name) for name in PRICE_BANDS)}])"
    f"[width_bucket(l.price, ARRAY[{', '.join(str(low) for low, _ in PRICE_BANDS.values())}]::bigint[])]"
)
# Facet -> the column it narrows.
FACETS: dict[str, str] = {
    "category": "l.category",
    "platform": "l.platform",
    "region": "l.region",
    "seller": "l.seller_slug",
    "price": _BAND,
    "in_stock": "l.in_stock",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """How many match (up to COUNTED; `at_least`: more), and the facets."""

    total: int
    at_least: bool
    facets: list[BrowseFacet]

    @property
    def total_text(self) -> str:
        """ "1,234" or "10,000+"."""
        return f"{self.total:,}{'+' if self.at_least else ''}"


async def count(db: Database, query: BrowseQuery) -> Counted:
    """The counts of a query; its order and page are not looked at. Raises Invalid."""
    query.checked()
    where = Where(query)
    async with looking(db, where) as conn:
        return await counted(conn, where)


@asynccontextmanager
async def looking(db: Database, where: Where) -> AsyncGenerator[Connection]:
    """A transaction for looking through the shop; `where` as it is before a cursor adds to it.

    The best way to a common word is not the best to a rare one: plans are made with the values known. Without
    any, the way is the same for all pages, and planning it for each would take as long as going it.
    """
    mode = "force_custom_plan" if where.args else "force_generic_plan"
    async with db.transaction(PUBLIC) as conn:
        await conn.execute(f"SET LOCAL plan_cache_mode = {mode}")
        yield conn


async def counted(conn: Connection, where: Where) -> Counted:
    """The counts of these conditions, whose arguments are looked at as they stand now."""
    rows = await conn.fetch(_sql(where), *where.args)
    sizes = {r["facet"]: r["n"] for r in rows if r["value"] is None}
    total = sizes.get("", 0)
    return Counted(
        min(total, COUNTED),
        total > COUNTED,
        [
            BrowseFacet(
                name,
                [_facet_count(r) for r in rows if r["facet"] == name and r["value"] is not None],
                sizes.get(name, total) > COUNTED,
            )
            for name in FACETS
        ],
    )


def _sql(where: Where) -> str:
    """Counts per facet value, and in rows with a NULL value how many were looked at.

    A facet with a choice is counted as if nothing were chosen in it; all others share one look.
    """
    looks = {"": [name for name in FACETS if name not in where.by_facet]}
    looks |= {name: [name] for name in where.by_facet}
    counts = "\nUNION ALL ".join(_look(where, without, facets) for without, facets in looks.items())
    return f"""WITH counted AS MATERIALIZED ({counts}),
      ranked AS (SELECT *, row_number()
          OVER (PARTITION BY facet, value IS NULL ORDER BY n DESC, value) AS place
        FROM counted WHERE facet <> 'in_stock' OR value IS DISTINCT FROM 'false')
      SELECT r.facet, r.value, r.n, coalesce(s.name, c.name, r.value) AS label FROM ranked r
        LEFT JOIN sellers.seller s ON r.facet = 'seller' AND s.slug = r.value
        LEFT JOIN catalog.category c ON r.facet = 'category' AND c.slug = r.value
      WHERE place <= {_VALUES} ORDER BY r.facet, place"""


def _look(where: Where, without: str, facets: list[str]) -> str:
    columns = ", ".join(f"{FACETS[name]}::text AS {name}" for name in facets) or "1"
    names = ", ".join(facets)
    # grouping() has a bit for each column that is not grouped by, the first column's being the highest.
    every = 2 ** len(facets) - 1
    masks = " ".join(f"WHEN {every ^ (1 << (len(facets) - 1 - i))} THEN '{n}'" for i, n in enumerate(facets))
    facet = f"CASE grouping({names}) {masks} ELSE '{without}' END" if facets else f"'{without}'"
    value = f"coalesce({names})" if facets else "NULL"
    sets = ", ".join([*(f"({name})" for name in facets), "()"])
    return f"""SELECT {facet} AS facet, {value} AS value, count(*) AS n
      FROM (SELECT {columns} FROM catalog.on_sale l WHERE {where.sql(without)} LIMIT {COUNTED + 1}) hits
      GROUP BY GROUPING SETS ({sets})"""


def _facet_count(row: Record) -> FacetCount:
    label: str = row["label"]
    if row["facet"] == "region":
        label = region_name(row["value"])
    elif row["facet"] == "in_stock":
        label = "In stock"
    return FacetCount(row["value"], label, row["n"])

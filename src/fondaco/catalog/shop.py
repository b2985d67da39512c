"""What everybody sees of the catalogue: the shop's list with its facets, and one listing's page.

Stock is read through `inventory.left_up_to` alone, which never tells more than ten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fondaco.catalog import checks
from fondaco.catalog.checks import Faults
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.catalog.model import (
    LOW_STOCK,
    MAX_PRICE,
    BrowseFacet,
    BrowseResult,
    Card,
    FacetCount,
    ListingPage,
    SellerBrief,
    Stock,
)
from fondaco.catalog.regions import region_name
from fondaco.core.db import PUBLIC, Database, Record
from fondaco.core.ids import parse_uuid
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound
from fondaco.core.viewer import GUEST, Viewer

COUNTED = 10_000  # facets and totals are counted within this many matches
_VALUES = 60  # of one facet
_ON_SALE = "FROM catalog.on_sale l"
_WITH_NAMES = "JOIN catalog.variant v ON v.id = l.variant_id JOIN catalog.category c ON c.slug = l.category"
_FROM = f"{_ON_SALE} {_WITH_NAMES}"
_COLUMNS = f"""l.id, l.slug, v.product_id, l.title, l.summary, l.category, c.name AS category_name,
  l.platform, l.region, l.edition, l.price, l.currency, l.price_version, l.cover,
  l.max_per_order, l.published_at, l.kind, l.sold, l.state, l.seller_id, l.seller_slug, l.seller_name,
  inventory.left_up_to(l.id, {LOW_STOCK}) AS available"""
_ID = ("id", "l.id", "uuid")
SORTS: dict[str, Keyset] = {
    "newest": Keyset("shop-newest", (("published_at", "l.published_at", "timestamptz"), _ID)),
    "price_up": Keyset("shop-price-up", (("price", "l.price", "bigint"), _ID), down=False),
    "price_down": Keyset("shop-price-down", (("price", "l.price", "bigint"), _ID)),
    "popular": Keyset("shop-popular", (("sold", "l.sold", "bigint"), _ID)),
}
# Ranges of prices offered as a facet: minor units, from and up to and including; 0 for no end.
PRICE_BANDS: dict[str, tuple[int, int]] = {
    "0-499": (0, 499),
    "500-999": (500, 999),
    "1000-1999": (1000, 1999),
    "2000-4999": (2000, 4999),
    "5000-": (5000, 0),
}
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
class BrowseQuery:
    """What to show of the shop. Values of one facet add up, facets narrow each other.

    Prices are minor units, both ends included; `price_bands` are names of PRICE_BANDS; `sellers` are slugs;
    `sort` is one of SORTS.
    """

    q: str = ""
    categories: Sequence[str] = ()
    platforms: Sequence[str] = ()
    regions: Sequence[str] = ()
    sellers: Sequence[str] = ()
    price_min: int | None = None
    price_max: int | None = None
    price_bands: Sequence[str] = ()
    in_stock: bool = False
    sort: str = "newest"
    limit: int = 24
    cursor: str | None = None

    def checked(self) -> "BrowseQuery":
        """Itself; raises Invalid with words per field."""
        faults = Faults()
        checks.one_of(faults, "sort", self.sort, SORTS)
        for name in ("price_min", "price_max"):
            if getattr(self, name) is not None:
                checks.whole(faults, name, getattr(self, name), 0, MAX_PRICE)
        if len(self.q) > 200:
            faults["q"] = "At most 200 characters."
        for name in ("categories", "platforms", "regions", "sellers", "price_bands"):
            values = getattr(self, name)
            if len(values) > 50 or any(len(v) > 200 for v in values):
                faults[name] = "Too many or too long values."
        faults.stop()
        checked_limit(self.limit)
        return self


class _Where:
    """The conditions of a query as SQL; each facet's own can be left out."""

    def __init__(self, query: BrowseQuery) -> None:
        self.args: list[Any] = []
        self.always = ["true"]
        self.by_facet: dict[str, str] = {}
        if any(c.isalnum() for c in query.q):
            self.always.append(
                f"l.document @@ catalog.search_query({self._mark(query.q.replace(chr(0), ' '))})"
            )
        if query.price_min is not None:
            self.always.append(f"l.price >= {self._mark(query.price_min)}")
        if query.price_max is not None:
            self.always.append(f"l.price <= {self._mark(query.price_max)}")
        chosen = {
            "category": query.categories,
            "platform": query.platforms,
            "region": query.regions,
            "seller": query.sellers,
            "price": query.price_bands,
        }
        for name, values in chosen.items():
            if values:
                wanted = [v.replace("\x00", "") for v in values]
                self.by_facet[name] = f"{FACETS[name]} = ANY({self._mark(wanted)}::text[])"
        if query.in_stock:
            self.by_facet["in_stock"] = "l.in_stock"

    def _mark(self, value: Any) -> str:
        self.args.append(value)
        return f"${len(self.args)}"

    def sql(self, without: str = "") -> str:
        return " AND ".join([*self.always, *(c for name, c in self.by_facet.items() if name != without)])


async def browse(db: Database, cursors: Cursors, query: BrowseQuery) -> BrowseResult:
    """One page of what is on sale, with how many match and what it can be narrowed to.

    Raises Invalid, BadCursor.
    """
    where = _Where(query.checked())
    count_args = tuple(where.args)
    start = SORTS[query.sort].start(cursors, query.cursor, where.args)
    async with db.transaction(PUBLIC) as conn:
        # The best way to a common word is not the best to a rare one: plan with the values known.
        await conn.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        # Cut to the page first: stock is looked up for what is shown, not for what matches.
        rows = await conn.fetch(
            f"""WITH shown AS MATERIALIZED (SELECT l.id {_ON_SALE} WHERE {where.sql()}{start.condition}
                  ORDER BY {start.order} LIMIT {query.limit + 1})
                SELECT {_COLUMNS} {_FROM} JOIN shown ON shown.id = l.id ORDER BY {start.order}""",
            *where.args,
        )
        counts = await conn.fetch(_counts_sql(where), *count_args)
    page = start.page(rows, query.limit, card)
    sizes = {r["facet"]: r["n"] for r in counts if r["value"] is None}
    total = sizes.get("", 0)
    return BrowseResult(
        list(page.items),
        page.next,
        page.previous,
        min(total, COUNTED),
        total > COUNTED,
        [
            BrowseFacet(
                name,
                [_facet_count(name, r) for r in counts if r["facet"] == name and r["value"] is not None],
                sizes.get(name, total) > COUNTED,
            )
            for name in FACETS
        ],
    )


def _counts_sql(where: _Where) -> str:
    """Counts per facet value, and in rows with a NULL value how many were looked at.

    A facet with a choice is counted as if nothing were chosen in it; all others share one look.
    """
    columns = ", ".join(f"{column}::text AS {name}" for name, column in FACETS.items())
    looks = {"hits": where.sql()} | {f"without_{n}": where.sql(n) for n in where.by_facet}
    tables = ",\n".join(
        f"""{name} AS MATERIALIZED (
          SELECT {columns}, l.seller_name, c.name AS category_name {_ON_SALE}
            JOIN catalog.category c ON c.slug = l.category
          WHERE {condition} LIMIT {COUNTED + 1})"""
        for name, condition in looks.items()
    )
    labels = {"seller": "min(seller_name)", "category": "min(category_name)"}
    parts = ["SELECT '' AS facet, NULL AS value, NULL AS label, count(*) AS n FROM hits"]
    for name in FACETS:
        look = f"without_{name}" if name in where.by_facet else "hits"
        only = " WHERE in_stock = 'true'" if name == "in_stock" else ""
        parts.append(
            f"""(SELECT '{name}', {name}, {labels.get(name, name)}, count(*) FROM {look}{only}
                 GROUP BY {name} ORDER BY 4 DESC, 2 LIMIT {_VALUES})"""
        )
        if look != "hits":
            parts.append(f"SELECT '{name}', NULL, NULL, count(*) FROM {look}")
    return f"WITH {tables}\n" + "\nUNION ALL ".join(parts)


def _facet_count(facet: str, row: Record) -> FacetCount:
    label: str = row["label"]
    if facet == "region":
        label = region_name(row["value"])
    elif facet == "in_stock":
        label = "In stock"
    return FacetCount(row["value"], label, row["n"])


def card(row: Record) -> Card:
    """A row of the shop's columns as a card."""
    return Card(
        id=row["id"],
        slug=row["slug"],
        product_id=row["product_id"],
        title=row["title"],
        summary=row["summary"],
        category=row["category"],
        category_name=row["category_name"],
        platform=row["platform"],
        region=row["region"],
        region_name=region_name(row["region"]),
        edition=row["edition"],
        price=row["price"],
        currency=row["currency"],
        price_version=row["price_version"],
        cover=f"/media/{row['cover']}" if row["cover"] else None,
        seller=SellerBrief(row["seller_id"], row["seller_slug"], row["seller_name"]),
        stock=stock_word(row["available"]),
        max_per_order=row["max_per_order"],
        published_at=row["published_at"],
        kind=row["kind"],
    )


def stock_word(available: int) -> Stock:
    """What buyers are told of `available` units (ten stands for ten or more)."""
    if available <= 0:
        return Stock("sold_out")
    return Stock("low", available) if available < LOW_STOCK else Stock("in_stock")


async def listing_page(db: Database, key: str, viewer: Viewer = GUEST) -> ListingPage:
    """The listing of that slug or id. One not on sale is NotFound for all but its own seller."""
    listing_id = parse_uuid(key)
    mine = viewer.seller_id
    async with db.transaction(viewer.as_seller if mine else PUBLIC) as conn:
        row = await conn.fetchrow(
            f"""SELECT {_COLUMNS}, l.description, l.activation, l.about
                FROM (SELECT l.*, s.slug AS seller_slug, s.name AS seller_name, s.about,
                        s.state AS seller_state
                      FROM catalog.listing l JOIN sellers.seller s ON s.id = l.seller_id) l {_WITH_NAMES}
                WHERE {"l.id = $1" if listing_id else "l.slug = $1"}
                  AND ((l.state = 'PUBLISHED' AND l.seller_state = 'OPEN') OR l.seller_id = $2)""",
            listing_id or key.replace("\x00", ""),
            mine,
        )
        if row is None:
            raise NotFound()
        offers = await conn.fetch(
            f"""SELECT {_COLUMNS} {_FROM} WHERE v.product_id = $1 AND l.id <> $2
                ORDER BY l.in_stock DESC, l.price, l.id LIMIT 20""",
            row["product_id"],
            row["id"],
        )
    return ListingPage(
        card=card(row),
        state=row["state"],
        description=row["description"],
        activation=row["activation"],
        seller_about=row["about"],
        offers=[card(r) for r in offers],
        own=row["seller_id"] == mine,
    )


async def related(db: Database, listing_id: UUID, limit: int = 6) -> list[Card]:
    """Other products on the same shelf, on the same platform first, the best sold of the newest 200."""
    rows = await db.fetch(
        PUBLIC,
        f"""WITH this AS (SELECT l.category, l.platform, v.product_id FROM catalog.listing l
              JOIN catalog.variant v ON v.id = l.variant_id WHERE l.id = $1),
            near AS MATERIALIZED (SELECT l.id {_ON_SALE} WHERE l.in_stock
                AND l.category = (SELECT category FROM this)
              ORDER BY l.published_at DESC, l.id DESC LIMIT 200),
            one AS MATERIALIZED (SELECT DISTINCT ON (v.product_id) l.id, l.platform, l.sold FROM near
              JOIN catalog.listing l ON l.id = near.id JOIN catalog.variant v ON v.id = l.variant_id
              WHERE v.product_id <> (SELECT product_id FROM this)
              ORDER BY v.product_id, l.sold DESC, l.id),
            best AS MATERIALIZED (SELECT id FROM one
              ORDER BY (platform = (SELECT platform FROM this)) DESC, sold DESC, id LIMIT $2)
            SELECT {_COLUMNS} {_FROM} JOIN best ON best.id = l.id
            ORDER BY (l.platform = (SELECT platform FROM this)) DESC, l.sold DESC, l.id""",
        listing_id,
        limit,
    )
    return [card(r) for r in rows]


async def newest_slugs(db: Database, limit: int) -> list[str]:
    """Addresses of the newest listings on sale, for search engines."""
    rows = await db.fetch(
        PUBLIC,
        f"""SELECT l.slug {_ON_SALE}
           ORDER BY l.published_at DESC, l.id DESC LIMIT $1""",
        limit,
    )
    return [r["slug"] for r in rows]

"""What everybody sees of the catalogue: its shelves, and the shop's list with its facets.

Stock is read through `inventory.left_of` alone, which never tells more than ten.
"""

from fondaco.catalog.counting import Counted, counted, looking
from fondaco.catalog.model import LOW_STOCK, BrowseResult, Card, Category, SellerBrief, Stock
from fondaco.catalog.regions import region_name
from fondaco.catalog.wanted import SORTS, BrowseQuery, Where
from fondaco.core.db import PUBLIC, Connection, Database, Record
from fondaco.core.pagination import Cursors, Page

ON_SALE = "FROM catalog.on_sale l"
WITH_NAMES = "JOIN catalog.variant v ON v.id = l.variant_id JOIN catalog.category c ON c.slug = l.category"
FROM = f"{ON_SALE} {WITH_NAMES}"
COLUMNS = """l.id, l.slug, v.product_id, l.title, l.summary, l.category, c.name AS category_name,
  l.platform, l.region, l.edition, l.price, l.currency, l.price_version, l.cover,
  l.max_per_order, l.published_at, l.kind, l.sold, l.state, l.seller_id, l.seller_slug, l.seller_name"""
LEFT = "JOIN inventory.left_of(ARRAY(SELECT id FROM shown)) s ON s.listing_id = l.id"


async def browse(db: Database, cursors: Cursors, query: BrowseQuery) -> BrowseResult:
    """One page of what is on sale, with how many match and what it can be narrowed to.

    Raises Invalid, BadCursor.
    """
    where = Where(query.checked())
    async with looking(db, where) as conn:
        counts = await counted(conn, where)
        return result(await _shelf(conn, cursors, query, where), counts)


async def shelf(db: Database, cursors: Cursors, query: BrowseQuery) -> Page[Card]:
    """The same page without any counting. Raises Invalid, BadCursor."""
    where = Where(query.checked())
    async with looking(db, where) as conn:
        return await _shelf(conn, cursors, query, where)


def result(page: Page[Card], counts: Counted) -> BrowseResult:
    """A page and its counts as one answer."""
    return BrowseResult(
        list(page.items), page.next, page.previous, counts.total, counts.at_least, counts.facets
    )


async def _shelf(conn: Connection, cursors: Cursors, query: BrowseQuery, where: Where) -> Page[Card]:
    start = SORTS[query.sort].start(cursors, query.cursor, where.args)
    # Cut to the page first: stock is looked up for what is shown, not for what matches.
    rows = await conn.fetch(
        f"""WITH shown AS MATERIALIZED (SELECT l.id FROM catalog.in_order l
              WHERE {where.sql()}{start.condition}
              ORDER BY {start.order} LIMIT {query.limit + 1})
            SELECT {COLUMNS}, s.available {FROM} JOIN shown ON shown.id = l.id {LEFT}
            ORDER BY {start.order}""",
        *where.args,
    )
    return start.page(rows, query.limit, card)


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


async def newest_slugs(db: Database, limit: int) -> list[str]:
    """Addresses of the newest listings on sale, for search engines."""
    rows = await db.fetch(
        PUBLIC,
        f"""SELECT l.slug {ON_SALE}
           ORDER BY l.published_at DESC, l.id DESC LIMIT $1""",
        limit,
    )
    return [r["slug"] for r in rows]


async def categories(db: Database) -> list[Category]:
    """The shelves, in their order."""
    rows = await db.fetch(PUBLIC, "SELECT slug, name FROM catalog.category ORDER BY position, slug")
    return [Category(r["slug"], r["name"]) for r in rows]

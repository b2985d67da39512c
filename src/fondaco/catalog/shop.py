"""What everybody sees of the catalogue: the shop's list with its facets, and one listing's page.

Stock is read through `inventory.left_up_to` and `left_of` alone, which never tell more than ten.
"""

from uuid import UUID

from fondaco.catalog.counting import Counted, counted, looking
from fondaco.catalog.model import LOW_STOCK, BrowseResult, Card, ListingPage, SellerBrief, Stock
from fondaco.catalog.regions import region_name
from fondaco.catalog.wanted import SORTS, BrowseQuery, Where
from fondaco.core.db import PUBLIC, Connection, Database, Record
from fondaco.core.ids import parse_uuid
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import GUEST, Viewer

_ON_SALE = "FROM catalog.on_sale l"
_WITH_NAMES = "JOIN catalog.variant v ON v.id = l.variant_id JOIN catalog.category c ON c.slug = l.category"
_FROM = f"{_ON_SALE} {_WITH_NAMES}"
_COLUMNS = """l.id, l.slug, v.product_id, l.title, l.summary, l.category, c.name AS category_name,
  l.platform, l.region, l.edition, l.price, l.currency, l.price_version, l.cover,
  l.max_per_order, l.published_at, l.kind, l.sold, l.state, l.seller_id, l.seller_slug, l.seller_name"""
_AVAILABLE = f"inventory.left_up_to(l.id, {LOW_STOCK}) AS available"
_LEFT = "JOIN inventory.left_of(ARRAY(SELECT id FROM shown)) s ON s.listing_id = l.id"


async def browse(db: Database, cursors: Cursors, query: BrowseQuery) -> BrowseResult:
    """One page of what is on sale, with how many match and what it can be narrowed to.

    Raises Invalid, BadCursor.
    """
    where = Where(query.checked())
    async with looking(db) as conn:
        counts = await counted(conn, where)
        return result(await _shelf(conn, cursors, query, where), counts)


async def shelf(db: Database, cursors: Cursors, query: BrowseQuery) -> Page[Card]:
    """The same page without any counting. Raises Invalid, BadCursor."""
    where = Where(query.checked())
    async with looking(db) as conn:
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
            SELECT {_COLUMNS}, s.available {_FROM} JOIN shown ON shown.id = l.id {_LEFT}
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


async def listing_page(db: Database, key: str, viewer: Viewer = GUEST) -> ListingPage:
    """The listing of that slug or id. One not on sale is NotFound for all but its own seller."""
    listing_id = parse_uuid(key)
    mine = viewer.seller_id
    async with db.transaction(viewer.as_seller if mine else PUBLIC) as conn:
        row = await conn.fetchrow(
            f"""SELECT {_COLUMNS}, {_AVAILABLE}, l.description, l.activation, l.about
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
            f"""WITH shown AS MATERIALIZED (SELECT o.id FROM catalog.variant v CROSS JOIN LATERAL (
                    SELECT l.id, l.in_stock, l.price FROM catalog.in_order l
                    WHERE l.variant_id = v.id AND l.id <> $2
                    ORDER BY l.in_stock DESC, l.price, l.id LIMIT 20) o
                  WHERE v.product_id = $1 ORDER BY o.in_stock DESC, o.price, o.id LIMIT 20)
                SELECT {_COLUMNS}, s.available {_FROM} JOIN shown ON shown.id = l.id {_LEFT}
                ORDER BY l.in_stock DESC, l.price, l.id""",
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
            shown AS MATERIALIZED (SELECT id FROM one
              ORDER BY (platform = (SELECT platform FROM this)) DESC, sold DESC, id LIMIT $2)
            SELECT {_COLUMNS}, s.available {_FROM} JOIN shown ON shown.id = l.id {_LEFT}
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

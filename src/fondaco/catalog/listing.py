"""One listing's page: what it is, its other offers, what else is on its shelf.

Many are read in one trip: pages asked for in the same moment share it (`catalog.listing_pages`).
"""

from fondaco.catalog.model import LOW_STOCK, Card, ListingPage
from fondaco.catalog.shop import COLUMNS, FROM, LEFT, ON_SALE, WITH_NAMES, card
from fondaco.core.db import PUBLIC, Database, Record
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import NotFound
from fondaco.core.viewer import GUEST, Viewer

_PAGES = "SELECT * FROM catalog.listing_pages($1::uuid[], $2::text[])"


async def listing_page(db: Database, key: str, viewer: Viewer = GUEST) -> ListingPage:
    """The listing of that slug or id. One not on sale is NotFound for all but its own seller."""
    listing_id = parse_uuid(key)
    rows = await db.gathered(_PAGES, listing_id, None if listing_id else key.replace("\x00", ""))
    if rows:
        return _page(rows[0], rows[1:], own=rows[0]["seller_id"] == viewer.seller_id)
    if viewer.seller_id is None:
        raise NotFound()
    return await _hidden_page(db, key, viewer)


def _page(row: Record, offers: list[Record], *, own: bool) -> ListingPage:
    return ListingPage(
        card=card(row),
        state=row["state"],
        description=row["description"],
        activation=row["activation"],
        seller_about=row["about"],
        offers=[card(r) for r in offers],
        own=own,
    )


async def _hidden_page(db: Database, key: str, viewer: Viewer) -> ListingPage:
    """The page of a listing that only its own store sees now."""
    listing_id = parse_uuid(key)
    async with db.transaction(viewer.as_seller) as conn:
        row = await conn.fetchrow(
            f"""SELECT {COLUMNS}, inventory.left_up_to(l.id, {LOW_STOCK}) AS available,
                  l.description, l.activation, l.about
                FROM (SELECT l.*, s.slug AS seller_slug, s.name AS seller_name, s.about
                      FROM catalog.listing l JOIN sellers.seller s ON s.id = l.seller_id) l {WITH_NAMES}
                WHERE {"l.id = $1" if listing_id else "l.slug = $1"} AND l.seller_id = $2""",
            listing_id or key.replace("\x00", ""),
            viewer.seller_id,
        )
        if row is None:
            raise NotFound()
        offers = await conn.fetch(
            f"""WITH shown AS MATERIALIZED (SELECT l.id FROM catalog.in_order l
                  JOIN catalog.variant v ON v.id = l.variant_id WHERE v.product_id = $1
                  ORDER BY l.in_stock DESC, l.price, l.id LIMIT 20)
                SELECT {COLUMNS}, s.available {FROM} JOIN shown ON shown.id = l.id {LEFT}
                ORDER BY l.in_stock DESC, l.price, l.id""",
            row["product_id"],
        )
    return _page(row, offers, own=True)


async def beside(db: Database, category: str, platform: str, limit: int) -> list[Card]:
    """What a shelf shows beside a listing of this platform: one listing of each product, those of the same
    platform first, the best sold of the shelf's newest 150. Products are looked up for the best 30."""
    rows = await db.fetch(
        PUBLIC,
        f"""WITH near AS MATERIALIZED (SELECT l.id, l.variant_id, l.platform, l.sold {ON_SALE}
              WHERE l.in_stock AND l.category = $1 ORDER BY l.published_at DESC, l.id DESC LIMIT 150),
            best AS MATERIALIZED (SELECT * FROM
                (SELECT DISTINCT ON (variant_id) * FROM near ORDER BY variant_id, sold DESC, id) each
              ORDER BY (platform = $2) DESC, sold DESC, id LIMIT 30),
            one AS (SELECT DISTINCT ON (v.product_id) best.* FROM best
              JOIN catalog.variant v ON v.id = best.variant_id
              ORDER BY v.product_id, (best.platform = $2) DESC, best.sold DESC, best.id),
            shown AS MATERIALIZED (SELECT id FROM one ORDER BY (platform = $2) DESC, sold DESC, id LIMIT $3)
            SELECT {COLUMNS}, s.available {FROM} JOIN shown ON shown.id = l.id {LEFT}
            ORDER BY (l.platform = $2) DESC, l.sold DESC, l.id""",
        category,
        platform,
        limit,
    )
    return [card(r) for r in rows]

"""A seller's listings as it sees them itself: one, one locked for a change, the list."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.catalog.model import LISTING, OwnListing, OwnListings
from fondaco.core import counting
from fondaco.core.db import Connection, Database, Record
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer

_COLUMNS = """l.id, l.slug, v.product_id, l.kind, l.title, l.summary, l.description, l.activation,
  l.key_format, l.category, l.platform, l.region, l.edition, l.price, l.currency, l.price_version,
  l.max_per_order, l.cover, l.state, l.in_stock, l.sold, l.version, l.created_at, l.published_at"""
_FROM = "FROM catalog.listing l JOIN catalog.variant v ON v.id = l.variant_id"
_ID = ("id", "l.id", "uuid")
OWN_SORTS: dict[str, Keyset] = {
    "new": Keyset("own-listings", (("created_at", "l.created_at", "timestamptz"), _ID)),
    "title": Keyset("own-listings-title", (("title", "l.title", "text"), _ID), down=False),
    "price": Keyset("own-listings-price", (("price", "l.price", "bigint"), _ID), down=False),
    "-price": Keyset("own-listings-price-down", (("price", "l.price", "bigint"), _ID)),
    "-sold": Keyset("own-listings-sold", (("sold", "l.sold", "bigint"), _ID)),
}


async def own(conn: Connection, viewer: Viewer, listing_id: UUID) -> OwnListing:
    """It, read in a transaction as the viewer's store; raises NotFound."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} {_FROM} WHERE l.id = $1 AND l.seller_id = $2", listing_id, viewer.seller()
    )
    if row is None:
        raise NotFound()
    return _own_row(row)


async def locked(conn: Connection, viewer: Viewer, listing_id: UUID) -> OwnListing:
    """The same, locked until the transaction ends."""
    # Lock first and read then: a lock taken by a joining read would not see a variant changed meanwhile.
    await conn.execute(
        "SELECT 1 FROM catalog.listing WHERE id = $1 AND seller_id = $2 FOR NO KEY UPDATE",
        listing_id,
        viewer.seller(),
    )
    return await own(conn, viewer, listing_id)


def _own_row(row: Record) -> OwnListing:
    return OwnListing(**{name: row[name] for name in OwnListing.__struct_fields__})


async def own_listing(db: Database, viewer: Viewer, listing_id: UUID) -> OwnListing:
    """One listing of the viewer's store; raises NotFound."""
    async with db.transaction(viewer.as_seller) as conn:
        return await own(conn, viewer, listing_id)


async def own_listings(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    in_stock: bool | None = None,
    sort: str = "new",
    limit: int = 50,
    cursor: str | None = None,
) -> OwnListings:
    """The store's listings with counts per state for the same search. `sort`: a key of OWN_SORTS."""
    if sort not in OWN_SORTS:
        raise Invalid(fields={"sort": f"Must be one of: {', '.join(OWN_SORTS)}."})
    args: list[Any] = [viewer.seller(), in_stock]
    where = "l.seller_id = $1 AND ($2::bool IS NULL OR l.in_stock = $2)"
    if any(c.isalnum() for c in q):
        args.append(q.replace("\x00", "")[:200])
        where += " AND l.document @@ catalog.search_query($3)"
    facet_args = tuple(args)
    if states:
        args.append(list(states))
        where_states = f" AND l.state = ANY(${len(args)})"
    else:
        where_states = ""
    start = OWN_SORTS[sort].start(cursors, cursor, args)
    async with db.transaction(viewer.as_seller) as conn:
        counts = await conn.fetch(
            counting.by_state(
                sorted(LISTING.states), "l.state", f"SELECT 1 FROM catalog.listing l WHERE {where}"
            ),
            *facet_args,
        )
        rows = await conn.fetch(
            f"""SELECT {_COLUMNS} {_FROM} WHERE {where}{where_states}{start.condition}
                ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
    page = start.page(rows, limit, _own_row)
    return OwnListings(list(page.items), page.next, page.previous, {r["state"]: r["n"] for r in counts})

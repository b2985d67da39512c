"""Carts: a guest's (known by the hash of a cookie) or a user's; merged at sign-in."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import token, token_hash, uuid7
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.model import MAX_LINES, MAX_QUANTITY, Wish
from fondaco.orders.quoting import Quote, present, quote_told

_PUT = "SELECT * FROM orders.put_in_cart($1, $2, $3, $4, $5, $6, $7, $8)"


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody means to buy, re-checked now."""

    count: Annotated[int, Meta(description="Units in the cart.")]
    quote: Quote
    token: Annotated[
        str | None, Meta(description="A guest's new cart: send it back as header `Cart-Token`.")
    ] = None
    left_out: Annotated[
        list[str], Meta(description="What of a guest's cart did not come along, in words; told once.")
    ] = []


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a guest's cart: how many lines moved, and what did not come along, in words."""

    moved: int = 0
    left_out: list[str] = []


async def cart_of(db: Database, viewer: Viewer, guest: str | None = None) -> Cart:
    """The viewer's cart; empty when there is none. `guest`: the token of a guest's cart."""
    now, _ = await present(db, viewer, None, guest=guest)
    return _cart(now)


async def count_in_cart(db: Database, viewer: Viewer, guest: str | None = None) -> int:
    """Units in the cart, for the mark beside its link."""
    return sum(w.quantity for w in await _wishes(db, viewer, guest))


async def add_to_cart(
    db: Database, viewer: Viewer, guest: str | None, *, listing_id: UUID, quantity: int = 1
) -> Cart:
    """Add units to the cart. A guest without one gets one: its `token` is told once, here.

    Raises NotFound when the listing is not on sale, Invalid for the quantity.
    """
    return await _change(db, viewer, guest, listing_id, quantity, add=True)


async def set_in_cart(
    db: Database, viewer: Viewer, guest: str | None, *, listing_id: UUID, quantity: int
) -> Cart:
    """Set how many of a listing are in the cart; 0 removes it. Raises NotFound, Invalid."""
    if quantity == 0:
        return await remove_from_cart(db, viewer, guest, listing_id=listing_id)
    return await _change(db, viewer, guest, listing_id, quantity, add=False)


async def remove_from_cart(db: Database, viewer: Viewer, guest: str | None, *, listing_id: UUID) -> Cart:
    """Take a listing out of the cart; it need not be there."""
    await _delete(db, viewer, guest, listing_id)
    return await cart_of(db, viewer, guest)


async def clear_cart(db: Database, viewer: Viewer, guest: str | None) -> None:
    """Empty the cart."""
    await _delete(db, viewer, guest, None)


async def merge_guest_cart(db: Database, viewer: Viewer, guest: str | None) -> Merged:
    """Move a guest's cart into the one of the user who has just signed in.

    Quantities add up to what one order may hold, lines to what a cart holds; what does not fit is named. The
    guest's cart ends.
    """
    if not guest:
        return Merged()
    user_id = viewer.user()

    async def work(conn: Connection) -> Merged:
        gone = await conn.fetchval(
            "SELECT id FROM orders.cart WHERE guest_hash = $1 FOR UPDATE", token_hash(guest)
        )
        if gone is None:
            return Merged()
        mine = await _open(conn, user_id, None)
        asked = await conn.fetch(
            """SELECT g.listing_id, l.title, g.quantity + coalesce(c.quantity, 0) AS quantity,
                 c.listing_id IS NOT NULL AS there FROM orders.cart_line g
               JOIN catalog.listing l ON l.id = g.listing_id
               LEFT JOIN orders.cart_line c ON c.cart_id = $2 AND c.listing_id = g.listing_id
               WHERE g.cart_id = $1 ORDER BY g.added_at, g.listing_id""",
            gone,
            mine,
        )
        free = MAX_LINES - await conn.fetchval(
            "SELECT count(*)::int FROM orders.cart_line WHERE cart_id = $1", mine
        )
        fresh = [r["listing_id"] for r in asked if not r["there"]][: max(free, 0)]
        moved = await conn.fetch(
            """INSERT INTO orders.cart_line AS c
                 (cart_id, listing_id, quantity, seen_price, seen_price_version, added_at)
               SELECT $2, g.listing_id, g.quantity, g.seen_price, g.seen_price_version, g.added_at
               FROM orders.cart_line g WHERE g.cart_id = $1 AND g.listing_id = ANY ($3)
               ORDER BY g.listing_id
               ON CONFLICT (cart_id, listing_id) DO UPDATE SET
                 quantity = least($4, c.quantity + excluded.quantity,
                   greatest(c.quantity, (SELECT max_per_order FROM catalog.listing WHERE id = c.listing_id))),
                 seen_price = excluded.seen_price, seen_price_version = excluded.seen_price_version
               RETURNING c.listing_id, c.quantity""",
            gone,
            mine,
            [*fresh, *(r["listing_id"] for r in asked if r["there"])],
            MAX_QUANTITY,
        )
        await conn.execute("DELETE FROM orders.cart WHERE id = $1", gone)
        got = {r["listing_id"]: r["quantity"] for r in moved}
        left_out = [w for r in asked if (w := _left_out(r["title"], r["quantity"], got.get(r["listing_id"])))]
        return Merged(moved=len(moved), left_out=left_out)

    return await db.run(SYSTEM, work)


def _left_out(title: str, asked: int, got: int | None) -> str:
    if got is None:
        return f"“{title}” is not in your cart: it holds at most {MAX_LINES} different listings."
    return f"Of “{title}” only {got} are in your cart." if got < asked else ""


def _cart(now: Quote, token: str | None = None) -> Cart:
    return Cart(count=sum(line.quantity for line in now.lines), quote=now, token=token)


async def _wishes(db: Database, viewer: Viewer, guest: str | None) -> Sequence[Wish]:
    if viewer.user_id is None and not guest:
        return []
    rows = await db.fetch(
        viewer.as_user,
        """SELECT l.listing_id, l.quantity, l.seen_price FROM orders.cart c
           JOIN orders.cart_line l ON l.cart_id = c.id
           WHERE c.user_id = $1 OR ($1::uuid IS NULL AND c.guest_hash = $2)
           ORDER BY l.added_at, l.listing_id""",
        viewer.user_id,
        token_hash(guest or ""),
    )
    return [Wish(r["listing_id"], r["quantity"], r["seen_price"]) for r in rows]


async def _change(
    db: Database, viewer: Viewer, guest: str | None, listing_id: UUID, quantity: int, *, add: bool
) -> Cart:
    if not 1 <= quantity <= MAX_QUANTITY:
        raise Invalid(fields={"quantity": f"Must be from 1 to {MAX_QUANTITY}."})
    made = token() if viewer.user_id is None and not guest else None
    owner = None if viewer.user_id else token_hash(made or guest or "")

    rows = await db.called(
        _PUT, uuid7(), viewer.user_id, owner, viewer.country, listing_id, quantity, add, MAX_LINES
    )
    match rows[0]["fault"]:
        case "unavailable":
            raise NotFound()
        case "too_many":
            raise Invalid(fields={"quantity": f"At most {rows[0]['most']} in one order."})
        case "full":
            raise Invalid(fields={"listing_id": f"A cart holds at most {MAX_LINES} different listings."})
        case _:
            pass
    return _cart(quote_told(rows, viewer, known=True), made)


async def _open(conn: Connection, user_id: UUID | None, guest_hash: bytes | None) -> UUID:
    """The cart's id, locked for this transaction; made when there is none."""
    cart: UUID = await conn.fetchval(
        f"""INSERT INTO orders.cart (id, user_id, guest_hash) VALUES ($1, $2, $3)
            ON CONFLICT ({"user_id" if user_id else "guest_hash"}) DO UPDATE SET updated_at = now()
            RETURNING id""",
        uuid7(),
        user_id,
        guest_hash,
    )
    return cart


async def _delete(db: Database, viewer: Viewer, guest: str | None, listing_id: UUID | None) -> None:
    await db.execute(
        viewer.as_user,
        """DELETE FROM orders.cart_line l USING orders.cart c
           WHERE c.id = l.cart_id AND (c.user_id = $1 OR ($1::uuid IS NULL AND c.guest_hash = $2))
             AND ($3::uuid IS NULL OR l.listing_id = $3)""",
        viewer.user_id,
        token_hash(guest or ""),
        listing_id,
    )

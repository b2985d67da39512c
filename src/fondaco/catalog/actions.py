"""A seller's verbs on its listings. One transaction each; the seller is in every WHERE clause."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from fondaco.audit import record
from fondaco.catalog import checks
from fondaco.catalog.checks import Faults
from fondaco.catalog.model import KINDS, OwnListing
from fondaco.catalog.owned import locked, own, own_listing
from fondaco.catalog.pictures import reencode
from fondaco.catalog.shop import categories
from fondaco.core.db import Connection, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Conflict, Invalid
from fondaco.core.viewer import Viewer
from fondaco.integrations.blobs import Blobs

_TEXTS = ("title", "summary", "description", "activation", "key_format", "max_per_order")
_NATURE = ("category", "platform", "region", "edition")  # what it is: fixed once it was published


async def create_listing(
    db: Database,
    viewer: Viewer,
    *,
    title: str,
    category: str,
    platform: str,
    region: str,
    price: int,
    currency: str,
    edition: str = "Standard",
    summary: str = "",
    description: str = "",
    activation: str = "",
    key_format: str = "",
    max_per_order: int = 10,
    kind: str = "stocked_secret",
) -> OwnListing:
    """A new draft; its product and variant are found or made. `price` in minor units of `currency`.

    `kind` is one of KINDS and stays; an article has no key format. Raises Invalid with words per field.
    """
    given = {
        "title": title,
        "summary": summary,
        "description": description,
        "activation": activation,
        "key_format": key_format,
        "max_per_order": max_per_order,
        "category": category,
        "platform": platform,
        "region": region,
        "edition": edition,
    }
    faults = Faults()
    clean = _clean(faults, given, [c.slug for c in await categories(db)])
    clean["kind"] = checks.one_of(faults, "kind", kind, KINDS)
    _refuse_format(faults, kind, clean["key_format"])
    amount = checks.price(faults, price)
    faults.stop()
    async with db.transaction(viewer.as_seller) as conn:
        return await _insert(conn, viewer, {**clean, "price": amount, "currency": currency, "cover": None})


def _refuse_format(faults: Faults, kind: str, key_format: str) -> None:
    if kind == "article" and key_format:
        faults["key_format"] = "An article has no keys: leave this empty."


def _clean(faults: Faults, given: Mapping[str, Any], shelves: Sequence[str]) -> dict[str, Any]:
    """The given fields, checked; faults are gathered."""
    readers: dict[str, Callable[[Any], Any]] = {
        "title": lambda v: checks.line(faults, "title", v, 2, 140),
        "summary": lambda v: checks.line(faults, "summary", v, 0, 300),
        "description": lambda v: checks.text(faults, "description", v, 20_000),
        "activation": lambda v: checks.text(faults, "activation", v, 5_000),
        "key_format": lambda v: checks.key_format(faults, v),
        "max_per_order": lambda v: checks.whole(faults, "max_per_order", v, 1, 100),
        "category": lambda v: checks.one_of(faults, "category", v, shelves),
        "platform": lambda v: checks.platform(faults, v),
        "region": lambda v: checks.region(faults, v),
        "edition": lambda v: checks.line(faults, "edition", v, 1, 60),
    }
    return {name: readers[name](value) for name, value in given.items()}


async def _variant(conn: Connection, seller: UUID, values: Mapping[str, Any]) -> UUID:
    """The variant of this title, platform, region and edition: found, or made with its product."""
    slug = checks.slugify(values["title"])
    product: UUID | None = None
    for name in (slug, f"{slug}-{values['category']}"):  # the same title on another shelf is another product
        await conn.execute(
            """INSERT INTO catalog.product (id, slug, title, category, created_by)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (slug) DO NOTHING""",
            uuid7(),
            name,
            values["title"],
            values["category"],
            seller,
        )
        product = await conn.fetchval(
            "SELECT id FROM catalog.product WHERE slug = $1 AND category = $2", name, values["category"]
        )
        if product:
            break
    what = (product, values["platform"], values["region"], values["edition"])
    await conn.execute(
        """INSERT INTO catalog.variant (id, product_id, platform, region, edition)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        uuid7(),
        *what,
    )
    found: UUID = await conn.fetchval(
        """SELECT id FROM catalog.variant
           WHERE product_id = $1 AND platform = $2 AND region = $3 AND edition = $4""",
        *what,
    )
    return found


async def _insert(conn: Connection, viewer: Viewer, values: Mapping[str, Any]) -> OwnListing:
    seller = viewer.seller()
    variant = await _variant(conn, seller, values)
    names = ["kind", *_TEXTS, *_NATURE, "price", "currency", "cover"]
    marks = ", ".join(f"${i}" for i in range(5, 5 + len(names)))
    listing_id = uuid7()
    await conn.execute(
        f"""INSERT INTO catalog.listing (id, seller_id, variant_id, slug, state, {", ".join(names)})
            VALUES ($1, $2, $3, $4, 'DRAFT', {marks})""",
        listing_id,
        seller,
        variant,
        checks.listing_slug(values["title"], values["platform"], values["region"]),
        *(values[name] for name in names),
    )
    await record(conn, "listing.created", f"listing:{listing_id}", viewer.actor, {"price": values["price"]})
    return await own(conn, viewer, listing_id)


async def edit(
    db: Database, viewer: Viewer, listing_id: UUID, *, version: int, **changes: str | int
) -> OwnListing:
    """Change texts, key format, most per order; before the first publication also category, platform,
    region and edition.

    `version` is the one the editor saw: raises Conflict with the present listing as `current` when somebody
    changed it meanwhile, Invalid with words per field, NotFound.
    """
    faults = Faults({n: "This cannot be changed." for n in changes if n not in (*_TEXTS, *_NATURE)})
    faults.stop()
    clean = _clean(faults, changes, [c.slug for c in await categories(db)])
    faults.stop()
    async with db.transaction(viewer.as_seller) as conn:
        old = await locked(conn, viewer, listing_id)
        if old.version != version:
            raise Conflict(current=old)
        changed = {n: v for n, v in clean.items() if getattr(old, n) != v}
        if not changed:
            return old
        _refuse_fixed(old, changed)
        _refuse_format(faults, old.kind, changed.get("key_format", ""))
        faults.stop()
        if old.state != "DRAFT":
            texts = {n: changed.get(n, getattr(old, n)) for n in ("summary", "description", "activation")}
            _complete(old.kind, **texts)
        new: dict[str, Any] = {n: changed.get(n, getattr(old, n)) for n in (*_TEXTS, *_NATURE)}
        sets = ", ".join(f"{n} = ${i}" for i, n in enumerate(new, 4))
        await conn.execute(
            f"""UPDATE catalog.listing SET variant_id = $3, {sets}, version = version + 1
                WHERE id = $1 AND seller_id = $2""",
            listing_id,
            viewer.seller(),
            await _variant(conn, viewer.seller(), new),
            *new.values(),
        )
        await record(
            conn, "listing.changed", f"listing:{listing_id}", viewer.actor, {"fields": sorted(changed)}
        )
        return await own(conn, viewer, listing_id)


def _refuse_fixed(old: OwnListing, changed: Mapping[str, Any]) -> None:
    if old.state == "ARCHIVED":
        raise Conflict("This listing is archived. Duplicate it to sell it again.")
    if old.published_at is not None:
        fixed = (
            "Cannot change once it was on sale: keys and buyers rely on it. Duplicate the listing instead."
        )
        Faults({n: fixed for n in changed if n in _NATURE}).stop()


def _complete(kind: str, *, summary: str, description: str, activation: str, written: bool = True) -> None:
    """Raises Invalid when a text that buyers need is missing. `written`: an article has content."""
    faults = Faults()
    if not summary:
        faults["summary"] = "Write one sentence that says what this is."
    if not description:
        faults["description"] = "Describe what the buyer gets."
    if not activation and kind != "article":
        faults["activation"] = "Say how the key is redeemed."
    if not written:
        faults["content"] = "Write the article first: its content is what buyers get."
    if faults:
        raise Invalid("Some texts that buyers need are missing.", fields=dict(faults))


async def change_price(
    db: Database, viewer: Viewer, listing_id: UUID, *, price: int, price_version: int | None = None
) -> OwnListing:
    """Set the price in minor units. Carts and quotes made before show the difference to their buyers.

    With `price_version` given, raises Conflict when the price was changed since. The same price again
    changes nothing.
    """
    faults = Faults()
    amount = checks.price(faults, price)
    faults.stop()
    async with db.transaction(viewer.as_seller) as conn:
        old = await locked(conn, viewer, listing_id)
        if price_version is not None and old.price_version != price_version:
            raise Conflict("The price was changed meanwhile. Look at it and try again.", current=old)
        _refuse_fixed(old, {})
        if old.price == amount:
            return old
        await conn.execute(
            """UPDATE catalog.listing SET price = $3, price_version = price_version + 1
               WHERE id = $1 AND seller_id = $2""",
            listing_id,
            viewer.seller(),
            amount,
        )
        await record(
            conn,
            "listing.price_changed",
            f"listing:{listing_id}",
            viewer.actor,
            {"from": old.price, "to": amount, "currency": old.currency},
        )
        return await own(conn, viewer, listing_id)


async def publish(db: Database, viewer: Viewer, listing_id: UUID) -> OwnListing:
    """Put it on sale. Raises Invalid naming the texts that are missing, Conflict when it cannot be sold."""
    async with db.transaction(viewer.as_seller) as conn:
        old = await locked(conn, viewer, listing_id)
        if old.state == "PUBLISHED":
            return old
        if old.state == "ARCHIVED":
            raise Conflict("This listing is archived. Duplicate it to sell it again.")
        written = old.kind != "article" or await conn.fetchval(
            "SELECT content_version > 0 FROM inventory.counted WHERE listing_id = $1", listing_id
        )
        texts = {"summary": old.summary, "description": old.description, "activation": old.activation}
        _complete(old.kind, **texts, written=written)
        if await conn.fetchval("SELECT state FROM sellers.seller WHERE id = $1", viewer.seller()) != "OPEN":
            raise Conflict("Your store is not open, so nothing can be put on sale.")
        return await _move(conn, viewer, old, "PUBLISHED", "listing.published")


async def pause(db: Database, viewer: Viewer, listing_id: UUID) -> OwnListing:
    """Hide it from buyers; open orders go on. Raises Conflict when it is not on sale."""
    async with db.transaction(viewer.as_seller) as conn:
        old = await locked(conn, viewer, listing_id)
        if old.state == "PAUSED":
            return old
        if old.state != "PUBLISHED":
            raise Conflict("Only a listing that is on sale can be paused.")
        return await _move(conn, viewer, old, "PAUSED", "listing.paused")


async def archive(db: Database, viewer: Viewer, listing_id: UUID) -> OwnListing:
    """Give it up for good; its orders stay readable. Raises Conflict while it is on sale."""
    async with db.transaction(viewer.as_seller) as conn:
        old = await locked(conn, viewer, listing_id)
        if old.state == "ARCHIVED":
            return old
        if old.state == "PUBLISHED":
            raise Conflict("Pause this listing before you archive it.")
        return await _move(conn, viewer, old, "ARCHIVED", "listing.archived")


async def _move(conn: Connection, viewer: Viewer, old: OwnListing, state: str, kind: str) -> OwnListing:
    await conn.execute(
        """UPDATE catalog.listing SET state = $3, version = version + 1,
             published_at = CASE WHEN $3 = 'PUBLISHED' THEN coalesce(published_at, now())
                            ELSE published_at END
           WHERE id = $1 AND seller_id = $2""",
        old.id,
        viewer.seller(),
        state,
    )
    await record(conn, kind, f"listing:{old.id}", viewer.actor, {"from": old.state})
    return await own(conn, viewer, old.id)


async def duplicate(db: Database, viewer: Viewer, listing_id: UUID) -> OwnListing:
    """A new draft of the same kind with the same texts, picture and price, and no stock or content."""
    async with db.transaction(viewer.as_seller) as conn:
        old = await locked(conn, viewer, listing_id)
        names = ("kind", *_TEXTS, *_NATURE, "price", "currency", "cover")
        return await _insert(conn, viewer, {n: getattr(old, n) for n in names})


async def set_cover(
    db: Database, blobs: Blobs, viewer: Viewer, listing_id: UUID, upload: bytes
) -> OwnListing:
    """Replace the picture by an uploaded PNG, JPEG or WebP, which is drawn anew before it is kept.

    Raises Invalid (field `cover`) when it is no such picture or too large.
    """
    _refuse_fixed(await own_listing(db, viewer, listing_id), {})
    name, picture = await reencode(upload)
    await blobs.put(name, picture, "image/webp")
    async with db.transaction(viewer.as_seller) as conn:
        _refuse_fixed(await locked(conn, viewer, listing_id), {})
        await conn.execute(
            "UPDATE catalog.listing SET cover = $3, version = version + 1 WHERE id = $1 AND seller_id = $2",
            listing_id,
            viewer.seller(),
            name,
        )
        await record(conn, "listing.changed", f"listing:{listing_id}", viewer.actor, {"fields": ["cover"]})
        return await own(conn, viewer, listing_id)

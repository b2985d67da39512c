"""Stores: opening, editing, showing."""

import re
import secrets
import unicodedata
from uuid import UUID

from fondaco.audit import record
from fondaco.core.clock import now
from fondaco.core.db import PUBLIC, SYSTEM, Connection, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.fields import read_country, read_email, read_line, read_text
from fondaco.sellers.model import OwnStore, Store, StoreName, VerifyFirst
from fondaco.settings import Settings

_OWN = "id, slug, name, about, support_email, country, state, commission_bps, created_at, version"
_MOST_STORES = 5
_ABOUT = 5000


async def open_store(
    db: Database,
    viewer: Viewer,
    *,
    name: str,
    country: str,
    support_email: str | None = None,
    about: str = "",
) -> OwnStore:
    """Open a store; the viewer becomes its owner and this session works in it.

    `support_email` defaults to the viewer's address; `about` is Markdown, at most 5000 characters.
    Raises VerifyFirst, Invalid (fields name, country, support_email, about).
    """
    user_id = viewer.user()
    if not viewer.verified:
        raise VerifyFirst()
    faults: dict[str, str] = {}
    clean_name = read_line(faults, "name", name, 2, 80)
    land = read_country(faults, country)
    if land is None:
        faults["country"] = "Give the country as two letters, such as DE."
    mail = read_email(faults, support_email or viewer.email, "support_email")
    text = read_text(faults, "about", about, _ABOUT)
    if faults:
        raise Invalid(fields=faults)
    async with db.transaction(SYSTEM) as conn:
        await conn.execute("SELECT FROM identity.users WHERE id = $1 FOR NO KEY UPDATE", user_id)
        owned = await conn.fetchval(
            "SELECT count(*) FROM identity.membership WHERE user_id = $1 AND role = 'owner'", user_id
        )
        if owned >= _MOST_STORES:
            raise Invalid(f"One person owns at most {_MOST_STORES} stores.")
        store = await _insert(conn, clean_name, text, mail, land or "")
        await conn.execute(
            "INSERT INTO identity.membership (user_id, seller_id, role, created_at) "
            "VALUES ($1, $2, 'owner', $3)",
            user_id,
            store.id,
            now(),
        )
        await conn.execute(
            "UPDATE identity.sessions SET seller_id = $3 WHERE user_id = $1 AND id = $2",
            user_id,
            viewer.session_id,
            store.id,
        )
        await record(conn, "store.opened", f"seller:{store.id}", viewer.actor, {"slug": store.slug})
    return store


async def _insert(conn: Connection, name: str, about: str, mail: str, country: str) -> OwnStore:
    base = slug_of(name)
    for slug in (base, *(f"{base[:54]}-{secrets.token_hex(2)}" for _ in range(8))):
        row = await conn.fetchrow(
            "INSERT INTO sellers.seller (id, slug, name, about, support_email, country, state, created_at) "
            f"VALUES ($1, $2, $3, $4, $5, $6, 'OPEN', $7) ON CONFLICT (slug) DO NOTHING RETURNING {_OWN}",
            uuid7(),
            slug,
            name,
            about,
            mail,
            country,
            now(),
        )
        if row:
            return OwnStore(**dict(row))
    raise Conflict()


def slug_of(name: str) -> str:
    """The part of an address made from a name: "Käse & Co" -> "kase-co"; "store" when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "store"


async def edit_store(
    db: Database,
    viewer: Viewer,
    *,
    version: int,
    name: str,
    support_email: str,
    country: str,
    about: str,
) -> OwnStore:
    """Change the viewer's store as it was seen at `version`; the slug stays.

    Raises Conflict when somebody changed it meanwhile, Invalid (fields name, country, support_email, about).
    """
    faults: dict[str, str] = {}
    clean_name = read_line(faults, "name", name, 2, 80)
    land = read_country(faults, country)
    if land is None:
        faults["country"] = "Give the country as two letters, such as DE."
    mail = read_email(faults, support_email, "support_email")
    text = read_text(faults, "about", about, _ABOUT)
    if faults:
        raise Invalid(fields=faults)
    async with db.transaction(viewer.as_seller) as conn:
        row = await conn.fetchrow(
            "UPDATE sellers.seller SET name = $3, support_email = $4, country = $5, about = $6, "
            f"version = version + 1 WHERE id = $1 AND version = $2 RETURNING {_OWN}",
            viewer.seller(),
            version,
            clean_name,
            mail,
            land,
            text,
        )
        if row is None:
            raise Conflict()
        await record(
            conn, "store.changed", f"seller:{viewer.seller()}", viewer.actor, {"version": version + 1}
        )
    return OwnStore(**dict(row))


async def my_store(db: Database, viewer: Viewer) -> OwnStore:
    """The store the viewer works in. Raises NotFound."""
    row = await db.fetchrow(
        viewer.as_seller, f"SELECT {_OWN} FROM sellers.seller WHERE id = $1", viewer.seller()
    )
    if row is None:
        raise NotFound()
    return OwnStore(**dict(row))


async def stores_of(db: Database, viewer: Viewer) -> list[StoreName]:
    """The stores the viewer may work in, by name."""
    rows = await db.fetch(
        viewer.as_user,
        "SELECT m.seller_id, s.slug, s.name, m.role, s.id IS NOT DISTINCT FROM $2 AS current "
        "FROM identity.membership m JOIN sellers.seller s ON s.id = m.seller_id "
        "WHERE m.user_id = $1 ORDER BY lower(s.name), s.id",
        viewer.user(),
        viewer.seller_id,
    )
    return [StoreName(**dict(row)) for row in rows]


async def store_by_slug(db: Database, slug: str) -> Store:
    """An open store as everybody sees it. Raises NotFound, also for suspended and closed ones."""
    if not slug.isascii() or not slug.isprintable():
        raise NotFound()
    row = await db.fetchrow(
        PUBLIC,
        "SELECT id, slug, name, about, support_email, country, created_at FROM sellers.seller "
        "WHERE slug = $1 AND state = 'OPEN'",
        slug,
    )
    if row is None:
        raise NotFound()
    return Store(**dict(row))


async def commission_bps(conn: Connection, seller_id: UUID, settings: Settings) -> int:
    """The commission in force for a seller in basis points: its own, else the marketplace's."""
    own = await conn.fetchval("SELECT commission_bps FROM sellers.seller WHERE id = $1", seller_id)
    return settings.commission_bps if own is None else own

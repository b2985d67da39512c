"""A seller's verbs on articles: their content, and how many copies are for sale.

The content is sealed like a key, bound to listing and version. Unlike a key its author may open it again, to
go on writing; each time is written down. Saving never touches what was saved before: a buyer opens the newest
version, or the one that was bought.
"""

from typing import Any
from uuid import UUID

from fondaco.audit import record
from fondaco.catalog import checks
from fondaco.catalog.checks import Faults
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Conflict, NotFound
from fondaco.core.viewer import Viewer
from fondaco.inventory.model import Article, ContentVersion, content_binding
from fondaco.vault import Secret, Vault

MAX_CONTENT = 200_000  # characters
MAX_COPIES = 1_000_000
_GONE = "This listing is archived. Duplicate it to sell it again."


async def article(db: Database, viewer: Viewer, listing_id: UUID) -> Article:
    """An article of the viewer's store; raises NotFound, also for a listing of another kind."""
    async with db.transaction(viewer.as_seller) as conn:
        return await _article(conn, viewer, listing_id)


async def _article(conn: Connection, viewer: Viewer, listing_id: UUID) -> Article:
    row = await conn.fetchrow(
        """SELECT c.listing_id, c.on_hand AS copies, c.sold, c.version, c.content_version,
             (SELECT coalesce(sum(h.quantity), 0)::int FROM inventory.hold h
              WHERE h.listing_id = c.listing_id) AS held,
             (SELECT t.created_at FROM inventory.content t
              WHERE t.listing_id = c.listing_id AND t.version = c.content_version) AS content_at
           FROM inventory.counted c WHERE c.listing_id = $1 AND c.seller_id = $2""",
        listing_id,
        viewer.seller(),
    )
    if row is None:
        raise NotFound()
    return Article(**dict(row))


async def set_copies(db: Database, viewer: Viewer, listing_id: UUID, *, copies: int, version: int) -> Article:
    """Put exactly `copies` up for sale from this moment on, 0 to 1,000,000; copies in a checkout stay held.

    `version` is the one the caller saw: raises Conflict with the present article as `current` when somebody
    else set the number since (sales do not count). Raises Invalid, NotFound.
    """
    faults = Faults()
    wanted = checks.whole(faults, "copies", copies, 0, MAX_COPIES)
    faults.stop()
    async with db.transaction(viewer.as_seller) as conn:
        await _changeable(conn, viewer, listing_id)
        change: int | None = await conn.fetchval(
            "SELECT inventory.set_copies($1, $2, $3, $4)", listing_id, wanted, version, viewer.actor
        )
        now = await _article(conn, viewer, listing_id)
        if change is None:
            raise Conflict("Somebody set the number of copies meanwhile. Look at it again.", current=now)
        if change:
            data = {"copies": wanted, "change": change}
            await record(conn, "copies.set", f"listing:{listing_id}", viewer.actor, data)
        return now


async def save_content(
    db: Database, vault: Vault, viewer: Viewer, listing_id: UUID, *, content: str, version: int
) -> Article:
    """Seal `content` (Markdown, 1 to 200,000 characters) as the next version; buyers read it from now on.

    `version` is the newest one the writer saw (0: none): raises Conflict with the present article as
    `current` when there is another by now. The same text again changes nothing. Raises Invalid, NotFound.
    """
    faults = Faults()
    text = checks.text(faults, "content", content, MAX_CONTENT)
    if not text and not faults:
        faults["content"] = "Write what the buyer gets."
    faults.stop()
    old = await _newest(db, vault, viewer, listing_id)
    async with db.transaction(viewer.as_seller) as conn:
        await _changeable(conn, viewer, listing_id)
        if old == (version, text):
            return await _article(conn, viewer, listing_id)
        key = await vault.new_key(conn, "stock")
        sealed = vault.seal(key, text.encode(), content_binding(listing_id, version + 1))
        taken: bool = await conn.fetchval(
            "SELECT inventory.add_content($1, $2, $3, $4, $5)",
            listing_id,
            version,
            key.id,
            sealed,
            viewer.actor,
        )
        now = await _article(conn, viewer, listing_id)
        if not taken:
            words = "Somebody saved the content meanwhile. Your text is not saved; look at theirs first."
            raise Conflict(words, current=now)
        data = {"version": now.content_version, "characters": len(text)}
        await record(conn, "content.saved", f"listing:{listing_id}", viewer.actor, data)
        return now


async def _newest(db: Database, vault: Vault, viewer: Viewer, listing_id: UUID) -> tuple[int, str]:
    """The newest version and its text, for comparing only."""
    row = await _sealed(db, viewer, listing_id, None)
    if row is None:
        return 0, ""
    return row["version"], (await _opened(db, vault, listing_id, row)).reveal().decode()


async def _sealed(db: Database, viewer: Viewer, listing_id: UUID, version: int | None) -> Any:
    return await db.fetchrow(
        viewer.as_seller,
        """SELECT version, key_id, sealed FROM inventory.content
           WHERE listing_id = $1 AND seller_id = $2 AND ($3::int IS NULL OR version = $3)
           ORDER BY version DESC LIMIT 1""",
        listing_id,
        viewer.seller(),
        version,
    )


async def _opened(db: Database, vault: Vault, listing_id: UUID, row: Any) -> Secret:
    async with db.transaction(SYSTEM) as conn:
        return await vault.open(
            conn, row["key_id"], row["sealed"], content_binding(listing_id, row["version"])
        )


async def read_content(
    db: Database, vault: Vault, viewer: Viewer, listing_id: UUID, version: int | None = None
) -> Secret:
    """The content as its own store wrote it: that version, or the newest. Written down each time.

    Raises NotFound, also when there is none yet; VaultSealBroken.
    """
    row = await _sealed(db, viewer, listing_id, version)
    if row is None:
        raise NotFound()
    async with db.transaction(viewer.as_seller) as conn:
        data = {"version": row["version"]}
        await record(conn, "content.opened", f"listing:{listing_id}", viewer.actor, data)
    return await _opened(db, vault, listing_id, row)


async def content_versions(
    db: Database, viewer: Viewer, listing_id: UUID, limit: int = 50
) -> list[ContentVersion]:
    """The latest versions of an article's content, newest first."""
    rows = await db.fetch(
        viewer.as_seller,
        """SELECT version, created_at, created_by FROM inventory.content
           WHERE listing_id = $1 AND seller_id = $2 ORDER BY version DESC LIMIT $3""",
        listing_id,
        viewer.seller(),
        limit,
    )
    return [ContentVersion(r["version"], r["created_at"], r["created_by"]) for r in rows]


async def _changeable(conn: Connection, viewer: Viewer, listing_id: UUID) -> None:
    """Raises NotFound unless it is an article of the viewer's store, Conflict when it is archived."""
    state: str | None = await conn.fetchval(
        "SELECT state FROM catalog.listing WHERE id = $1 AND seller_id = $2 AND kind = 'article'",
        listing_id,
        viewer.seller(),
    )
    if state is None:
        raise NotFound()
    if state == "ARCHIVED":
        raise Conflict(_GONE)

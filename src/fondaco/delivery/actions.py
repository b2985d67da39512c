"""The library, and the reveal of a secret."""

from typing import Any
from uuid import UUID

import msgspec

from fondaco import risk
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core import counting, failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound, TooMany
from fondaco.core.viewer import Viewer
from fondaco.delivery.model import REVEALS_PER_MINUTE, Entitlement, EntitlementPage, LibraryPage, Reveal
from fondaco.inventory import content_binding, unit_binding
from fondaco.vault import Secret, Vault

_NEWEST = Keyset("library", (("delivered_at", "e.delivered_at", "timestamptz"), ("id", "e.id", "uuid")))
_COLUMNS = """e.id, e.order_id, e.line_id,
  CASE WHEN e.unit_id IS NULL THEN 'article' ELSE 'stocked_secret' END AS kind,
  e.listing_id, e.title, e.platform, e.region, e.delivered_at,
  e.revealed_at, e.revoked_at, s.name AS seller, s.slug AS seller_slug,
  coalesce(i.terms->>'slug', '') AS slug, l.cover"""
# A listing that left the shop has no cover to show: its row is hidden from buyers, its terms are not.
_FROM = """FROM delivery.entitlement e JOIN sellers.seller s ON s.id = e.seller_id
  JOIN orders.order_line i ON i.id = e.line_id LEFT JOIN catalog.listing l ON l.id = e.listing_id"""
_SEARCH = "e.buyer_id = $1 AND ($2 = '' OR e.title ILIKE $2 OR e.platform ILIKE $2)"
_REVEAL = """SELECT wait, unit_id, key_id, sealed, listing_id, content_version
  FROM delivery.reveal_within($1, $2, $3, $4, $5, $6, $7, $8)"""
_STATE = "CASE WHEN e.revealed_at IS NULL THEN 'new' ELSE 'revealed' END"


async def library(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    state: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> LibraryPage:
    """The viewer's delivered things, newest first. `q`: part of a title or platform; `state`: new or
    revealed."""
    args: list[Any] = [viewer.user(), _pattern(q), state]
    start = _NEWEST.start(cursors, cursor, args)
    async with db.transaction(viewer.as_user) as conn:
        counts = await conn.fetch(
            counting.among_newest(
                f"SELECT {_STATE} AS state FROM delivery.entitlement e WHERE {_SEARCH}",
                "e.delivered_at DESC, e.id DESC",
            ),
            *args[:2],
        )
        rows = await conn.fetch(
            f"""SELECT {_COLUMNS} {_FROM} WHERE {_SEARCH} AND ($3::text IS NULL OR {_STATE} = $3)
                {start.condition} ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
    page = start.page(rows, limit, lambda r: msgspec.convert(dict(r), Entitlement))
    found = {"new": 0, "revealed": 0, **{r["state"]: r["n"] for r in counts}}
    return LibraryPage(list(page.items), page.next, page.previous, found)


async def entitlement(db: Database, viewer: Viewer, entitlement_id: UUID) -> EntitlementPage:
    """One delivered thing of the viewer, without its secret. Raises NotFound."""
    async with db.transaction(viewer.as_user) as conn:
        row = await conn.fetchrow(
            f"""SELECT {_COLUMNS}, o.number AS order_number, i.terms->>'edition' AS edition,
                  i.terms->>'activation' AS activation, i.release_at, i.escrow_state,
                  e.content_version,
                  (SELECT n.id FROM delivery.entitlement n WHERE n.replaces = e.id) AS replaced_by
                {_FROM} JOIN orders.orders o ON o.id = e.order_id WHERE e.buyer_id = $1 AND e.id = $2""",
            viewer.user(),
            entitlement_id,
        )
        if row is None:
            raise NotFound()
        reveals = await conn.fetch(
            """SELECT at, ip, user_agent, content_version FROM delivery.reveal
               WHERE entitlement_id = $1 AND user_id = $2
               ORDER BY id DESC LIMIT 50""",
            entitlement_id,
            viewer.user(),
        )
    newest: int | None = None
    if row["content_version"] is not None:  # a number of the seller's row, which buyers cannot read
        newest = await db.fetchval(
            SYSTEM,
            "SELECT content_version FROM inventory.counted WHERE listing_id = $1",
            row["listing_id"],
        )
    return EntitlementPage(
        entitlement=msgspec.convert(dict(row), Entitlement),
        order_number=row["order_number"],
        edition=row["edition"] or "",
        activation=row["activation"] or "",
        release_at=row["release_at"],
        escrow_state=row["escrow_state"],
        reveals=[msgspec.convert(dict(r), Reveal) for r in reveals],
        replaced_by=row["replaced_by"],
        bought_version=row["content_version"],
        newest_version=newest,
    )


async def reveal(
    db: Database, vault: Vault, viewer: Viewer, entitlement_id: UUID, *, as_bought: bool = False
) -> Secret:
    """Open the secret of one of the viewer's own entitlements: a key, or an article's content (the newest, or
    with `as_bought` as it was at the purchase).

    Each time is written down (with the viewer's address and browser) and committed before the secret is
    opened; from the first time on the unit is consumed. Raises NotFound (also for others' and revoked ones),
    TooMany beyond 30 a minute, risk.TierForbids while the viewer's tier keeps it closed, VaultSealBroken.
    """
    row = await _noted(db, viewer, entitlement_id, as_bought=as_bought)
    if row is None:
        raise NotFound()
    if row["wait"] < 0:
        minutes = -(row["wait"] // 60)
        raise risk.TierForbids(
            f"Your account's standing keeps new keys closed for a while after a payment. This one opens in "
            f"{minutes} {'minute' if minutes == 1 else 'minutes'}. Your standing page says why."
        )
    if row["wait"]:
        raise TooMany("You have shown many secrets just now. Please wait a moment.", retry_after=row["wait"])
    if failpoints.armed:
        await failpoints.reached("delivery.reveal.after_commit")
    if row["unit_id"]:
        bound_to = unit_binding(row["unit_id"])
    else:
        bound_to = content_binding(row["listing_id"], row["content_version"])
    if key := vault.key_at_hand(row["key_id"]):
        secret = vault.unseal(key, row["sealed"], bound_to)
    else:
        async with db.transaction(SYSTEM) as conn:
            secret = await vault.open(conn, row["key_id"], row["sealed"], bound_to)
    if failpoints.armed:
        await failpoints.reached("delivery.after_decrypt")
    return secret


async def _noted(db: Database, viewer: Viewer, entitlement_id: UUID, *, as_bought: bool) -> Record | None:
    """The reveal counted and written down, and what is sealed; or how long to `wait`. Committed when this
    returns."""
    args = (
        entitlement_id,
        viewer.user(),
        viewer.ip[:64],
        viewer.user_agent.replace("\x00", "")[:300],
        viewer.actor,
        as_bought,
        REVEALS_PER_MINUTE,
        60,
    )
    if failpoints.armed:  # a point before the commit needs a transaction to stand in

        async def work(conn: Connection) -> list[Record]:
            rows = await conn.fetch(_REVEAL, *args)
            await failpoints.reached("delivery.reveal.before_commit", conn)
            return rows

        rows = await db.run(viewer.as_user, work)
    else:
        rows = await db.called(_REVEAL, *args)
    return rows[0] if rows else None


def _pattern(q: str) -> str:
    text = q.replace("\x00", "").strip()[:100]
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%" if text else ""

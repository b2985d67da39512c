"""Keys of stores that are at risk wait until the staff has looked at them."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from fondaco.audit import record
from fondaco.core.db import Connection, Database
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer


class Waiting(Struct, frozen=True):
    """Keys of one import that wait."""

    batch_id: UUID
    seller_id: UUID
    store: str
    title: str
    units: int
    since: datetime


async def quarantined(db: Database, viewer: Viewer, limit: int = 100) -> list[Waiting]:
    """Imports with keys that wait, the oldest first; for the staff."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT b.id AS batch_id, b.seller_id, s.name AS store, l.title, u.units,
             coalesce(b.closed_at, b.created_at) AS since
           FROM (SELECT batch_id, count(*) AS units FROM inventory.stock_unit WHERE state = 'QUARANTINED'
                 GROUP BY batch_id) u
           JOIN inventory.stock_batch b ON b.id = u.batch_id JOIN sellers.seller s ON s.id = b.seller_id
           JOIN catalog.listing l ON l.id = b.listing_id ORDER BY since, b.id LIMIT $1""",
        limit,
    )
    return [Waiting(**dict(r)) for r in rows]


async def settle_quarantine(db: Database, viewer: Viewer, batch_id: UUID, *, good: bool) -> int:
    """The keys of an import that wait are for sale now, or are bad and nobody gets them; how many. Raises
    NotFound when none wait."""

    async def work(conn: Connection) -> int:
        rows = await conn.fetch(
            """UPDATE inventory.stock_unit SET state = $2 WHERE batch_id = $1 AND state = 'QUARANTINED'
               RETURNING listing_id, seller_id""",
            batch_id,
            "AVAILABLE" if good else "INVALID",
        )
        if not rows:
            raise NotFound()
        await conn.execute("SELECT inventory.refresh_in_stock($1)", rows[0]["listing_id"])
        data = {"seller_id": str(rows[0]["seller_id"]), "units": len(rows), "good": good}
        await record(conn, "batch.looked_at", f"batch:{batch_id}", viewer.actor, data)
        return len(rows)

    return await db.run(viewer.as_staff, work)

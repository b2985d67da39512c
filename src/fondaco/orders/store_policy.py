"""A store's own release policy, set by the house; the marketplace's applies where there is none."""

from typing import Any
from uuid import UUID

from fondaco import audit
from fondaco.core.db import Connection, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.policies import RELEASE_POLICIES, RELEASE_VERSION


async def store_release(db: Database, viewer: Viewer, seller_id: UUID) -> dict[str, Any] | None:
    """The store's own policy ({policy, version, days, hours}), or None. For staff. Raises NotFound."""
    row = await db.fetchrow(viewer.as_staff, "SELECT release FROM sellers.seller WHERE id = $1", seller_id)
    if row is None:
        raise NotFound()
    release: dict[str, Any] | None = row["release"]
    return release


async def set_store_release(
    db: Database, viewer: Viewer, seller_id: UUID, *, policy: str, days: int | None, hours: int | None
) -> None:
    """Sales of this store from now on are released by `policy`, at the latest `days` after delivery ('' for
    the marketplace's policy). `hours`: with revealed_hours. What was bought before keeps its terms.

    For staff. Raises NotFound, Invalid (fields policy, days, hours).
    """
    release = _checked(policy, days, hours)

    async def work(conn: Connection) -> None:
        done = await conn.execute("UPDATE sellers.seller SET release = $2 WHERE id = $1", seller_id, release)
        if done == "UPDATE 0":
            raise NotFound()
        data = release or {"policy": "the marketplace's"}
        await audit.record(conn, "store.release_set", f"seller:{seller_id}", viewer.actor, data)

    await db.run(viewer.as_staff, work)


def _checked(policy: str, days: int | None, hours: int | None) -> dict[str, Any] | None:
    if not policy:
        return None
    faults: dict[str, str] = {}
    if policy not in RELEASE_POLICIES:
        faults["policy"] = "Choose a policy."
    if days is None or not 0 <= days <= 60:
        faults["days"] = "From 0 to 60 days."
    if policy == "revealed_hours" and (hours is None or not 1 <= hours <= 1440):
        faults["hours"] = "From 1 to 1,440 hours."
    if faults:
        raise Invalid(fields=faults)
    kept = hours if policy == "revealed_hours" else None
    return {"policy": policy, "version": RELEASE_VERSION, "days": days, "hours": kept}

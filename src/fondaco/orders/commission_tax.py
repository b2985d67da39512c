"""Tax on the marketplace's share: a rate by the country of the store, frozen in the lines of a purchase.

It comes out of the store's part at the release; refunds give it back in proportion. Without a rate there is
none. A new rate decides for purchases to come.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from fondaco.audit import record
from fondaco.core.db import Connection, Database
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer
from fondaco.identity.fields import read_country, read_text

MOST_BPS = 5000


class CommissionTax(msgspec.Struct, frozen=True, kw_only=True):
    """One rate; `stores` of that country have it."""

    id: int
    country: str
    bps: Annotated[int, Meta(description="Of the share, in basis points: 1900 is 19 %.")]
    reason: str
    added_at: datetime
    ended_at: datetime | None
    stores: int


async def commission_taxes(db: Database, viewer: Viewer, *, ended: bool = False) -> list[CommissionTax]:
    """The rates that decide now, by country; with `ended` the last 200 that are over. For staff."""
    order = "t.ended_at DESC, t.id DESC" if ended else "t.country"
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT t.id, t.country::text AS country, t.bps, t.reason, t.added_at, t.ended_at,
              (SELECT count(*) FROM sellers.seller s WHERE s.country = t.country) AS stores
            FROM orders.commission_tax t WHERE (t.ended_at IS NOT NULL) = $1 ORDER BY {order} LIMIT 200""",
        ended,
    )
    return msgspec.convert([dict(r) for r in rows], list[CommissionTax])


async def set_commission_tax(db: Database, viewer: Viewer, *, country: str, bps: int, reason: str) -> bool:
    """Let this rate decide for stores of this country from now on, 0 for none; False when it does already.

    For staff. What was bought before keeps what it was bought with. Raises Invalid.
    """
    faults: dict[str, str] = {}
    land = read_country(faults, country)
    if land is None:
        faults["country"] = "Give the country as two letters, such as DE."
    if not 0 <= bps <= MOST_BPS:
        faults["bps"] = "Must be from 0 to 50 %."
    why = read_text(faults, "reason", reason, 500)
    if not why:
        faults.setdefault("reason", "Say why.")
    if faults:
        raise Invalid(fields=faults)

    async def work(conn: Connection) -> bool:
        # A store that opens or moves just now has the rate that is written here, or is given it below.
        await conn.execute("LOCK TABLE sellers.seller IN SHARE ROW EXCLUSIVE MODE")
        before = await conn.fetchval(
            "SELECT bps FROM orders.commission_tax WHERE country = $1 AND ended_at IS NULL", land
        )
        if (before or 0) == bps:
            return False
        await conn.execute(
            """UPDATE orders.commission_tax SET ended_at = now(), ended_by = $2
               WHERE country = $1 AND ended_at IS NULL""",
            land,
            viewer.user(),
        )
        if bps:
            await conn.execute(
                "INSERT INTO orders.commission_tax (country, bps, reason, added_by) VALUES ($1, $2, $3, $4)",
                land,
                bps,
                why,
                viewer.user(),
            )
        await conn.execute("UPDATE sellers.seller SET commission_tax_bps = $2 WHERE country = $1", land, bps)
        data = {"bps": bps, "before": before or 0, "reason": why}
        await record(conn, "commission.tax_set", f"country:{land}", viewer.actor, data)
        return True

    return await db.run(viewer.as_staff, work)

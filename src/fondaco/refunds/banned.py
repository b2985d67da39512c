"""A store that two people banned: what buyers paid and it has not got yet goes back to them."""

from uuid import UUID

import structlog

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Unavailable
from fondaco.refunds.actions import refund_line

log = structlog.get_logger()
BATCH = 200
WHY = "The store was closed by the marketplace"
# Money that waits in a case is decided there.
_OPEN = """SELECT l.id FROM risk.standing t JOIN orders.order_line l ON l.seller_id = t.seller_id
  WHERE t.tier = 'BANNED' AND l.escrow_state = 'HELD'"""


async def give_back_of_banned(db: Database) -> int:
    """Refund lines of banned stores whose money is still held, each in a transaction of its own: what was
    done before a crash is done, the rest is found again. One that cannot be given back now holds up none of
    those after it. Returns how many were given back."""
    done, last = 0, UUID(int=0)
    while rows := await db.fetch(SYSTEM, f"{_OPEN} AND l.id > $1 ORDER BY l.id LIMIT $2", last, BATCH):
        for row in rows:
            last = row["id"]
            try:
                done += await _one(db, last)
            except Unavailable:  # nobody would fare better
                raise
            except Exception as error:
                log.error("line.not_given_back", line=str(last), why=type(error).__name__)
    return done


async def _one(db: Database, line_id: UUID) -> bool:
    async def work(conn: Connection) -> bool:
        # As a release does, which may come at the same moment: then the money is the store's.
        await conn.execute("SELECT pg_advisory_xact_lock(hashtext('orders.release'))")
        if await conn.fetchval(f"{_OPEN} AND l.id = $1", line_id) is None:
            return False
        await refund_line(conn, line_id, reason="store_closed", why=WHY, actor="system")
        return True

    return await db.run(SYSTEM, work)

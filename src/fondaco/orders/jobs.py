"""What the clock brings: expiry of unpaid orders, release, maturity, counters."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from fondaco import wallets
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Unavailable
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders.actions import give_up, open_fundings
from fondaco.settings import Settings

log = structlog.get_logger()
_GROUPS = 100
_LINES = 100
_MATURING = 500


async def expire_orders(parts: Parts) -> None:
    """Give up groups whose time to pay is over. The payment page is closed first; as long as a payment may
    still come (a bank debit under way, or no answer from the provider), the order waits."""
    db, gateway, settings = parts.get(Database), parts.get(StripeGateway), parts.get(Settings)
    rows = await db.fetch(
        SYSTEM,
        """SELECT group_id FROM orders.orders WHERE state = 'PENDING_PAYMENT' AND expires_at <= now()
           GROUP BY group_id ORDER BY min(expires_at) LIMIT $1""",
        _GROUPS,
    )
    if failpoints.armed:
        await failpoints.reached("sweeper.orders.after_select")
    for row in rows:
        try:
            for funding_id in await open_fundings(db, row["group_id"]):
                await wallets.close_funding(db, gateway, settings, funding_id)
            await give_up(db, row["group_id"], "EXPIRED", "not paid in time", "system")
        except Unavailable:  # nobody would fare better
            raise
        except Exception as error:  # it holds up none of those after it
            log.error("order.not_expired", group=str(row["group_id"]), why=type(error).__name__)


async def release_due(parts: Parts) -> None:
    """Release lines whose protection is over, in small transactions. When they cannot be released together
    each is tried alone: one that cannot be released holds up no other."""
    db = parts.get(Database)
    try:
        await _drain(db, "SELECT orders.release_due($1)", _LINES)
    except asyncpg.PostgresError:
        due = await db.fetch(
            SYSTEM,
            """SELECT id FROM orders.order_line WHERE escrow_state = 'HELD' AND release_at <= now()
               ORDER BY release_at LIMIT 1000""",
        )
        for row in due:
            await _release_alone(db, row["id"])


async def _release_alone(db: Database, line_id: UUID) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute("SELECT orders.release($1, 'system')", [line_id])

    try:
        await db.run(SYSTEM, work)
    except asyncpg.PostgresError as error:
        log.error("line.not_released", line=str(line_id), why=type(error).__name__)


async def mature_due(parts: Parts) -> None:
    """Make money payable that has been released long enough."""
    await _drain(parts.get(Database), "SELECT orders.mature_due($1)", _MATURING)


async def _drain(db: Database, sql: str, limit: int) -> None:
    async def work(conn: Connection) -> int:
        done: int = await conn.fetchval(sql, limit)
        return done

    while await db.run(SYSTEM, work) == limit:
        pass


async def count_sold(parts: Parts) -> None:
    """Set `listing.sold` of what was sold lately to the units delivered. It ranks, it never pays."""
    await _count(parts.get(Database), timedelta(minutes=10), afresh=False)


async def recount_sold(parts: Parts) -> None:
    """The same for everything sold in the last year, added up afresh, in case a minute was missed."""
    await _count(parts.get(Database), timedelta(days=365), afresh=True)


async def _count(db: Database, since: timedelta, *, afresh: bool) -> None:
    """What is older than ten minutes is added to orders.sold_base once: no purchase is under way so long."""
    await db.execute(
        SYSTEM,
        """WITH lately AS MATERIALIZED (
             SELECT DISTINCT listing_id FROM orders.order_line WHERE delivered_at >= now() - $1::interval),
           counted AS MATERIALIZED (
             SELECT k.listing_id, e.edge, coalesce(b.n, 0) + s.before AS n, s.after
             FROM lately k LEFT JOIN orders.sold_base b ON b.listing_id = k.listing_id AND NOT $2
             CROSS JOIN LATERAL (SELECT greatest(b.up_to, now() - interval '10 minutes') AS edge) e
             CROSS JOIN LATERAL (
               SELECT coalesce(sum(l.quantity) FILTER (WHERE l.delivered_at < e.edge), 0) AS before,
                 coalesce(sum(l.quantity) FILTER (WHERE l.delivered_at >= e.edge), 0) AS after
               FROM orders.order_line l WHERE l.listing_id = k.listing_id AND l.delivery_state = 'DELIVERED'
                 AND l.delivered_at >= coalesce(b.up_to, '-infinity')) s),
           kept AS (
             INSERT INTO orders.sold_base AS b (listing_id, n, up_to)
             SELECT listing_id, n, edge FROM counted ORDER BY listing_id
             ON CONFLICT (listing_id) DO UPDATE SET n = excluded.n, up_to = excluded.up_to
               WHERE b.up_to < excluded.up_to)
           UPDATE catalog.listing g SET sold = c.n FROM (
             SELECT g.id, c.n + c.after AS n FROM catalog.listing g JOIN counted c ON c.listing_id = g.id
             WHERE g.sold <> c.n + c.after ORDER BY g.id FOR NO KEY UPDATE OF g SKIP LOCKED) c
           WHERE g.id = c.id""",
        since,
        afresh,
    )


async def forget_guest_carts(parts: Parts) -> None:
    """Delete guests' carts that nobody touched for a month."""
    await parts.get(Database).execute(
        SYSTEM,
        "DELETE FROM orders.cart WHERE guest_hash IS NOT NULL AND updated_at < now() - interval '30 days'",
    )


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("orders.expire_orders", 10, expire_orders),
    ("orders.release_due", 15, release_due),
    ("orders.mature_due", 60, mature_due),
    ("orders.count_sold", 60, count_sold),
    ("orders.recount_sold", 24 * 3600, recount_sold),
    ("orders.forget_guest_carts", 24 * 3600, forget_guest_carts),
]

"""What the clock does about credit: money that reached a wallet pays, reminders, and what is given up."""

from collections.abc import Awaitable
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Unavailable
from fondaco.credit.owing import settle

log = structlog.get_logger()
BATCH = 50
_SOON = """UPDATE credit.credit c SET reminded_at = now() FROM credit.policy p
  WHERE c.group_id IN (
    SELECT t.group_id FROM credit.credit t JOIN credit.policy q ON q.id = t.policy_id
    WHERE t.state = 'OWED' AND t.reminded_at IS NULL AND q.remind_days > 0 AND t.due_at > now()
      AND t.due_at <= now() + make_interval(days => q.remind_days) ORDER BY t.due_at LIMIT $1
    FOR UPDATE OF t SKIP LOCKED)
    AND p.id = c.policy_id
  RETURNING c.group_id, c.user_id, c.owed, c.currency::text, c.due_at,
    c.due_at + make_interval(days => p.write_off_days) AS ends_at"""
_OVERDUE = """UPDATE credit.credit c SET overdue_at = now() FROM credit.policy p
  WHERE c.group_id IN (
    SELECT t.group_id FROM credit.credit t
    WHERE t.state = 'OWED' AND t.overdue_at IS NULL AND t.due_at <= now() ORDER BY t.due_at LIMIT $1
    FOR UPDATE OF t SKIP LOCKED)
    AND p.id = c.policy_id
  RETURNING c.group_id, c.user_id, c.owed, c.currency::text, c.due_at,
    c.due_at + make_interval(days => p.write_off_days) AS ends_at"""


async def sweep(db: Database) -> int:
    """Payments, reminders and losses; returns how many there were."""
    done = await _settle_all(db)
    done += await _tell(db, _SOON, "credit.due_soon")
    done += await _tell(db, _OVERDUE, "credit.overdue")
    return done + await _write_off_all(db)


async def _settle_all(db: Database) -> int:
    """Money that came into a wallet by other ways than a top-up or a refund of a line."""
    found = """SELECT b.user_id, b.currency::text FROM credit.buyer b
      JOIN ledger.account a ON a.kind = 'wallet' AND a.owner = 'user:' || b.user_id
        AND a.currency = b.currency
      JOIN ledger.balance s ON s.account_id = a.id AND s.amount > 0
      WHERE b.owed > 0 AND (b.user_id, b.currency) > ($2, $3)
        AND NOT EXISTS (SELECT 1 FROM wallets.standing w WHERE w.user_id = b.user_id AND w.state <> 'OK')
      ORDER BY b.user_id, b.currency LIMIT $1"""
    done, last = 0, (UUID(int=0), "")
    while rows := await db.fetch(SYSTEM, found, BATCH, *last):
        for row in rows:
            last = (row["user_id"], row["currency"])
            done += await _alone("credit.not_settled", row["user_id"], _settle_one(db, *last)) > 0
    return done


async def _settle_one(db: Database, user_id: UUID, currency: str) -> int:
    return await db.run(SYSTEM, lambda conn: settle(conn, user_id, currency))


async def _alone(event: str, about: UUID, attempt: Awaitable[int]) -> int:
    """One that fails holds up none of those after it: it is looked at again the next time."""
    try:
        return await attempt
    except Unavailable:  # nobody would fare better
        raise
    except Exception as error:
        log.error(event, about=str(about), why=type(error).__name__)
        return 0


async def _tell(db: Database, sql: str, kind: str) -> int:
    """Each is told once: the mark and the event are one transaction; the mail follows from the event."""

    async def work(conn: Connection) -> int:
        rows = await conn.fetch(sql, BATCH)
        for row in rows:
            data = {
                "group_id": str(row["group_id"]),
                "buyer_id": str(row["user_id"]),
                "amount": row["owed"],
                "currency": row["currency"],
                "due_at": row["due_at"].isoformat(),
                "ends_at": row["ends_at"].isoformat(),
            }
            await audit.record(conn, kind, f"group:{row['group_id']}", "system", data)
        return len(rows)

    return await db.run(SYSTEM, work)


async def _write_off_all(db: Database) -> int:
    """All whose time is over, page by page: those a case keeps open hold up none of the others."""
    found = """SELECT c.group_id FROM credit.credit c JOIN credit.policy p ON p.id = c.policy_id
      WHERE c.state = 'OWED' AND c.due_at + make_interval(days => p.write_off_days) <= now()
        AND c.group_id > $2
      ORDER BY c.group_id LIMIT $1"""
    done, last = 0, UUID(int=0)
    while rows := await db.fetch(SYSTEM, found, BATCH, last):
        for row in rows:
            last = row["group_id"]
            done += await _alone("credit.not_written_off", last, write_off(db, last)) > 0
    return done


async def write_off(db: Database, group_id: UUID) -> int:
    """Give up what is owed of a purchase, when its time is over and no case about it is open; answers how
    much that was, in minor units."""

    async def work(conn: Connection) -> int:
        lost: int = await conn.fetchval("SELECT credit.write_off($1, 'system')", group_id)
        return lost

    return await db.run(SYSTEM, work)

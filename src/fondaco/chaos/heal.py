"""Waiting until everything has come to rest."""

import asyncio
import time
from typing import Any

import asyncpg

from fondaco.core.db import SYSTEM, Database

LIMIT_S = 420

DUE = """SELECT
  (SELECT count(*) FROM public.procrastinate_jobs WHERE status = 'doing'
     OR (status = 'todo' AND coalesce(scheduled_at, now()) <= now()))
  + (SELECT count(*) FROM inbox.event WHERE state IN ('RECEIVED', 'FAILED', 'DEFERRED') AND next_at <= now())
  + (SELECT count(*) FROM wallets.fee_due)
  + (SELECT count(*) FROM inventory.stock_batch WHERE state = 'IMPORTING')"""
OPEN = """SELECT
  (SELECT count(*) FROM public.procrastinate_jobs WHERE status IN ('doing', 'todo'))
  + (SELECT count(*) FROM inbox.event WHERE state IN ('RECEIVED', 'FAILED', 'DEFERRED'))
  + (SELECT count(*) FROM wallets.fee_due)
  + (SELECT count(*) FROM inventory.stock_batch WHERE state IN ('RECEIVED', 'IMPORTING'))
  + (SELECT count(*) FROM wallets.refund WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN', 'PENDING'))
  + (SELECT count(*) FROM wallets.funding WHERE state = 'CREATED')
  + (SELECT count(*) FROM payouts.payout WHERE state IN ('CREATED', 'SENDING', 'UNKNOWN'))
  + (SELECT count(*) FROM payouts.reversal WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN'))
  + (SELECT count(*) FROM chargebacks.evidence WHERE state IN ('CONFIRMED', 'SENDING', 'UNKNOWN'))"""


HURRY = (
    "UPDATE core.idempotency SET created_at = created_at - interval '2 minutes' WHERE status IS NULL",
    """UPDATE wallets.refund SET called_at = called_at - interval '2 minutes',
         checked_at = checked_at - interval '2 minutes', created_at = created_at - interval '2 minutes'
       WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN')""",
    """UPDATE wallets.funding SET called_at = called_at - interval '1 minute',
         checked_at = checked_at - interval '1 minute', created_at = created_at - interval '1 minute'
       WHERE state = 'CREATED'""",
    """UPDATE payouts.payout SET called_at = called_at - interval '2 minutes',
         checked_at = checked_at - interval '2 minutes', lease_until = lease_until - interval '2 minutes'
       WHERE state IN ('SENDING', 'UNKNOWN')""",
    """UPDATE payouts.reversal SET called_at = called_at - interval '2 minutes',
         checked_at = checked_at - interval '2 minutes' WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN')""",
    """UPDATE chargebacks.evidence SET called_at = called_at - interval '2 minutes'
       WHERE state IN ('SENDING', 'UNKNOWN')""",
    """UPDATE inventory.stock_batch SET touched_at = touched_at - interval '2 minutes'
       WHERE state IN ('RECEIVED', 'IMPORTING')""",
)
"""For short runs: what waits for a dead process's lease to end has waited."""


async def hurry(owner_dsn: str) -> None:
    """Date back what the product waits for, as the owner of the database."""
    connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    connection = await connect(owner_dsn)
    try:
        for sql in HURRY:
            await connection.execute(sql)
    finally:
        await connection.close()


async def until_none(db: Database, sql: str, limit: float = LIMIT_S) -> float | None:
    """Seconds until the count is 0 twice in a row; None when it never was."""
    began, zeros = time.monotonic(), 0
    while time.monotonic() - began < limit:
        zeros = zeros + 1 if await db.fetchval(SYSTEM, sql) == 0 else 0
        if zeros == 2:
            return time.monotonic() - began
        await asyncio.sleep(0.5)
    return None

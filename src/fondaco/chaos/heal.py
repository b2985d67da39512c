"""Waiting until everything has come to rest."""

import asyncio
import time

from fondaco.core.db import SYSTEM, Database

LIMIT_S = 420

DUE = """SELECT
  (SELECT count(*) FROM public.procrastinate_jobs WHERE status = 'doing'
     OR (status = 'todo' AND coalesce(scheduled_at, now()) <= now()))
  + (SELECT count(*) FROM inbox.event WHERE state IN ('RECEIVED', 'FAILED', 'DEFERRED') AND next_at <= now())
  + (SELECT count(*) FROM inventory.stock_batch WHERE state = 'IMPORTING')"""
OPEN = """SELECT
  (SELECT count(*) FROM public.procrastinate_jobs WHERE status IN ('doing', 'todo'))
  + (SELECT count(*) FROM inbox.event WHERE state IN ('RECEIVED', 'FAILED', 'DEFERRED'))
  + (SELECT count(*) FROM inventory.stock_batch WHERE state IN ('RECEIVED', 'IMPORTING'))
  + (SELECT count(*) FROM wallets.refund WHERE state IN ('REQUESTED', 'SENDING', 'UNKNOWN', 'PENDING'))
  + (SELECT count(*) FROM wallets.funding WHERE state = 'CREATED')"""


async def until_none(db: Database, sql: str, limit: float = LIMIT_S) -> float | None:
    """Seconds until the count is 0 twice in a row; None when it never was."""
    began, zeros = time.monotonic(), 0
    while time.monotonic() - began < limit:
        zeros = zeros + 1 if await db.fetchval(SYSTEM, sql) == 0 else 0
        if zeros == 2:
            return time.monotonic() - began
        await asyncio.sleep(0.5)
    return None

"""Enqueueing jobs inside the caller's transaction, through the queue's own SQL function."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from fondaco.core.db import Connection

_DEFER = """
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW($1, $2, $3, $4, $5, $6::jsonb, $7)
  ]::procrastinate_job_to_defer_v1[])
"""


async def defer(
    connection: Connection,
    task: str,
    args: Mapping[str, Any],
    *,
    lock: str | None = None,
    queueing_lock: str | None = None,
    at: datetime | None = None,
) -> None:
    """Put a job on the queue: it exists when, and only when, the transaction commits.

    `lock`: jobs with the same lock run one after another. `queueing_lock`: while one such job waits,
    another is not added.
    """
    values = ("default", task, 0, lock, queueing_lock, dict(args), at)
    if queueing_lock is None:
        await connection.execute(_DEFER, *values)
        return
    await connection.execute("SAVEPOINT deferring")  # a lock already held must not spoil the caller
    try:
        await connection.execute(_DEFER, *values)
    except asyncpg.UniqueViolationError:
        await connection.execute("ROLLBACK TO SAVEPOINT deferring")
    await connection.execute("RELEASE SAVEPOINT deferring")

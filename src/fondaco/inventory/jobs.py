"""What the queue and the clock bring: importing batches, and picking up those whose worker died."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.inventory.actions import IMPORT_TASK, enqueue
from fondaco.inventory.importing import import_batch
from fondaco.vault import Vault


async def import_one(parts: Parts, *, batch: str) -> None:
    """Import the batch with this id."""
    await import_batch(parts.get(Database), parts.get(Vault), UUID(batch))


async def pick_up_batches(parts: Parts) -> None:
    """Ask again for open batches that no worker has touched for two minutes."""
    async with parts.get(Database).transaction(SYSTEM) as conn:
        rows = await conn.fetch(
            """UPDATE inventory.stock_batch SET touched_at = now() WHERE id IN (
                 SELECT id FROM inventory.stock_batch
                 WHERE state IN ('RECEIVED', 'IMPORTING') AND touched_at < now() - interval '2 minutes'
                 ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)
               RETURNING id, seller_id"""
        )
        for row in rows:
            await enqueue(conn, row["id"], row["seller_id"])


async def correct_in_stock(parts: Parts) -> None:
    """Listings that have units or copies are not shown as sold out. Whoever buys never waits to look
    closely, so what somebody held for a moment, or gave back, may have been taken for gone."""
    db = parts.get(Database)
    rows = await db.fetch(
        SYSTEM,
        """SELECT l.id FROM catalog.listing l WHERE NOT l.in_stock AND (
             EXISTS (SELECT 1 FROM inventory.stock_unit u
                     WHERE u.listing_id = l.id AND u.state = 'AVAILABLE')
             OR EXISTS (SELECT 1 FROM inventory.counted c WHERE c.listing_id = l.id AND c.on_hand > 0))
           LIMIT 500""",
    )
    for row in rows:
        await db.execute(SYSTEM, "SELECT inventory.refresh_in_stock($1)", row["id"])


tasks: dict[str, Callable[..., Awaitable[Any]]] = {IMPORT_TASK: import_one}
periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("inventory.pick_up_batches", 30, pick_up_batches),
    ("inventory.correct_in_stock", 60, correct_in_stock),
]

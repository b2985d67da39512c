"""Work of the queue and the clock for wallets: refunds sent and followed, fees booked."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import LedgerKeyReused
from fondaco.wallets import gate, refunds

log = structlog.get_logger()


async def send_refund(parts: Parts, refund_id: str) -> None:
    """Send one requested refund."""
    await refunds.send_refund(parts.get(Database), parts.get(StripeGateway), UUID(refund_id))


async def book_fee(parts: Parts, key: str, ref: str, amount: int, currency: str) -> None:
    """Book the provider's fee of one payment: a job that an earlier version left."""

    async def work(conn: Connection) -> None:
        await gate.book_fee(conn, key, ref, amount, currency)

    await parts.get(Database).run(SYSTEM, work)


async def book_fees(parts: Parts) -> None:
    """Book the fees that settled payments left to be booked. When they cannot be booked together each is
    tried alone: one that cannot be booked holds up no other, stays, and the checks name it."""
    db = parts.get(Database)
    try:
        while await db.run(SYSTEM, gate.book_fees) == gate.FEES_AT_ONCE:
            pass
    except (LedgerKeyReused, asyncpg.PostgresError):
        for row in await db.fetch(
            SYSTEM, "SELECT key FROM wallets.fee_due ORDER BY noted_at, key LIMIT 1000"
        ):
            await _book_alone(db, row["key"])


async def _book_alone(db: Database, key: str) -> None:
    async def work(conn: Connection) -> None:
        await gate.book_fees(conn, key)

    try:
        await db.run(SYSTEM, work)
    except (LedgerKeyReused, asyncpg.PostgresError) as error:
        log.error("fee.not_booked", key=key, error=type(error).__name__)


async def sweep_refunds(parts: Parts) -> None:
    """Bring unfinished refunds on."""
    await refunds.sweep_refunds(parts.get(Database), parts.get(StripeGateway))


tasks: dict[str, Callable[..., Awaitable[Any]]] = {
    "wallets.send_refund": send_refund,
    "wallets.book_fee": book_fee,
}
periodic: list[tuple[str, float, Callable[[Parts], Awaitable[None]]]] = [
    ("wallets.book_fees", 1.0, book_fees),
    ("wallets.sweep_refunds", 30, sweep_refunds),
]

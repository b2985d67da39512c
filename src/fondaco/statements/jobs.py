"""What the clock and the event log bring: papers for what happened, and those of a month that is over."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from fondaco.audit import AuditEvent, consume
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.web import Parts
from fondaco.settings import Settings
from fondaco.statements.buyers import credit_notes, invoices
from fondaco.statements.issuing import Draft, issue
from fondaco.statements.paying import payout_statements
from fondaco.statements.sellers import Month, commission_paper, statement, stores_with_books

CONSUMER = "statements"
BATCH = 200
AFTER_MONTH = timedelta(hours=1)  # everything posted in a month is committed by then
_STORES = 50


async def read_events(parts: Parts) -> int:
    """Issue the papers of all events since the last time; returns how many events were read."""
    settings = parts.get(Settings)

    async def handle(conn: Connection, events: list[AuditEvent]) -> None:
        paid = [_id(e) for e in events if e.kind == "order.delivered"]
        sent = [_id(e) for e in events if e.kind == "payout.sent"]
        refunded = [UUID(e.data["refund_id"]) for e in events if e.kind == "line.refunded"]
        if paid:
            await issue(conn, await invoices(conn, settings, paid))
        if refunded:
            await issue(conn, await credit_notes(conn, settings, refunded))
        if sent:
            await issue(conn, await payout_statements(conn, settings, sent))

    read = 0
    while count := await consume(parts.get(Database), CONSUMER, BATCH, handle):
        read += count
    return read


def _id(event: AuditEvent) -> UUID:
    return UUID(event.ref.partition(":")[2])


async def close_month(parts: Parts) -> str | None:
    """Issue the statements and commission papers of the month that is over, once; returns that month, or None
    when nothing was to do. Whatever is interrupted is continued the next time."""
    db, settings = parts.get(Database), parts.get(Settings)
    month = Month.before(now() - AFTER_MONTH)
    done = await db.fetchval(
        SYSTEM, "SELECT EXISTS (SELECT 1 FROM statements.closed_month WHERE period = $1)", str(month)
    )
    if done:
        return None
    after: UUID | None = None
    while after := await _some_stores(db, settings, month, after):
        pass
    await db.execute(
        SYSTEM,
        "INSERT INTO statements.closed_month (period) VALUES ($1) ON CONFLICT DO NOTHING",
        str(month),
    )
    return str(month)


async def _some_stores(db: Database, settings: Settings, month: Month, after: UUID | None) -> UUID | None:
    """The papers of the next stores in one transaction; the last store, or None when there were none."""

    async def work(conn: Connection) -> UUID | None:
        stores = await stores_with_books(conn, after, _STORES)
        drafts: list[Draft] = []
        for store in stores:
            for currency in store["currencies"]:
                found = (
                    await statement(conn, settings, store, currency, month),
                    await commission_paper(conn, settings, store, currency, month),
                )
                drafts += [draft for draft in found if draft is not None]
        await issue(conn, drafts)
        return stores[-1]["id"] if stores else None

    return await db.run(SYSTEM, work)


periodic: list[tuple[str, float, Callable[[Parts], Awaitable[object]]]] = [
    ("statements.read_events", 5.0, read_events),
    ("statements.close_month", 3600.0, close_month),
]

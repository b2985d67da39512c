"""Writing events, reading what happened to a thing, and consuming the outbox."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fondaco.audit.model import AuditEvent
from fondaco.core.db import SYSTEM, Connection, Database, Record, Scope

_COLUMNS = "id, xid::text AS xid, at, kind, ref, actor, data"


async def record(
    conn: Connection, kind: str, ref: str, actor: str, data: Mapping[str, Any] | None = None
) -> int:
    """Write one event in the caller's transaction; returns its id. `data` holds no secrets."""
    event_id: int = await conn.fetchval(
        "SELECT audit.record($1, $2, $3, $4)", kind, ref, actor, dict(data or {})
    )
    return event_id


async def history(
    db: Database, scope: Scope, refs: str | Sequence[str], limit: int = 200
) -> list[AuditEvent]:
    """The latest `limit` events about one thing or several, oldest first."""
    wanted = [refs] if isinstance(refs, str) else list(refs)
    rows = await db.fetch(
        scope,
        f"SELECT {_COLUMNS} FROM audit.event WHERE ref = ANY($1) ORDER BY id DESC LIMIT $2",
        wanted,
        limit,
    )
    return [_event(row) for row in reversed(rows)]


async def consume(
    db: Database,
    consumer: str,
    limit: int,
    handle: Callable[[Connection, list[AuditEvent]], Awaitable[None]],
) -> int:
    """Give `handle` the next events (at most `limit`) and move the consumer's place, in one transaction.

    Returns how many were handled; 0 when there is nothing new or another process is at it. Only events
    that no running transaction can still precede are read, so none is ever passed over. When `handle`
    raises, nothing happened and the same events come again.
    """

    async def work(conn: Connection) -> int:
        await conn.execute("INSERT INTO audit.place (consumer) VALUES ($1) ON CONFLICT DO NOTHING", consumer)
        place = await conn.fetchrow(
            "SELECT xid::text AS xid, id FROM audit.place WHERE consumer = $1 FOR UPDATE SKIP LOCKED",
            consumer,
        )
        if place is None:
            return 0
        rows = await conn.fetch(
            f"SELECT {_COLUMNS} FROM audit.event "
            "WHERE (audit.event.xid, id) > ($1::text::xid8, $2) "
            "AND audit.event.xid < pg_snapshot_xmin(pg_current_snapshot()) "
            "ORDER BY audit.event.xid, id LIMIT $3",
            place["xid"],
            place["id"],
            limit,
        )
        if not rows:
            return 0
        await handle(conn, [_event(row) for row in rows])
        await conn.execute(
            "UPDATE audit.place SET xid = $2::text::xid8, id = $3 WHERE consumer = $1",
            consumer,
            rows[-1]["xid"],
            rows[-1]["id"],
        )
        return len(rows)

    return await db.run(SYSTEM, work)


def _event(row: Record) -> AuditEvent:
    return AuditEvent(
        row["id"], int(row["xid"]), row["at"], row["kind"], row["ref"], row["actor"], row["data"]
    )

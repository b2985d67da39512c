"""The door: a delivery is checked, kept once and put on the queue, in one transaction. Nothing more."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, cast

import asyncpg

from fondaco.core import failpoints
from fondaco.core.db import LOST, SYSTEM, Connection, Database
from fondaco.core.problem import Unavailable
from fondaco.core.queue import defer
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import BadDelivery, part, text

Source = Literal["webhook", "backfill"]


async def receive(db: Database, gateway: StripeGateway, body: bytes, headers: Iterable[str]) -> bool:
    """Keep a delivery; True when it was new. `headers`: every Stripe-Signature header it came with.

    Raises BadDelivery (counted, nothing kept) and Unavailable when the database is away: the provider
    tries again.
    """
    try:
        given = list(headers)
        if len(given) != 1:
            raise BadDelivery("no_signature")
        event = checked(gateway.verify(body, given[0]))
    except BadDelivery as error:
        await _count(db, error.reason)
        raise
    try:
        if failpoints.armed:
            await failpoints.reached("web.webhook.after_verify")
        async with db.transaction(SYSTEM) as conn:
            new = await keep(conn, event, "webhook")
            if failpoints.armed:
                await failpoints.reached("web.webhook.after_insert_before_commit", conn)
        if failpoints.armed:
            await failpoints.reached("web.webhook.after_commit_before_answer")
        return new
    except (*LOST, asyncpg.PostgresConnectionError) as error:
        raise Unavailable() from error


def checked(event: dict[str, Any]) -> dict[str, Any]:
    """The event when it has what every event has; raises BadDelivery."""
    created = event.get("created")
    whole = (
        event.get("object") == "event"
        and text(event.get("id"))
        and text(event.get("type"))
        and isinstance(created, int)
        and 0 <= created < 2**40
        and isinstance(event.get("livemode"), bool)
        and text(part(part(event.get("data")).get("object")).get("object"))
    )
    if not whole or len(event["id"]) > 255 or len(event["type"]) > 255:
        raise BadDelivery("malformed")
    return event


async def keep(conn: Connection, event: dict[str, Any], source: Source) -> bool:
    """Insert the event unless it is there and queue its handling; True when it was new."""
    row_id = await conn.fetchval(
        """INSERT INTO inbox.event (provider, event_id, account, type, api_version, livemode, object_id,
             object_created, body, source, state)
           VALUES ('stripe', $1, $2, $3, $4, $5, $6, $7, $8, $9, 'RECEIVED')
           ON CONFLICT (provider, event_id) DO NOTHING RETURNING id""",
        _clean(event["id"]),
        _clean(text(event.get("account"))),
        _clean(event["type"]),
        _clean(text(event.get("api_version"))),
        event["livemode"],
        _clean(text(event["data"]["object"].get("id"))),
        datetime.fromtimestamp(event["created"], UTC),
        _clean(event),
        source,
    )
    if row_id is None:
        return False
    await enqueue(conn, row_id)
    return True


async def enqueue(conn: Connection, row_id: int) -> None:
    """Queue the handling of a kept event; while it waits there it is not queued twice."""
    await defer(conn, "inbox.handle", {"event": row_id}, queueing_lock=f"inbox:{row_id}")


def _clean(value: Any) -> Any:
    """Without the one character PostgreSQL cannot keep: a customer's name must not stop a payment."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_clean(v) for v in cast(list[Any], value)]
    return value


async def _count(db: Database, reason: str) -> None:
    with suppress(Unavailable, asyncpg.PostgresError, *LOST):
        await db.execute(
            SYSTEM,
            """INSERT INTO inbox.refusal (reason) VALUES ($1)
               ON CONFLICT (day, reason) DO UPDATE SET n = inbox.refusal.n + 1""",
            reason,
        )

"""The door: a delivery is checked, kept once and told to the workers, in one transaction. Nothing more."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

import asyncpg

from fondaco.core import failpoints
from fondaco.core.db import LOST, SYSTEM, Connection, Database
from fondaco.core.gather import Gather
from fondaco.core.problem import Unavailable
from fondaco.core.queue import defer
from fondaco.inbox.model import CHANNEL, of_no_interest
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import BadDelivery, part, text

Source = Literal["webhook", "backfill"]
Door = Gather[dict[str, Any], bool | asyncpg.DataError]
_doors: "WeakKeyDictionary[Database, dict[bool, Door]]" = WeakKeyDictionary()
_KEEP = """
WITH kept AS (
  INSERT INTO inbox.event (provider, event_id, account, type, api_version, livemode, object_id,
      object_created, body, failure, source, state, handled_at)
    SELECT 'stripe', t.*, $10, CASE WHEN t.ignored IS NULL THEN 'RECEIVED' ELSE 'IGNORED' END,
           CASE WHEN t.ignored IS NOT NULL THEN now() END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[], $7::timestamptz[],
      $8::jsonb[], $9::text[])
      t(event_id, account, type, api_version, livemode, object_id, object_created, body, ignored)
  ON CONFLICT (provider, event_id) DO NOTHING RETURNING event_id, state)
SELECT event_id, CASE WHEN state = 'RECEIVED' THEN pg_notify($11, '')::text END FROM kept
"""


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
        new = await _door(db, own_mode=gateway.livemode).get(event)
        if isinstance(new, asyncpg.DataError):
            raise new
        if failpoints.armed:
            await failpoints.reached("web.webhook.after_commit_before_answer")
        return new
    except (*LOST, asyncpg.PostgresConnectionError) as error:
        raise Unavailable() from error


def _door(db: Database, *, own_mode: bool) -> Door:
    """Deliveries that come together are kept together: one statement, one commit."""

    async def together(events: Sequence[dict[str, Any]]) -> list[bool]:
        async with db.transaction(SYSTEM) as conn:
            new = await keep(conn, events, "webhook", own_mode=own_mode)
            if failpoints.armed:
                await failpoints.reached("web.webhook.after_insert_before_commit", conn)
            return new

    async def keep_all(events: Sequence[dict[str, Any]]) -> list[bool | asyncpg.DataError]:
        try:
            return [*await together(events)]
        except asyncpg.DataError as error:  # one that cannot be kept must not keep the others out
            if len(events) == 1:
                return [error]
            return [(await keep_all([event]))[0] for event in events]

    door = _doors.setdefault(db, {}).get(own_mode)
    if door is None:
        door = _doors[db][own_mode] = Gather(keep_all)
    return door


def checked(event: dict[str, Any]) -> dict[str, Any]:
    """The event, fit to be kept, when it has what every event has; raises BadDelivery."""
    created = event.get("created")
    whole = (
        event.get("object") == "event"
        and text(event.get("id"))
        and text(event.get("type"))
        and isinstance(created, int)
        and 0 <= created < 2**37  # of the years a date can name
        and isinstance(event.get("livemode"), bool)
        and text(part(part(event.get("data")).get("object")).get("object"))
    )
    if not whole or len(event["id"]) > 255 or len(event["type"]) > 255:
        raise BadDelivery("malformed")
    try:
        clean: dict[str, Any] = _clean(event)
    except RecursionError as error:
        raise BadDelivery("malformed") from error
    return clean


async def keep(
    conn: Connection, events: Sequence[dict[str, Any]], source: Source, *, own_mode: bool
) -> list[bool]:
    """Insert the events (as `checked`) that are not there yet, in one statement; for each whether it was new.

    What can have no effect here is IGNORED at once; of the rest the workers are told at the commit.
    `own_mode`: our own livemode.
    """
    # In one order for all: two doors that keep the same events must not wait for each other.
    places = sorted(range(len(events)), key=lambda n: str(events[n]["id"]))
    rows = [_row(events[n], own_mode=own_mode) for n in places]
    kept = await conn.fetch(_KEEP, *(list(column) for column in zip(*rows, strict=True)), source, CHANNEL)
    fresh = {row["event_id"] for row in kept}
    new = [False] * len(events)
    for n, row in zip(places, rows, strict=True):
        if row[0] in fresh:  # the same event twice in one call: the first is the new one
            fresh.discard(row[0])
            new[n] = True
    return new


def _row(event: dict[str, Any], *, own_mode: bool) -> tuple[Any, ...]:
    kind, account = event["type"], text(event.get("account"))
    return (
        event["id"],
        account,
        kind,
        text(event.get("api_version")),
        event["livemode"],
        text(event["data"]["object"].get("id")),
        datetime.fromtimestamp(event["created"], UTC),
        event,
        of_no_interest(kind, account, livemode=event["livemode"], own_mode=own_mode),
    )


async def enqueue(conn: Connection, row_id: int) -> None:
    """Have a kept event handled by a job: for those the workers' own look left lying. While the job waits
    there is no second one."""
    await defer(conn, "inbox.handle", {"event": row_id}, queueing_lock=f"inbox:{row_id}")


def _clean(value: Any) -> Any:
    """Without what PostgreSQL cannot keep, NUL and halves of letters: a customer's name must not stop a
    payment."""
    if isinstance(value, str):
        kept = value.replace("\x00", "")
        return kept if kept.isascii() else kept.encode("utf-8", "replace").decode()
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

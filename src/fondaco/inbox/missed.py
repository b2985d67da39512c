"""What never arrived: events the provider lists and we do not have, and fundings nobody told us about."""

from collections.abc import AsyncGenerator, Awaitable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from fondaco import wallets
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import Unavailable
from fondaco.inbox.door import checked, keep
from fondaco.inbox.model import ACCOUNT_TYPES, CHANNEL, NO_EFFECT, TYPES
from fondaco.inbox.settle import check_funding
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import BadDelivery, ProviderRefused, ProviderUnknown
from fondaco.settings import Settings
from fondaco.wallets import PaymentRefused, PaymentUnavailable

log = structlog.get_logger()
OVERLAP = timedelta(hours=1)
REMEMBERED = timedelta(days=30)  # so long the provider lists events
BATCH = 50
COMPARED = 100  # events held at a time, as many as the provider tells at once
LISTED = TYPES - set(ACCOUNT_TYPES)  # the sellers' accounts themselves are asked about instead


async def backfill(db: Database, gateway: StripeGateway) -> int:
    """Compare the provider's list of events since the last time with ours; returns how many were missing, or
    had been ignored by a version that knew no effect of their type.

    An hour is compared twice, so that events listed late are found too. Types that were not compared before
    are looked for as far back as the provider remembers. A busy hour has more events than memory should:
    a hundred are held at a time, the newest first.
    """
    # By the database's clock: a worker whose own is ahead must not skip what is still to come.
    row = await db.fetchrow(
        SYSTEM,
        """SELECT t.began, least(t.began, b.seen_to) AS seen_to, b.types
           FROM (SELECT now() AS began) t LEFT JOIN inbox.backfill b ON b.provider = 'stripe'""",
    )
    assert row
    missing, held = 0, list[dict[str, Any]]()
    async for event in _listed(gateway, row):
        held.append(event)
        if len(held) == COMPARED:
            missing += await _compare(db, held, own_mode=gateway.livemode)
            held = []
    missing += await _compare(db, held, own_mode=gateway.livemode)
    await db.execute(
        SYSTEM,
        """INSERT INTO inbox.backfill (provider, seen_to, types) VALUES ('stripe', $1, $2)
           ON CONFLICT (provider) DO UPDATE
             SET seen_to = greatest(least(inbox.backfill.seen_to, now()), $1), types = $2""",
        row["began"],
        sorted(LISTED),
    )
    if missing:
        log.warning("backfill.found", missing=missing)
    return missing


async def _listed(gateway: StripeGateway, row: Record) -> AsyncGenerator[dict[str, Any]]:
    """The events to compare."""
    if new := LISTED - set(row["types"] or LISTED):
        async for event in gateway.list_events(int((row["began"] - REMEMBERED).timestamp()), sorted(new)):
            yield event
    async for event in gateway.list_events(int((row["seen_to"] - OVERLAP).timestamp()), sorted(LISTED)):
        yield event


async def _compare(db: Database, events: Sequence[dict[str, Any]], *, own_mode: bool) -> int:
    """Keep those that are not there yet, given the newest first; returns how many were missing."""
    found = {str(event.get("id")): event for event in reversed(events)}
    known = await db.fetch(
        SYSTEM,
        "SELECT event_id FROM inbox.event WHERE provider = 'stripe' AND event_id = ANY ($1)",
        list(found),
    )
    have = {row["event_id"] for row in known}
    if failpoints.armed:
        await failpoints.reached("backfill.after_list")
    missing = await _take_up(db, sorted(have))
    for event_id, event in found.items():
        if event_id in have:
            continue
        try:
            async with db.transaction(SYSTEM) as conn:
                missing += sum(await keep(conn, [checked(event)], "backfill", own_mode=own_mode))
            if failpoints.armed:
                await failpoints.reached("backfill.mid_list")
        except (BadDelivery, asyncpg.DataError):  # it must not keep out those after it
            log.error("backfill.unreadable", event_id=event_id[:100])
    return missing


async def _take_up(db: Database, event_ids: Sequence[str]) -> int:
    """Have those handled that were ignored for a type that has an effect by now: on the day of an upgrade,
    servers of the version before may still keep the door. Returns how many."""

    async def work(conn: Connection) -> int:
        taken = await conn.fetch(
            """UPDATE inbox.event SET state = 'RECEIVED', failure = NULL, attempts = 0, next_at = now(),
                 handled_at = NULL
               WHERE provider = 'stripe' AND event_id = ANY ($1) AND state = 'IGNORED' AND failure = $2
               RETURNING pg_notify($3, '')::text""",
            event_ids,
            NO_EFFECT,
            CHANNEL,
        )
        return len(taken)

    return await db.run(SYSTEM, work)


async def sweep_fundings(db: Database, gateway: StripeGateway, settings: Settings) -> int:
    """Bring every unfinished funding on: pages never opened, payments nobody told us about. Returns how
    many were looked at."""
    await db.run(SYSTEM, _forget)
    unopened = await db.fetch(
        SYSTEM,
        """UPDATE wallets.funding SET checked_at = now() WHERE id IN (
             SELECT id FROM wallets.funding WHERE state = 'CREATED'
               AND greatest(called_at, created_at, checked_at) < now() - interval '1 minute'
             ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id""",
        BATCH,
    )
    if failpoints.armed:
        await failpoints.reached("sweeper.fundings.after_select")
    for row in unopened:
        await _alone("funding.not_opened", row["id"], wallets.open_session(db, gateway, settings, row["id"]))
    unsettled = await db.fetch(
        SYSTEM,
        """UPDATE wallets.funding SET checked_at = now() WHERE id IN (
             SELECT id FROM wallets.funding WHERE state = 'PROCESSING' AND session_id IS NOT NULL
               AND greatest(created_at, checked_at) < now() - CASE
                 WHEN intent_id IS NOT NULL THEN interval '10 minutes'
                 WHEN expires_at < now() THEN interval '1 minute' ELSE interval '3 minutes' END
             ORDER BY checked_at NULLS FIRST LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id""",
        BATCH,
    )
    for row in unsettled:
        await _alone("funding.not_checked", row["id"], check_funding(db, gateway, row["id"]))
    return len(unopened) + len(unsettled)


async def _alone(event: str, funding_id: UUID, attempt: Awaitable[object]) -> None:
    """One that fails holds up none of those after it: it is looked at again later."""
    try:
        await attempt
    except (ProviderUnknown, ProviderRefused, PaymentUnavailable, PaymentRefused) as error:
        log.warning(event, funding=str(funding_id), why=str(error))
    except Unavailable:  # nobody would fare better
        raise
    except Exception as error:
        log.error(event, funding=str(funding_id), why=type(error).__name__)


async def _forget(conn: Connection) -> None:
    """A page that could not be made for a day will not be: the provider has forgotten the key by then."""
    await conn.execute(
        """WITH gone AS (UPDATE wallets.funding SET state = 'EXPIRED'
             WHERE state = 'CREATED' AND created_at < now() - interval '25 hours' RETURNING id)
           SELECT audit.record('funding.expired', 'funding:' || id, 'system') FROM gone"""
    )

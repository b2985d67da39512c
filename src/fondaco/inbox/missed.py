"""What never arrived: events the provider lists and we do not have, and fundings nobody told us about."""

from datetime import timedelta

import structlog

from fondaco import wallets
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Problem
from fondaco.inbox.door import checked, keep
from fondaco.inbox.model import TYPES
from fondaco.inbox.settle import check_funding
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import BadDelivery, ProviderRefused, ProviderUnknown
from fondaco.settings import Settings
from fondaco.wallets import PaymentRefused, PaymentUnavailable

log = structlog.get_logger()
OVERLAP = timedelta(hours=1)
BATCH = 50


async def backfill(db: Database, gateway: StripeGateway) -> int:
    """Compare the provider's list of events since the last time with ours; returns how many were missing.

    An hour is compared twice, so that events listed late are found too.
    """
    # By the database's clock: a worker whose own is ahead must not skip what is still to come.
    row = await db.fetchrow(
        SYSTEM,
        """SELECT now() AS began, least(now(), (SELECT seen_to FROM inbox.backfill WHERE provider = 'stripe'))
             AS seen_to""",
    )
    assert row
    began, since = row["began"], row["seen_to"] - OVERLAP
    found = await gateway.list_events(int(since.timestamp()), sorted(TYPES))
    known = await db.fetch(
        SYSTEM,
        "SELECT event_id FROM inbox.event WHERE provider = 'stripe' AND event_id = ANY ($1)",
        [event["id"] for event in found],
    )
    have = {row["event_id"] for row in known}
    missing = 0
    if failpoints.armed:
        await failpoints.reached("backfill.after_list")
    for event in found:
        if event["id"] in have:
            continue
        try:
            async with db.transaction(SYSTEM) as conn:
                missing += sum(await keep(conn, [checked(event)], "backfill", own_mode=gateway.livemode))
            if failpoints.armed:
                await failpoints.reached("backfill.mid_list")
        except BadDelivery:
            log.error("backfill.unreadable", event_id=str(event.get("id"))[:100])
    await db.execute(
        SYSTEM,
        """INSERT INTO inbox.backfill (provider, seen_to) VALUES ('stripe', $1)
           ON CONFLICT (provider) DO UPDATE
             SET seen_to = greatest(least(inbox.backfill.seen_to, now()), $1)""",
        began,
    )
    if missing:
        log.warning("backfill.found", missing=missing)
    return missing


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
        try:
            await wallets.open_session(db, gateway, settings, row["id"])
        except (PaymentUnavailable, PaymentRefused) as error:
            log.warning("funding.not_opened", funding=str(row["id"]), why=error.code)
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
        try:
            await check_funding(db, gateway, row["id"])
        except (ProviderUnknown, ProviderRefused, Problem) as error:
            log.warning("funding.not_checked", funding=str(row["id"]), why=str(error))
    return len(unopened) + len(unsettled)


async def _forget(conn: Connection) -> None:
    """A page that could not be made for a day will not be: the provider has forgotten the key by then."""
    await conn.execute(
        """WITH gone AS (UPDATE wallets.funding SET state = 'EXPIRED'
             WHERE state = 'CREATED' AND created_at < now() - interval '25 hours' RETURNING id)
           SELECT audit.record('funding.expired', 'funding:' || id, 'system') FROM gone"""
    )

"""A run: the provider's movements are read page by page and kept, each is matched with its journals, and what
has no counterpart on the other side becomes a break. Bounded memory; a lost run goes on where it was."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import asyncpg
import structlog

from fondaco import audit
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.queue import defer
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_balance import BalanceTransactionFacts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from fondaco.reconciliation.breaks import note_breaks
from fondaco.reconciliation.model import RunUnderWay
from fondaco.reconciliation.report import sign_report
from fondaco.reconciliation.sweeping import ask_about_sweeps
from fondaco.settings import Settings

log = structlog.get_logger()
AT_ONCE = 500
LOOKS = 3  # at the balances, before a difference is believed
LOST = timedelta(minutes=5)  # a run whose worker said nothing for so long is over
OVERLAP = timedelta(days=3)  # looked at again by the next run
BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)


async def begin(
    db: Database,
    asked_by: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    queue: bool = False,
) -> int:
    """A new run, or the lost one taken up again; its id. Without `since` from a little before where the last
    run ended, the first time from the beginning. `queue`: a worker does it. Raises RunUnderWay."""

    async def work(conn: Connection) -> int:
        open_run = await conn.fetchrow(
            """UPDATE reconciliation.run SET beat_at = clock_timestamp()
               WHERE state = 'RUNNING' AND beat_at < clock_timestamp() - $1::interval RETURNING id""",
            LOST,
        )
        if open_run:
            return await told(conn, int(open_run["id"]))
        last = await conn.fetchval("SELECT max(until) FROM reconciliation.run WHERE state = 'DONE'")
        first = since or (last - OVERLAP if last else BEGINNING)
        made: int = await conn.fetchval(
            """INSERT INTO reconciliation.run (asked_by, state, since, until) VALUES ($1, 'RUNNING', $2, $3)
               RETURNING id""",
            asked_by,
            first,
            until or now(),
        )
        return await told(conn, made)

    async def told(conn: Connection, run_id: int) -> int:
        data = {"by": asked_by}
        await audit.record(conn, "reconciliation.started", f"reconciliation:{run_id}", asked_by, data)
        if queue:
            await defer(conn, "reconciliation.run", {"run_id": run_id})
        return run_id

    try:
        return await db.run(SYSTEM, work)
    except asyncpg.UniqueViolationError:
        raise RunUnderWay() from None


async def run(db: Database, gateway: StripeGateway, settings: Settings, run_id: int) -> bool:
    """Do a run that `begin` made; False when it broke off because the provider did not answer."""
    row = await db.fetchrow(
        SYSTEM, "SELECT * FROM reconciliation.run WHERE id = $1 AND state = 'RUNNING'", run_id
    )
    if row is None:
        return False
    try:
        await _read_movements(db, gateway, row)
        theirs, off = await _compare_balances(db, gateway, row)
        await _ask_about_charges(db, gateway)
        await ask_about_sweeps(db, gateway)
    except (ProviderUnknown, ProviderRefused) as error:
        await _end(db, run_id, "BROKEN_OFF", f"The payment provider did not answer: {error}")
        return False
    await _match_again(db, run_id)
    await _say(db, run_id, "Comparing with our journals")

    async def work(conn: Connection) -> None:
        await note_breaks(conn, row, off)
        await sign_report(conn, settings, run_id, theirs)

    await db.run(SYSTEM, work)
    return True


async def _read_movements(db: Database, gateway: StripeGateway, row: Record) -> None:
    since, until = int(row["since"].timestamp()), ceil(row["until"].timestamp())
    batch: list[BalanceTransactionFacts] = []
    async for movement in gateway.list_balance_transactions(since, until, after=row["place"]):
        batch.append(movement)
        if len(batch) == AT_ONCE:
            await _keep(db, row["id"], batch)
            batch = []
    if batch:
        await _keep(db, row["id"], batch)


async def _compare_balances(
    db: Database, gateway: StripeGateway, row: Record
) -> tuple[dict[str, int], dict[str, int]]:
    """The provider's balances, and by how much they differ from the sum of all movements seen.

    Movements go on while we look. What is really missing is missing by the same amount at every look, so only
    that counts.
    """
    theirs, off = await _look_at_balances(db, gateway, row)
    for _ in range(LOOKS - 1):
        if not off:
            break
        theirs, again = await _look_at_balances(db, gateway, row)
        off = {currency: amount for currency, amount in off.items() if again.get(currency) == amount}
    return theirs, off


async def _look_at_balances(
    db: Database, gateway: StripeGateway, row: Record
) -> tuple[dict[str, int], dict[str, int]]:
    theirs = await gateway.whole_balance()
    since = int(row["until"].timestamp())
    newest = [m async for m in gateway.list_balance_transactions(since, since + 10 * 365 * 86400)]
    for start in range(0, len(newest), AT_ONCE):
        await _keep(db, row["id"], newest[start : start + AT_ONCE], onward=False)
    sums = await db.fetch(SYSTEM, "SELECT currency::text, net FROM reconciliation.total")
    seen = {r["currency"]: r["net"] for r in sums}
    currencies = sorted({*theirs, *seen})
    return theirs, {c: d for c in currencies if (d := theirs.get(c, 0) - seen.get(c, 0))}


async def _keep(
    db: Database, run_id: int, batch: Sequence[BalanceTransactionFacts], *, onward: bool = True
) -> None:
    """Keep these movements, match them, and say how far we are, in one transaction. `onward`: a lost
    run goes on behind the last of them."""
    ids = [m.id for m in batch]

    async def work(conn: Connection) -> None:
        await conn.execute(
            """WITH told AS (
                 INSERT INTO reconciliation.movement (id, type, category, amount, fee, net, currency,
                   source_id, made_at, seen_in)
                 SELECT t.id, t.type, t.category, t.amount, t.fee, t.net, t.currency, t.source,
                   to_timestamp(t.made), $10
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                   $7::text[], $8::text[], $9::bigint[])
                   t(id, type, category, amount, fee, net, currency, source, made)
                 ON CONFLICT (id) DO NOTHING RETURNING currency, net)
               INSERT INTO reconciliation.total AS o (currency, net, n)
               SELECT currency, sum(net), count(*) FROM told GROUP BY currency ORDER BY currency
               ON CONFLICT (currency) DO UPDATE SET net = o.net + excluded.net, n = o.n + excluded.n""",
            ids,
            [m.type for m in batch],
            [m.reporting_category for m in batch],
            [m.amount for m in batch],
            [m.fee for m in batch],
            [m.net for m in batch],
            [m.currency for m in batch],
            [m.source_id for m in batch],
            [m.created for m in batch],
            run_id,
        )
        whole = await conn.fetchval("SELECT reconciliation.match($1)", ids)
        await conn.execute(
            """UPDATE reconciliation.run SET place = coalesce($2, place), seen = seen + $3,
                 matched = matched + $4, beat_at = clock_timestamp(),
                 doing = 'Reading the provider''s movements' WHERE id = $1""",
            run_id,
            ids[-1] if onward else None,
            len(ids),
            whole,
        )

    await db.run(SYSTEM, work)


async def _ask_about_charges(db: Database, gateway: StripeGateway) -> None:
    """Charges of no payment of ours may be money in suspense, which is known by its payment intent."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT id, source_id FROM reconciliation.movement
           WHERE (amount <> 0 AND journal_id IS NULL OR fee <> 0 AND fee_journal_id IS NULL)
             AND type IN ('charge', 'payment') AND intent_id IS NULL AND source_id IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM wallets.funding f WHERE f.charge_id = source_id)
           ORDER BY id LIMIT 200""",
    )
    for row in rows:
        try:
            intent_id = await gateway.intent_of_charge(row["source_id"])
        except ProviderRefused:
            continue
        if intent_id:
            await db.execute(
                SYSTEM,
                "UPDATE reconciliation.movement SET intent_id = $2 WHERE id = $1 AND intent_id IS NULL",
                row["id"],
                intent_id,
            )


async def _match_again(db: Database, run_id: int) -> None:
    """Movements that had no journal when they were seen may have one now."""
    last = ""
    while True:
        rows = await db.fetch(
            SYSTEM,
            """SELECT id FROM reconciliation.movement
               WHERE (amount <> 0 AND journal_id IS NULL OR fee <> 0 AND fee_journal_id IS NULL) AND id > $1
               ORDER BY id LIMIT $2""",
            last,
            AT_ONCE,
        )
        if not rows:
            return
        last = rows[-1]["id"]
        await db.execute(SYSTEM, "SELECT reconciliation.match($1)", [r["id"] for r in rows])
        await _say(db, run_id, "Matching what had no journal")


async def _say(db: Database, run_id: int, words: str) -> None:
    await db.execute(
        SYSTEM,
        "UPDATE reconciliation.run SET doing = $2, beat_at = clock_timestamp() WHERE id = $1",
        run_id,
        words,
    )


async def _end(db: Database, run_id: int, state: str, words: str) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute(
            """UPDATE reconciliation.run SET state = $2, doing = $3, ended_at = clock_timestamp()
               WHERE id = $1 AND state = 'RUNNING'""",
            run_id,
            state,
            words,
        )
        data: dict[str, Any] = {"why": words}
        await audit.record(conn, "reconciliation.broken_off", f"reconciliation:{run_id}", "system", data)

    log.warning("reconciliation.broken_off", run=run_id, why=words)
    await db.run(SYSTEM, work)

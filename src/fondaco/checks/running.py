"""A run: everything looked at in one unchanging view, faults kept, what is gone closed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from fondaco import ledger
from fondaco.audit import record
from fondaco.checks.cases import CASES
from fondaco.checks.chargebacks import CHARGEBACKS
from fondaco.checks.credit import CREDIT
from fondaco.checks.direct import DIRECT
from fondaco.checks.goods import DELIVERY, STOCK
from fondaco.checks.ground import AUDIT, EVENTS_OF_CHANGES, GUARDS, QUEUE, STATES, check_blocks, key_checks
from fondaco.checks.money_out import MONEY_OUT, held_too_long
from fondaco.checks.papers import PAPERS
from fondaco.checks.payments import EVENTS, MIRRORS, PAYMENTS, other_mode
from fondaco.checks.reconciled import RECONCILED
from fondaco.checks.refunds import REFUNDS
from fondaco.checks.risk import RISK, check_replay
from fondaco.core.checking import MOST, Check, Fault, Findings, Progress, Share, run_checks, snapshot
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.settings import Settings

log = structlog.get_logger()
MINUTE_S = 3  # the longest one question may take every minute
FULL_S = 900  # and in a full run by the clock
_RECOMPUTED = 4  # journals, entries, audit blocks, risk decisions
LOST_S = 120.0  # a run whose worker said nothing for so long is over
CHECKS: tuple[Check, ...] = (
    *DELIVERY,
    *STOCK,
    *MIRRORS,
    *REFUNDS,
    *CASES,
    *RISK,
    *CHARGEBACKS,
    *PAYMENTS,
    *DIRECT,
    *CREDIT,
    *MONEY_OUT,
    *RECONCILED,
    *PAPERS,
    *EVENTS,
    *QUEUE,
    *AUDIT,
    *EVENTS_OF_CHANGES,
    *STATES,
    *GUARDS,
)


async def verify_all(
    db: Database, settings: Settings, progress: Progress | None = None, share: Share | None = None
) -> list[Fault]:
    """Everything that is not as it must be, in words; an empty list when all is well.

    `progress` is told what is being looked at, `share` how much of all is done (0 to 1). Reads one unchanging
    view; disturbs nobody, keeps nothing.
    """
    findings = Findings(progress or (lambda words: None), share or (lambda done: None))
    await examine(db, settings, findings)
    return findings.faults[:MOST]


async def examine(db: Database, settings: Settings, findings: Findings, *, seconds: int = 0) -> None:
    """Look at everything. `seconds`: the longest one question may take; 0 for however long it takes."""
    checks = *CHECKS, other_mode(settings), *held_too_long(settings)
    async with snapshot(db, seconds=seconds) as conn:
        checks = *checks, *await key_checks(conn)
        findings.questions = len(ledger.LEDGER_CHECKS) + len(checks) + _RECOMPUTED
        await ledger.examine(conn, findings)
    async with snapshot(db, seconds=seconds) as conn:
        await run_checks(conn, checks, findings)
        await check_blocks(conn, settings, findings)
        await check_replay(conn, findings)


async def glance(db: Database, findings: Findings) -> None:
    """Look at what is cheap, and at what is newest of the rest."""
    async with snapshot(db, seconds=MINUTE_S) as conn:
        await ledger.examine(conn, findings, lately=True)
        await run_checks(conn, CHECKS, findings, lately=True)


async def every_minute(db: Database) -> int | None:
    """The minute's run, kept; how many faults it saw. None when one is under way."""
    return await _run(db, "minute", "clock", lambda findings: glance(db, findings))


async def full_run(db: Database, settings: Settings, asked_by: str = "clock") -> int | None:
    """A run over everything, kept; how many faults it saw. None when one is under way."""
    return await _run(db, "full", asked_by, lambda findings: examine(db, settings, findings, seconds=FULL_S))


async def full_run_is_due(db: Database) -> bool:
    """Whether tonight's full run is to begin, by the database's clock: after 02:00 UTC, once a day. A day
    that was missed is caught up with at once."""
    return await db.fetchval(
        SYSTEM,
        """SELECT NOT EXISTS (SELECT 1 FROM checks.run WHERE kind = 'full'
             AND (ended_at IS NOT NULL OR beat_at > now() - make_interval(secs => $1))
             AND started_at >= date_trunc('day', now() - interval '2 hours', 'UTC') + interval '2 hours')""",
        LOST_S,
    )


async def _run(
    db: Database, kind: str, asked_by: str, look: Callable[[Findings], Awaitable[None]]
) -> int | None:
    run_id = await _begin(db, kind, asked_by)
    if run_id is None:
        return None
    findings = Findings()
    async with _telling(db, run_id, findings):
        await look(findings)
    await db.run(SYSTEM, lambda conn: _keep(conn, run_id, findings))
    return len(findings.faults)


async def _begin(db: Database, kind: str, asked_by: str) -> int | None:
    async with db.transaction(SYSTEM) as conn:
        await conn.execute("SELECT pg_advisory_xact_lock(hashtext('checks.run'))")
        return await conn.fetchval(
            """INSERT INTO checks.run (kind, asked_by) SELECT $1, $2 WHERE NOT EXISTS (
                 SELECT 1 FROM checks.run WHERE kind = $1 AND ended_at IS NULL
                   AND beat_at > clock_timestamp() - make_interval(secs => $3)) RETURNING id""",
            kind,
            asked_by,
            LOST_S,
        )


@asynccontextmanager
async def _telling(db: Database, run_id: int, findings: Findings) -> AsyncGenerator[None]:
    """Write down now and then what is being looked at, so that whoever waits sees that it goes on."""
    doing = ""

    def tell(words: str) -> None:
        nonlocal doing
        doing = words

    async def write() -> None:
        while True:
            await asyncio.sleep(1)
            with contextlib.suppress(Exception):  # a word missed does no harm
                await db.execute(
                    SYSTEM,
                    "UPDATE checks.run SET beat_at = clock_timestamp(), doing = $2, looked = $3, faults = $4 "
                    "WHERE id = $1",
                    run_id,
                    doing[:200],
                    findings.looked,
                    len(findings.faults),
                )

    findings.tell = tell
    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _keep(conn: Connection, run_id: int, findings: Findings) -> None:
    """The run's end, its faults, and those that are gone; in one transaction."""
    faults = {(f.rule, f.where): f for f in findings.faults}
    places = [rule for rule, _ in faults], [where for _, where in faults]
    fresh = await conn.fetch(
        """INSERT INTO checks.fault AS f (rule, name, place, words)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
           ON CONFLICT (rule, place) DO UPDATE SET words = excluded.words, last_seen = now(), gone_at = NULL,
             first_seen = CASE WHEN f.gone_at IS NULL THEN f.first_seen ELSE now() END,
             -- What flickers is told once an hour at most.
             told_at = CASE WHEN f.gone_at < now() - interval '1 hour' THEN NULL ELSE f.told_at END
           RETURNING name, place, words, first_seen = now() AS fresh""",
        places[0],
        [f.check for f in faults.values()],
        places[1],
        [f.words[:1000] for f in faults.values()],
    )
    gone = await conn.fetch(
        """UPDATE checks.fault SET gone_at = now() WHERE gone_at IS NULL AND rule = ANY ($1)
           AND (rule, place) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]))
           AND last_seen < (SELECT started_at FROM checks.run WHERE id = $4) RETURNING name, place""",
        list(findings.seen),
        *places,
        run_id,
    )
    await conn.execute(
        "UPDATE checks.run SET ended_at = clock_timestamp(), doing = '', looked = $2, faults = $3, "
        "left_out = $4 WHERE id = $1",
        run_id,
        findings.looked,
        len(faults),
        findings.left,
    )
    new = [f for f in fresh if f["fresh"]]
    ref = f"checks:{run_id}"
    if new:
        names = sorted({f["name"] for f in new})
        await record(conn, "checks.failed", ref, "system", {"faults": len(new), "names": names})
    if gone:
        await record(conn, "checks.recovered", ref, "system", {"faults": len(gone)})
    for f in new[:20]:
        log.error("check_failed", check=f["name"], where=f["place"], words=f["words"], run=run_id)
    for f in gone[:20]:
        log.info("check_recovered", check=f["name"], where=f["place"], run=run_id)


async def forget_old_runs(db: Database) -> None:
    """Minute runs are kept for a week, full ones for two years."""
    await db.execute(
        SYSTEM,
        """DELETE FROM checks.run WHERE id IN (SELECT id FROM checks.run WHERE started_at < now() -
             CASE kind WHEN 'minute' THEN interval '7 days' ELSE interval '730 days' END LIMIT 10000)""",
    )

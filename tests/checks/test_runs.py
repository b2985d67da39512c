"""Runs: what is found is kept, told once, and closed when it is gone; the minute's run is cheap and sees what
is new; the console shows it all."""

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from fondaco import checks
from fondaco.checks import jobs, running
from fondaco.core.checking import Check, Findings, run_checks, snapshot
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.checks.test_verify import marketplace
from tests.support.money import Till, make_staff

OFF = (
    "UPDATE ledger.balance SET amount = amount + 1 "
    "WHERE account_id = (SELECT min(id) FROM ledger.account WHERE kind = 'wallet')"
)
GUARDED = ("ledger.balance", "ledger.entry", "audit.event")
BACK = OFF.replace("+ 1", "- 1")


@pytest.fixture
async def admin(endpoints: Endpoints) -> AsyncIterator[asyncpg.Connection]:
    """Somebody with all rights, past the guards of the books."""
    found = await asyncpg.connect(endpoints.admin_dsn)
    await found.execute("SET session_replication_role = replica")
    try:
        yield found
    finally:
        await found.close()


async def change(admin: asyncpg.Connection, sql: str) -> None:
    """Do this past the guards, and leave them as they were."""
    for table in GUARDED:
        await admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await admin.execute(sql)
    for table in GUARDED:
        await admin.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def parts(till: Till) -> Parts:
    return Parts(till.db, till.settings, Vault(till.settings))


async def mails(db: Database) -> list[tuple[str, str]]:
    rows = await db.fetch(
        SYSTEM,
        "SELECT template, subject, recipient, plain FROM notifications.mail WHERE ref = 'checks:faults' "
        "ORDER BY created_at",
    )
    assert {r["recipient"] for r in rows} <= {"support@localhost.test"}
    return [(r["template"], r["plain"]) for r in rows]


async def faults(db: Database) -> set[str]:
    return {f.name for f in await checks.open_faults(db, SYSTEM)}


async def test_a_fault_is_kept_told_once_and_closed_when_it_is_gone(
    till: Till, parts: Parts, admin: asyncpg.Connection
) -> None:
    db = till.db
    await marketplace(till)
    await jobs.full(parts)
    assert await faults(db) == set() and await mails(db) == []

    await change(admin, OFF)
    for _ in range(3):
        await jobs.every_minute(parts)
    assert "I03" in await faults(db)
    [(template, plain)] = await mails(db)
    assert template == "checks_failed" and "the balance says" in plain and "/console/checks" in plain

    await change(admin, BACK)
    await jobs.every_minute(parts)
    assert "I03" in await faults(db), "a look at what is newest does not say that all older is well"
    await jobs.full(parts)
    await jobs.full(parts)
    assert await faults(db) == set()
    assert [t for t, _ in await mails(db)] == ["checks_failed", "checks_well"]
    kinds = await db.fetch(SYSTEM, "SELECT kind FROM audit.event WHERE kind LIKE 'checks.%' ORDER BY id")
    assert [r["kind"] for r in kinds] == ["checks.failed", "checks.recovered"]


async def test_what_flickers_is_told_once_an_hour(
    till: Till, parts: Parts, admin: asyncpg.Connection
) -> None:
    db = till.db
    lost = (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('default', 'a.b', 'failed')"
    )
    await admin.execute(lost)
    for _ in range(3):
        await jobs.every_minute(parts)
        await admin.execute("UPDATE procrastinate_jobs SET status = 'todo' WHERE status = 'failed'")
        await jobs.every_minute(parts)
        assert await faults(db) == set()
        await admin.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE status = 'todo'")
    assert [t for t, _ in await mails(db)] == ["checks_failed", "checks_well"]
    await jobs.every_minute(parts)
    await admin.execute("UPDATE checks.fault SET told_at = told_at - interval '3 hours'")
    await admin.execute("UPDATE procrastinate_jobs SET status = 'todo' WHERE status = 'failed'")
    await jobs.every_minute(parts)
    await admin.execute("UPDATE checks.fault SET gone_at = gone_at - interval '2 hours'")
    await admin.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE status = 'todo'")
    await jobs.every_minute(parts)
    assert [t for t, _ in await mails(db)][-1] == "checks_failed"


NEW = {
    "a balance": (OFF, "I03"),
    "a journal": ("UPDATE ledger.entry SET amount = amount + 1 WHERE amount > 0", "I02"),
    "a delivery": ("DELETE FROM delivery.entitlement", "I09"),
    "an escrow": ("UPDATE orders.order_line SET refunded = 1 WHERE escrow_state = 'HELD'", "I13"),
    "a word in the log": ("DELETE FROM audit.event WHERE kind = 'funding.succeeded'", "I26"),
}


@pytest.mark.parametrize("what", NEW)
async def test_the_minute_sees_what_is_new(
    till: Till, parts: Parts, admin: asyncpg.Connection, what: str
) -> None:
    await marketplace(till)
    await jobs.every_minute(parts)
    assert await faults(till.db) == set()
    sql, name = NEW[what]
    await change(admin, sql)
    await jobs.every_minute(parts)
    assert name in await faults(till.db)


async def test_what_takes_too_long_is_left_and_said(db: Database) -> None:
    slow = Check("I99", "x", "sleeps", "SELECT pg_sleep(30)", cheap=True)
    quick = Check("I98", "{n}", "is there", "SELECT 1 AS n", cheap=True)
    findings = Findings()
    async with snapshot(db, seconds=1) as conn:
        await run_checks(conn, (slow, quick), findings)
    assert findings.left == ["I99: sleeps"] and [f.check for f in findings.faults] == ["I98"]
    assert findings.seen == {quick.rule}


async def test_one_run_at_a_time_and_one_that_died_stops_nobody(
    till: Till, admin: asyncpg.Connection
) -> None:
    db = till.db
    await admin.execute("INSERT INTO checks.run (kind, asked_by) VALUES ('full', 'clock')")
    assert await checks.full_run(db, till.settings) is None
    staff = await make_staff(db, "admin")
    with pytest.raises(checks.RunUnderWay):
        await checks.ask_for_full_run(db, staff)
    await admin.execute("UPDATE checks.run SET beat_at = now() - interval '3 minutes'")
    assert await checks.full_run(db, till.settings) is not None
    assert [r.lost for r in await checks.list_runs(db, staff)] == [False, True]
    many = await asyncio.gather(*(checks.full_run(db, till.settings) for _ in range(3)))
    assert [n is None for n in many].count(False) >= 1


async def test_the_night_s_run_comes_once_a_day(till: Till, admin: asyncpg.Connection) -> None:
    db = till.db
    assert await running.full_run_is_due(db)
    await checks.full_run(db, till.settings)
    assert not await running.full_run_is_due(db)
    await admin.execute("UPDATE checks.run SET started_at = started_at - interval '24 hours'")
    assert await running.full_run_is_due(db)


async def test_old_runs_are_dropped(db: Database, admin: asyncpg.Connection) -> None:
    await admin.execute(
        "INSERT INTO checks.run (kind, asked_by, started_at) SELECT k, 'clock', now() - d FROM "
        "unnest(ARRAY['minute', 'full']) k, unnest(ARRAY[interval '1 day', interval '8 days']) d"
    )
    await running.forget_old_runs(db)
    rows = await db.fetch(SYSTEM, "SELECT kind FROM checks.run ORDER BY kind")
    assert [r["kind"] for r in rows] == ["full", "full", "minute"]


async def test_nobody_but_staff_reads_what_was_found(db: Database, admin: asyncpg.Connection) -> None:
    await admin.execute("INSERT INTO checks.run (kind, asked_by) VALUES ('full', 'clock')")
    await admin.execute("INSERT INTO checks.fault (rule, name, place, words) VALUES ('r', 'I01', 'x', 'y')")
    everybody = Viewer().as_user
    assert await db.fetchval(everybody, "SELECT count(*) FROM checks.run") == 0
    assert await db.fetchval(everybody, "SELECT count(*) FROM checks.fault") == 0


async def test_a_secret_in_plain_text_is_found_wherever_it_stands(
    db: Database, admin: asyncpg.Connection
) -> None:
    canary = "CANARY-7F3A-9C2E"
    async with snapshot(db) as conn:
        assert await checks.plaintext(conn, [canary]) == []
    await admin.execute(
        "INSERT INTO audit.event (kind, ref, actor, data) VALUES ('a.b', 'x', 'system', $1::jsonb)",
        json.dumps({"k": f"so: {canary}"}),
    )
    await admin.execute(
        "INSERT INTO core.idempotency (actor, key, fingerprint, body) VALUES ('a', 'k', '\\x00', $1)",
        b"..." + canary.encode(),
    )
    async with snapshot(db) as conn:
        found = await checks.plaintext(conn, [canary])
    assert {f.where for f in found} == {'column "data" of audit.event', 'column "body" of core.idempotency'}
    assert canary not in str([str(f) for f in found])


async def test_the_keys_between_tables_are_read_from_the_catalogue(db: Database) -> None:
    from fondaco.checks.ground import key_checks

    async with snapshot(db) as conn:
        words = {c.words for c in await key_checks(conn)}
    assert len(words) >= 10
    assert "in delivery.entitlement names another buyer than what it points to in orders.order_line" in words
    assert "in inventory.stock_unit names another seller than what it points to in orders.order_line" in words


def test_every_name_a_check_bears_is_explained(settings: Settings) -> None:
    from fondaco.ledger.verify import LEDGER_CHECKS

    named = {c.name for c in (*running.CHECKS, *LEDGER_CHECKS)} | {"I30", "I31"}
    assert named == set(checks.INVARIANTS)
    assert not set(checks.INVARIANTS) & set(checks.ELSEWHERE)
    every = set(checks.INVARIANTS) | set(checks.ELSEWHERE)
    assert {f"I{n:02}" for n in range(1, len(every) + 1)} == every
    rules = [c.rule for c in (*running.CHECKS, *LEDGER_CHECKS)]
    assert len(rules) == len(set(rules))

"""Events come in order and once; blocks show every later change."""

import asyncio

import asyncpg
import pytest

from fondaco.audit import AuditEvent, check, consume, history, record, seal
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.conftest import make_settings


async def write(db: Database, *refs: str) -> None:
    async with db.transaction(SYSTEM) as conn:
        for ref in refs:
            await record(conn, "order.placed", ref, "system", {"note": f"é {ref}", "n": 2**60})


async def test_history_tells_what_happened_to_a_thing(db: Database) -> None:
    await write(db, "order:1", "order:2", "order:1", "order:3")
    found = await history(db, SYSTEM, "order:1")
    assert [e.ref for e in found] == ["order:1", "order:1"]
    assert found[0].id < found[1].id
    assert found[0].data == {"note": "é order:1", "n": 2**60}
    assert [e.ref for e in await history(db, SYSTEM, ["order:2", "order:3"])] == ["order:2", "order:3"]
    assert [e.id for e in await history(db, SYSTEM, "order:1", limit=1)] == [found[1].id]


async def test_an_act_undone_leaves_no_event(db: Database) -> None:
    async def give_up(conn: Connection) -> None:
        await record(conn, "order.placed", "order:1", "system")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await db.run(SYSTEM, give_up)
    assert await history(db, SYSTEM, "order:1") == []


@pytest.mark.parametrize("table", ["event", "block"])
async def test_nobody_changes_the_past(
    db: Database, owner: asyncpg.Connection, settings: Settings, table: str
) -> None:
    await write(db, "order:1")
    await seal(db, settings)
    column = {"event": "kind", "block": "key_id"}[table]
    for sql in (f"UPDATE audit.{table} SET {column} = 'a.b'", f"DELETE FROM audit.{table}"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await owner.execute(sql)
        with pytest.raises((asyncpg.RestrictViolationError, asyncpg.InsufficientPrivilegeError)):
            await db.execute(SYSTEM, sql)
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute(f"TRUNCATE audit.{table}")


async def test_blocks_hold_and_link(db: Database, settings: Settings) -> None:
    for n in range(3):
        await write(db, *(f"order:{n}-{i}" for i in range(5)))
        assert await seal(db, settings) == 5
    assert await seal(db, settings) == 0
    told: list[int] = []
    assert await check(db, settings, told.append) == []
    assert told == [1, 2, 3]
    assert await db.fetchval(SYSTEM, "SELECT previous FROM audit.block WHERE number = 1") == bytes(32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE audit.event SET data = '{\"n\": 1}' WHERE id = 2", "block 1: an event"),
        ("UPDATE audit.event SET actor = 'stripe' WHERE id = 4", "block 2: an event"),
        ("UPDATE audit.event SET at = at + interval '1 microsecond' WHERE id = 2", "block 1: an event"),
        ("DELETE FROM audit.event WHERE id = 3", "block 1: covers 3 events, but 2"),
        (
            "INSERT INTO audit.event (xid, kind, ref, actor) SELECT xid, 'a.b', 'x', 'y' FROM audit.event "
            "WHERE id = 1",
            "block 2: covers 3 events, but 4",
        ),
        ("DELETE FROM audit.block WHERE number = 1", "block 1 is missing"),
        ("UPDATE audit.block SET events = 2 WHERE number = 2", "block 2: its own values were changed"),
        (
            "UPDATE audit.block SET signature = sha256('x') || sha256('y')",
            "block 1: its signature is not ours",
        ),
        ("UPDATE audit.block SET previous = sha256('x') WHERE number = 2", "block 2: does not link"),
    ],
)
async def test_a_change_behind_our_back_is_named(
    db: Database, owner: asyncpg.Connection, settings: Settings, change: str, said: str
) -> None:
    for n in range(2):
        await write(db, *(f"order:{n}-{i}" for i in range(3)))
        await seal(db, settings)
    assert await check(db, settings) == []
    for table in ("event", "block"):
        await owner.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER append_only")
    await owner.execute(change)
    assert any(said in fault for fault in await check(db, settings))


async def test_a_stranger_cannot_sign(db: Database, settings: Settings, endpoints: Endpoints) -> None:
    await write(db, "order:1")
    await seal(db, make_settings(endpoints))
    assert ["signed with another key" in f for f in await check(db, settings)] == [True]


async def test_two_sealers_at_once_make_one_chain(db: Database, settings: Settings) -> None:
    for n in range(20):
        await write(db, f"order:{n}")
    done = await asyncio.gather(*(seal(db, settings) for _ in range(5)))
    assert sum(done) == 20
    assert await check(db, settings) == []


async def test_a_consumer_sees_everything_once_in_order(db: Database) -> None:
    await write(db, *(f"order:{n}" for n in range(7)))
    seen: list[str] = []

    async def handle(conn: Connection, events: list[AuditEvent]) -> None:
        seen.extend(e.ref for e in events)

    assert [await consume(db, "mails", 3, handle) for _ in range(4)] == [3, 3, 1, 0]
    assert seen == [f"order:{n}" for n in range(7)]
    assert await consume(db, "other", 100, handle) == 7


async def test_a_consumer_that_fails_gets_the_same_again(db: Database) -> None:
    await write(db, "order:1")

    async def fail(conn: Connection, events: list[AuditEvent]) -> None:
        await record(conn, "mail.sent", "order:1", "system")
        raise RuntimeError

    async def handle(conn: Connection, events: list[AuditEvent]) -> None:
        assert [e.ref for e in events] == ["order:1"]
        await record(conn, "mail.sent", "order:1", "system")

    with pytest.raises(RuntimeError):
        await consume(db, "mails", 10, fail)
    assert await consume(db, "mails", 10, handle) == 1
    assert [e.kind for e in await history(db, SYSTEM, "order:1")] == ["order.placed", "mail.sent"]


async def test_an_event_that_commits_late_is_not_passed_over(db: Database, settings: Settings) -> None:
    seen: list[str] = []

    async def handle(conn: Connection, events: list[AuditEvent]) -> None:
        seen.extend(e.ref for e in events)

    async with db.transaction(SYSTEM) as slow:
        await record(slow, "order.placed", "order:slow", "system")
        await write(db, "order:quick")
        assert await consume(db, "mails", 10, handle) == 0
        assert await seal(db, settings) == 0
    assert await consume(db, "mails", 10, handle) == 2
    assert seen == ["order:slow", "order:quick"]
    assert await seal(db, settings) == 2


async def test_two_consumers_of_one_name_do_not_do_it_twice(db: Database) -> None:
    await write(db, *(f"order:{n}" for n in range(20)))
    seen: list[str] = []

    async def handle(conn: Connection, events: list[AuditEvent]) -> None:
        seen.extend(e.ref for e in events)
        await asyncio.sleep(0)

    while sum(await asyncio.gather(*(consume(db, "mails", 3, handle) for _ in range(4)))):
        pass
    assert sorted(seen) == sorted(f"order:{n}" for n in range(20))

"""Connections go back to the pool as they are: so nothing may be left on them."""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

import fondaco
from fondaco.core.db import PUBLIC, SYSTEM, Database
from fondaco.embedded import Endpoints
from tests.support.bouncer import direct_dsn

SOURCE = Path(fondaco.__file__).parent
# What a session keeps after its transaction.
KEPT = re.compile(
    r"""["'\s;](SET\s+(?!LOCAL\b|TRANSACTION\b)[a-z_.]+\s*(=|TO\b)|LISTEN\s+\w|PREPARE\s+\w|CREATE\s+TEMP"""
    r"""|pg_(try_)?advisory_lock\w*\(|DECLARE\s+\w+\s+CURSOR\s+WITH\s+HOLD"""
    r"""|set_config\([^()]*,\s*false\s*\))""",
)
# These open connections of their own and close them: none of the pool's.
OWN = ("core/migrate.py", "doctor.py", "bench/", "chaos/", "inbox/draining.py")


def session_state(text: str) -> list[str]:
    plain = re.sub(r"\bUPDATE\b.*?\bSET\b|DO UPDATE\s+SET\b", " ", text, flags=re.DOTALL)
    return [m.group(1) for m in KEPT.finditer(plain)]


def test_no_statement_leaves_anything_on_its_session() -> None:
    names = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
    found = {
        name: state
        for name, path in names.items()
        if not name.startswith(OWN) and (state := session_state(path.read_text()))
    }
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        'execute("SET statement_timeout = 0")',
        '"SET search_path TO x"',
        '"LISTEN jobs"',
        '"SELECT pg_advisory_lock(1)"',
        """"SELECT set_config('fondaco.scope', 'system', false)" """,
        '"CREATE TEMP TABLE t (a int)"',
    ],
)
def test_the_law_would_see_it(text: str) -> None:
    assert session_state(text)


async def test_a_scope_ends_with_its_transaction_however_that_ends(endpoints: Endpoints) -> None:
    db = await Database(direct_dsn(endpoints), size=1).open()
    try:
        seen = "SELECT coalesce(current_setting('fondaco.scope', true), '') FROM (SELECT 1) x"
        assert await db.fetchval(SYSTEM, seen) == "system"
        async with db.connection() as conn:
            assert await conn.fetchval(seen) == ""
        with pytest.raises(asyncpg.DivisionByZeroError):
            await db.fetchval(SYSTEM, "SELECT 1 / 0")
        async with db.connection() as conn:
            assert await conn.fetchval(seen) == ""
        assert await db.fetchval(PUBLIC, seen) == "public"
    finally:
        await db.close()


async def test_nothing_is_sent_when_a_connection_goes_back(endpoints: Endpoints) -> None:
    db = await Database(direct_dsn(endpoints), size=1).open()
    beside = await asyncpg.connect(direct_dsn(endpoints))
    last = "SELECT query FROM pg_stat_activity WHERE pid = $1"
    try:
        async with db.connection() as conn:
            pid = await conn.fetchval("SELECT pg_backend_pid()")
        assert await beside.fetchval(last, pid) == "SELECT pg_backend_pid()"
        assert await db.fetchval(SYSTEM, "SELECT pg_backend_pid()") == pid
        assert await beside.fetchval(last, pid) == "COMMIT"
    finally:
        await beside.close()
        await db.close()


async def test_a_transaction_somebody_forgot_is_ended_before_the_next_one_comes(
    endpoints: Endpoints,
) -> None:
    db = await Database(direct_dsn(endpoints), size=1).open()
    try:
        async with db.held() as conn:
            await conn.execute("BEGIN; SELECT set_config('fondaco.scope', 'system', true)")
        async with db.held() as conn:
            assert not conn.is_in_transaction()
            assert await conn.fetchval("SELECT current_setting('fondaco.scope', true)") in (None, "")
    finally:
        await db.close()


async def test_closing_waits_for_what_is_under_way(endpoints: Endpoints) -> None:
    db = await Database(direct_dsn(endpoints), size=1).open()
    async with db.held() as conn:
        closing = asyncio.create_task(db.close())
        await asyncio.sleep(0)  # it has begun
        assert await conn.fetchval("SELECT 1") == 1
    await asyncio.wait_for(closing, 30)

"""Law 7. A state moves only along an edge of its machine's table."""

import re

import asyncpg
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.machine import Machine, Move
from fondaco.modules import machines


async def test_the_database_knows_the_same_edges(db: Database) -> None:
    rows = await db.fetch(SYSTEM, "SELECT machine, source, target FROM core.edge")
    there = {(r["machine"], r["source"], r["target"]) for r in rows}
    here = {(m.name, "", b) for m in machines() for b in m.born}
    here |= {(m.name, e.source, e.target) for m in machines() for e in m.moves}
    assert there == here


async def test_every_state_column_is_guarded(db: Database) -> None:
    rows = await db.fetch(
        SYSTEM,
        """SELECT n.nspname || '.' || c.relname || '.' || a.attname AS name,
             (SELECT string_agg(pg_get_triggerdef(t.oid), ' ') FROM pg_trigger t
              WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS guards
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relkind = 'r' AND n.nspname NOT IN ('public', 'pg_catalog', 'information_schema')
             AND (a.attname = 'state' OR a.attname LIKE '%\\_state')""",
    )
    assert len(rows) >= 10
    for row in rows:
        column = row["name"].rsplit(".", 1)[1]
        assert re.search(rf"guard_state\('\w+', '{column}'\)", row["guards"] or ""), row["name"]


async def test_every_pair_of_states_is_tried(owner: asyncpg.Connection) -> None:
    """All pairs of all machines on a table of this test's own: edges pass, the rest is refused."""
    tried = 0
    for machine in machines():
        await owner.execute("DROP TABLE IF EXISTS probe; CREATE TABLE probe (state text)")
        await owner.execute(
            f"""CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON probe FOR EACH ROW
                EXECUTE FUNCTION core.guard_state('{machine.name}', 'state')"""
        )
        for source in sorted(machine.states):
            for target in sorted(machine.states - {source}):
                await owner.execute("ALTER TABLE probe DISABLE TRIGGER guard")
                await owner.execute("TRUNCATE probe")
                await owner.execute("INSERT INTO probe VALUES ($1)", source)
                await owner.execute("ALTER TABLE probe ENABLE TRIGGER guard")
                if machine.allows(source, target):
                    await owner.execute("UPDATE probe SET state = $1", target)
                else:
                    with pytest.raises(asyncpg.CheckViolationError):
                        await owner.execute("UPDATE probe SET state = $1", target)
                tried += 1
    assert tried > 150


def test_a_dead_end_and_an_island_are_refused() -> None:
    with pytest.raises(ValueError, match="no way to an end"):
        Machine("m", born=("A",), ends=("C",), moves=(Move("A", "B", "x", ""), Move("A", "C", "x", "")))
    with pytest.raises(ValueError, match="unreachable"):
        Machine("m", born=("A",), ends=("A", "B"), moves=())

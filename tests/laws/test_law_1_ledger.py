"""Law 1. Nothing but the ledger moves money."""

import re

from fondaco.core.db import SYSTEM, Database
from tests.laws.source import SRC, strings, trees

WRITES = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE|MERGE\s+INTO)\s+ledger\.", re.I)


def test_only_the_ledgers_own_schema_writes_its_tables() -> None:
    found = [
        f"{path}:{line}"
        for path, tree in trees().items()
        for text, line in strings(tree)
        if WRITES.search(text)
    ]
    found += [
        str(path.relative_to(SRC))
        for path in SRC.rglob("*/schema.sql")
        if path.parent.name != "ledger" and WRITES.search(path.read_text())
    ]
    assert not found


async def test_the_application_may_only_read_it_and_post(db: Database) -> None:
    rows = await db.fetch(
        SYSTEM,
        """SELECT c.relname, p.privilege FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
             unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p(privilege)
           WHERE n.nspname = 'ledger' AND c.relkind IN ('r', 'v')
             AND has_table_privilege('fondaco_app', c.oid, p.privilege)""",
    )
    assert not rows
    verbs = await db.fetch(
        SYSTEM,
        """SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE n.nspname = 'ledger' AND has_function_privilege('fondaco_app', p.oid, 'EXECUTE')""",
    )
    assert {v["proname"] for v in verbs} == {"post", "open_account"}


async def test_the_application_owns_nothing(db: Database) -> None:
    owned = await db.fetch(
        SYSTEM,
        """SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = 'fondaco_app'
           UNION ALL SELECT proname FROM pg_proc WHERE pg_get_userbyid(proowner) = 'fondaco_app'
           UNION ALL SELECT nspname FROM pg_namespace WHERE pg_get_userbyid(nspowner) = 'fondaco_app'
             OR has_schema_privilege('fondaco_app', oid, 'CREATE') AND nspname NOT LIKE 'pg_temp%'""",
    )
    assert not owned

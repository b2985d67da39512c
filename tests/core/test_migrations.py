"""The migrations and the modules' own schema files give the same database."""

import asyncpg

from fondaco.core.migrate import current, migrate, newest
from fondaco.modules import schema_sql
from tests.support.bouncer import direct_dsn
from tests.support.postgres import Databases

CATALOGUE = {
    "columns": """
        SELECT n.nspname || '.' || c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
               a.attnotnull::text, coalesce(pg_get_expr(d.adbin, d.adrelid), '') || a.attgenerated::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n
          ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v') AND {ours}""",
    "constraints": """
        SELECT n.nspname || '.' || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {ours}""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes "
    "JOIN pg_namespace n ON n.nspname = schemaname WHERE {ours}",
    "functions": """
        SELECT n.nspname || '.' || p.proname || pg_get_function_identity_arguments(p.oid),
               pg_get_functiondef(p.oid), coalesce(p.proacl::text, '')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind = 'f' AND {ours}""",
    "triggers": """
        SELECT pg_get_triggerdef(t.oid), t.tgenabled::text FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND {ours}""",
    "policies": "SELECT tablename || '.' || policyname, cmd, qual, with_check FROM pg_policies "
    "JOIN pg_namespace n ON n.nspname = schemaname WHERE {ours}",
    "grants": """
        SELECT n.nspname || '.' || c.relname, coalesce(c.relacl::text, ''), c.relrowsecurity::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'v', 'S') AND {ours}""",
    "edges": "SELECT machine, source, target FROM core.edge",
    "rules": "SELECT * FROM ledger.posting_rule",
    "kinds": "SELECT * FROM ledger.account_kind",
    "categories": "SELECT * FROM catalog.category",
}
OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"


async def picture(dsn: str) -> dict[str, list[tuple[object, ...]]]:
    connection = await asyncpg.connect(dsn)
    try:
        found = {}
        for name, sql in CATALOGUE.items():
            rows = await connection.fetch(sql.replace("{ours}", OURS))
            found[name] = sorted(tuple(map(str, r)) for r in rows)
        return found
    finally:
        await connection.close()


async def test_migrations_and_schema_files_agree(databases: Databases) -> None:
    _, migrated = databases.new()
    declared = databases.cluster.create_database("declared")
    connection = await asyncpg.connect(declared.owner_dsn)
    await connection.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)")
    await connection.execute(
        "ALTER TABLE alembic_version RENAME CONSTRAINT alembic_version_pkey TO alembic_version_pkc"
    )
    await connection.execute(schema_sql())
    await connection.close()
    one, two = await picture(migrated.owner_dsn), await picture(declared.owner_dsn)
    for name in CATALOGUE:
        if name == "indexes":
            one[name] = [r for r in one[name] if "alembic" not in r[0]]
            two[name] = [r for r in two[name] if "alembic" not in r[0]]
        assert one[name] == two[name], name


def test_migrating_again_does_nothing(databases: Databases) -> None:
    _, endpoints = databases.new()
    assert current(direct_dsn(endpoints)) == newest()
    assert migrate(endpoints.owner_dsn) == []

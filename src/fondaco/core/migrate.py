"""Migrations: Alembic running plain SQL files, forward only, with short lock waits."""

from importlib.resources import files

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

_PLACE = files("fondaco").joinpath("migrations")


def run_file(name: str) -> None:
    """Run one SQL file of the migrations folder as it stands (no parameters, many statements)."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(_PLACE.joinpath(name).read_text())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_PLACE))
    config.set_main_option("path_separator", "os")
    return config


def newest() -> str:
    """The revision this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head, "no migrations found"
    return head


def current(dsn: str) -> str | None:
    """The revision the database is at, or None when it is empty. A cheap question."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT to_regclass('public.alembic_version')").fetchone()
        if not found or found[0] is None:
            return None
        row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
        return row[0] if row else None


def migrate(owner_dsn: str) -> list[str]:
    """Bring the database to this code's revision as its owner; names what was run.

    Waits at most 3 s for a lock, so that a migration never queues traffic behind it; one migration is
    one transaction. Two at once: the second waits for the first.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(owner_dsn), poolclass=NullPool
    )
    config = _config()
    with engine.connect() as connection:
        before = current(owner_dsn)
        connection.execute(text("SELECT pg_advisory_lock(7302001)"))
        connection.execute(text("SET lock_timeout = '3s'"))
        connection.execute(text("SET statement_timeout = '10min'"))
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    script = ScriptDirectory.from_config(config)
    return [r.revision for r in reversed(list(script.iterate_revisions("head", before or "base")))]

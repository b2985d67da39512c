"""Shared fixtures: one PostgreSQL per test process, a fresh database per test, the program's parts."""

import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import hypothesis
import pytest

from fondaco.core.db import Database
from fondaco.core.migrate import migrate
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.support.bouncer import Bouncer, database
from tests.support.dealing import dealt
from tests.support.postgres import CHOICE, Databases, chosen, run_cluster
from tests.support.values import key, make_settings

__all__ = ["key", "make_settings"]

# An example takes as long as the machine lets it.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins while there is other work to be done beside it: the files with slow tests come
    first, shared out among the processes. On another database than the usual one only those tests that use
    it, or say (`both`) that they do."""
    if os.environ.get(CHOICE, "embedded18") != "embedded18":
        config.hook.pytest_deselected(items=[item for item in items if not _meets_the_database(item)])
        items[:] = filter(_meets_the_database, items)
    items[:] = dealt(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _meets_the_database(item: pytest.Item) -> bool:
    fixtures = item.fixturenames if isinstance(item, pytest.Function) else []
    return "databases" in fixtures or item.get_closest_marker("both") is not None


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Databases cloned from a migrated template."""
    cluster = run_cluster()
    bouncer = Bouncer(cluster) if chosen()[1] else None
    try:
        if bouncer:
            bouncer.start()
        yield Databases(cluster, lambda endpoints: migrate(endpoints.owner_dsn) and None, bouncer)
    finally:
        if bouncer:
            bouncer.stop()
        cluster.stop()
        cluster.destroy()


@pytest.fixture
def endpoints(databases: Databases) -> Iterator[Endpoints]:
    """A fresh, migrated database of this test's own."""
    with databases.cloned() as found:
        yield found


@pytest.fixture
def settings(endpoints: Endpoints) -> Settings:
    return make_settings(endpoints)


@pytest.fixture
async def db(endpoints: Endpoints) -> AsyncIterator[Database]:
    """A pool as the application's role."""
    opened = await database(endpoints, size=10).open()
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def owner(endpoints: Endpoints) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the database's owner, whom the guards must refuse too."""
    connection = await asyncpg.connect(endpoints.owner_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def parts(settings: Settings, db: Database) -> Parts:
    """The program's parts over this test's database."""
    from fondaco.app import build_parts

    built = build_parts(settings)
    built.add(db)
    built.add(type(built.get(_combiner()))(db))
    return built


def _combiner() -> type:
    from fondaco.orders.combiner import Combiner

    return Combiner


@pytest.fixture
async def client(settings: Settings, parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, without a socket."""
    from tests.support.app import calling

    async with calling(settings, parts) as found:
        yield found

"""A PostgreSQL of the test run's own: one cluster per pytest process, ended with it however it ends.

FONDACO_TEST_DATABASE chooses it: `embedded18` (the default), `debian15` (Debian's postgresql-15), each
alone or with `+pgbouncer` behind it: then the application's connections go through Debian's PgBouncer in
transaction mode.
"""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fondaco.embedded import Cluster, ClusterError, Endpoints, roles
from tests.support.bouncer import Bouncer, program

CHOICE = "FONDACO_TEST_DATABASE"
DEBIAN15 = Path("/usr/lib/postgresql/15/bin")
PREFIX = "fondaco-test-"
MEMORY = Path("/dev/shm")  # cloning a database there takes a twentieth of the time
ROOM = 4 << 30
QUICK_PASSWORDS = {"scram_iterations": "1"}  # they guard nothing; PostgreSQL 16 and newer can be told so
THROWN_AWAY = {
    # Safe against every kill of a process; only a power cut could hurt, and these data are thrown away.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "on",
    "max_connections": "200",
    "max_wal_size": "512MB",
}


def chosen() -> tuple[str, bool]:
    """The server this run is to use, and whether a pooler stands before it."""
    server, _, pooler = os.environ.get(CHOICE, "embedded18").partition("+")
    if server not in ("embedded18", "debian15") or pooler not in ("", "pgbouncer"):
        raise pytest.UsageError(f"{CHOICE} must be embedded18 or debian15, with +pgbouncer or without")
    if server == "debian15" and not (DEBIAN15 / "postgres").exists():
        pytest.skip("Debian's postgresql-15 is not installed")
    if pooler and not program():
        pytest.skip("Debian's pgbouncer is not installed")
    return server, bool(pooler)


def new_root() -> Path:
    """A fresh folder the server's account can walk into, for one cluster."""
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_place()))
    if os.name == "posix" and os.geteuid() == 0:
        root.chmod(0o711)
    return root


def _place() -> Path | None:
    """Memory where there is plenty of it, else /tmp (sockets need a short path), else the system's choice."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        return MEMORY
    return Path("/tmp") if os.name == "posix" else None


def run_cluster(root: Path | None = None, **settings: str) -> Cluster:
    """Starts a cluster in `root` (a new temporary folder by default) and returns it running."""
    if root is None:
        sweep()
        root = new_root()
    programs = DEBIAN15 if chosen()[0] == "debian15" else None
    more = {} if programs else QUICK_PASSWORDS
    cluster = Cluster(root, settings={**THROWN_AWAY, **more, **settings}, programs=programs)
    cluster.start()
    return cluster


def sweep() -> None:
    """Deletes what killed test runs left behind: folders whose lock nobody holds any more."""
    places = [place for place in (MEMORY, Path("/tmp")) if place.is_dir()]
    for left in (found for place in places for found in place.glob(f"{PREFIX}*")):
        with contextlib.suppress(ClusterError, OSError, ValueError):
            holder = int((left / "lock").read_text())
            if not _alive(holder):
                Cluster(left).destroy()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Databases:
    """Databases cloned from one migrated template; a clone takes some ten milliseconds. One connection makes
    and drops them all: opening one takes as long as making a clone."""

    def __init__(
        self,
        cluster: Cluster,
        migrate: Callable[[Endpoints], None] | None = None,
        bouncer: Bouncer | None = None,
    ) -> None:
        """`migrate` gets the template's endpoints once and must leave nobody connected to it. With a
        running `bouncer`, the application reaches each database through it."""
        self.cluster = cluster
        self._bouncer = bouncer
        self._numbers = itertools.count(1)
        self._admin: Any = None
        self._template = "template_fondaco"
        template = cluster.create_database(self._template)
        if migrate:
            migrate(template)

    def new(self) -> tuple[str, Endpoints]:
        """Clones the template; returns the database's name and its endpoints."""
        name = f"test_{next(self._numbers)}"
        self._do(lambda admin: roles.create_database(admin, name, self._template))
        endpoints = self.cluster.endpoints(name)
        return name, self._bouncer.before(endpoints) if self._bouncer else endpoints

    @contextlib.contextmanager
    def cloned(self) -> Generator[Endpoints]:
        """A database for the length of a with block."""
        name, endpoints = self.new()
        try:
            yield endpoints
        finally:
            self._do(lambda admin: roles.drop_database(admin, name))

    def _do(self, act: Callable[[Any], None]) -> None:
        if self._admin is None or self._admin.closed:
            self._admin = roles.connect(self.cluster.endpoints("postgres").admin_dsn)
        try:
            act(self._admin)
        except psycopg.OperationalError:  # a test cut every connection
            if not self._admin.closed:
                raise
            self._do(act)

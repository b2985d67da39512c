"""A PgBouncer in transaction mode before a test cluster, and how tests reach a database either way."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from urllib.parse import quote

from fondaco.core.db import Database
from fondaco.embedded import Cluster, Endpoints
from fondaco.embedded.account import choose_account, private_folder
from fondaco.embedded.roles import APP, load_passwords

PORT = 6432
CONFIGURATION = """[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr =
listen_port = {listen}
unix_socket_dir = {folder}
unix_socket_mode = 0700
auth_type = scram-sha-256
auth_file = {folder}/users
logfile = {folder}/log
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 400
server_login_retry = 1
server_round_robin = 1
log_connections = 0
log_disconnections = 0
"""


@dataclass(frozen=True, slots=True)
class Pooled(Endpoints):
    """A database whose application's address is the pooler's; `direct_dsn` is the server's own."""

    direct_dsn: str


def program() -> str | None:
    """PgBouncer's program, or None when it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Bouncer:
    """One PgBouncer, in a folder of its own below `cluster`'s. It takes another server's connection for
    each transaction, so that whatever leans on a session fails at once. It ends with this process."""

    def __init__(self, cluster: Cluster, *, pool: int = 40) -> None:
        self._cluster = cluster
        self._pool = pool
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = cluster.root / f"bouncer-{pool}"

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        account = choose_account()
        private_folder(self.folder, account)
        passwords = load_passwords(self._cluster.root / "passwords.json")
        texts = {
            "ini": CONFIGURATION.format(
                host=self._cluster.root / "socket",
                port=5432,
                listen=PORT,
                folder=self.folder,
                pool=self._pool,
            ),
            "users": f'"{APP}" "{passwords[APP]}"\n',
        }
        for name, text in texts.items():
            file = self.folder / name
            file.write_text(text)
            file.chmod(0o600)
            if account.switch:
                os.chown(file, account.uid, account.gid)
        found = program()
        assert found, "PgBouncer is not installed"
        self._process = subprocess.Popen(
            [found, "-q", str(self.folder / "ini")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (one system call, no lock)
            **account.popen_options(),
        )
        until = time.monotonic() + 20
        while not self._answers():
            alive = self._process.poll() is None
            assert alive and time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it at once; whoever is connected loses the connection."""
        process, self._process = self._process, None
        if process:
            process.terminate()
            process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def before(self, endpoints: Endpoints) -> Pooled:
        """The same database with the application coming through here."""
        direct = endpoints.app_dsn
        head, _, _ = direct.partition("?")
        app = f"{head}?host={quote(str(self.folder), safe='')}&port={PORT}"
        return Pooled(
            owner_dsn=endpoints.owner_dsn, app_dsn=app, admin_dsn=endpoints.admin_dsn, direct_dsn=direct
        )

    def _answers(self) -> bool:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            try:
                probe.connect(str(self.folder / f".s.PGSQL.{PORT}"))
            except OSError:
                return False
        return True


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def direct_dsn(endpoints: Endpoints) -> str:
    """The application's address of the server itself."""
    return endpoints.direct_dsn if isinstance(endpoints, Pooled) else endpoints.app_dsn


def database(endpoints: Endpoints, *, size: int = 10, timeout_s: float = 10) -> Database:
    """A pool of connections as the application's role, not yet opened."""
    return Database(endpoints.app_dsn, size=size, timeout_s=timeout_s, pooled=isinstance(endpoints, Pooled))


def database_settings(endpoints: Endpoints) -> dict[str, str]:
    """The settings that say where the database is, as environment variables."""
    found = {"DATABASE_URL": endpoints.app_dsn}
    if isinstance(endpoints, Pooled):
        found |= {"DATABASE_POOLED": "true", "DATABASE_DIRECT_URL": endpoints.direct_dsn}
    return found

"""A PgBouncer in transaction mode before a cluster of our own; Linux ends it with who started it."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from fondaco.embedded import Cluster, ClusterError, Endpoints
from fondaco.embedded.account import Account, choose_account, private_folder
from fondaco.embedded.roles import APP, load_passwords

PORT = 6432
READY_SECONDS = 20
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
query_wait_timeout = 10
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


def database_settings(endpoints: Endpoints) -> dict[str, str]:
    """The settings that say where the database is, as environment variables."""
    found = {"DATABASE_URL": endpoints.app_dsn}
    if isinstance(endpoints, Pooled):
        found |= {"DATABASE_POOLED": "true", "DATABASE_DIRECT_URL": endpoints.direct_dsn}
    return found


class Bouncer:
    """One PgBouncer, in a folder of its own below `cluster`'s, which must be running. It takes another
    server's connection for each transaction, so that whatever leans on a session fails at once."""

    def __init__(self, cluster: Cluster, *, pool: int = 40) -> None:
        self._cluster = cluster
        self._pool = pool
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = cluster.root / f"bouncer-{pool}"

    def start(self) -> None:
        """Starts it and waits until it takes connections. Raises ClusterError."""
        found = program()
        if not found:
            raise ClusterError("PgBouncer is not installed.")
        account = choose_account()
        private_folder(self.folder, account)
        passwords = load_passwords(self._cluster.root / "passwords.json")
        server = parse_qs(urlsplit(self._cluster.endpoints().app_dsn).query)
        texts = {
            "ini": CONFIGURATION.format(
                host=server["host"][0],
                port=server["port"][0],
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
        self._process = _run([found, "-q", str(self.folder / "ini")], account)
        until = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise ClusterError(f"PgBouncer did not start:\n{(self.folder / 'log').read_text()}")
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


def _run(command: list[str], account: Account) -> "subprocess.Popen[bytes]":
    start: Any = subprocess.Popen  # who it runs as is known only now
    return start(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        preexec_fn=_end_with_parent,
        **account.popen_options(),
    )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)

"""One PostgreSQL server in one folder: made, started, waited for, stopped."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fondaco.embedded import leftovers, roles
from fondaco.embedded.account import (
    Account,
    ClusterError,
    can_enter,
    choose_account,
    owner_name,
    private_folder,
)
from fondaco.embedded.binaries import MAJOR, REACHABLE, major_of, open_folder, program_folder
from fondaco.embedded.configuration import access_rules, settings_text
from fondaco.embedded.lock import FolderLock
from fondaco.embedded.roles import DATABASE, Endpoints

SOCKET_NAME_BYTES = len("/.s.PGSQL.5432")
SOCKET_PATH_BYTES = 103  # macOS allows 103, Linux 107
PORT = 5432
RETRY_SECONDS = 30
RETRY_WORDS = ("already exists", "still in use", "could not bind")


class Cluster:
    """A PostgreSQL server whose data live under `root`.

    `settings` are added to the server's configuration; `say` is told, in short sentences, what takes long.
    The server ends with the process that called `start`, even when that process is killed. `programs` names
    the folder of another PostgreSQL, 15 or newer, to be run instead of the package's.
    """

    def __init__(
        self,
        root: Path,
        *,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] | None = None,
        package: Path | None = None,
        programs: Path | None = None,
    ) -> None:
        self.root = root.absolute()
        self._settings = dict(settings or {})
        self._say: Callable[[str], None] = say or _silently
        self._package = package
        self._programs = programs
        self._major = MAJOR
        self._keeper: subprocess.Popen[bytes] | None = None
        self._server_pid = 0
        self._lock = FolderLock(self.root / "lock")

    def start(self) -> Endpoints:
        """Makes the cluster when there is none and starts it when it is not running; waits until it answers.

        However long recovery takes is waited for, as long as the server is at work. Raises ClusterError.
        """
        if self._keeper and self.running():
            return self.endpoints()
        self.stop()
        account = choose_account()
        self._make_root(account)
        self._lock.take()
        try:
            programs = self._programs or program_folder(account, self._package)
            if self._programs:
                self._major = major_of(self._programs)
            home = self._home(account)
            passwords = roles.load_passwords(self.root / "passwords.json")
            private_folder(home / "log", account)
            if not (home / "data").exists():
                self._initialise(home, programs, account, passwords[roles.ADMIN])
            private_folder(home / "data", account)
            host, port = self._address(home, account)
            self._remember({"home": str(home), "host": host, "port": port})
            self._configure(home, account, host, port)
            self._run(home, programs, account, host)
            roles.ensure(self.endpoints("postgres").admin_dsn, passwords)
        except BaseException:
            self.stop()
            raise
        return self.endpoints()

    def stop(self) -> None:
        """Shuts the server down, fast and then immediately; returns when it has ended. Safe to repeat."""
        keeper, self._keeper = self._keeper, None
        if keeper:
            for pipe in (keeper.stdin, keeper.stdout):
                if pipe:
                    pipe.close()
            keeper.wait()
            data = Path(self._place()["home"]) / "data"
            if self._server_pid and leftovers.is_server(self._server_pid, data):  # the keeper was killed
                leftovers.end(self._server_pid, data)
        self._lock.release()

    def running(self) -> bool:
        """Whether the server is alive and takes connections, whoever started it."""
        if self._keeper and self._keeper.poll() is not None:
            return False
        try:
            data = Path(self._place()["home"]) / "data"
        except ClusterError:
            return False
        lock = leftovers.read_lock_file(data)
        return lock is not None and lock.ready and leftovers.is_server(lock.pid, data)

    def endpoints(self, database: str = DATABASE) -> Endpoints:
        """Connection strings for a database of this cluster, which must have been started once."""
        place = self._place()
        passwords = roles.load_passwords(self.root / "passwords.json")
        return roles.endpoints(passwords, place["host"], place["port"], roles.checked(database))

    def create_database(self, name: str, template: str | None = None) -> Endpoints:
        """Makes a database, as a copy of `template` when given (nobody may be connected to that one)."""
        with roles.connect(self.endpoints("postgres").admin_dsn) as connection:
            roles.create_database(connection, name, template)
        return self.endpoints(name)

    def drop_database(self, name: str) -> None:
        """Removes a database if it is there, with whatever is connected to it."""
        with roles.connect(self.endpoints("postgres").admin_dsn) as connection:
            roles.drop_database(connection, name)

    def destroy(self) -> None:
        """Stops the server and deletes everything this cluster keeps. Cannot be undone."""
        self.stop()
        if not self.root.exists():
            return
        self._lock.take()
        try:
            place = self._place()
        except ClusterError:
            place = {}
        home, host = Path(place.get("home", self.root)), Path(place.get("host", self.root / "socket"))
        leftovers.clear(home / "data", host, self._say)
        if host.is_absolute():
            shutil.rmtree(host, ignore_errors=True)
        self._lock.release()
        for folder in (home, self.root):
            shutil.rmtree(folder, ignore_errors=True)

    def _make_root(self, account: Account) -> None:
        if not self.root.exists():
            self.root.mkdir(parents=True)
            self.root.chmod(0o711 if account.switch else 0o700)
        elif sys.platform != "win32" and self.root.stat().st_uid != os.geteuid():
            raise ClusterError(
                f"{self.root} belongs to {owner_name(self.root)}. "
                "Start fondaco as that user, or choose another data folder."
            )

    def _home(self, account: Account) -> Path:
        """Where the server's own files are: `root`, or a place outside when its account cannot reach that."""
        if can_enter(account, self.root):
            return self.root
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        home = REACHABLE / digest
        open_folder(REACHABLE)
        open_folder(home)
        return home

    def _address(self, home: Path, account: Account) -> tuple[str, int]:
        """A private socket folder; on Windows, which has none, the loopback address and a free port."""
        if sys.platform != "win32":
            return str(self._socket_folder(home, account)), PORT
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return "127.0.0.1", int(probe.getsockname()[1])

    def _socket_folder(self, home: Path, account: Account) -> Path:
        """A folder only the server's account may enter, with a path short enough for a socket."""
        folder = home / "socket"
        if len(os.fsencode(folder)) + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES:
            return private_folder(folder, account)
        name = f"fondaco-{hashlib.sha256(str(self.root).encode()).hexdigest()[:12]}"
        for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
            if not base or not can_enter(account, Path(base)):
                continue
            if len(os.fsencode(base)) + 1 + len(name) + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES:
                return private_folder(Path(base) / name, account)
        raise ClusterError(
            f"The path {folder} is too long for a socket. Choose a data folder with a shorter path."
        )

    def _initialise(self, home: Path, programs: Path, account: Account, password: str) -> None:
        self._say("Making a new database cluster.")
        fresh = home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        private_folder(fresh, account)
        secret = home / "log" / "first-password"
        secret.unlink(missing_ok=True)
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
        if account.switch:
            os.chown(secret, account.uid, account.gid, follow_symlinks=False)
        command = [
            str(programs / "initdb"), "-D", str(fresh), "-U", roles.ADMIN, f"--pwfile={secret}",
            "--auth=scram-sha-256", "--encoding=UTF8", *_locale(self._major),
            "--data-checksums", "--no-instructions",
        ]  # fmt: skip
        try:
            made = subprocess.run(
                command,
                cwd=home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                **account.popen_options(),
            )
        finally:
            secret.unlink(missing_ok=True)
        if made.returncode != 0:
            raise ClusterError(f"The database cluster could not be made in {fresh}: {made.stderr.strip()}")
        with open(fresh / "postgresql.conf", "a") as file:
            file.write("\ninclude 'fondaco.conf'\n")
        fresh.rename(home / "data")

    def _configure(self, home: Path, account: Account, host: str, port: int) -> None:
        texts = {
            "fondaco.conf": settings_text(host, port, home / "log", self._settings, self._major),
            "pg_hba.conf": access_rules(),
        }
        for name, text in texts.items():
            half = home / "data" / f"{name}.new"
            half.unlink(missing_ok=True)
            with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            if account.switch:
                os.chown(half, account.uid, account.gid, follow_symlinks=False)
            half.replace(home / "data" / name)

    def _run(self, home: Path, programs: Path, account: Account, host: str) -> None:
        """Starts the server and waits for it; again when something of a killed run stood in its way."""
        began = time.monotonic()
        while True:
            leftovers.clear(home / "data", Path(host), self._say)
            self._launch(home, programs, account)
            if self._wait_until_ready(home / "data"):
                return
            words = self._last_words(home)
            if time.monotonic() - began > RETRY_SECONDS or not any(known in words for known in RETRY_WORDS):
                raise ClusterError(f"PostgreSQL did not start. Its last words: {words or 'none'}")
            time.sleep(0.2)

    def _launch(self, home: Path, programs: Path, account: Account) -> None:
        data = home / "data"
        order = {
            "command": [str(programs / "postgres"), "-D", str(data)],
            "environment": _environment(),
            "folder": str(data),
            "data": str(data),
            "errors": str(self.root / "start.log"),
            "account": account.popen_options(),
        }
        keeper = Path(__file__).with_name("keeper.py")
        # A session of its own: Ctrl-C must reach fondaco alone, which then stops things in order.
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(keeper), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/" if sys.platform != "win32" else None,
            start_new_session=True,
        )
        assert self._keeper.stdout
        self._server_pid = int(self._keeper.stdout.readline() or 0)

    def _wait_until_ready(self, data: Path) -> bool:
        """True when the server takes connections, False when it has ended instead."""
        assert self._keeper
        began = told = time.monotonic()
        while self._keeper.poll() is None:
            lock = leftovers.read_lock_file(data)
            if lock and lock.ready and lock.pid == self._server_pid:
                return True
            now = time.monotonic()
            if now - told > 3:
                told = now
                self._say(f"PostgreSQL is recovering what was not saved ({int(now - began)} s so far).")
            time.sleep(0.02)
        return False

    def _last_words(self, home: Path) -> str:
        """The end of what the server wrote: its newest log, then what it said before it had one."""
        texts: list[str] = []
        logs = sorted((home / "log").glob("*.log"), key=lambda log: log.stat().st_mtime)[-1:]
        for log in [*logs, self.root / "start.log"]:
            with contextlib.suppress(OSError):
                texts.append(log.read_text(errors="replace").strip()[-1500:])
        return "\n".join(texts)

    def _remember(self, place: dict[str, Any]) -> None:
        half = self.root / "place.json.new"
        half.write_text(json.dumps(place))
        half.replace(self.root / "place.json")

    def _place(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.root / "place.json").read_text()))
        except (OSError, ValueError) as error:
            raise ClusterError(f"There is no database in {self.root} yet. Run: fondaco up") from error


def _locale(major: int) -> list[str]:
    """Order by code point, all letters known: PostgreSQL's own since 17, before that the system's."""
    if major < 17:
        return ["--locale=C.UTF-8"]
    return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


def _silently(_: str) -> None:
    """Says nothing."""


def _environment() -> dict[str, str]:
    """What the server may see of our environment: nothing that carries a secret or changes its language."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "TEMP", "TMP")
    }
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}

"""The marketplace that suffers: PostgreSQL with fsync on, sandbox, web and worker, each a real process,
started again by a keeper whenever it ends."""

import contextlib
import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fondaco.chaos import processes
from fondaco.chaos.pooler import Bouncer, database_settings
from fondaco.core.migrate import migrate
from fondaco.embedded import Cluster, ClusterError, Endpoints
from fondaco.settings import Settings
from fondaco.up.children import Child
from fondaco.up.data import DataFolder
from fondaco.up.ports import spare

RATES = {"duplicate": 20, "reorder": 20, "delay": 20, "delay_ms": 2000, "drop": 20, "forge": 20}
POOL = 16
STOP_SECONDS = 6.0
LOOK_EVERY = 0.1


@dataclass
class Stack:
    """Everything of one run, in `folder`. `say` is told what the keeper does."""

    folder: Path
    say: Callable[[str], None]
    programs: Path | None = None
    """The folder of another PostgreSQL's programs, to be run instead of the embedded one."""
    pooled: bool = False
    """With PgBouncer before it, in transaction mode."""
    endpoints: Endpoints = field(init=False)
    environment: dict[str, str] = field(default_factory=dict[str, str], init=False)
    web: Child = field(init=False)
    worker: Child = field(init=False)
    sandbox: Child = field(init=False)
    restarts: int = field(default=0, init=False)
    skews: dict[str, int] = field(default_factory=dict[str, int], init=False)
    _marks: dict[str, int] = field(default_factory=dict[str, int], init=False)

    def __post_init__(self) -> None:
        self._data = DataFolder(self.folder)
        self._ending = threading.Event()
        self._hands = threading.RLock()  # whoever starts or stops processes
        self._keeper: threading.Thread | None = None
        self._cluster: Cluster | None = None
        self._bouncer: Bouncer | None = None
        self.base_url = ""
        self.sandbox_url = ""

    @property
    def cluster(self) -> Cluster:
        assert self._cluster, "start() first"
        return self._cluster

    @property
    def database(self) -> str:
        """What the database is, in words."""
        name = f"PostgreSQL of {self.programs}" if self.programs else "embedded PostgreSQL"
        return f"{name} behind PgBouncer" if self.pooled else name

    def logs(self, name: str) -> str:
        """All that a process has written in this run."""
        found = sorted(self._data.logs.glob(f"{name}*.log"))
        return "".join(file.read_text(errors="replace") for file in found)

    @property
    def settings(self) -> Settings:
        """The settings the processes run with, for the harness itself."""
        values: dict[str, Any] = {name.lower(): value for name, value in self.environment.items()}
        return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue]

    def start_ground(self) -> None:
        """PostgreSQL, migrated, and the sandbox."""
        self._data.make()
        self._cluster = Cluster(self._data.path / "postgres", programs=self.programs)
        self.endpoints = self._cluster.start()
        if self.pooled:
            self._bouncer = Bouncer(self._cluster, pool=POOL)
            self._bouncer.start()
            self.endpoints = self._bouncer.before(self.endpoints)
        port, sandbox_port = spare(), spare()
        self.base_url = f"http://127.0.0.1:{port}"
        self.sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self.environment = self._data.environment(self.endpoints, self.base_url, self.sandbox_url) | {
            **database_settings(self.endpoints),
            "API_RATE": "100000",
            "FONDACO_TEST_FAULTS": "true",
        }
        migrate(self.endpoints.owner_dsn)
        self.sandbox = self._child(
            "sandbox",
            "fondaco_sandbox",
            ["--port", str(sandbox_port), "--data", str(self._data.path / "sandbox"), "--webhook-url",
             f"{self.base_url}/webhooks/stripe", "--settle-seconds", "2"],
            {"SANDBOX_WEBHOOK_SECRET": self.environment["STRIPE_WEBHOOK_SECRETS"]},
            f"{self.sandbox_url}/sandbox/health",
        )  # fmt: skip
        self.sandbox.start()
        self.sandbox.wait_until_ready()
        self.web = self._child(
            "web", "fondaco", ["web", "--port", str(port)], self.environment, f"{self.base_url}/health/ready"
        )
        self.worker = self._child("worker", "fondaco", ["worker"], self.environment)

    def start(self) -> None:
        """Web and worker, and the keeper who starts again what ends."""
        for child in (self.web, self.worker):
            self._begin(child)
        self.web.wait_until_ready()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """Ends everything; the folder stays."""
        self._ending.set()
        if self._keeper:
            self._keeper.join()
        until = time.monotonic() + STOP_SECONDS
        children = [c for name in ("web", "worker", "sandbox") if (c := getattr(self, name, None))]
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop(until)
        if self._bouncer:
            self._bouncer.stop()
        if self._cluster:
            self._cluster.stop()

    def _child(
        self,
        name: str,
        module: str,
        arguments: list[str],
        environment: dict[str, str],
        probe: str | None = None,
    ) -> Child:
        return Child(name, module, arguments, dict(environment), self._data.logs / f"{name}.log", probe)

    def _keep(self) -> None:
        while not self._ending.wait(LOOK_EVERY):
            with self._hands:
                try:
                    self._look_after()
                except ClusterError as error:
                    self.say(f"keeper: {error}")

    def _look_after(self) -> None:
        if not self.cluster.running():
            self.restarts += 1
            self.cluster.start()
        for child in (self.web, self.worker):
            if not child.alive:
                child.kill()
                self.restarts += 1
                self._begin(child)

    def _begin(self, child: Child) -> None:
        with contextlib.suppress(OSError):
            self._marks[child.name] = child.log.stat().st_size
        child.start()

    def serving(self) -> bool:
        """Web answers, the database too, and the worker is at work."""
        return self.worker_ready() and self.cluster.running() and self.web.ready()

    def worker_ready(self) -> bool:
        """The present worker process has said that it is ready."""
        if not self.worker.alive or self.worker.process is None:
            return False
        with open(self.worker.log, "rb") as log:
            log.seek(self._marks.get("worker", 0))
            return b"worker ready" in log.read(1_000_000)

    def waits(self) -> dict[int, float]:
        """Of each process of web and worker: the seconds it waited for a core so far."""
        return {pid: processes.waited(pid) for child in (self.web, self.worker) for pid in _tree(child)}

    def waited_since(self, before: dict[int, float]) -> float:
        """The longest that web or worker had to wait for a core since `waits` said this: the processes that
        are new since then, when there are some. Of web's one starts the other, so theirs add up."""
        now = {
            child.name: {p: processes.waited(p) for p in _tree(child)} for child in (self.web, self.worker)
        }
        new = any(pid not in before for waits in now.values() for pid in waits)
        return max(
            sum(took - before.get(pid, 0.0) for pid, took in waits.items() if not new or pid not in before)
            for waits in now.values()
        )

    def kill_web(self) -> int:
        """The web program with all its processes."""
        return _kill_tree(self.web)

    def kill_web_process(self) -> int:
        """Only the process that serves; the program starts another."""
        serving = [p for p in _tree(self.web)[1:] if "spawn_main" in processes.title_of(p)]
        return processes.kill(*(serving or _tree(self.web)))

    def kill_worker(self) -> int:
        """The worker."""
        return _kill_tree(self.worker)

    def kill_backend(self, dice_number: int) -> int:
        """One of the server processes that talk to web or worker; PostgreSQL then restarts all of them."""
        server = self._server()
        below = processes.children_of(server) if server else []
        backends = [p for p in below if "fondaco_app" in processes.title_of(p)]
        return processes.kill(backends[dice_number % len(backends)]) if backends else 0

    def kill_postgres(self) -> int:
        """The whole PostgreSQL tree."""
        server = self._server()
        return processes.kill(*processes.tree_of(server)) if server else 0

    def kill_everything(self) -> int:
        """PostgreSQL, web and worker in one breath, as a power cut would."""
        with self._hands:
            server = self._server()
            database = processes.tree_of(server) if server else []
            return processes.kill(*database, *_tree(self.web), *_tree(self.worker))

    def _server(self) -> int:
        """The PostgreSQL server, below the keeper that this process started."""
        for keeper in processes.children_of(os.getpid()):
            title = processes.title_of(keeper)
            if "keeper.py" in title and str(self._data.path / "postgres") in title:
                return next(iter(processes.children_of(keeper)), 0)
        return 0

    def restart_with(self, which: str, changes: dict[str, str]) -> None:
        """Kill web or worker and start it with these settings changed; what was changed before is undone."""
        child = self.web if which == "web" else self.worker
        with self._hands:
            _kill_tree(child)
            child.kill()
            child.environment = self.environment | self.skew_of(which) | changes
            self._begin(child)

    def skew_of(self, which: str) -> dict[str, str]:
        """The setting that makes this process's clock as wrong as it shall be."""
        seconds = self.skews.get(which, 0)
        return {"FONDACO_TEST_CLOCK_OFFSET": str(seconds)} if seconds else {}

    def tell_sandbox(self, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """A call to the sandbox's control API."""
        request = urllib.request.Request(  # noqa: S310 - our own sandbox
            f"{self.sandbox_url}/sandbox/{path}",
            data=None if content is None else json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return dict(json.loads(answer.read()))

    def truth(self) -> list[dict[str, Any]]:
        """The lines of the sandbox's truth file."""
        with urllib.request.urlopen(f"{self.sandbox_url}/sandbox/truth", timeout=60) as answer:  # noqa: S310
            return [json.loads(line) for line in answer.read().splitlines()]


def _tree(child: Child) -> list[int]:
    return processes.tree_of(child.process.pid) if child.process and child.alive else []


def _kill_tree(child: Child) -> int:
    return processes.kill(*_tree(child))

"""The throw-away stack of a measurement: PostgreSQL with its usual safety, sandbox, web and worker.

All of it as `fondaco up` runs it, each a process of its own, in a temporary folder deleted afterwards.
"""

import json
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from fondaco.core.migrate import migrate
from fondaco.embedded import Cluster, Endpoints, leftovers
from fondaco.settings import Settings
from fondaco.up.children import Child
from fondaco.up.data import DataFolder

# The product's own database settings, but for room for pgbench's many connections.
_SERVER = {"max_connections": "200"}
# One machine plays all buyers: the limit per caller would only measure itself.
_MORE = {"API_RATE": "1000000"}


class Stack:
    """Everything of one measurement. A context manager; inside it web answers at `port`."""

    def __init__(self, *, web: int = 1, worker: bool = True, server: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.sandbox_port = free_port()
        self.children: dict[str, Child] = {}
        self.ready_ms: dict[str, int] = {}
        self._web, self._worker = web, worker
        self._server = {**_SERVER, **(server or {})}
        self._root = tempfile.TemporaryDirectory(prefix="fondaco-bench-", ignore_cleanup_errors=True)
        root = Path(self._root.name)
        root.chmod(0o711)
        self._folder = DataFolder(root / "data")
        self._cluster = Cluster(root / "postgres", settings=self._server)
        self.endpoints: Endpoints
        self.environment: dict[str, str] = {}

    def __enter__(self) -> "Stack":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._folder.make()
        began = time.monotonic()
        self.endpoints = self._cluster.start()
        self._note("PostgreSQL, new cluster", began)
        migrate(self.endpoints.owner_dsn)
        self.environment = _MORE | self._folder.environment(
            self.endpoints, f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.sandbox_port}"
        )
        self.run(self._sandbox())
        self.run(self._web_child())
        if self._worker:
            self.start_worker()

    def run(self, child: Child) -> None:
        """Starts a child, waits until it answers and notes how long that took."""
        began = time.monotonic()
        self.children[child.name] = child
        child.start()
        child.wait_until_ready()
        self._note(child.name, began)

    def start_worker(self) -> None:
        """Starts the worker; a second call after `stop_child("worker")` starts another."""
        self.run(Child("worker", "fondaco", ["worker"], self.environment, self._log("worker")))

    def restart_web(self) -> None:
        """Ends web as an operator would and starts it anew: it has shown nothing yet."""
        self.stop_child("web")
        self.run(self._web_child())

    def stop_child(self, name: str) -> None:
        """Ends one child as an operator would."""
        self.children.pop(name).stop(time.monotonic() + 10)

    def stop(self) -> None:
        """Ends everything and deletes the folder. Safe to repeat."""
        until = time.monotonic() + 10
        for child in self.children.values():
            child.ask_to_stop()
        for child in reversed(self.children.values()):
            child.stop(until)
        self.children.clear()
        self._cluster.stop()
        self._cluster.destroy()
        self._root.cleanup()

    def pid(self, name: str) -> int:
        """The process id of a child, or of "postgres"."""
        if name == "postgres":
            place = json.loads((self._cluster.root / "place.json").read_text())
            lock = leftovers.read_lock_file(Path(place["home"]) / "data")
            assert lock, "PostgreSQL is not running"
            return lock.pid
        process = self.children[name].process
        assert process, f"{name} is not running"
        return process.pid

    @property
    def settings(self) -> Settings:
        """The settings web and worker run with."""
        known = {
            name: self.environment[name.upper()]
            for name in Settings.model_fields
            if name.upper() in self.environment
        }
        return Settings(**cast(dict[str, Any], known))

    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's own programs, pgbench among them."""
        from fondaco.embedded.account import choose_account
        from fondaco.embedded.binaries import program_folder

        return program_folder(choose_account())

    def child(self, name: str, module: str, arguments: list[str], port: int) -> Child:
        """A further program with the stack's settings, ready once anything answers at `port`."""
        probe = f"http://127.0.0.1:{port}/"
        return Child(name, module, arguments, self.environment, self._log(name), probe)

    def _sandbox(self) -> Child:
        arguments = ["--port", str(self.sandbox_port), "--data", str(self._folder.path / "sandbox")]
        arguments += ["--webhook-url", f"http://127.0.0.1:{self.port}/webhooks/stripe"]
        secret = {"SANDBOX_WEBHOOK_SECRET": self.environment["STRIPE_WEBHOOK_SECRETS"]}
        probe = f"http://127.0.0.1:{self.sandbox_port}/"
        return Child("sandbox", "fondaco_sandbox", arguments, secret, self._log("sandbox"), probe)

    def _web_child(self) -> Child:
        arguments = ["web", "--port", str(self.port), "--workers", str(self._web)]
        probe = f"http://127.0.0.1:{self.port}/health/ready"
        return Child("web", "fondaco", arguments, self.environment, self._log("web"), probe)

    def _log(self, name: str) -> Path:
        return self._folder.logs / f"{name}.log"

    def _note(self, name: str, began: float) -> None:
        self.ready_ms[name] = round((time.monotonic() - began) * 1000)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

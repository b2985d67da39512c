"""The order of things: database, migrations, sandbox, demo, web, worker; and the same backwards."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from fondaco.embedded import Cluster, ClusterError, Endpoints
from fondaco.up.children import Child
from fondaco.up.data import DataFolder, migrations_digest, write_private
from fondaco.up.ports import choose

SANDBOX_PORT = 12111
STOP_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Options:
    """What `fondaco up` was asked for. `port` None: 8000 or the next free one."""

    data: Path
    host: str = "127.0.0.1"
    port: int | None = None
    web: int = 1
    workers: int = 1
    demo: bool = True


class Up:
    """One run of everything. `run` returns the exit code when it was told to stop."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._folder = DataFolder(options.data)
        self._cluster: Cluster | None = None
        self._children: list[Child] = []
        self._stopping = False

    def run(self) -> int:
        """Starts everything, watches it, stops it; ClusterError when it cannot start."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._on_signal)
        began = time.monotonic()
        try:
            base_url, sandbox_url = self._start()
            self._welcome(base_url, sandbox_url, time.monotonic() - began)
            self._watch()
        except KeyboardInterrupt:
            self._say("Stopping. Once more to stop at once.")
        finally:
            self._stop()
        return 0

    def _start(self) -> tuple[str, str]:
        options = self._options
        self._folder.make()
        self._cluster = self._folder.cluster(self._say)
        endpoints = self._cluster.start()
        port = choose(options.host, options.port or 8000, exactly=options.port is not None)
        sandbox_port = choose("127.0.0.1", SANDBOX_PORT, exactly=False, taken=frozenset({port}))
        base_url = f"http://{_reachable(options.host)}:{port}"
        sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        environment = self._folder.environment(endpoints, base_url, sandbox_url)
        sandbox = self._sandbox(sandbox_port, port, environment)
        sandbox.start()
        self._children.append(sandbox)
        self._migrate(endpoints, environment)
        sandbox.wait_until_ready()
        self._seed(endpoints, environment)
        rest = [self._web(port, environment)]
        rest += [self._worker(number, environment) for number in range(1, options.workers + 1)]
        for child in rest:
            child.start()
            self._children.append(child)
        for child in rest:
            child.wait_until_ready()
        self._folder.remember(base_url=base_url, sandbox_url=sandbox_url)
        return base_url, sandbox_url

    def _sandbox(self, port: int, web_port: int, environment: dict[str, str]) -> Child:
        folder = self._folder
        hook = f"http://{_reachable(self._options.host)}:{web_port}/webhooks/stripe"
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--data", str(folder.path / "sandbox")]
        arguments += ["--webhook-url", hook]
        secret = {"SANDBOX_WEBHOOK_SECRET": environment["STRIPE_WEBHOOK_SECRETS"]}
        log = folder.logs / "sandbox.log"
        return Child("sandbox", "fondaco_sandbox", arguments, secret, log, f"http://127.0.0.1:{port}/")

    def _web(self, port: int, environment: dict[str, str]) -> Child:
        options = self._options
        arguments = ["web", "--host", options.host, "--port", str(port), "--workers", str(options.web)]
        probe = f"http://{_reachable(options.host)}:{port}/health/ready"
        return Child("web", "fondaco", arguments, environment, self._folder.logs / "web.log", probe)

    def _worker(self, number: int, environment: dict[str, str]) -> Child:
        name = "worker" if self._options.workers == 1 else f"worker-{number}"
        return Child(name, "fondaco", ["worker"], environment, self._folder.logs / f"{name}.log")

    def _migrate(self, endpoints: Endpoints, environment: dict[str, str]) -> None:
        """Migrates in a process of its own, as what it loads is large; skipped when nothing has changed."""
        digest = migrations_digest()
        if self._folder.state().get("migrated") == digest:
            return
        self._say("Preparing the database.")
        self._run_once(
            "migrate", ["fondaco", "migrate"], environment | {"DATABASE_OWNER_URL": endpoints.owner_dsn}
        )
        self._folder.remember(migrated=digest)

    def _seed(self, endpoints: Endpoints, environment: dict[str, str]) -> None:
        """The demo marketplace, once per data folder. Its last line says whom to sign in as (JSON)."""
        if not self._options.demo or "seeded" in self._folder.state():
            return
        if importlib.util.find_spec("fondaco.demo.__main__") is None:
            return
        self._say("Filling the demo marketplace. This is done once and takes a moment.")
        owner = {"DATABASE_OWNER_URL": endpoints.owner_dsn}
        lines = self._run_once("demo", ["fondaco.demo"], environment | owner).strip().splitlines()
        write_private(self._folder.path / "demo.json", lines[-1] if lines else "[]")
        self._folder.remember(seeded="yes")

    def _run_once(self, name: str, command: list[str], environment: dict[str, str]) -> str:
        """Runs a module to its end and returns its output; ClusterError with its last words on failure."""
        log = self._folder.logs / f"{name}.log"
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "fondaco.up.leash", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment, "NO_COLOR": "1"},
                start_new_session=True,
            )
            try:
                assert process.stdout
                output = process.stdout.read().decode()
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe:
                        pipe.close()
        if code != 0:
            words = log.read_text(errors="replace").strip()[-2000:]
            raise ClusterError(f"{name} failed (exit code {code}). The end of {log}:\n{words}")
        return output

    def _watch(self) -> None:
        assert self._cluster
        while True:
            time.sleep(0.5)
            if not self._cluster.running():
                self._say("PostgreSQL ended; starting it again.")
                self._cluster.start()
            for child in self._children:
                for line in child.alarming_lines():
                    words = f"{child.name} | {line}"
                    self._console.print(words, style="yellow", markup=False, highlight=False, soft_wrap=True)
                child.revive(self._say)

    def _stop(self) -> None:
        """Web and workers first, then the sandbox, then the database they all lean on."""
        self._stopping = True
        until = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.ask_to_stop()
        for child in reversed(self._children):
            child.stop(until)
        if self._cluster:
            self._cluster.stop()

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        if self._stopping:
            for child in self._children:
                child.kill()
            os._exit(130)  # the database's keeper sees our end and shuts it down
        self._stopping = True
        raise KeyboardInterrupt

    def _welcome(self, base_url: str, sandbox_url: str, seconds: float) -> None:
        table = Table.grid(padding=(0, 2))
        table.add_row("Marketplace", f"[link={base_url}]{base_url}[/link]")
        table.add_row("Stripe sandbox", f"[link={sandbox_url}]{sandbox_url}[/link]")
        for account in self._accounts():
            table.add_row(account["who"], f"{account['email']}  password: {account['password']}")
        if any(account.get("totp") for account in self._accounts()):
            table.add_row("Staff's second factor", "python3 start.py demo-code  (or: fondaco demo-code)")
        table.add_row("Data and logs", str(self._folder.path))
        title = f"fondaco is open (started in {seconds:.1f} s)"
        self._console.print(Panel(table, title=title, subtitle="Ctrl-C stops everything; your data stay"))
        if _reachable(self._options.host) != self._options.host:
            self._console.print(
                "Everybody in your network can reach this demo, sandbox money and all.", style="yellow"
            )

    def _accounts(self) -> list[dict[str, str]]:
        try:
            return list(json.loads((self._folder.path / "demo.json").read_text()))
        except (OSError, ValueError):
            return []

    def _say(self, words: str) -> None:
        self._console.print(words, style="dim", markup=False, highlight=False, soft_wrap=True)


def _reachable(host: str) -> str:
    """An address of this machine for one that means all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (only compared)

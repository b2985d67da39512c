"""Start the Stripe sandbox as a process of its own, for tests that pay."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx


@dataclass
class RunningSandbox:
    """A sandbox that answers at `url`; `control` speaks to its control API (paths such as /sandbox/clock)."""

    data: Path
    arguments: list[str]
    url: str = ""
    process: subprocess.Popen[str] | None = None
    control: httpx.Client = field(default_factory=httpx.Client)

    def start(self) -> None:
        """Start the process and wait until it answers; after a stop it takes the same port again."""
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "fondaco_sandbox", "--data", str(self.data), "--port", port]
        self.process = subprocess.Popen(
            [*command, *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"the sandbox did not start: {line}{self.process.stdout.read()}")
        self.url = "http://" + line.split("http://")[1].split()[0]
        transport = httpx.HTTPTransport(retries=20)
        self.control = httpx.Client(base_url=self.url, transport=transport, timeout=90)
        self.control.get("/sandbox/health").raise_for_status()

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(kill=False)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        self.control.close()
        if self.process is None:
            return
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def reset(self) -> None:
        """Forget everything that happened in it."""
        self.post("/sandbox/reset")

    def post(self, path: str, **content: Any) -> dict[str, Any]:
        """POST to the control API; the answer."""
        response = self.control.post(path, json=content)
        assert response.status_code == 200, response.text
        return response.json()

    def advance(self, seconds: int) -> None:
        """Move the sandbox's clock; what was due by then has happened and was told when this returns."""
        self.post("/sandbox/clock", advance=seconds)
        self.settle()

    def settle(self, timeout: int = 30) -> None:
        """Wait until no delivery is due or under way."""
        answer = self.control.get("/sandbox/settled", params={"timeout": timeout}).json()
        assert answer["settled"], self.control.get("/sandbox/deliveries").text

    def pay(self, session_id: str, card: str = "4242424242424242", **more: Any) -> dict[str, Any]:
        """Pay a Checkout Session without its page."""
        return self.post(f"/sandbox/pay/{session_id}", card=card, **more)

    def truth(self) -> list[dict[str, Any]]:
        """The lines of the truth file."""
        return [json.loads(line) for line in self.control.get("/sandbox/truth").text.splitlines()]


@contextmanager
def run_sandbox(
    data_dir: Path, webhook_url: str | None = None, webhook_secret: str | None = None, *options: str
) -> Iterator[RunningSandbox]:
    """A sandbox with its state in `data_dir`, on a free port, ended when the block is left."""
    arguments = list(options)
    if webhook_url:
        arguments += ["--webhook-url", webhook_url]
    if webhook_secret:
        arguments += ["--webhook-secret", webhook_secret]
    sandbox = RunningSandbox(data_dir, arguments)
    sandbox.start()
    try:
        yield sandbox
    finally:
        sandbox.stop()

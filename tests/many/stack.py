"""Two web and two worker processes as an operator runs them: a front before the webs, a pooler before the
database, the sandbox as the provider."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from fondaco.up.ports import spare
from tests.conftest import key
from tests.support.bouncer import database_settings
from tests.support.sandbox import RunningSandbox, run_sandbox

SECRET = "whsec_" + "m" * 32
READY_S = 90


class Front:
    """A reverse proxy in little: each connection goes to the next web process that takes it."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.out: set[int] = set()
        self.open: dict[int, int] = {}
        self.served: dict[int, int] = {}
        self._turn = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server
        self._server.close()

    async def drained(self, port: int) -> None:
        """Sends nothing new there and waits for what is under way."""
        self.out.add(port)
        while self.open.get(port, 0):
            await asyncio.sleep(0.02)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self.ports)):
            self._turn += 1
            port = self.ports[self._turn % len(self.ports)]
            if port in self.out:
                continue
            try:
                upstream = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            self.open[port] = self.open.get(port, 0) + 1
            self.served[port] = self.served.get(port, 0) + 1
            try:
                await asyncio.gather(_pump(reader, upstream[1]), _pump(upstream[0], writer))
            finally:
                self.open[port] -= 1
            return
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


@dataclass
class Stack:
    """The processes by name: web-0, web-1, worker-0, worker-1."""

    folder: Path
    environment: dict[str, str]
    front: Front
    url: str
    sandbox: RunningSandbox
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, subprocess.Popen[bytes]])

    @property
    def settings(self) -> Settings:
        values = {name.lower(): value for name, value in self.environment.items()}
        return Settings(_env_file=None, **values)  # type: ignore[arg-type]

    async def start(self, name: str) -> None:
        """Starts a process and waits until it is at work."""
        kind, _, number = name.partition("-")
        log = self.folder / f"{name}.log"
        command = [sys.executable, "-m", "fondaco", kind]
        if kind == "web":
            command += ["--port", str(self.front.ports[int(number)])]
        began = log.stat().st_size if log.exists() else 0
        with open(log, "ab") as out:
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | self.environment | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
            )
        until = time.monotonic() + READY_S
        while not await self._ready(name, began):
            alive = self.processes[name].poll() is None
            assert alive and time.monotonic() < until, log.read_text()[-3000:]
            await asyncio.sleep(0.05)

    async def _ready(self, name: str, began: int) -> bool:
        if name.startswith("worker"):
            return b"worker ready" in (self.folder / f"{name}.log").read_bytes()[began:]
        port = self.front.ports[int(name[-1])]
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                return (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    async def kill(self, name: str) -> None:
        """kill -9, of the process and, as with a machine, of what it had started."""
        await self._end(name, kill=True)

    async def stop(self, name: str) -> None:
        """As an operator stops it."""
        await self._end(name, kill=False)

    async def _end(self, name: str, *, kill: bool) -> None:
        process = self.processes.pop(name)
        process.kill() if kill else process.terminate()
        await asyncio.to_thread(process.wait, 30)

    async def run(self, *arguments: str) -> tuple[int, str]:
        """A command of fondaco with the stack's settings: exit code and words."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fondaco",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | self.environment,
        )
        words, _ = await process.communicate()
        return process.returncode or 0, words.decode()


def _environment(endpoints: Endpoints, folder: Path, url: str) -> dict[str, str]:
    return {
        **database_settings(endpoints),
        "SECRET_KEY": key(),
        "VAULT_KEYS": f"k1:{key()}",
        "FINGERPRINT_KEY": key(),
        "SIGNING_KEY": key(),
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "BLOB_URL": (folder / "blobs").as_uri(),
        "BASE_URL": url,
        "API_RATE": "100000",
    }


@asynccontextmanager
async def run_stack(endpoints: Endpoints, folder: Path) -> AsyncIterator[Stack]:
    """Everything at work; ended with the block."""
    front = Front()
    url = await front.start()
    front.ports = [spare(), spare()]
    with run_sandbox(folder / "sandbox", f"{url}/webhooks/stripe", SECRET) as sandbox:
        environment = _environment(endpoints, folder, url) | {"STRIPE_API_BASE": sandbox.url}
        stack = Stack(folder, environment, front, url, sandbox)
        try:
            await asyncio.gather(*(stack.start(n) for n in ("web-0", "web-1", "worker-0", "worker-1")))
            yield stack
        finally:
            for name in list(stack.processes):
                await stack.kill(name)
            await front.stop()

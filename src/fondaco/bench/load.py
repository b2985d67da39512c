"""The load: a process of its own that speaks HTTP/1.1 over kept connections and times every answer.

`python -m fondaco.bench.load` reads a Plan as JSON from its standard input and writes an Outcome. `run`
starts it so. A request is bytes made beforehand; `KEY` in it is replaced by a key never used before.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, cast

import msgspec

KEY = "@KEY@"
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


class Plan(msgspec.Struct):
    """What to send: each client its requests in turn, the next as soon as the last is answered."""

    port: int
    seconds: float
    clients: list[list[str]]
    first_key: int
    host: str = "127.0.0.1"
    warm: float = 0.3
    """Seconds before the measured ones, answered and not counted."""


class Outcome(msgspec.Struct):
    """What came back. `micros`: how long each answer took, in microseconds, in order of their arrival."""

    seconds: float
    cpu_seconds: float
    micros: list[int]
    statuses: dict[str, int]
    first_refusal: str = ""

    @property
    def good(self) -> int:
        """Answers below 400."""
        return sum(n for status, n in self.statuses.items() if int(status) < 400)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds if self.seconds else 0.0


def request(
    method: str, path: str, *, token: str = "", key: bool = False, body: Any = None, cookie: str = ""
) -> str:
    """The bytes of a request, as text (latin-1). With `key` it carries an Idempotency-Key of its own."""
    content = "" if body is None else msgspec.json.encode(body).decode("latin-1")
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if cookie:
        lines.append(f"Cookie: {cookie}")
    if key:
        lines.append(f"Idempotency-Key: {KEY}")
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", content])


class Link(asyncio.Protocol):
    """One connection. `on_answer` gets the status and the body of each answer to `send`."""

    def __init__(self) -> None:
        self.on_answer: Callable[[int, bytes], None] = _nobody_asked
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("the server closed the connection"))

    @property
    def open(self) -> bool:
        return self._transport is not None

    def send(self, content: bytes) -> None:
        if self._transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._transport.write(content)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._held = data = self._held + data if self._held else data
        head = data.find(_END)
        if head < 0:
            return
        at = data.find(_LENGTH, 0, head)
        if at < 0:
            at = data[:head].lower().find(_LENGTH)
        size = 0
        if at >= 0:
            end = data.find(b"\r", at + len(_LENGTH))
            size = int(data[at + len(_LENGTH) : end])
        elif b"chunked" in data[:head]:
            raise ValueError("an answer in chunks cannot be read")
        if len(data) < head + 4 + size:
            return
        self._held = b""
        self.on_answer(int(data[9:12]), data[head + 4 :])

    async def ask(self, content: bytes) -> tuple[int, bytes]:
        """Send and wait: status and body. Raises ConnectionResetError."""
        self._waiting = asyncio.get_running_loop().create_future()
        self.on_answer = self._settle
        self.send(content)
        return await self._waiting

    def _settle(self, status: int, body: bytes) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result((status, body))


async def connect(host: str, port: int) -> Link:
    """A fresh connection."""
    _, link = await asyncio.get_running_loop().create_connection(Link, host, port)
    return link


def _nobody_asked(status: int, body: bytes) -> None:
    raise AssertionError(f"an answer nobody asked for: {status} {body[:100]!r}")


class _Client:
    """One closed loop over one connection."""

    def __init__(self, link: Link, requests: Sequence[str], keys: "count[int]", until: "_Watch") -> None:
        self._link, self._keys, self._watch = link, keys, until
        self._parts = [one.encode("latin-1").split(KEY.encode()) for one in requests]
        self._turn = 0
        self._began = 0
        link.on_answer = self._answered

    def next(self) -> None:
        parts = self._parts[self._turn]
        self._turn = (self._turn + 1) % len(self._parts)
        self._began = time.perf_counter_ns()
        if len(parts) == 1:
            self._link.send(parts[0])
        else:
            self._link.send(parts[0] + b"%032x" % next(self._keys) + parts[1])

    def _answered(self, status: int, body: bytes) -> None:
        if self._watch.note(self._began, time.perf_counter_ns(), status, body):
            self.next()


class _Watch:
    """Counts what arrives between two moments; nothing new is sent after the second."""

    def __init__(self, warm: float, seconds: float, clients: int) -> None:
        now = time.perf_counter_ns()
        self.begin, self.end = now + int(warm * 1e9), now + int((warm + seconds) * 1e9)
        self.micros: list[int] = []
        self.statuses: dict[int, int] = {}
        self.first_refusal = ""
        self.cpu_at_begin = -1.0
        self._busy = clients
        self.over = asyncio.Event()

    def note(self, began: int, ended: int, status: int, body: bytes) -> bool:
        if self.begin <= ended < self.end:
            if self.cpu_at_begin < 0:
                self.cpu_at_begin = time.process_time()
            self.micros.append((ended - began) // 1000)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status >= 400 and not self.first_refusal:
                self.first_refusal = body[:500].decode("utf-8", "replace")
        if ended < self.end:
            return True
        self._busy -= 1
        if self._busy == 0:
            self.over.set()
        return False


async def play(plan: Plan) -> Outcome:
    """Play a plan in this process."""
    links = [await connect(plan.host, plan.port) for _ in plan.clients]
    keys, watch = count(plan.first_key), _Watch(plan.warm, plan.seconds, len(links))
    for link, requests in zip(links, plan.clients, strict=True):
        _Client(link, requests, keys, watch).next()
    try:
        async with asyncio.timeout(plan.warm + plan.seconds + 30):
            await watch.over.wait()
    finally:
        for link in links:
            link.close()
    cpu = time.process_time() - max(0.0, watch.cpu_at_begin)
    statuses = {str(status): n for status, n in watch.statuses.items()}
    return Outcome(plan.seconds, cpu, watch.micros, statuses, watch.first_refusal)


async def run(plan: Plan) -> Outcome:
    """Play a plan in a process of its own."""
    return msgspec.json.decode(await in_own_process("fondaco.bench.load", plan), type=Outcome)


async def in_own_process(module: str, plan: msgspec.Struct) -> bytes:
    """Runs a module that reads a plan and writes an outcome; RuntimeError with its last words on failure."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, words = await process.communicate(msgspec.json.encode(plan))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the load broke off: {words.decode(errors='replace')[-2000:]}")
    return out


def serve_plan(play_text: Callable[[bytes], Any]) -> None:
    """Reads a plan from standard input, plays it on uvloop where there is one, writes the outcome."""
    text = sys.stdin.buffer.read()
    if sys.platform == "win32":
        outcome = asyncio.run(play_text(text))
    else:
        import uvloop

        outcome = uvloop.run(play_text(text))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


async def _main(text: bytes) -> Outcome:
    return await play(msgspec.json.decode(text, type=Plan))


if __name__ == "__main__":
    serve_plan(_main)

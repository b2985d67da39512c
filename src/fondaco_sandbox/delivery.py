"""Delivering events: signed anew at each try, several at a time, tried again until taken."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import sqlite3
import ssl
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from fondaco_sandbox import timers
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.clock import real_seconds
from fondaco_sandbox.resources.webhook_endpoints import signing_secrets
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import present
from fondaco_sandbox.web import pretty

AT_ONCE = 64
RETRY_SECONDS = (1, 5, 30, 120, 600, 3600, 6 * 3600, 12 * 3600, 24 * 3600, 24 * 3600)
"""Pauses between the tries, on the sandbox's clock; about three days in all."""
REFUSED_SECONDS = 2
REFUSED_FOR_MS = 600_000
"""A receiver that is not up yet is tried every 2 s for 10 minutes, without using up tries."""
_LONGEST_SLEEP = 60.0
_GATHER = 0.01
"""Seconds between a try's end and writing it down, together with those that end meanwhile."""


class Refused(Exception):
    """Nobody listens at the address."""


def signature(body: bytes, secrets: list[str], moment: int) -> str:
    """The Stripe-Signature header: `t=...,v1=...`, one v1 for each secret."""
    signed = str(moment).encode() + b"." + body
    marks = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={moment}", *(f"v1={mark}" for mark in marks)])


@dataclass(frozen=True, slots=True)
class End:
    """How a try ended. `counted`: it used up one of the tries."""

    state: str
    answer: str
    counted: bool = True


class Courier:
    """The background task: runs timers and deliveries when they are due."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._wake = asyncio.Event()
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._ended: list[tuple[sqlite3.Row, End]] = []
        self._task: asyncio.Task[None] | None = None
        box.on_work = self._wake.set

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        tasks = [task for task in (self._task, *self._busy.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._write_down()

    @property
    def under_way(self) -> int:
        """Deliveries being made at this moment."""
        return len(self._busy)

    def due(self) -> int:
        """Timers and deliveries whose time has come but which are not finished."""
        db, now = self._box.store.db, self._box.clock.peek_ms()
        sql = """select (select count(*) from timers where due_ms <= ?)
                      + (select count(*) from deliveries where state = 'pending' and due_ms <= ?)"""
        return db.execute(sql, (now, now)).fetchone()[0]

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                self._write_down()
                timers.run_due(self._box)
                self._start_deliveries()
            except Exception as error:  # one bad timer must not end all deliveries
                sys.stderr.write(f"sandbox: background work failed: {error!r}\n")
                await asyncio.sleep(1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause())
            if self._ended:
                await asyncio.sleep(_GATHER)

    def _pause(self) -> float:
        """Seconds until something is due; the end of a delivery wakes the loop by itself."""
        row = self._next_deliveries(1) if len(self._busy) < AT_ONCE else []
        moments = [each["due_ms"] for each in row]
        timer = timers.next_due(self._box)
        if timer is not None:
            moments.append(timer)
        if not moments:
            return _LONGEST_SLEEP
        return min(max((min(moments) - self._box.clock.peek_ms()) / 1000, 0.001), _LONGEST_SLEEP)

    def _start_deliveries(self) -> None:
        now = self._box.clock.peek_ms()
        for row in self._next_deliveries(AT_ONCE - len(self._busy)):
            if row["due_ms"] <= now:
                self._busy[row["seq"]] = asyncio.create_task(self._deliver(row))

    def _next_deliveries(self, count: int) -> list[sqlite3.Row]:
        """The deliveries that are due next and not under way."""
        marks = ", ".join("?" * len(self._busy))
        sql = f"""select * from deliveries where state = 'pending' and seq not in ({marks})
                  order by due_ms, seq limit ?"""
        return self._box.store.db.execute(sql, (*self._busy, count)).fetchall()

    async def _deliver(self, row: sqlite3.Row) -> None:
        try:
            end = await self._try_once(row)
        except BaseException:
            self._busy.pop(row["seq"], None)
            raise
        else:
            self._ended.append((row, end))
        finally:
            self._wake.set()

    def _write_down(self) -> None:
        """How the tries ended that ended since the last time, in one transaction. Until then they count as
        under way; cut off before, they are made again."""
        ended, self._ended = self._ended, []
        if not ended:
            return
        try:
            with self._box.store.transaction():
                for row, end in ended:
                    self._finish(row, end)
        finally:
            for row, _ in ended:
                self._busy.pop(row["seq"], None)

    async def _try_once(self, row: sqlite3.Row) -> End:
        box = self._box
        found = box.store.find(row["event"])
        event = found[1] if found else None
        endpoint = box.store.get("webhook_endpoint", row["endpoint"])
        if event is None or endpoint is None or endpoint["status"] != "enabled":
            return End("failed", "the endpoint is gone or disabled", counted=False)
        body = pretty(present(box, event))
        secrets = signing_secrets(box, endpoint["id"])
        if row["manner"] == "forged":
            body, secrets = _forge(event), ["whsec_not_the_secret_of_this_endpoint"]
        headers = {
            "content-type": "application/json; charset=utf-8",
            "accept": "*/*; q=0.5, application/xml",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "stripe-signature": signature(body, secrets, real_seconds()),
        }
        try:
            async with asyncio.timeout(box.settings.delivery_timeout_seconds):
                status = await post(endpoint["url"], headers, body)
        except Refused:
            return End("pending", "connection refused", counted=False)
        except TimeoutError:
            return End("pending", "no answer in time")
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            return End("pending", f"connection broken ({type(error).__name__})")
        return End("delivered" if 200 <= status < 300 else "pending", str(status))

    def _finish(self, row: sqlite3.Row, end: End) -> None:
        """Write down how a try ended and plan the next one, in the caller's transaction."""
        box, now = self._box, self._box.clock.now_ms()
        state, answer, counted = end.state, end.answer, end.counted
        attempts: int = row["attempts"]
        due: int | None = None
        if row["manner"] == "forged" and state == "pending":
            state = "failed"
        if state == "pending" and not counted and now - row["created_ms"] < REFUSED_FOR_MS:
            due = now + REFUSED_SECONDS * 1000
        else:
            attempts += 1
        if state == "pending" and due is None:
            if attempts > len(RETRY_SECONDS):
                state = "failed"
            else:
                due = now + RETRY_SECONDS[attempts - 1] * 1000
        known = box.store.db.execute(
            "update deliveries set state = ?, attempts = ?, due_ms = ?, last_answer = ? where seq = ?",
            (state, attempts, due, answer, row["seq"]),
        )
        if known.rowcount and state != "pending":  # not forgotten meanwhile
            name = "event.delivered" if state == "delivered" else "event.not_delivered"
            box.fact(name, event=row["event"], endpoint=row["endpoint"], manner=row["manner"], answer=answer)


def _forge(event: Obj) -> bytes:
    """A body that an attacker could wish for: the same event, with ten times the amount."""
    body: Obj = json.loads(json.dumps(event))
    for name in ("amount", "amount_total", "amount_received"):
        if isinstance(body["data"]["object"].get(name), int):
            body["data"]["object"][name] *= 10
    return pretty(body)


async def post(url: str, headers: dict[str, str], body: bytes) -> int:
    """POST over a connection of its own; the status. Raises Refused, OSError, ValueError."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    context = ssl.create_default_context() if secure else None
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    except ConnectionRefusedError as error:
        raise Refused from error
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {target} HTTP/1.1", f"host: {parts.netloc.rpartition('@')[2]}", "connection: close"]
        lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n")).decode("latin-1").split(" ", 2)
        if len(answer) < 2 or not answer[0].startswith("HTTP/") or not answer[1].isdigit():
            raise ValueError("not an HTTP answer")
        return int(answer[1])
    finally:
        writer.close()

"""Idempotency keys: the same POST with the same key has its effect once and gets the same answer.

Kept are answers that did something (2xx, 3xx), for a day. A call that was refused changed nothing and
leaves its key free; so does one that broke. Of answers that hold a secret (routes with `secret=True`)
only the fact is kept: a repeat answers 409 `already_done`.

A route whose verb is itself done once per key (its `keeps_key=` says for which content) is let through: the
key stands in its own rows, by which it finds its first answer again.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, cast

import asyncpg
import structlog
from litestar.types import ASGIApp, HTTPRequestEvent, Message, Receive, Scope, Send
from litestar.utils.scope.state import ScopeState

from fondaco.api.answers import header, parts_of, send_problem, viewer_in
from fondaco.core import failpoints
from fondaco.core.db import LOST, SYSTEM, Database
from fondaco.core.problem import Problem
from fondaco.core.web import Parts, TooLarge

log = structlog.get_logger()
MAX_BODY = 24 * 1024 * 1024
MAX_KEPT = 1024 * 1024
KEPT_HOURS = 24
ABANDONED_S = 120  # a call under way for longer than this belonged to a process that died


class BadIdempotencyKey(Problem):
    """An Idempotency-Key is 1 to 255 visible ASCII characters."""

    status = 422
    code = "bad_idempotency_key"


class IdempotencyKeyReused(Problem):
    """This Idempotency-Key was used for another call. Use a new key for each intended effect."""

    status = 422
    code = "idempotency_key_reused"


class StillUnderWay(Problem):
    """The first call with this Idempotency-Key is still under way. Ask again in a moment."""

    status = 409
    code = "still_under_way"


class AlreadyDone(Problem):
    """This was done already. Its answer held a secret and is not kept; use a new Idempotency-Key."""

    status = 409
    code = "already_done"


class Idempotency:
    """ASGI middleware for POST /api/v1/* that carry an Idempotency-Key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith("/api/v1/"):
            await self.app(scope, receive, send)
            return
        key = header(scope, "idempotency-key")
        if key is None:
            await self.app(scope, receive, send)
            return
        try:
            if not 1 <= len(key) <= 255 or not (key.isascii() and key.isprintable()) or " " in key:
                raise BadIdempotencyKey()
            body = await _read(receive)
            keeps_key: Callable[[bytes], bool] | None = _opt(scope).get("keeps_key")
            claim = None if keeps_key is not None and keeps_key(body) else _Claim(scope, key, body)
            kept = await claim.take() if claim else None
        except Problem as problem:
            await send_problem(problem, scope, receive, send)
            return
        ScopeState.from_scope(scope).body = body  # so that it is not put together a second time
        if claim is None:
            await self.app(scope, _again(body, receive), send)
        elif kept is not None:
            await _replay(kept, send)
        else:
            await self._first(scope, receive, send, claim, body)

    async def _first(self, scope: Scope, receive: Receive, send: Send, claim: "_Claim", body: bytes) -> None:
        """Run the call, keep its answer, then send it: what was sent can always be had again."""
        answer = _Answer(send)
        done = False
        try:
            await self.app(scope, _again(body, receive), answer)
            done = answer.did_something
        finally:
            if not done:
                await asyncio.shield(claim.let_go())
        if done:
            try:
                if failpoints.armed:
                    await failpoints.reached("web.idempotency.after_effect_before_keep")
                await claim.keep(answer, secret=bool(_opt(scope).get("secret")))
            except (Problem, asyncpg.PostgresError, *LOST) as error:
                # It is done, so its caller is told; the key stays taken, so that it is not done again now.
                log.error("idempotency.not_kept", error=type(error).__name__)
        await answer.flush()


class _Claim:
    """One key of one actor, for one content."""

    def __init__(self, scope: Scope, key: str, body: bytes) -> None:
        viewer, found = viewer_in(scope), parts_of(scope)
        store = f"@{viewer.seller_id}" if viewer.seller_id else ""
        self.actor = f"{viewer.actor}{store}" if viewer.actor != "guest" else _guest(viewer.ip, scope)
        self.key = key
        asked = (found["method"], found["path"], found["query_string"].decode("latin-1"))
        head = "\n".join((*asked, header(scope, "content-type") or "", header(scope, "cart-token") or ""))
        self.fingerprint = hashlib.sha256(head.encode() + b"\n\n" + body).digest()
        self.since: Any = None  # when this claim was made: whoever takes an abandoned one over has another
        self.db = cast(Parts, found["litestar_app"].state.parts).get(Database)

    async def take(self) -> Any:
        """None: ours to run. Else the kept row. Raises the three refusals."""
        self.since = await self.db.fetchval(
            SYSTEM,
            """INSERT INTO core.idempotency AS i (actor, key, fingerprint) VALUES ($1, $2, $3)
               ON CONFLICT (actor, key) DO UPDATE
                 SET fingerprint = $3, status = NULL, body = NULL, media_type = NULL, created_at = now()
                 WHERE i.created_at < now() - make_interval(hours => $4)
                    OR (i.status IS NULL AND i.fingerprint = $3
                        AND i.created_at < now() - make_interval(secs => $5))
               RETURNING created_at""",
            self.actor,
            self.key,
            self.fingerprint,
            KEPT_HOURS,
            ABANDONED_S,
        )
        if self.since:
            return None
        row = await self.db.fetchrow(
            SYSTEM,
            """SELECT fingerprint, status, body, media_type FROM core.idempotency
               WHERE actor = $1 AND key = $2""",
            self.actor,
            self.key,
        )
        if row is None:  # let go between our two looks
            raise StillUnderWay()
        if row["fingerprint"] != self.fingerprint:
            raise IdempotencyKeyReused()
        if row["status"] is None:
            raise StillUnderWay()
        if row["body"] is None:
            raise AlreadyDone()
        return row

    async def keep(self, answer: "_Answer", *, secret: bool) -> None:
        """Keep the answer of a call that did something."""
        body = None if secret or len(answer.body) > MAX_KEPT else answer.body
        await self.db.execute(
            SYSTEM,
            """UPDATE core.idempotency SET status = $3, body = $4, media_type = $5
               WHERE actor = $1 AND key = $2 AND fingerprint = $6""",
            self.actor,
            self.key,
            answer.status,
            body,
            answer.media_type,
            self.fingerprint,
        )

    async def let_go(self) -> None:
        """Leave the key free, unless another call has taken this claim over meanwhile."""
        await self.db.execute(
            SYSTEM,
            """DELETE FROM core.idempotency
               WHERE actor = $1 AND key = $2 AND status IS NULL AND created_at = $3""",
            self.actor,
            self.key,
            self.since,
        )


class _Answer:
    """Holds an answer back until it is kept."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[Message] = []
        self.status = 500
        self.media_type = ""
        self.body = b""

    @property
    def did_something(self) -> bool:
        return 200 <= self.status < 400

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.media_type = header(message, "content-type") or ""
        elif message["type"] == "http.response.body":
            self.body += message["body"]
        self._messages.append(message)

    async def flush(self) -> None:
        for message in self._messages:
            await self._send(message)


def _guest(ip: str, scope: Scope) -> str:
    """Guests behind one address are told apart by what they show: a cart, or a session not yet good."""
    shown = "\n".join(header(scope, name) or "" for name in ("authorization", "cart-token"))
    return f"guest:{ip}:{hashlib.sha256(shown.encode()).hexdigest()[:32]}"


def _opt(scope: Scope) -> dict[str, Any]:
    return cast(dict[str, Any], getattr(parts_of(scope).get("route_handler"), "opt", {}))


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise TooLarge("The call ended before its content did.")
        parts.append(message["body"])
        size += len(message["body"])
        if size > MAX_BODY:
            raise TooLarge()
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the content that was read, then whatever follows."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return HTTPRequestEvent(type="http.request", body=body, more_body=False)

    return again


async def _replay(row: Any, send: Send) -> None:
    headers = [
        (b"content-type", str(row["media_type"]).encode("latin-1")),
        (b"content-length", str(len(row["body"])).encode()),
        (b"cache-control", b"no-store"),
        (b"idempotent-replayed", b"true"),
    ]
    start: Any = {"type": "http.response.start", "status": row["status"], "headers": headers}
    end: Any = {"type": "http.response.body", "body": row["body"], "more_body": False}
    await send(start)
    await send(end)


async def forget_old_keys(parts: Parts) -> None:
    """Drop keys older than a day."""
    await parts.get(Database).execute(
        SYSTEM,
        "DELETE FROM core.idempotency WHERE created_at < now() - make_interval(hours => $1)",
        KEPT_HOURS,
    )

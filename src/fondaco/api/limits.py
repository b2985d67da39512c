"""Rate limits of the API: one token bucket per actor and process, told in the RateLimit headers.

What must hold across processes (sign-in, reveals) is counted in the database by its own module; this
keeps one caller from crowding out the others.
"""

import math
import time
from dataclasses import dataclass
from uuid import UUID

from litestar.types import ASGIApp, Receive, Scope, Send

from fondaco.api.answers import parts_of, send_problem, viewer_in
from fondaco.core.problem import TooMany
from fondaco.core.viewer import Viewer

MAX_ACTORS = 50_000


@dataclass(frozen=True, slots=True)
class Limit:
    """Tokens come back at `rate` times the setting `api_rate` per second, up to `burst` seconds' worth."""

    rate: int
    burst: int


# By kind of actor. A key of a seller's program may do twice what a person does.
LIMITS: dict[str, Limit] = {
    "guest": Limit(rate=1, burst=3),
    "session": Limit(rate=1, burst=3),
    "api_key": Limit(rate=2, burst=3),
}


_Actor = tuple[str, UUID | str | None]  # kind, and who of it


class Buckets:
    """The tokens each actor has left. `per_second` is the setting api_rate."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left: dict[_Actor, tuple[float, float]] = {}  # actor -> tokens, when

    def take(self, viewer: Viewer, now: float) -> tuple[int, int, int]:
        """Take one token: (limit, whole tokens left or -1 for none, seconds until full or the next)."""
        name = _actor(viewer)
        limit = LIMITS[name[0]]
        rate = self._per_second * limit.rate
        most = rate * limit.burst
        tokens, then = self._left.get(name, (most, now))
        tokens = min(most, tokens + (now - then) * rate)
        if tokens < 1:
            self._left[name] = (tokens, now)
            return most, -1, max(1, math.ceil((1 - tokens) / rate))
        self._left[name] = (tokens - 1, now)
        if len(self._left) > MAX_ACTORS:
            self._forget(now)
        return most, int(tokens - 1), math.ceil((most - tokens + 1) / rate)

    def _forget(self, now: float) -> None:
        """Drop the older half: they are the fullest buckets, or nearly."""
        oldest = sorted(self._left, key=lambda name: self._left[name][1])
        for name in oldest[: len(oldest) // 2]:
            del self._left[name]


def _actor(viewer: Viewer) -> _Actor:
    if viewer.api_key_id:
        return "api_key", viewer.api_key_id
    if viewer.user_id:
        return "session", viewer.session_id
    return "guest", viewer.ip


class RateLimit:
    """ASGI middleware for /api/*."""

    def __init__(self, app: ASGIApp, *, buckets: Buckets) -> None:
        self.app = app
        self.buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        limit, left, reset = self.buckets.take(viewer_in(scope), time.monotonic())
        parts_of(scope)["told"] = [
            (b"ratelimit-limit", b"%d" % limit),
            (b"ratelimit-remaining", b"%d" % max(0, left)),
            (b"ratelimit-reset", b"%d" % reset),
        ]
        if left < 0:
            words = f"That is more than {limit} calls at once. Please wait a little."
            await send_problem(TooMany(words, retry_after=reset), scope, receive, send)
            return
        await self.app(scope, receive, send)

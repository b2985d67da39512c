"""A small application with the API's own middlewares around handlers that count their runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from litestar import Litestar, Request, get, post
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.params import JSONBody

from fondaco.api.idempotency import Idempotency
from fondaco.api.limits import Buckets, RateLimit
from fondaco.api.metrics import Measure
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Conflict, Problem
from fondaco.core.viewer import GUEST, Viewer
from fondaco.core.web import Call, Edge, Parts, on_exception, on_http_exception, on_problem, security_headers
from fondaco.settings import Settings


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    wait: float = 0


@post("/api/v1/things")
async def make(request: Call, data: JSONBody[Wish]) -> dict[str, int]:
    """Each run adds a row: the effect that must happen once."""
    await asyncio.sleep(data.wait)
    n = await request.db.fetchval(
        SYSTEM, "INSERT INTO public.effect (key) VALUES ($1) RETURNING n", data.name
    )
    return {"n": n}


@post("/api/v1/secrets", secret=True)
async def make_secret(request: Call) -> dict[str, str]:
    await request.db.execute(SYSTEM, "INSERT INTO public.effect (key) VALUES ('secret')")
    return {"secret": "canary-91c2"}


@post("/api/v1/refused")
async def refused(request: Call) -> None:
    await request.db.execute(SYSTEM, "INSERT INTO public.effect (key) VALUES ('refused')")
    raise Conflict()


@post("/api/v1/overtaken")
async def overtaken(request: Call) -> None:
    """It took so long that the same call was let in again and claims the key anew; then it is refused."""
    await request.db.execute(SYSTEM, "UPDATE core.idempotency SET created_at = clock_timestamp()")
    raise Conflict()


@post("/api/v1/broken")
async def broken(request: Call) -> None:
    await request.db.execute(SYSTEM, "INSERT INTO public.effect (key) VALUES ('broken')")
    raise RuntimeError


@get("/api/v1/things")
async def things() -> list[str]:
    return []


@get("/page")
async def page() -> str:
    return "page"


async def whoever(request: Request[Any, Any, Any]) -> Viewer:
    """The tests say who asks in a header."""
    import uuid

    name = request.headers.get("x-user")
    ip = request.headers.get("x-ip", "127.0.0.1")
    if not name:
        return Viewer(ip=ip)
    made = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    return Viewer(user_id=made, session_id=made, ip=ip) if name != "nobody" else GUEST


@asynccontextmanager
async def small_app(
    settings: Settings, db: Database, *, rate: int = 100_000
) -> AsyncIterator[httpx.AsyncClient]:
    app = Litestar(
        route_handlers=[make, make_secret, refused, overtaken, broken, things, page],
        request_class=Call,
        before_send=[security_headers(settings)],
        middleware=[
            DefineMiddleware(Measure),
            DefineMiddleware(Edge, settings=settings, resolve=whoever),
            DefineMiddleware(RateLimit, buckets=Buckets(rate)),
            DefineMiddleware(Idempotency),
        ],
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception, Exception: on_exception},
        openapi_config=None,
    )
    app.state.parts = Parts(settings, db)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client

"""An application of the account and store routes alone, with the real edge in front of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from litestar import Litestar, get
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware

from fondaco.core.db import Database
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Problem
from fondaco.core.web import Call, Edge, Parts, on_exception, on_http_exception, on_problem, permit
from fondaco.identity.permissions import PERMISSIONS
from fondaco.identity.routes import routes as identity_routes
from fondaco.identity.sessions import resolve
from fondaco.sellers.routes import routes as sellers_routes
from fondaco.settings import Settings
from fondaco.vault import Vault


@get("/whoami", permit="public.see")
async def whoami(request: Call) -> dict[str, Any]:
    """What a page sees of its viewer."""
    v = request.viewer
    return {"user_id": v.user_id, "session": v.session_id is not None, "ip": v.ip, "roles": sorted(v.roles)}


@get("/api/v1/desk", permit="console.people")
async def desk() -> dict[str, str]:
    """A page of the staff console."""
    return {"desk": "people"}


@get("/api/v1/stock", permit="stock.read")
async def stock(request: Call) -> dict[str, Any]:
    """Something an API key may see."""
    return {"seller_id": request.viewer.seller()}


def accounts_app(settings: Settings, db: Database) -> Litestar:
    app = Litestar(
        route_handlers=[*identity_routes, *sellers_routes, whoami, desk, stock],
        request_class=Call,
        guards=[permit],
        middleware=[DefineMiddleware(Edge, settings=settings, resolve=resolve)],
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception, Exception: on_exception},
        openapi_config=None,
    )
    app.state.parts = Parts(settings, db, Cursors(settings.key), Vault(settings))
    app.state.permissions = cast(Any, PERMISSIONS)
    return app


@asynccontextmanager
async def calling(
    settings: Settings, db: Database, address: str = "127.0.0.1"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that application, calling from `address`."""
    transport = httpx.ASGITransport(
        app=cast(Any, accounts_app(settings, db)), raise_app_exceptions=False, client=(address, 4000)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as found:
        yield found

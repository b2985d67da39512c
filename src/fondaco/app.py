"""The web process: collects the modules' routes into one ASGI application."""

import importlib
import pkgutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from litestar import Litestar
from litestar.config.csrf import CSRFConfig
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware

from fondaco.catalog import Kept
from fondaco.core.db import Database
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Problem
from fondaco.core.web import (
    Call,
    Door,
    Edge,
    Parts,
    on_exception,
    on_http_exception,
    on_problem,
    security_headers,
)
from fondaco.identity.permissions import PERMISSIONS
from fondaco.identity.sessions import resolve
from fondaco.integrations.blobs import Blobs
from fondaco.integrations.stripe import StripeGateway
from fondaco.modules import MODULES
from fondaco.orders.combiner import Combiner
from fondaco.settings import Settings, load
from fondaco.vault import Vault


def all_routes() -> list[Any]:
    """Every module's `routes`, in the order of the modules. `<module>/routes.py`, or any module of
    `<module>/` whose name ends in `_routes`, and the packages below `pages`."""
    found: list[Any] = []
    for module in MODULES:
        package = importlib.import_module(f"fondaco.{module}")
        for info in sorted(
            pkgutil.walk_packages(package.__path__, f"fondaco.{module}."), key=lambda i: i.name
        ):
            last = info.name.rsplit(".", 1)[-1]
            if last == "routes" or last.endswith("_routes"):
                found += importlib.import_module(info.name).routes
    return found


def build_parts(settings: Settings) -> Parts:
    """The program's parts, not yet opened."""
    db = Database(
        settings.database_url.get_secret_value(),
        size=settings.database_pool_size,
        pooled=settings.database_pooled,
    )
    vault = Vault(settings)
    gateway, blobs = StripeGateway(settings), Blobs(settings)
    return Parts(settings, db, Cursors(settings.key), vault, gateway, blobs, Combiner(db), Kept())


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> Litestar:
    """The application. With `parts` given (tests), they are used and not closed."""
    settings = settings or load()
    own = parts is None
    used = parts or build_parts(settings)

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncGenerator[None]:
        if own:
            await used.get(Database).open()
        try:
            yield
        finally:
            if own:
                await used.get(Database).close()

    from fondaco.api.document import openapi_config
    from fondaco.api.idempotency import Idempotency
    from fondaco.api.limits import Buckets, RateLimit
    from fondaco.api.metrics import Measure
    from fondaco.pages.errors import render_problem

    app = Litestar(
        route_handlers=all_routes(),
        request_class=Call,
        before_send=[security_headers(settings)],
        lifespan=[running],
        middleware=[
            DefineMiddleware(Measure),
            DefineMiddleware(Edge, settings=settings, resolve=resolve),
            DefineMiddleware(RateLimit, buckets=Buckets(settings.api_rate)),
            DefineMiddleware(Door, permissions=PERMISSIONS),
            DefineMiddleware(Idempotency),
        ],
        csrf_config=CSRFConfig(
            secret=settings.secret_key.get_secret_value(),
            cookie_name="__Host-csrf" if settings.secure_cookies else "csrf",
            cookie_secure=settings.secure_cookies,
            cookie_httponly=True,
            cookie_samesite="lax",
            exclude=["^/api/", "^/webhooks/", "^/static/", "^/health/", "^/metrics$"],
        ),
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception, Exception: on_exception},
        openapi_config=openapi_config(settings),
        request_max_body_size=24 * 1024 * 1024,
        debug=False,
    )
    app.state.parts = used
    app.state.permissions = cast(Any, PERMISSIONS)
    app.state.render_problem = render_problem
    return app

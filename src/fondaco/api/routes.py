"""The document itself, and what monitors ask: health and metrics."""

from functools import cache
from importlib.resources import files
from ipaddress import ip_address

import msgspec
from litestar import Response, get

from fondaco.api.document import document
from fondaco.api.metrics import render
from fondaco.core.db import PUBLIC
from fondaco.core.problem import NoRoom, NotFound, Unavailable
from fondaco.core.web import Call, client_ip, trusts


@get("/api/v1/openapi.json", permit="public.see", include_in_schema=False)
async def openapi_json(request: Call) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(
        msgspec.json.encode(document(request.app)),
        media_type="application/json",
        headers={"Cache-Control": "public, max-age=60"},
    )


@get("/health/live", permit="public.see", include_in_schema=False)
async def live() -> Response[str]:
    """The process answers."""
    return Response("alive\n", media_type="text/plain", headers={"Cache-Control": "no-store"})


@get("/health/ready", permit="public.see", include_in_schema=False)
async def ready(request: Call) -> Response[str]:
    """The process can do its work: the database answers and has this code's shape."""
    try:
        revision = await request.db.fetchval(PUBLIC, "SELECT version_num FROM public.alembic_version")
    except Exception as error:
        raise Unavailable("The database does not answer.") from error
    if request.db.full:
        raise NoRoom("The database's disk is full.")
    if revision != newest_revision():
        raise Unavailable(f"The database is at revision {revision}; this code needs {newest_revision()}.")
    return Response("ready\n", media_type="text/plain", headers={"Cache-Control": "no-store"})


@cache
def newest_revision() -> str:
    """The revision of the last migration file, without loading the migration tool into the web process."""
    names = [p.name for p in files("fondaco").joinpath("migrations", "versions").iterdir()]
    return max(n[1:5] for n in names if n.startswith("m") and n.endswith(".py"))


@get("/metrics", permit="public.see", include_in_schema=False)
async def metrics(request: Call) -> Response[bytes]:
    """Prometheus' numbers, for this machine and the trusted proxies' own use; others find nothing here."""
    proxies = request.settings.trusted_proxies
    peer = client_ip(request, proxies)
    if not (trusts(peer, proxies) or (_is_here(peer) and "x-forwarded-for" not in request.headers)):
        raise NotFound()
    return Response(await render(request.db), media_type="text/plain; version=0.0.4; charset=utf-8")


def _is_here(peer: str) -> bool:
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False


routes = [openapi_json, live, ready, metrics]

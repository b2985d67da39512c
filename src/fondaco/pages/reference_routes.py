"""The API's interactive reference: the packaged viewer over our own document, nothing from outside."""

from functools import cache

import jinja2
from litestar import Response, get

from fondaco.core.web import Call
from fondaco.pages.render import Shell, environment, render_page

DOCUMENT_URL = "/api/v1/openapi.json"


@get("/api/docs", permit="public.see", include_in_schema=False)
async def reference(request: Call) -> Response[str]:
    """The reference; the same for everybody."""
    env = _environment(request.settings.marketplace_name)
    body = render_page(env, "reference/reference.html", Shell(theme="light"), document_url=DOCUMENT_URL)
    headers = {"Cache-Control": "public, max-age=60"}
    return Response(body, media_type="text/html", headers=headers)


@cache
def _environment(site_name: str) -> jinja2.Environment:
    return environment(site_name=site_name)


routes = [reference]

"""What belongs to the whole site: style and scripts, icon, and what search engines ask for."""

from html import escape

from litestar import MediaType, Response, get
from litestar.params import FromPath
from litestar.response import Redirect

from fondaco import catalog
from fondaco.core.web import Call
from fondaco.pages.static import asset_url, static_response

SITEMAP_LISTINGS = 5_000
_PRIVATE = (
    "/account",
    "/api/",
    "/cart",
    "/checkout",
    "/console",
    "/library",
    "/orders",
    "/seller",
    "/sign-in",
    "/sign-up",
    "/wallet",
)


@get("/static/{path:path}", permit="public.see", include_in_schema=False)
async def static_files(request: Call, path: FromPath[str]) -> Response[bytes]:
    """Style sheets, scripts, fonts: named by their content, kept for a year."""
    status, headers, body = static_response(path, request.headers.get("accept-encoding", ""))
    kind = headers.pop("Content-Type")
    return Response(body, status_code=status, media_type=kind, headers=headers)


@get(["/favicon.svg", "/favicon.ico"], permit="public.see", include_in_schema=False)
async def favicon() -> Redirect:
    return Redirect(asset_url("favicon.svg"), status_code=302)


@get("/robots.txt", permit="public.see", include_in_schema=False, media_type=MediaType.TEXT)
async def robots(request: Call) -> Response[str]:
    """The shop is for everybody; people's own pages are nobody's business."""
    rules = "\n".join(f"Disallow: {path}" for path in _PRIVATE)
    text = f"User-agent: *\n{rules}\n\nSitemap: {request.settings.base_url}/sitemap.xml\n"
    return Response(text, media_type=MediaType.TEXT, headers={"Cache-Control": "public, max-age=3600"})


@get("/sitemap.xml", permit="public.see", include_in_schema=False)
async def sitemap(request: Call) -> Response[str]:
    """The front page, the shelves and the newest listings."""
    base = request.settings.base_url
    shelves = await catalog.categories(request.db)
    found = await catalog.newest_slugs(request.db, SITEMAP_LISTINGS)
    places = ["/", "/browse", *(f"/c/{c.slug}" for c in shelves), *(f"/l/{slug}" for slug in found)]
    rows = "\n".join(f"  <url><loc>{escape(base + place)}</loc></url>" for place in places)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}\n</urlset>\n'
    )
    return Response(text, media_type="application/xml", headers={"Cache-Control": "public, max-age=3600"})


routes = [static_files, favicon, robots, sitemap]

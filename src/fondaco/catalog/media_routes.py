"""Sellers' pictures. A name never changes its bytes, so browsers may keep it for ever."""

from litestar import Response, get
from litestar.params import FromPath

from fondaco.catalog.pictures import NAME
from fondaco.core.problem import NotFound
from fondaco.core.web import Call
from fondaco.integrations.blobs import Blobs


@get("/media/{name:str}", permit="public.see", include_in_schema=False)
async def picture(request: Call, name: FromPath[str]) -> Response[bytes]:
    """One picture."""
    found = await request.part(Blobs).get(name) if NAME.fullmatch(name) else None
    if found is None:
        raise NotFound()
    return Response(
        found,
        media_type="image/webp",
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'",
        },
    )


routes = [picture]

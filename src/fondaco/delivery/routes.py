"""The API of the library."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter
from msgspec import Meta

from fondaco import delivery
from fondaco.core.pagination import MAX_LIMIT
from fondaco.core.web import Call
from fondaco.delivery.model import EntitlementPage, LibraryPage
from fondaco.vault import Vault

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
Search = Annotated[str, QueryParameter(max_length=100, description="Part of a title or platform.")]
State = Annotated[
    Literal["new", "revealed"] | None,
    QueryParameter(name="state", description="Only those never shown, or shown."),
]


AsBought = Annotated[
    bool, QueryParameter(description="An article's content as it was when it was bought, not the newest.")
]


class Revealed(msgspec.Struct, frozen=True):
    """A secret. It is in no other answer."""

    secret: Annotated[
        str, Meta(description="The key or code, as the seller delivered it; an article's Markdown.")
    ]


@get("/api/v1/library", permit="library.own", summary="What one has bought")
async def list_library(
    request: Call, *, q: Search = "", state_: State = None, limit: Limit = 50, cursor: PageCursor = None
) -> LibraryPage:
    return await delivery.library(
        request.db, request.viewer, request.cursors, q=q, state=state_, limit=limit, cursor=cursor
    )


@get("/api/v1/library/{entitlement_id:uuid}", permit="library.own", summary="One thing in the library")
async def get_entitlement(request: Call, entitlement_id: FromPath[UUID]) -> EntitlementPage:
    return await delivery.entitlement(request.db, request.viewer, entitlement_id)


@post(
    "/api/v1/library/{entitlement_id:uuid}/reveal",
    permit="library.reveal",
    secret=True,
    status_code=200,
    summary="Show the secret",
    description="Written down each time, at most 30 a minute. From the first time on it counts as used.",
)
async def reveal_secret(
    request: Call, entitlement_id: FromPath[UUID], *, as_bought: AsBought = False
) -> Response[Revealed]:
    secret = await delivery.reveal(
        request.db, request.part(Vault), request.viewer, entitlement_id, as_bought=as_bought
    )
    return Response(Revealed(secret.reveal().decode()), headers={"Cache-Control": "no-store"})


routes = [list_library, get_entitlement, reveal_secret]

"""Stores and listings; a listing is paused with a reason."""

from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import console
from fondaco.console.stores import LISTING_STATES, SELLER_STATES
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.console.parts import (
    HOME,
    SIZES,
    ask_reason,
    cursor_of,
    desk,
    ids_of,
    known,
    read_list,
    sellers_facet,
    states_facet,
    words_facet,
)
from fondaco.pages.context import see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb

SELLERS = f"{HOME}/sellers"
LISTINGS = f"{HOME}/listings"
SELLER_SPEC = ListSpec(SELLERS, facets=("state",), sizes=SIZES)
LISTING_SPEC = ListSpec(LISTINGS, facets=("state", "seller", "id"), sizes=SIZES)


@get("/console/sellers", permit="console.see", include_in_schema=False)
async def list_sellers(request: Call) -> Response[str]:
    query = read_list(request, SELLER_SPEC)
    found = await console.list_sellers(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", SELLER_STATES),
        limit=query.size,
        cursor=cursor_of(query),
    )
    return await desk(
        request,
        "sellers.html",
        here=SELLERS,
        crumbs=[Crumb("Stores")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        house_bps=request.settings.commission_bps,
        facets=[states_facet(SELLER_STATES, "seller")],
    )


@get("/console/listings", permit="console.see", include_in_schema=False)
async def list_listings(request: Call) -> Response[str]:
    query = read_list(request, LISTING_SPEC)
    one = next(iter(ids_of(query, "id")), None)
    found = await console.list_listings(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", LISTING_STATES),
        sellers=ids_of(query, "seller"),
        listing_id=one,
        limit=query.size,
        cursor=cursor_of(query),
    )
    facets = [states_facet(LISTING_STATES, "listing"), await sellers_facet(request, query)]
    title = next((row.title for row in found.items), "this one only") if one else ""
    return await desk(
        request,
        "listings.html",
        here=LISTINGS,
        crumbs=[Crumb("Listings")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        facets=facets,
        active=[*facets, words_facet("id", "Listing", {str(one): title} if one else {})],
    )


@get("/console/listings/{listing_id:uuid}/pause", permit="console.moderate", include_in_schema=False)
async def ask_pause(request: Call, listing_id: FromPath[UUID]) -> Response[str]:
    return await _pause_page(request, listing_id)


@post("/console/listings/{listing_id:uuid}/pause", permit="console.moderate", include_in_schema=False)
async def pause(request: Call, listing_id: FromPath[UUID]) -> Response[str]:
    because = (await request.fields()).get("because", "")
    try:
        paused = await console.pause_listing(request.db, request.viewer, listing_id, because=because)
    except NotFound:
        raise
    except Problem as problem:
        return await _pause_page(request, listing_id, because, problem)
    said = ("good", f"“{paused.title}” is paused. Buyers no longer find it.")
    return see_other(request, f"{LISTINGS}?id={listing_id}", said=said)


async def _pause_page(
    request: Call, listing_id: UUID, because: str = "", problem: Problem | None = None
) -> Response[str]:
    row = await console.listing_row(request.db, request.viewer, listing_id)
    return await ask_reason(
        request,
        here=LISTINGS,
        crumbs=[Crumb("Listings", LISTINGS), Crumb(row.title, f"{LISTINGS}?id={row.id}"), Crumb("Pause")],
        heading=f"Pause “{row.title}”?",
        texts=[
            f"Buyers no longer find this listing of {row.seller}. Open orders go on and its keys stay. "
            "The store can publish it again."
        ],
        help_text="It is kept in the audit log. 3 to 200 characters.",
        action=f"{LISTINGS}/{row.id}/pause",
        label="Pause the listing",
        back=f"{LISTINGS}?id={row.id}",
        given=because,
        problem=problem,
    )


routes = [list_sellers, list_listings, ask_pause, pause]

"""A store's listings: the list, and new ones."""

from typing import Any

from litestar import Response, get, post

from fondaco import catalog, inventory
from fondaco.catalog import OWN_SORTS
from fondaco.catalog.model import MAX_PRICE
from fondaco.core import counting
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.listquery import Facet, FacetValue, ListSpec, SavedView
from fondaco.pages.render import Crumb
from fondaco.pages.seller.acts import STATES
from fondaco.pages.seller.parts import (
    LIST,
    can,
    choices,
    desk,
    read_price,
    read_query,
    read_whole,
    saved_views,
    with_faults,
)
from fondaco.pages.states import state_mark

SORTS = {
    "new": "Newest first",
    "title": "Title",
    "price": "Price, lowest first",
    "-price": "Price, highest first",
    "-sold": "Most sold",
}
SPEC = ListSpec(LIST, facets=("state", "stock"), sorts=SORTS, sizes=(25, 50, 100))
NEW_FIELDS = (
    *("kind", "title", "category", "platform", "region", "edition", "price", "summary", "description"),
    *("activation", "key_format", "max_per_order"),
)


@get(LIST, permit="catalog.read", include_in_schema=False)
async def listings(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    stock = query.values("stock")
    found = await catalog.own_listings(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=query.values("state"),
        in_stock=stock[0] == "in" if len(stock) == 1 and stock[0] in ("in", "out") else None,
        sort=query.sort if query.sort in OWN_SORTS else "new",
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    free = await inventory.available(request.db, request.viewer, [row.id for row in found.items])
    counts = counting.shown(found.states)
    views = await saved_views(request, SPEC)
    return await desk(
        request,
        "seller/listings.html",
        here=LIST,
        crumbs=[Crumb("Listings")],
        query=query,
        rows=[(row, free[row.id]) for row in found.items],
        next_cursor=found.next,
        previous_cursor=found.previous,
        total=counting.total(counts, query.values("state")),
        facets=_facets(counts),
        saved=[*_OWN_VIEWS, *(view for _, view in views)],
        mine=views,
        writable=can(request.viewer, "catalog.write"),
    )


_OWN_VIEWS = (
    SavedView("On sale", f"{LIST}?state=PUBLISHED"),
    SavedView("On sale, sold out", f"{LIST}?state=PUBLISHED&stock=out"),
    SavedView("Best sellers", f"{LIST}?sort=-sold"),
)


def _facets(states: dict[str, int]) -> list[Facet]:
    return [
        Facet(
            "state",
            "State",
            [FacetValue(s, state_mark(s, "listing").words, states.get(s, 0)) for s in STATES],
        ),
        Facet("stock", "Stock", [FacetValue("in", "In stock"), FacetValue("out", "Sold out")]),
    ]


@get(f"{LIST}/new", permit="catalog.write", include_in_schema=False)
async def new_listing(request: Call) -> Response[Any]:
    start = {"kind": "stocked_secret", "edition": "Standard", "region": "GLOBAL", "max_per_order": "10"}
    return await _new_page(request, {name: start.get(name, "") for name in NEW_FIELDS})


async def _new_page(request: Call, given: dict[str, str], problem: Problem | None = None) -> Response[Any]:
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await desk(
        request,
        "seller/listing_new.html",
        status=form_status(problem) if problem else 200,
        here=LIST,
        crumbs=[Crumb("Listings", LIST), Crumb("New listing")],
        given=given,
        errors=errors,
        alert=alert,
        currency=request.settings.currency,
        **await choices(request),
    )


@post(f"{LIST}/new", permit="catalog.write", include_in_schema=False)
async def create_listing(request: Call) -> Response[Any]:
    fields = await request.fields()
    given = {name: fields.get(name, "") for name in NEW_FIELDS}
    given["kind"] = given["kind"] or "stocked_secret"
    currency = request.settings.currency
    faults: dict[str, str] = {}
    numbers = {
        "price": read_price(faults, given["price"], currency, MAX_PRICE),
        "max_per_order": read_whole(faults, "max_per_order", given["max_per_order"]),
    }
    values: dict[str, Any] = {**given, **numbers, "currency": currency}
    try:
        made = await catalog.create_listing(request.db, request.viewer, **values)
    except Problem as problem:
        return await _new_page(request, given, with_faults(problem, faults))
    if made.kind == "article":
        said = "The draft is kept. Now write what buyers get."
        return see_other(request, f"{LIST}/{made.id}/content", said=("good", said))
    return see_other(
        request, f"{LIST}/{made.id}/stock", said=("good", "The draft is kept. Now hand in its keys.")
    )


routes = [
    listings,
    new_listing,
    create_listing,
]

"""Payments and refunds."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from fondaco import console, wallets
from fondaco.console.money import FUNDING_STATES, PURPOSES, REFUND_STATES
from fondaco.core.web import Call
from fondaco.pages.console.parts import (
    HOME,
    SIZES,
    cursor_of,
    desk,
    known,
    read_list,
    states_facet,
    words_facet,
)
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb

FUNDINGS = f"{HOME}/fundings"
REFUNDS = f"{HOME}/refunds"
FUNDING_SPEC = ListSpec(FUNDINGS, facets=("state", "purpose"), sizes=SIZES)
REFUND_SPEC = ListSpec(REFUNDS, facets=("state",), sizes=SIZES)


@get("/console/fundings", permit="console.orders", include_in_schema=False)
async def list_fundings(request: Call) -> Response[str]:
    query = read_list(request, FUNDING_SPEC)
    found = await console.list_fundings(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", FUNDING_STATES),
        purposes=known(query, "purpose", PURPOSES),
        limit=query.size,
        cursor=cursor_of(query),
    )
    return await desk(
        request,
        "fundings.html",
        here=FUNDINGS,
        crumbs=[Crumb("Payments")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        purposes=PURPOSES,
        facets=[states_facet(FUNDING_STATES, "funding"), words_facet("purpose", "For", PURPOSES)],
    )


@get("/console/refunds", permit="console.orders", include_in_schema=False)
async def list_refunds(request: Call) -> Response[str]:
    query = read_list(request, REFUND_SPEC)
    found = await console.list_refunds(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", REFUND_STATES),
        limit=query.size,
        cursor=cursor_of(query),
    )
    return await desk(
        request,
        "refunds.html",
        here=REFUNDS,
        crumbs=[Crumb("Refunds")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        facets=[states_facet(REFUND_STATES, "refund")],
    )


@get("/console/fundings/{funding_id:uuid}", permit="console.orders", include_in_schema=False)
async def one_funding(request: Call, funding_id: FromPath[UUID]) -> Response[str]:
    db, scope = request.db, request.viewer.as_staff
    funding = await wallets.read_funding(db, scope, funding_id)
    buyer, group = f"user:{funding.user_id}", f"group:{funding.group_id}"
    names = await console.names_of(db, request.viewer, [buyer, group])
    return await desk(
        request,
        "funding.html",
        here=FUNDINGS,
        crumbs=[Crumb("Payments", FUNDINGS), Crumb(names[buyer].words)],
        funding=funding,
        refunds=await wallets.refunds_of(db, scope, funding_id),
        buyer=names[buyer],
        purchase=names[group] if funding.group_id else None,
        purposes=PURPOSES,
        story=await console.funding_timeline(db, request.viewer, funding_id),
    )


routes = [list_fundings, list_refunds, one_funding]

"""What a store sold."""

from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from fondaco import catalog, orders, refunds
from fondaco.core import counting
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import NotFound
from fondaco.core.web import Call
from fondaco.identity.permissions import PERMISSIONS
from fondaco.orders import MATURITY_DAYS
from fondaco.pages.listquery import Facet, FacetValue, ListSpec, SavedView
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, desk, read_query, saved_views
from fondaco.pages.states import state_mark

ORDERS = f"{HOME}/orders"
STATES = ("PENDING_PAYMENT", "DELIVERED", "COMPLETED", "REFUNDED", "EXPIRED", "CANCELLED")
SPEC = ListSpec(ORDERS, facets=("state", "listing"), sizes=(25, 50, 100))


@get(ORDERS, permit="sales.read", include_in_schema=False)
async def order_list(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    listing = await _listing_facet(request, query.values("listing"))
    chosen = query.values("state")
    found = await orders.seller_orders(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=chosen,
        listing_id=parse_uuid(listing.values[0].value) if listing else None,
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    states = counting.shown(found.states)
    counts = [FacetValue(s, state_mark(s).words, states.get(s, 0)) for s in STATES]
    views = await saved_views(request, SPEC)
    return await desk(
        request,
        "seller/orders.html",
        here=ORDERS,
        crumbs=[Crumb("Orders")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        total=None if listing else counting.total(states, chosen),
        facets=[Facet("state", "State", counts), *([listing] if listing else [])],
        saved=[SavedView("Delivered", f"{ORDERS}?state=DELIVERED"), *(view for _, view in views)],
        mine=views,
    )


async def _listing_facet(request: Call, values: tuple[str, ...]) -> Facet | None:
    """The one listing the list is narrowed to; none when it is not this store's."""
    wanted = parse_uuid(values[0]) if values else None
    if wanted is None:
        return None
    try:
        listing = await catalog.own_listing(request.db, request.viewer, wanted)
    except NotFound:
        return None
    return Facet("listing", "Listing", [FacetValue(values[0], listing.title)])


@get(f"{ORDERS}/{{order_id:uuid}}", permit="sales.read", include_in_schema=False)
async def order(request: Call, order_id: FromPath[UUID]) -> Response[Any]:
    found = await orders.seller_order(request.db, request.viewer, order_id)
    refunded = sum(line.refunded for line in found.lines)
    tax = sum(line.tax_on_commission for line in found.lines)
    return await desk(
        request,
        "seller/order.html",
        here=ORDERS,
        crumbs=[Crumb("Orders", ORDERS), Crumb(found.number)],
        order=found,
        refunded=refunded,
        commission=found.total - refunded - found.net - tax,
        tax=tax,
        given_back=await refunds.sale_refunds(request.db, request.viewer, order_id) if refunded else [],
        reports=await refunds.bad_keys_of(request.db, request.viewer.as_seller, [order_id]),
        may_refund=bool(request.viewer.roles & PERMISSIONS["sales.refund"]),
        maturity_days=MATURITY_DAYS,
    )


routes = [order_list, order]

"""Orders: the list, one order with its story, and cancelling what is not paid."""

from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import console, orders, refunds
from fondaco.console.orders import ORDER_STATES, PERIODS, SORTS, period
from fondaco.core import counting
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders import Order, OrderGroup
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
from fondaco.pages.listquery import ListQuery, ListSpec, SavedView
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import saved_views

LIST = f"{HOME}/orders"
SPEC = ListSpec(LIST, facets=("state", "seller", "when"), sorts=SORTS, sizes=SIZES)
SAVED = (
    SavedView("Awaiting payment", f"{LIST}?state=PENDING_PAYMENT&sort=old"),
    SavedView("Today", f"{LIST}?when=today"),
    SavedView("Expired or cancelled this week", f"{LIST}?state=EXPIRED&state=CANCELLED&when=7d"),
)


@get("/console/orders", permit="console.orders", include_in_schema=False)
async def list_orders(request: Call) -> Response[str]:
    query = _one_period(read_list(request, SPEC))
    found = await console.list_orders(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", ORDER_STATES),
        sellers=ids_of(query, "seller"),
        when=next(iter(query.values("when")), ""),
        sort=query.sort,
        limit=query.size,
        cursor=cursor_of(query),
    )
    chosen = known(query, "state", ORDER_STATES)
    days = {d: d for d in query.values("when") if d not in PERIODS and period(d)}
    views = await saved_views(request, SPEC)
    return await desk(
        request,
        "orders.html",
        here=LIST,
        crumbs=[Crumb("Orders")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        total=counting.total(counting.shown(found.states), chosen),
        facets=[
            states_facet(ORDER_STATES, "order", found.states),
            await sellers_facet(request, query),
            words_facet("when", "When", {**PERIODS, **days}),
        ],
        saved=[*SAVED, *(view for _, view in views)],
        mine=views,
    )


def _one_period(query: ListQuery) -> ListQuery:
    """Two periods at once mean nothing: the last one chosen counts."""
    chosen = [v for v in query.values("when") if period(v)]
    return (
        query
        if len(query.values("when")) < 2
        else ListQuery.parse(
            query.spec, [*(p for p in query.pairs() if p[0] != "when"), *(("when", v) for v in chosen[-1:])]
        )
    )


@get("/console/orders/{order_id:uuid}", permit="console.orders", include_in_schema=False)
async def one_order(request: Call, order_id: FromPath[UUID]) -> Response[str]:
    group, order = await _order(request, order_id)
    buyer = f"user:{group.buyer_id}"
    names = await console.names_of(request.db, request.viewer, [buyer])
    return await desk(
        request,
        "order.html",
        here=LIST,
        crumbs=[Crumb("Orders", LIST), Crumb(order.number)],
        group=group,
        order=order,
        others=[o for o in group.orders if o.id != order.id],
        buyer=names[buyer],
        given_back=await refunds.refunds_of(request.db, request.viewer.as_staff, [order.id]),
        reports=await refunds.bad_keys_of(request.db, request.viewer.as_staff, [order.id]),
        story=await console.timeline(request.db, request.viewer, order.id),
    )


async def _order(request: Call, order_id: UUID) -> tuple[OrderGroup, Order]:
    """The order; by a purchase's id its first one."""
    group = await orders.group_in_scope(request.db, request.viewer.as_staff, order_id)
    found = [o for o in group.orders if order_id in (o.id, group.id)]
    if not found:
        raise NotFound()
    return group, found[0]


@get("/console/orders/{order_id:uuid}/cancel", permit="console.cancel_order", include_in_schema=False)
async def ask_cancel(request: Call, order_id: FromPath[UUID]) -> Response[str]:
    return await _cancel_page(request, order_id)


@post("/console/orders/{order_id:uuid}/cancel", permit="console.cancel_order", include_in_schema=False)
async def cancel(request: Call, order_id: FromPath[UUID]) -> Response[str]:
    because = (await request.fields()).get("because", "")
    try:
        await orders.cancel_for_staff(
            request.db,
            request.part(StripeGateway),
            request.settings,
            request.viewer,
            order_id,
            because=because,
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _cancel_page(request, order_id, because, problem)
    return see_other(request, f"{LIST}/{order_id}", said=("good", "Cancelled. The keys are back in stock."))


async def _cancel_page(
    request: Call, order_id: UUID, because: str = "", problem: Problem | None = None
) -> Response[str]:
    group, order = await _order(request, order_id)
    page = f"{LIST}/{order.id}"
    numbers = ", ".join(o.number for o in group.orders)
    return await ask_reason(
        request,
        here=LIST,
        crumbs=[Crumb("Orders", LIST), Crumb(order.number, page), Crumb("Cancel")],
        heading=f"Cancel {order.number}?",
        texts=[
            f"The whole purchase {group.number} is cancelled ({numbers}): it has one payment. Its keys go "
            "back to stock and its payment page is closed. This cannot be undone.",
            "Should a payment slip through, it is sent back.",
        ],
        help_text="The buyer reads it. 3 to 200 characters.",
        action=f"{page}/cancel",
        label="Cancel the purchase",
        back=page,
        given=because,
        problem=problem,
    )


routes = [list_orders, one_order, ask_cancel, cancel]

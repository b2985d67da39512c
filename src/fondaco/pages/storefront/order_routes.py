"""A buyer's orders: the list, one purchase as it happens, and what may be done about it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from fondaco import cases, catalog, credit, inbox, orders
from fondaco.core import counting
from fondaco.core.pagination import BadCursor
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders import OrderGroup
from fondaco.pages.context import fragment, page, see_other
from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec
from fondaco.pages.render import Crumb
from fondaco.pages.states import state_mark
from fondaco.pages.storefront import order_words
from fondaco.pages.storefront.lines import Picture
from fondaco.pages.waking import waking

SPEC = ListSpec("/orders", facets=("state",), sizes=(25, 50, 100))
STATES = ("PENDING_PAYMENT", "DELIVERED", "COMPLETED", "REFUNDED", "EXPIRED", "CANCELLED")


@get("/orders", permit="orders.own", include_in_schema=False)
async def index(request: Call) -> Response[Any]:
    """One's purchases, newest first."""
    query = ListQuery.parse(SPEC, request.query_params.multi_items())
    states = [s for s in query.values("state") if s in STATES]
    try:
        found = await orders.own_groups(
            request.db,
            request.viewer,
            request.cursors,
            q=query.q,
            states=states,
            limit=query.size,
            cursor=query.after or query.before or None,
        )
    except BadCursor:
        return see_other(request, query.with_(sort=query.sort).url())
    counts = counting.shown(found.states, newest=True)
    values = [FacetValue(s, state_mark(s).words, counts[s]) for s in STATES if s in counts]
    return await page(
        request,
        "storefront/orders.html",
        crumbs=[Crumb("Home", "/"), Crumb("Orders")],
        query=query,
        facets=[Facet("state", "State", values)],
        rows=[{"group": group, "contents": order_words.contents(group)} for group in found.items],
        found=found,
    )


@get("/orders/g/{group_id:uuid}", permit="orders.own", include_in_schema=False)
async def returned(request: Call, group_id: FromPath[UUID]) -> Redirect:
    """Back from the payment page: the provider is asked once, so that keys do not wait for its message."""
    group = await orders.own_order_group(request.db, request.viewer, group_id)
    if group.payment and group.payment.state == "PROCESSING":
        await inbox.check_own_funding(
            request.db, request.part(StripeGateway), request.viewer, group.payment.id
        )
    if request.query_params.get("paid") == "0":
        said = ("wait", "You left the payment page, so nothing was charged.")
        return see_other(request, f"/orders/{group.id}", said=said)
    return see_other(request, f"/orders/{group.id}")


@get("/orders/{order_id:uuid}", permit="orders.own", include_in_schema=False)
async def show(request: Call, order_id: FromPath[UUID]) -> Response[Any]:
    """One purchase, by its id or that of one of its orders."""
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    if group.id != order_id:
        return see_other(request, f"/orders/{group.id}#order-{order_id}")
    return await page(
        request,
        "storefront/order.html",
        crumbs=[Crumb("Home", "/"), Crumb("Orders", "/orders"), Crumb(group.number)],
        **await _shown(request, group),
    )


async def _shown(request: Call, group: OrderGroup) -> dict[str, Any]:
    found = await cases.cases_of_order(request.db, request.viewer.as_user, [o.id for o in group.orders])
    owed = None
    if group.pay_with == "instant_credit":
        owed = (await credit.credit_of(request.db, request.viewer.as_user, [group.id])).get(group.id)
    return {
        "group": group,
        "credit": owed,
        "story": order_words.story(group),
        "things": order_words.goods(group),
        "happened": order_words.happened(group),
        "cards": [
            {
                "order": order,
                "lines": [
                    {
                        "line": line,
                        "picture": Picture(line.title, line.platform),
                        "region": catalog.region_name(line.region),
                        "can_return": order_words.can_return(line),
                    }
                    for line in order.lines
                ],
                "things": order_words.goods_of(order.lines),
                "can_confirm": order_words.can_confirm(order),
                "release_at": order_words.release_of(order),
                "cases": [case for case in found if case.order_id == order.id],
                "can_dispute": order_words.can_dispute(order, request.settings.case_days),
            }
            for order in group.orders
        ],
    }


@get("/orders/{order_id:uuid}/fragment", permit="orders.own", include_in_schema=False)
async def changing_part(request: Call, order_id: FromPath[UUID]) -> Response[str]:
    """The part of the page that changes, for browsers that have to ask for it."""
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    return Response(
        await _fragment(request, group), media_type="text/html", headers={"Cache-Control": "no-store"}
    )


async def _fragment(request: Call, group: OrderGroup) -> str:
    return fragment(request, "storefront/_order.html", **await _shown(request, group))


@get("/orders/{order_id:uuid}/live", permit="orders.own", include_in_schema=False)
async def live(request: Call, order_id: FromPath[UUID]) -> ServerSentEvent:
    """The same part each time something happened, until nothing more will by itself."""
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    return ServerSentEvent(_stream(request, group), headers={"Cache-Control": "no-store"})


async def _stream(request: Call, group: OrderGroup) -> AsyncIterator[str | ServerSentEventMessage]:
    refs = [f"order:{order.id}" for order in group.orders]
    if group.payment:
        refs.append(f"funding:{group.payment.id}")
    sent = ""
    wakes = waking(orders.watch(request.app.state.parts, *refs))
    try:
        async for _ in wakes:
            group = await orders.own_order_group(request.db, request.viewer, group.id)
            html = await _fragment(request, group)
            yield ServerSentEventMessage(comment="still here", data=None) if html == sent else html
            sent = html
            if not order_words.story(group).live:
                return
    finally:
        await wakes.aclose()


@post("/orders/{order_id:uuid}/pay", permit="orders.buy", include_in_schema=False)
async def pay(request: Call, order_id: FromPath[UUID]) -> Redirect:
    """On to the payment page of a purchase that waits for it."""
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    gateway = request.part(StripeGateway)
    try:
        url = await orders.checkout_url(
            request.db, gateway, request.settings, request.viewer.user(), group.id
        )
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"/orders/{group.id}", said=("bad", problem.detail))
    if url:
        return Redirect(url, status_code=303, headers={"Cache-Control": "no-store"})
    words = "The payment page does not open just now. Nothing was charged; try again in a moment."
    said = ("wait", words) if group.state == "PENDING_PAYMENT" else None
    return see_other(request, f"/orders/{group.id}", said=said)


@get("/orders/{order_id:uuid}/cancel", permit="orders.buy", include_in_schema=False)
async def ask_cancel(request: Call, order_id: FromPath[UUID]) -> Response[Any]:
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    return await page(
        request,
        "layouts/confirm.html",
        heading="Cancel this order?",
        text=f"Nothing of {group.number} has been charged. What was held goes back on sale. "
        "This cannot be undone.",
        action=f"/orders/{group.id}/cancel",
        fields=[],
        confirm_label="Cancel the order",
        danger=True,
        back_href=f"/orders/{group.id}",
    )


@post("/orders/{order_id:uuid}/cancel", permit="orders.buy", include_in_schema=False)
async def cancel(request: Call, order_id: FromPath[UUID]) -> Redirect:
    """Give up before paying."""
    try:
        group_id = await orders.cancel_order(
            request.db, request.part(StripeGateway), request.settings, request.viewer, order_id
        )
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"/orders/{order_id}", said=("bad", problem.detail))
    return see_other(request, f"/orders/{group_id}", said=("good", "The order is cancelled."))


@get("/orders/{order_id:uuid}/confirm", permit="orders.own", include_in_schema=False)
async def ask_confirm(request: Call, order_id: FromPath[UUID]) -> Response[Any]:
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    chosen = next((o for o in group.orders if o.id == order_id), group.orders[0])
    things = order_words.goods_of(chosen.lines)
    return await page(
        request,
        "layouts/confirm.html",
        heading=things.question,
        text=f"The money for {chosen.number} then goes to {chosen.seller} and your protection for it ends. "
        "This cannot be undone. Say nothing and it goes there by itself when the protection ends.",
        action=f"/orders/{chosen.id}/confirm",
        fields=[],
        confirm_label=things.answer,
        danger=False,
        back_href=f"/orders/{group.id}",
    )


@post("/orders/{order_id:uuid}/confirm", permit="orders.own", include_in_schema=False)
async def confirm(request: Call, order_id: FromPath[UUID]) -> Redirect:
    """The buyer has what they paid for."""
    try:
        group_id = await orders.confirm_delivery(request.db, request.viewer, order_id)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"/orders/{order_id}", said=("bad", problem.detail))
    return see_other(
        request, f"/orders/{group_id}", said=("good", "Thank you. The money is with the seller now.")
    )


@post("/orders/{order_id:uuid}/again", permit="orders.own", include_in_schema=False)
async def again(request: Call, order_id: FromPath[UUID]) -> Redirect:
    """Everything of a purchase into the cart once more, at today's prices."""
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    missing: list[str] = []
    for line in (line for order in group.orders for line in order.lines):
        try:
            await orders.set_in_cart(
                request.db, request.viewer, None, listing_id=line.listing_id, quantity=line.quantity
            )
        except Problem:
            missing.append(f"“{line.title}”")
    if missing:
        words = f"Not for sale any more: {', '.join(missing)}."
        return see_other(request, "/cart", said=("wait", words))
    return see_other(request, "/cart", said=("good", "Everything is in your cart again."))


@get("/orders/{order_id:uuid}/receipt", permit="orders.own", include_in_schema=False)
async def receipt(request: Call, order_id: FromPath[UUID]) -> Response[bytes]:
    """The receipt as PDF."""
    settings = request.settings
    pdf = await orders.order_receipt(
        request.db,
        request.viewer,
        order_id,
        marketplace=settings.marketplace_name,
        support=settings.support_email,
    )
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    number = next((o.number for o in group.orders if o.id == order_id), group.orders[0].number)
    return Response(
        pdf,
        media_type="application/pdf",
        headers={
            "Content-Disposition": f'inline; filename="receipt-{number}.pdf"',
            "Cache-Control": "no-store",
        },
    )


routes = [
    index,
    returned,
    show,
    changing_part,
    live,
    pay,
    ask_cancel,
    cancel,
    ask_confirm,
    confirm,
    again,
    receipt,
]

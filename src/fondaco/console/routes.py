"""The desks over the API: orders, their story, find, queues, and the acts on orders and listings."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import console, orders
from fondaco.console.finding import MAX_TEXT
from fondaco.console.model import Found, ListingRow, OrderPage, Queue, TimelineItem
from fondaco.core.pagination import MAX_LIMIT
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders import OrderGroup
from fondaco.vault import Vault

State = Literal["PENDING_PAYMENT", "DELIVERED", "COMPLETED", "EXPIRED", "CANCELLED", "REFUNDED"]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]


class Wanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to find."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    """A number, id, address, name, title, provider's id, journal, or a key: a key is compared by its
    fingerprint and kept nowhere."""


class Reason(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why somebody of the staff does this."""

    because: Annotated[str, Meta(min_length=3, max_length=200)]


@get("/api/v1/console/queues", permit="console.see", summary="What waits, with clocks")
async def get_queues(request: Call) -> list[Queue]:
    return await console.queues(request.db, request.viewer)


@post("/api/v1/console/find", permit="console.see", status_code=200, summary="Find anything")
async def find(request: Call, data: JSONBody[Wanted]) -> list[Found]:
    return await console.find(request.db, request.viewer, data.text, vault=request.part(Vault))


@get("/api/v1/console/orders", permit="console.orders", summary="Orders of the whole marketplace")
async def list_orders(
    request: Call,
    *,
    q: Annotated[str, QueryParameter(max_length=100, description="Part of a number, address or title.")] = "",
    state_: Annotated[
        list[State] | None, QueryParameter(name="state", description="Only orders in one of these states.")
    ] = None,
    seller: Annotated[list[UUID] | None, QueryParameter(description="Only orders of these stores.")] = None,
    when: Annotated[
        str, QueryParameter(max_length=10, description="today, 7d, 30d, 90d, or a day such as 2030-01-31.")
    ] = "",
    sort: Annotated[Literal["new", "old", "total"], QueryParameter(description="Order of the list.")] = "new",
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> OrderPage:
    return await console.list_orders(
        request.db,
        request.viewer,
        request.cursors,
        q=q,
        states=state_ or [],
        sellers=seller or [],
        when=when,
        sort=sort,
        limit=limit,
        cursor=cursor,
    )


@get("/api/v1/console/orders/{order_id:uuid}", permit="console.orders", summary="One purchase")
async def get_order(request: Call, order_id: FromPath[UUID]) -> OrderGroup:
    return await orders.group_in_scope(request.db, request.viewer.as_staff, order_id)


@get(
    "/api/v1/console/orders/{order_id:uuid}/timeline",
    permit="console.orders",
    summary="The one story of an order",
    description="Orders, payments, provider's events, journals, stock, deliveries, reveals, mails and audit "
    "events in time. By the id of an order, or of a purchase for all of its orders.",
)
async def get_timeline(request: Call, order_id: FromPath[UUID]) -> list[TimelineItem]:
    return await console.timeline(request.db, request.viewer, order_id)


@post(
    "/api/v1/console/orders/{order_id:uuid}/cancel",
    permit="console.cancel_order",
    status_code=200,
    summary="Cancel a purchase that awaits its payment",
)
async def cancel_order(request: Call, order_id: FromPath[UUID], data: JSONBody[Reason]) -> OrderGroup:
    group_id = await orders.cancel_for_staff(
        request.db,
        request.part(StripeGateway),
        request.settings,
        request.viewer,
        order_id,
        because=data.because,
    )
    return await orders.group_in_scope(request.db, request.viewer.as_staff, group_id)


@post(
    "/api/v1/console/listings/{listing_id:uuid}/pause",
    permit="console.moderate",
    status_code=200,
    summary="Hide a listing from buyers",
)
async def pause_listing(request: Call, listing_id: FromPath[UUID], data: JSONBody[Reason]) -> ListingRow:
    return await console.pause_listing(request.db, request.viewer, listing_id, because=data.because)


routes: list[Any] = [
    get_queues,
    find,
    list_orders,
    get_order,
    get_timeline,
    cancel_order,
    pause_listing,
]

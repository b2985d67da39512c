"""The API of carts, quotes and a buyer's orders."""

from typing import Annotated, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import orders
from fondaco.core.pagination import MAX_LIMIT
from fondaco.core.problem import NotFound
from fondaco.core.web import Call
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders.carts import Cart
from fondaco.orders.model import MAX_LINES, MAX_QUANTITY, PurchaseKeyReused, Wish
from fondaco.orders.quoting import Quote
from fondaco.orders.reads import GroupPage, OrderGroup

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
Search = Annotated[str, QueryParameter(max_length=100, description="Part of a number or of a title.")]
State = Literal["PENDING_PAYMENT", "DELIVERED", "COMPLETED", "EXPIRED", "CANCELLED", "REFUNDED"]
States = Annotated[
    list[State] | None, QueryParameter(name="state", description="Only orders in one of these states.")
]
CartToken = Annotated[
    str | None,
    HeaderParameter(
        name="Cart-Token", max_length=100, description="A guest's cart; not needed when signed in."
    ),
]
Price = Annotated[int, Meta(ge=1, le=10**8, description="The unit price you saw, minor units.")]


class WantedLine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A listing to buy."""

    listing_id: UUID
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)] = 1
    price: Price | None = None
    price_version: Annotated[int, Meta(ge=1, le=2**31 - 1, description="`price_version` you saw.")] | None = (
        None
    )

    def wish(self) -> Wish:
        return Wish(self.listing_id, self.quantity, self.price, self.price_version)


Lines = Annotated[list[WantedLine], Meta(min_length=1, max_length=MAX_LINES)]


class CartChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How many of a listing shall be in the cart."""

    quantity: Annotated[int, Meta(ge=0, le=MAX_QUANTITY, description="0 takes it out.")]


class QuoteRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to quote; without lines the cart."""

    lines: Lines | None = None


class NewOrder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A purchase: the cart, or the given lines."""

    pay_with: Literal["wallet", "card", "instant_credit"]
    lines: Lines | None = None
    quote: Annotated[str, Meta(max_length=64)] | None = None
    """`fingerprint` of the quote that is confirmed. The cart needs it; lines may carry the price instead."""


class PlacedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase that stands."""

    order: OrderGroup
    checkout_url: Annotated[
        str | None, Meta(description="By card: where to pay now. Null when paid, or when to ask again.")
    ]


class CheckoutPage(msgspec.Struct, frozen=True, kw_only=True):
    """Where an order can be paid."""

    checkout_url: str | None


@get("/api/v1/cart", permit="cart.use", summary="The cart, re-checked")
async def get_cart(request: Call, cart_token: CartToken = None) -> Cart:
    return await orders.cart_of(request.db, request.viewer, cart_token)


@put(
    "/api/v1/cart/lines/{listing_id:uuid}",
    permit="cart.use",
    summary="Set how many of a listing are in the cart",
)
async def set_cart_line(
    request: Call, listing_id: FromPath[UUID], data: JSONBody[CartChange], cart_token: CartToken = None
) -> Cart:
    return await orders.set_in_cart(
        request.db, request.viewer, cart_token, listing_id=listing_id, quantity=data.quantity
    )


@delete("/api/v1/cart/lines/{listing_id:uuid}", permit="cart.use", summary="Take a listing out of the cart")
async def delete_cart_line(request: Call, listing_id: FromPath[UUID], cart_token: CartToken = None) -> None:
    await orders.remove_from_cart(request.db, request.viewer, cart_token, listing_id=listing_id)


@delete("/api/v1/cart", permit="cart.use", summary="Empty the cart")
async def delete_cart(request: Call, cart_token: CartToken = None) -> None:
    await orders.clear_cart(request.db, request.viewer, cart_token)


@post(
    "/api/v1/cart/merge",
    permit="orders.buy",
    status_code=200,
    summary="Take over the cart one had as a guest",
)
async def merge_cart(request: Call, cart_token: CartToken = None) -> Cart:
    merged = await orders.merge_guest_cart(request.db, request.viewer, cart_token)
    found = await orders.cart_of(request.db, request.viewer)
    return msgspec.structs.replace(found, left_out=merged.left_out)


@post(
    "/api/v1/quotes",
    permit="cart.use",
    status_code=200,
    summary="What it would cost now",
    description="Price, stock, state, region and store are checked; differences are named.",
)
async def make_quote(request: Call, data: JSONBody[QuoteRequest], cart_token: CartToken = None) -> Quote:
    if data.lines is None:
        return (await orders.cart_of(request.db, request.viewer, cart_token)).quote
    return await orders.quote(request.db, request.viewer, [line.wish() for line in data.lines])


class _Paying(msgspec.Struct):
    pay_with: str = ""


_paying = msgspec.json.Decoder(_Paying)


def pays_from_wallet(body: bytes) -> bool:
    """Whether this is a purchase from the wallet, whose key the purchase itself keeps."""
    try:
        return _paying.decode(body).pay_with == "wallet"
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


@post(
    "/api/v1/orders",
    permit="orders.buy",
    keeps_key=pays_from_wallet,
    summary="Buy",
    description="From the wallet the order is delivered when this answers. By card it is reserved, and "
    "delivered when it is paid at `checkout_url`. On `instant_credit`, where it is offered, it is delivered "
    "at once and what it costs is owed (`GET /api/v1/credit`). Nothing is ever charged at a price you did "
    "not see. "
    "From the wallet an `Idempotency-Key` stays with its purchase for ever: again it gets the first answer, "
    "with another purchase 409 `purchase_key_reused`.",
)
async def place_order(request: Call, data: JSONBody[NewOrder]) -> Response[PlacedOrder]:
    key = request.headers.get("idempotency-key")
    placed = await orders.checkout(
        request.app.state.parts,
        request.viewer,
        pay_with=data.pay_with,
        idem=key or uuid4().hex,
        wishes=None if data.lines is None else [line.wish() for line in data.lines],
        fingerprint=data.quote,
    )
    if data.pay_with != "wallet":
        group = await orders.own_order_group(request.db, request.viewer, placed.group_id)
        owed = group.pay_with == "instant_credit"
        # The key may be that of a purchase paid otherwise.
        if group.pay_with == "wallet" or owed != (data.pay_with == "instant_credit"):
            raise PurchaseKeyReused()
        return Response(PlacedOrder(order=group, checkout_url=placed.checkout_url))
    try:
        group = await orders.as_bought(request.db, request.viewer, placed.group_id)
    except NotFound:  # the key was that of a purchase paid otherwise
        raise PurchaseKeyReused() from None
    headers = {"Idempotent-Replayed": "true"} if placed.again else None
    return Response(PlacedOrder(order=group, checkout_url=None), headers=headers)


@get("/api/v1/orders", permit="orders.own", summary="One's purchases, newest first")
async def list_orders(
    request: Call, *, q: Search = "", state_: States = None, limit: Limit = 50, cursor: PageCursor = None
) -> GroupPage:
    return await orders.own_groups(
        request.db, request.viewer, request.cursors, q=q, states=state_ or [], limit=limit, cursor=cursor
    )


@get(
    "/api/v1/orders/{order_id:uuid}",
    permit="orders.own",
    summary="One purchase",
    description="By its id, or by the id of one of its orders.",
)
async def get_order(request: Call, order_id: FromPath[UUID]) -> OrderGroup:
    return await orders.own_order_group(request.db, request.viewer, order_id)


@post(
    "/api/v1/orders/{order_id:uuid}/pay",
    permit="orders.buy",
    status_code=200,
    summary="Where an order that awaits its payment can be paid",
)
async def pay_order(request: Call, order_id: FromPath[UUID]) -> CheckoutPage:
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    url = await orders.checkout_url(
        request.db, request.part(StripeGateway), request.settings, request.viewer.user(), group.id
    )
    return CheckoutPage(checkout_url=url)


@post(
    "/api/v1/orders/{order_id:uuid}/cancel",
    permit="orders.buy",
    status_code=200,
    summary="Give up a purchase before paying",
)
async def cancel_order(request: Call, order_id: FromPath[UUID]) -> OrderGroup:
    group_id = await orders.cancel_order(
        request.db, request.part(StripeGateway), request.settings, request.viewer, order_id
    )
    return await orders.own_order_group(request.db, request.viewer, group_id)


@post(
    "/api/v1/orders/{order_id:uuid}/confirm",
    permit="orders.own",
    status_code=200,
    summary="Confirm the delivery",
    description="The protection ends and the money goes to the seller now.",
)
async def confirm_order(request: Call, order_id: FromPath[UUID]) -> OrderGroup:
    group_id = await orders.confirm_delivery(request.db, request.viewer, order_id)
    return await orders.own_order_group(request.db, request.viewer, group_id)


@get(
    "/api/v1/orders/{order_id:uuid}/receipt",
    permit="orders.own",
    summary="The receipt as PDF",
    media_type="application/pdf",
)
async def get_receipt(request: Call, order_id: FromPath[UUID]) -> Response[bytes]:
    pdf = await orders.order_receipt(
        request.db,
        request.viewer,
        order_id,
        marketplace=request.settings.marketplace_name,
        support=request.settings.support_email,
    )
    headers = {
        "Content-Disposition": f'attachment; filename="receipt-{order_id}.pdf"',
        "Cache-Control": "private, no-store",
    }
    return Response(pdf, media_type="application/pdf", headers=headers)


routes = [
    get_cart,
    set_cart_line,
    delete_cart_line,
    delete_cart,
    merge_cart,
    make_quote,
    place_order,
    list_orders,
    get_order,
    pay_order,
    cancel_order,
    confirm_order,
    get_receipt,
]

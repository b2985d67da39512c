"""The API of a seller's orders and money."""

from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath, QueryParameter

from fondaco import orders
from fondaco.core.pagination import Page
from fondaco.core.web import Call
from fondaco.orders.routes import Limit, PageCursor, Search, States
from fondaco.orders.sales import MAX_DAYS, SalesDay, SellerBalance, SellerOrder, SellerOrderPage

Days = Annotated[int, QueryParameter(ge=1, le=MAX_DAYS, description="How many days, today included.")]
OfListing = Annotated[UUID | None, QueryParameter(description="Only orders with this listing.")]


@get("/api/v1/seller/orders", permit="sales.read", summary="The store's orders, newest first")
async def list_seller_orders(
    request: Call,
    *,
    q: Search = "",
    state_: States = None,
    listing_id: OfListing = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> SellerOrderPage:
    return await orders.seller_orders(
        request.db,
        request.viewer,
        request.cursors,
        q=q,
        states=state_ or [],
        listing_id=listing_id,
        limit=limit,
        cursor=cursor,
    )


@get("/api/v1/seller/orders/{order_id:uuid}", permit="sales.read", summary="One of the store's orders")
async def get_seller_order(request: Call, order_id: FromPath[UUID]) -> SellerOrder:
    return await orders.seller_order(request.db, request.viewer, order_id)


@get("/api/v1/seller/sales", permit="sales.read", summary="Sales per day")
async def get_seller_sales(request: Call, days: Days = 30) -> Page[SalesDay]:
    currency = request.settings.currency
    return Page(await orders.seller_sales(request.db, request.viewer, days=days, currency=currency))


@get("/api/v1/seller/balance", permit="balance.read", summary="The store's money")
async def get_seller_balance(request: Call) -> Page[SellerBalance]:
    return Page(await orders.seller_balance(request.db, request.viewer))


routes = [list_seller_orders, get_seller_order, get_seller_sales, get_seller_balance]

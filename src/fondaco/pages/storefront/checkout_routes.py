"""Checkout: what is paid is what was shown; whatever changed is shown and confirmed first."""

from typing import Any
from uuid import uuid4

from litestar import Response, get, post
from litestar.response import Redirect

from fondaco import credit, orders
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.orders import Quote, Wish
from fondaco.pages.context import page, see_other
from fondaco.pages.devices import device_cookies
from fondaco.pages.storefront.cart_routes import whole, words_of
from fondaco.pages.storefront.lines import grouped

MOST_DIGITS = 10


@get("/checkout", permit="orders.buy", include_in_schema=False)
async def show(request: Call) -> Response[Any]:
    """The cart, or the one listing the address names, re-checked and ready to be paid."""
    asked = dict(request.query_params.items())
    direct = direct_wish(asked)
    answer = await _page(request, direct, asked.get("store", ""))
    for cookie in await device_cookies(request, request.viewer.user()):
        answer.set_cookie(cookie)
    return answer


@post("/checkout", permit="orders.buy", include_in_schema=False)
async def pay(request: Call) -> Response[Any]:
    """Buy what was shown. The same form sent twice buys once."""
    fields = await request.fields()
    direct, store = direct_wish(fields), fields.get("store", "")
    if fields.get("changed") and fields.get("accept") != "yes":
        return await _page(request, direct, store, not_accepted=True)
    try:
        placed = await orders.checkout(
            request.app.state.parts,
            request.viewer,
            pay_with=fields.get("pay_with", ""),
            idem=fields.get("idem", ""),
            wishes=[direct] if direct else None,
            fingerprint=fields.get("quote", ""),
            store=store,
        )
    except Problem as problem:
        return await _page(request, direct, store, problem=problem)
    if placed.checkout_url:
        return Redirect(placed.checkout_url, status_code=303, headers={"Cache-Control": "no-store"})
    return see_other(request, f"/orders/{placed.group_id}")


def direct_wish(fields: dict[str, str]) -> Wish | None:
    """The one listing that is bought without the cart, with the price its buyer saw. Raises NotFound."""
    named = fields.get("listing_id", "")
    if not named:
        return None
    listing_id = parse_uuid(named)
    if listing_id is None:
        raise NotFound()
    price = fields.get("price", "")
    seen = int(price) if price.isascii() and price.isdigit() and len(price) <= MOST_DIGITS else None
    return Wish(listing_id, whole(fields.get("quantity") or "1"), seen)


async def _page(
    request: Call,
    direct: Wish | None,
    store: str,
    *,
    problem: Problem | None = None,
    not_accepted: bool = False,
) -> Response[Any]:
    quote, apart = await _quote(request, direct, store)
    if not quote.lines:
        return see_other(request, "/cart")
    return await page(
        request,
        "storefront/checkout.html",
        status=_status(quote, problem, not_accepted),
        quote=quote,
        groups=grouped(quote.lines),
        direct=direct,
        apart=apart,
        idem=uuid4().hex,
        problem=words_of(problem) if problem else "",
        not_accepted=not_accepted,
        missing=max(quote.total - quote.wallet, 0),
        offer=await _offer(request, quote),
        waiting=await _waiting(request),
        reserved_minutes=request.settings.reservation_minutes,
        protection_days=request.settings.protection_days,
    )


async def _quote(request: Call, direct: Wish | None, store: str) -> tuple[Quote, dict[str, str]]:
    """What is to be paid now, and what else of the cart makes a purchase of its own: store to what it is."""
    if direct:
        return await orders.quote(request.db, request.viewer, [direct]), {}
    whole_cart = (await orders.cart_of(request.db, request.viewer)).quote
    if whole_cart.purchases <= 1:
        return whole_cart, {}
    quote, _ = await orders.present(request.db, request.viewer, None, store=store)
    now = {line.purchase for line in quote.lines}
    others = [line for line in whole_cart.lines if line.purchase not in now]
    return quote, {x.purchase: x.seller if x.at_sale else "the other stores" for x in others}


async def _offer(request: Call, quote: Quote) -> credit.Offer | None:
    """Credit for what the wallet does not hold, where there is any."""
    if not quote.can_buy or quote.enough or quote.at_sale:
        return None
    return await credit.offer(request.db, request.viewer, quote.currency, quote.total)


def _status(quote: Quote, problem: Problem | None, not_accepted: bool) -> int:
    if problem:
        return problem.status if problem.status in (409, 429, 503) else 422
    return 422 if not_accepted else 200


async def _waiting(request: Call) -> orders.OrderGroup | None:
    """An earlier purchase that still awaits its payment."""
    found = await orders.own_groups(
        request.db, request.viewer, request.cursors, states=["PENDING_PAYMENT"], limit=1
    )
    return found.items[0] if found.items else None


routes = [show, pay]

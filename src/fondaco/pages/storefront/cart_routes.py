"""The cart: what somebody means to buy, re-checked at every look. Guests have one too."""

from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from litestar import Response, get, post

from fondaco import orders
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call, safe_next
from fondaco.orders import Cart
from fondaco.pages.context import Said, cart_cookie, fragment, guest_cart, page, see_other
from fondaco.pages.storefront.lines import grouped


@get("/cart", permit="cart.use", include_in_schema=False)
async def show(request: Call) -> Response[Any]:
    """Everything in it, per seller, with what changed since it was put in."""
    cart = await orders.cart_of(request.db, request.viewer, guest_cart(request))
    return await page(
        request,
        "storefront/cart.html",
        cart=cart,
        quote=cart.quote,
        groups=grouped(cart.quote.lines),
        cart_count=cart.count,
        protection_days=request.settings.protection_days,
    )


@post("/cart/add", permit="cart.use", include_in_schema=False)
async def add(request: Call) -> Response[Any]:
    """Into the cart, or straight to the checkout with this one listing."""
    fields = await request.fields()
    listing_id = parse_uuid(fields.get("listing_id", ""))
    if listing_id is None:
        raise NotFound()
    if fields.get("then") == "checkout":
        return see_other(request, buy_now_url(fields))
    try:
        cart = await orders.add_to_cart(
            request.db,
            request.viewer,
            guest_cart(request),
            listing_id=listing_id,
            quantity=whole(fields.get("quantity", "1")),
        )
    except Problem as problem:
        return _said(request, ("bad", words_of(problem)), None)
    title = next((line.title for line in cart.quote.lines if line.listing_id == listing_id), "It")
    return _said(request, ("good", f"“{title}” is in your cart."), cart)


def buy_now_url(fields: dict[str, str]) -> str:
    """The checkout of one listing, with the price that was seen."""
    named = {name: fields.get(name, "") for name in ("listing_id", "quantity", "price")}
    return "/checkout?" + urlencode({name: value for name, value in named.items() if value})


def _said(request: Call, said: Said, cart: Cart | None) -> Response[Any]:
    """Back to where the button was; a call by script gets the new cart link alone."""
    cookies = [cart_cookie(request.settings, cart.token)] if cart and cart.token else []
    if request.headers.get("hx-request") != "true":
        return see_other(request, _back(request), said=said, cookies=cookies)
    body = fragment(request, "layouts/_cart_link.html", cart_count=cart.count, swap=True) if cart else ""
    event = msgspec.json.encode({"fondaco:said": {"text": said[1]}}).decode()
    # A header holds ASCII only: other letters as JSON escapes.
    trigger = "".join(c if ord(c) < 127 else f"\\u{ord(c):04x}" for c in _narrow(event))
    return Response(
        body,
        status_code=200,
        media_type="text/html",
        headers={"HX-Trigger": trigger, "Cache-Control": "no-store"},
        cookies=cookies,
    )


def _narrow(text: str) -> str:
    """Without the characters that JSON would write as two."""
    return "".join(c if ord(c) < 0x10000 else "?" for c in text)


def _back(request: Call) -> str:
    """The page of this site the form was on; the cart when the browser does not tell."""
    came = urlsplit(request.headers.get("referer", ""))
    if came.netloc != request.headers.get("host", ""):
        return "/cart"
    return safe_next(f"{came.path}?{came.query}" if came.query else came.path, "/cart")


@post("/cart/set", permit="cart.use", include_in_schema=False)
async def set_quantity(request: Call) -> Response[Any]:
    """Another quantity of one line; it is seen at its present price from now on."""
    fields = await request.fields()
    listing_id = parse_uuid(fields.get("listing_id", ""))
    if listing_id is None:
        raise NotFound()
    said: Said | None = None
    try:
        await orders.set_in_cart(
            request.db,
            request.viewer,
            guest_cart(request),
            listing_id=listing_id,
            quantity=whole(fields.get("quantity", "")),
        )
    except Problem as problem:
        said = ("bad", words_of(problem))
    return see_other(request, safe_next(fields.get("next"), "/cart"), said=said)


@post("/cart/remove", permit="cart.use", include_in_schema=False)
async def remove(request: Call) -> Response[Any]:
    """One line out of the cart."""
    fields = await request.fields()
    listing_id = parse_uuid(fields.get("listing_id", ""))
    if listing_id is None:
        raise NotFound()
    await orders.remove_from_cart(request.db, request.viewer, guest_cart(request), listing_id=listing_id)
    return see_other(
        request, safe_next(fields.get("next"), "/cart"), said=("good", "Taken out of your cart.")
    )


def whole(text: str) -> int:
    """A quantity as typed; raises Invalid."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
        raise Invalid(fields={"quantity": "Write the quantity in digits, like 2."})
    return int(digits)


def words_of(problem: Problem) -> str:
    """A problem as one message."""
    if isinstance(problem, NotFound):
        return "That listing is not on sale any more."
    if isinstance(problem, Invalid) and problem.fields:
        return " ".join(problem.fields.values())
    return problem.detail


routes = [show, add, set_quantity, remove]

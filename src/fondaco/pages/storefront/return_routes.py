"""A buyer gives back what they have not opened."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from fondaco import refunds
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.context import page, see_other
from fondaco.pages.render import format_money, plural


@get("/orders/lines/{line_id:uuid}/return", permit="orders.own", include_in_schema=False)
async def ask(request: Call, line_id: FromPath[UUID]) -> Response[Any]:
    try:
        offer = await refunds.returnable(request.db, request.viewer, line_id)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, "/orders", said=("bad", problem.detail))
    amount = format_money(offer.amount, offer.currency)
    some = f" ({offer.units} of {plural(offer.of, 'unit')}; what you have opened stays yours)"
    return await page(
        request,
        "layouts/confirm.html",
        heading=f"Give “{offer.title}” back?",
        text=f"{amount} are in your wallet at once{some if offer.units < offer.of else ''}. You can no "
        "longer open what you give back. This cannot be undone.",
        action=f"/orders/lines/{line_id}/return",
        fields=[],
        confirm_label="Give it back",
        danger=True,
        back_href=f"/orders/{offer.group_id}",
    )


@post("/orders/lines/{line_id:uuid}/return", permit="orders.own", include_in_schema=False)
async def give(request: Call, line_id: FromPath[UUID]) -> Redirect:
    try:
        given = await refunds.give_back(request.db, request.viewer, line_id)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, "/orders", said=("bad", problem.detail))
    said = ("good", f"{format_money(given.amount, given.currency)} are in your wallet.")
    return see_other(request, f"/orders/{given.group_id}", said=said)


routes = [ask, give]

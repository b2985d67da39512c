"""Chargebacks of money that paid for a store's goods: what it means for the store, and what it may add."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import chargebacks
from fondaco.core.pagination import BadCursor
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb, plural
from fondaco.pages.seller.parts import HOME, can, desk, read_query

LIST = f"{HOME}/chargebacks"
SPEC = ListSpec(LIST, sizes=(25, 50, 100))


@get("/seller/chargebacks", permit="sales.read", include_in_schema=False)
async def index(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    try:
        found = await chargebacks.sale_chargebacks(
            request.db,
            request.viewer,
            request.cursors,
            limit=query.size,
            cursor=query.after or query.before or None,
        )
    except BadCursor:
        return see_other(request, LIST)
    return await desk(
        request,
        "seller/chargebacks.html",
        here=LIST,
        crumbs=[Crumb("Chargebacks")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        reason_words=chargebacks.reason_words,
    )


@get("/seller/chargebacks/{chargeback_id:uuid}", permit="sales.read", include_in_schema=False)
async def show(request: Call, chargeback_id: FromPath[UUID]) -> Response[Any]:
    return await _show(request, chargeback_id)


async def _show(
    request: Call, chargeback_id: UUID, typed: str = "", problem: Problem | None = None
) -> Response[Any]:
    one = await chargebacks.sale_chargeback(request.db, request.viewer, chargeback_id)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    about = one.orders[0] if len(one.orders) == 1 else plural(len(one.orders), "order")
    return await desk(
        request,
        "seller/chargeback.html",
        here=LIST,
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Chargebacks", LIST), Crumb(about)],
        one=one,
        about=about,
        numbered=list(zip(one.orders, one.order_ids, strict=False)) if len(one.order_ids) == 1 else [],
        why=chargebacks.reason_words(one.reason),
        may_answer=can(request.viewer, "cases.answer"),
        typed=typed,
        errors=errors,
        alert=alert,
    )


@post("/seller/chargebacks/{chargeback_id:uuid}/add", permit="cases.answer", include_in_schema=False)
async def add(request: Call, chargeback_id: FromPath[UUID]) -> Response[Any]:
    text = (await request.fields()).get("text", "")
    try:
        await chargebacks.add_statement(request.db, request.viewer, chargeback_id, text)
    except NotFound:
        raise
    except Problem as problem:
        return await _show(request, chargeback_id, text, problem)
    return see_other(
        request, f"{LIST}/{chargeback_id}", said=("good", "Added. It goes to the bank with the rest.")
    )


routes = [index, show, add]

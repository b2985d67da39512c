"""A store gives money of a sale back, and answers buyers whose key does not work."""

from collections.abc import Mapping
from typing import Any, Literal, cast
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import orders, refunds
from fondaco.core.ids import parse_uuid, uuid7
from fondaco.core.money import parse_amount
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.identity.permissions import PERMISSIONS
from fondaco.orders import SellerOrder, SellerOrderLine
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.listquery import Facet, FacetValue, ListSpec
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, desk, read_query
from fondaco.pages.seller.sales_routes import ORDERS
from fondaco.pages.states import state_mark
from fondaco.refunds.model import BAD_KEY_STATES, SELLER_REASONS

REPORTS = f"{HOME}/reports"
SPEC = ListSpec(REPORTS, facets=("state",), sizes=(25, 50, 100))
SAID = {
    "replace": "The buyer has another key.",
    "refund": "The money is in the buyer's wallet.",
    "refuse": "The buyer is told.",
}


def amount_of(text: str, currency: str) -> int | None:
    """Minor units of what somebody typed; None for nothing typed. Raises Invalid."""
    if not text.strip():
        return None
    try:
        return parse_amount(text, currency)
    except Problem as problem:
        raise Invalid(fields={"amount": problem.detail}) from None


@get(
    "/seller/orders/{order_id:uuid}/lines/{line_id:uuid}/refund",
    permit="sales.refund",
    include_in_schema=False,
)
async def ask(request: Call, order_id: FromPath[UUID], line_id: FromPath[UUID]) -> Response[Any]:
    return await _page(request, order_id, line_id, {})


@post(
    "/seller/orders/{order_id:uuid}/lines/{line_id:uuid}/refund",
    permit="sales.refund",
    include_in_schema=False,
)
async def give(request: Call, order_id: FromPath[UUID], line_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    _, line = await _line(request, order_id, line_id)
    try:
        await refunds.refund_by_seller(
            request.db,
            request.viewer,
            line_id,
            amount_of(fields.get("amount", ""), line.currency),
            reason=fields.get("reason", ""),
            why=fields.get("why", ""),
            refund_id=parse_uuid(fields.get("refund_id", "")),
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _page(request, order_id, line_id, fields, problem)
    return see_other(request, f"{ORDERS}/{order_id}", said=("good", SAID["refund"]))


async def _line(request: Call, order_id: UUID, line_id: UUID) -> tuple[SellerOrder, SellerOrderLine]:
    order = await orders.seller_order(request.db, request.viewer, order_id)
    for line in order.lines:
        if line.id == line_id:
            return order, line
    raise NotFound()


async def _page(
    request: Call, order_id: UUID, line_id: UUID, given: Mapping[str, str], problem: Problem | None = None
) -> Response[Any]:
    order, line = await _line(request, order_id, line_id)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "seller/refund.html",
        status=form_status(problem) if problem else 200,
        here=ORDERS,
        crumbs=[
            Crumb("Orders", ORDERS),
            Crumb(order.number, f"{ORDERS}/{order_id}"),
            Crumb("Give money back"),
        ],
        order=order,
        line=line,
        left=line.total - line.refunded,
        refund_id=given.get("refund_id") or uuid7(),  # sent twice it is one refund
        given=given,
        errors=errors,
        alert=alert,
        reasons=[(code, refunds.REASONS[code]) for code in SELLER_REASONS],
    )


@get(REPORTS, permit="sales.read", include_in_schema=False)
async def reports(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    found = await refunds.store_bad_keys(
        request.db,
        request.viewer,
        request.cursors,
        states=[s for s in query.values("state") if s in BAD_KEY_STATES],
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    states = [FacetValue(s, state_mark(s, "bad_key").words) for s in BAD_KEY_STATES]
    return await desk(
        request,
        "seller/reports.html",
        here=REPORTS,
        crumbs=[Crumb("Reported keys")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        facets=[Facet("state", "State", states)],
    )


@get("/seller/reports/{report_id:uuid}", permit="sales.read", include_in_schema=False)
async def report(request: Call, report_id: FromPath[UUID]) -> Response[Any]:
    return await _report_page(request, report_id)


@post("/seller/reports/{report_id:uuid}/{act:str}", permit="sales.refund", include_in_schema=False)
async def answer(request: Call, report_id: FromPath[UUID], act: FromPath[str]) -> Response[Any]:
    words = (await request.fields()).get("words", "")
    if act not in SAID:
        raise NotFound()
    try:
        await refunds.answer_report(
            request.db,
            request.viewer,
            request.viewer.as_seller,
            report_id,
            answer=cast(Literal["replace", "refund", "refuse"], act),
            words=words,
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _report_page(request, report_id, words, problem)
    return see_other(request, f"/seller/reports/{report_id}", said=("good", SAID[act]))


async def _report_page(
    request: Call, report_id: UUID, words: str = "", problem: Problem | None = None
) -> Response[Any]:
    found = await refunds.bad_key(request.db, request.viewer.as_seller, report_id)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "seller/report.html",
        status=form_status(problem) if problem else 200,
        here=REPORTS,
        crumbs=[Crumb("Reported keys", REPORTS), Crumb("A key does not work")],
        report=found,
        may_answer=bool(request.viewer.roles & PERMISSIONS["sales.refund"]),
        answer=words,
        errors=errors,
        alert=alert,
    )


routes = [ask, give, reports, report, answer]

"""Desks give money of a line back, pay goodwill, and ask for a journal to be undone."""

from collections.abc import Mapping
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import console, orders, refunds
from fondaco.core.ids import parse_uuid, uuid7
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.orders import Order, OrderGroup, OrderLine
from fondaco.pages.console.order_routes import LIST
from fondaco.pages.console.parts import HOME, ask_reason, desk
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb
from fondaco.pages.seller.refund_routes import amount_of
from fondaco.refunds.model import STAFF_REASONS

ASKED = ("wait", "A second person has been asked. It happens when they approve it.")


@get(
    "/console/orders/{order_id:uuid}/lines/{line_id:uuid}/refund",
    permit="console.refund",
    include_in_schema=False,
)
async def ask_refund(request: Call, order_id: FromPath[UUID], line_id: FromPath[UUID]) -> Response[str]:
    return await _refund_page(request, order_id, line_id, {})


@post(
    "/console/orders/{order_id:uuid}/lines/{line_id:uuid}/refund",
    permit="console.refund",
    include_in_schema=False,
)
async def refund(request: Call, order_id: FromPath[UUID], line_id: FromPath[UUID]) -> Response[str]:
    fields = await request.fields()
    _, _, line = await _line(request, order_id, line_id)
    try:
        if (to := fields.get("to", "wallet")) not in ("wallet", "source"):
            raise Invalid(fields={"to": "Choose where it goes."})
        done = await refunds.refund_by_staff(
            request.db,
            request.viewer,
            request.settings,
            line_id,
            amount_of(fields.get("amount", ""), line.currency),
            to=to,
            reason=fields.get("reason", ""),
            why=fields.get("why", ""),
            keep=fields.get("keep") == "yes",
            refund_id=parse_uuid(fields.get("refund_id", "")),
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _refund_page(request, order_id, line_id, fields, problem)
    said = ("good", "The money is given back.") if done else ASKED
    return see_other(request, f"{LIST}/{order_id}", said=said)


async def _line(request: Call, order_id: UUID, line_id: UUID) -> tuple[OrderGroup, Order, OrderLine]:
    group = await orders.group_in_scope(request.db, request.viewer.as_staff, order_id)
    for order in group.orders:
        for line in order.lines:
            if line.id == line_id and order_id == order.id:
                return group, order, line
    raise NotFound()


async def _refund_page(
    request: Call, order_id: UUID, line_id: UUID, given: Mapping[str, str], problem: Problem | None = None
) -> Response[str]:
    group, order, line = await _line(request, order_id, line_id)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "refund.html",
        status=form_status(problem) if problem else 200,
        here=LIST,
        crumbs=[Crumb("Orders", LIST), Crumb(order.number, f"{LIST}/{order_id}"), Crumb("Refund")],
        order=order,
        line=line,
        left=line.total - line.refunded,
        refund_id=given.get("refund_id") or uuid7(),  # sent twice it is one refund
        limit=request.settings.refund_limit,
        alone=request.viewer.staff_role in ("finance", "admin"),
        card=group.pay_with in ("card", "destination"),
        given=given,
        errors=errors,
        alert=alert,
        reasons=[(code, refunds.REASONS[code]) for code in STAFF_REASONS],
    )


@get("/console/people/{user_id:uuid}/goodwill", permit="console.adjust", include_in_schema=False)
async def ask_goodwill(request: Call, user_id: FromPath[UUID]) -> Response[str]:
    return await _goodwill_page(request, user_id, {})


@post("/console/people/{user_id:uuid}/goodwill", permit="console.adjust", include_in_schema=False)
async def goodwill(request: Call, user_id: FromPath[UUID]) -> Response[str]:
    fields = await request.fields()
    settings = request.settings
    try:
        amount = amount_of(fields.get("amount", ""), settings.currency)
        key = parse_uuid(fields.get("key", ""))
        if amount is None or key is None:
            raise Invalid(fields={"amount": "Say how much."})
        done = await refunds.pay_goodwill(
            request.db,
            request.viewer,
            settings,
            key=key,
            amount=amount,
            currency=settings.currency,
            why=fields.get("why", ""),
            user_id=user_id,
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _goodwill_page(request, user_id, fields, problem)
    said = ("good", "Paid. It is in their wallet.") if done else ASKED
    return see_other(request, f"{HOME}/people/{user_id}", said=said)


async def _goodwill_page(
    request: Call, user_id: UUID, given: Mapping[str, str], problem: Problem | None = None
) -> Response[str]:
    person, _ = await console.person_row(request.db, request.viewer, user_id)
    page = f"{HOME}/people/{user_id}"
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "goodwill.html",
        status=form_status(problem) if problem else 200,
        here=f"{HOME}/people",
        crumbs=[Crumb("People", f"{HOME}/people"), Crumb(person.email, page), Crumb("Goodwill")],
        to=f"into the wallet of {person.email}",
        limit=request.settings.goodwill_limit,
        currency=request.settings.currency,
        key=parse_uuid(given.get("key", "")) or uuid7(),
        action=f"{page}/goodwill",
        back=page,
        given=given,
        errors=errors,
        alert=alert,
    )


@get("/console/ledger/journals/{journal_id:int}/undo", permit="console.adjust", include_in_schema=False)
async def ask_undo(request: Call, journal_id: FromPath[int]) -> Response[str]:
    return await _undo_page(request, journal_id)


@post("/console/ledger/journals/{journal_id:int}/undo", permit="console.adjust", include_in_schema=False)
async def undo(request: Call, journal_id: FromPath[int]) -> Response[str]:
    because = (await request.fields()).get("because", "")
    try:
        asked = await refunds.ask_reversal(request.db, request.viewer, journal_id, because)
    except NotFound:
        raise
    except Problem as problem:
        return await _undo_page(request, journal_id, because, problem)
    return see_other(request, f"{HOME}/approvals/{asked}", said=ASKED)


async def _undo_page(
    request: Call, journal_id: int, because: str = "", problem: Problem | None = None
) -> Response[str]:
    ledger, page = f"{HOME}/ledger", f"{HOME}/ledger/journals/{journal_id}"
    return await ask_reason(
        request,
        here=ledger,
        crumbs=[Crumb("Ledger", ledger), Crumb(f"Journal {journal_id}", page), Crumb("Undo")],
        heading=f"Undo journal {journal_id}?",
        texts=[
            "A second person is asked. When they approve, its exact mirror is written; nothing is deleted.",
            "A journal that belongs to an order, a payment or a payout is undone there, not here.",
        ],
        help_text="Whoever decides reads it. 3 to 200 characters.",
        action=f"{page}/undo",
        label="Ask a second person",
        back=page,
        given=because,
        problem=problem,
    )


routes = [ask_refund, refund, ask_goodwill, goodwill, ask_undo, undo]

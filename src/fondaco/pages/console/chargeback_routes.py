"""The desk of chargebacks: the queue by deadline, one chargeback with its evidence, what is owed, wallets."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import chargebacks, console
from fondaco.core import counting
from fondaco.core.money import Money
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.console.parts import (
    HOME,
    SIZES,
    ask_reason,
    cursor_of,
    desk,
    known,
    read_list,
    refusal,
    states_facet,
    words_facet,
)
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.listquery import ListSpec, SavedView
from fondaco.pages.render import Crumb
from fondaco.pages.states import state_mark

LIST = f"{HOME}/chargebacks"
SPEC = ListSpec(
    LIST,
    facets=("state", "only"),
    sorts={"due": "Nearest deadline", "new": "Newest"},
    sizes=SIZES,
)
ONLY = {"owing": "Something is owed"}
SAVED = (
    SavedView("To answer", f"{LIST}?state=NEEDS_RESPONSE&state=WARNING_NEEDS_RESPONSE"),
    SavedView("Owed by buyers", f"{LIST}?only=owing"),
)
FIELDS = {
    "product_description": "What was bought",
    "customer_name": "Customer's name",
    "customer_email_address": "Customer's address",
    "customer_purchase_ip": "Network address",
    "access_activity_log": "Deliveries and openings",
    "service_date": "Date of the payment",
    "refund_policy_disclosure": "Refund policy",
    "uncategorized_text": "More",
}
ASKED = ("wait", "A second person has been asked. It happens when they approve it.")


@get("/console/chargebacks", permit="console.chargebacks", include_in_schema=False)
async def index(request: Call) -> Response[str]:
    db, viewer = request.db, request.viewer
    query = read_list(request, SPEC)
    chosen = known(query, "state", chargebacks.STATES)
    owing = "owing" in known(query, "only", ONLY)
    found = await chargebacks.list_chargebacks(
        db,
        viewer,
        request.cursors,
        q=query.q,
        states=chosen,
        owing=owing,
        sort=query.sort,
        limit=query.size,
        cursor=cursor_of(query),
    )
    figures = await chargebacks.outcomes(db, viewer)
    return await desk(
        request,
        "chargebacks.html",
        here=LIST,
        crumbs=[Crumb("Chargebacks")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        total=None if owing else counting.total(counting.shown(found.states), chosen),
        facets=[
            states_facet(chargebacks.STATES, "chargeback", found.states),
            words_facet("only", "Only", ONLY),
        ],
        saved=SAVED,
        reason_words=chargebacks.reason_words,
        figures=figures,
        outcomes=[(state_mark(s, "chargeback").words, n) for s, n in figures.outcomes.items()],
        warnings=await chargebacks.blocking_warnings(db, viewer),
    )


@get("/console/chargebacks/{chargeback_id:uuid}", permit="console.chargebacks", include_in_schema=False)
async def show(request: Call, chargeback_id: FromPath[UUID]) -> Response[str]:
    return await _show(request, chargeback_id, {})


async def _show(
    request: Call, chargeback_id: UUID, typed: Mapping[str, str], problem: Problem | None = None
) -> Response[str]:
    db, viewer = request.db, request.viewer
    found = await chargebacks.read_chargeback(db, viewer, chargeback_id)
    one = found.chargeback
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "chargeback.html",
        here=LIST,
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Chargebacks", LIST), Crumb(found.buyer)],
        found=found,
        one=one,
        base=f"{LIST}/{chargeback_id}",
        why=chargebacks.reason_words(one.reason),
        fields=FIELDS,
        by_itself=request.settings.evidence_unconfirmed == "send",
        hours=request.settings.evidence_hours,
        can_let_go=_can_let_go(found),
        story=await console.funding_timeline(db, viewer, one.funding_id),
        typed=typed,
        errors=errors,
        alert=alert,
    )


def _can_let_go(found: chargebacks.ChargebackDetail) -> bool:
    one = found.chargeback
    return found.standing == "WALLET_AT_RISK" and one.state == "LOST" and not one.owed


@post(
    "/console/chargebacks/{chargeback_id:uuid}/words",
    permit="console.chargeback_submit",
    include_in_schema=False,
)
async def words(request: Call, chargeback_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    try:
        await chargebacks.write_words(
            request.db, request.viewer, chargeback_id, fields.get("words", ""), _version(fields)
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _show(request, chargeback_id, fields, problem)
    return see_other(request, f"{LIST}/{chargeback_id}", said=("good", "Kept. It goes with the evidence."))


@get(
    "/console/chargebacks/{chargeback_id:uuid}/confirm",
    permit="console.chargeback_submit",
    include_in_schema=False,
)
async def ask_confirm(request: Call, chargeback_id: FromPath[UUID]) -> Response[str]:
    """What will be sent, once more, before it cannot be changed."""
    found = await chargebacks.read_chargeback(request.db, request.viewer, chargeback_id)
    if not found.evidence:
        raise NotFound()
    return await desk(
        request,
        "chargeback_confirm.html",
        here=LIST,
        crumbs=[
            Crumb("Chargebacks", LIST),
            Crumb(found.buyer, f"{LIST}/{chargeback_id}"),
            Crumb("Send the evidence"),
        ],
        found=found,
        one=found.chargeback,
        evidence=found.evidence[0],
        base=f"{LIST}/{chargeback_id}",
        fields=FIELDS,
    )


@post(
    "/console/chargebacks/{chargeback_id:uuid}/confirm",
    permit="console.chargeback_submit",
    include_in_schema=False,
)
async def confirm(request: Call, chargeback_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    page = f"{LIST}/{chargeback_id}"
    try:
        await chargebacks.confirm(request.db, request.viewer, chargeback_id, _version(fields))
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, page, said=refusal(problem))
    return see_other(request, page, said=("good", "Confirmed. It is on its way to the bank."))


@get(
    "/console/chargebacks/{chargeback_id:uuid}/write-off",
    permit="console.chargeback_submit",
    include_in_schema=False,
)
async def ask_write_off(request: Call, chargeback_id: FromPath[UUID]) -> Response[str]:
    return await _write_off_page(request, chargeback_id)


@post(
    "/console/chargebacks/{chargeback_id:uuid}/write-off",
    permit="console.chargeback_submit",
    include_in_schema=False,
)
async def write_off(request: Call, chargeback_id: FromPath[UUID]) -> Response[Any]:
    because = (await request.fields()).get("because", "")
    try:
        asked = await chargebacks.ask_write_off(request.db, request.viewer, chargeback_id, because)
    except NotFound:
        raise
    except Problem as problem:
        return await _write_off_page(request, chargeback_id, because, _named(problem))
    return see_other(request, f"{HOME}/approvals/{asked}", said=ASKED)


async def _write_off_page(
    request: Call, chargeback_id: UUID, because: str = "", problem: Problem | None = None
) -> Response[str]:
    found = await chargebacks.read_chargeback(request.db, request.viewer, chargeback_id)
    owed = Money(found.chargeback.owed, found.chargeback.currency)
    return await ask_reason(
        request,
        here=LIST,
        crumbs=[
            Crumb("Chargebacks", LIST),
            Crumb(found.buyer, f"{LIST}/{chargeback_id}"),
            Crumb("Write off"),
        ],
        heading=f"Write off {owed}?",
        texts=[
            f"{found.buyer} owes {owed} after this chargeback was lost. Written off, we bear it.",
            "A second person is asked. The wallet stays blocked until somebody lets it go.",
        ],
        help_text="Whoever decides reads it. 3 to 200 characters.",
        action=f"{LIST}/{chargeback_id}/write-off",
        label="Ask a second person",
        back=f"{LIST}/{chargeback_id}",
        given=because,
        problem=problem,
    )


@get("/console/people/{user_id:uuid}/let-go", permit="console.chargeback_submit", include_in_schema=False)
async def ask_let_go(request: Call, user_id: FromPath[UUID]) -> Response[str]:
    return await _let_go_page(request, user_id)


@post("/console/people/{user_id:uuid}/let-go", permit="console.chargeback_submit", include_in_schema=False)
async def let_go(request: Call, user_id: FromPath[UUID]) -> Response[Any]:
    because = (await request.fields()).get("because", "")
    try:
        await chargebacks.clear(request.db, request.viewer, user_id, because)
    except NotFound:
        raise
    except Problem as problem:
        return await _let_go_page(request, user_id, because, _named(problem))
    return see_other(request, f"{HOME}/people/{user_id}", said=("good", "The wallet can be used again."))


async def _let_go_page(
    request: Call, user_id: UUID, because: str = "", problem: Problem | None = None
) -> Response[str]:
    person, _ = await console.person_row(request.db, request.viewer, user_id)
    page = f"{HOME}/people/{user_id}"
    return await ask_reason(
        request,
        here=LIST,
        crumbs=[Crumb("People", f"{HOME}/people"), Crumb(person.email, page), Crumb("Let the wallet go")],
        heading=f"Let the wallet of {person.email} go?",
        texts=["They can buy from it and send money back to their card again, at once."],
        help_text="It stands in the audit log. 3 to 200 characters.",
        action=f"{page}/let-go",
        label="Let it go",
        back=page,
        given=because,
        problem=problem,
    )


def _named(problem: Problem) -> Problem:
    """The reason's fault at the field of this page."""
    if isinstance(problem, Invalid) and "why" in problem.fields:
        return Invalid(fields={"because": problem.fields["why"]})
    return problem


def _version(fields: Mapping[str, str]) -> int:
    text = fields.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


routes = [index, show, words, ask_confirm, confirm, ask_write_off, write_off, ask_let_go, let_go]

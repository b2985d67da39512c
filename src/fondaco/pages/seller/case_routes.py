"""A store's cases: the queue, one case, and what the store may do."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import ServerSentEvent

from fondaco import cases
from fondaco.cases import Acting
from fondaco.cases.files_routes import file_answer
from fondaco.core import counting
from fondaco.core.money import BadAmount, parse_amount
from fondaco.core.pagination import BadCursor
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.integrations.blobs import Blobs
from fondaco.pages.case_words import shown
from fondaco.pages.context import form_status, see_other
from fondaco.pages.listquery import Facet, FacetValue, ListSpec
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, can, desk, read_query
from fondaco.pages.states import state_mark
from fondaco.pages.storefront.case_routes import (
    evidence_answer,
    fragment_answer,
    live_answer,
    refused,
    written,
)

LIST = f"{HOME}/cases"
SPEC = ListSpec(LIST, facets=("state",), sizes=(25, 50, 100))


@get("/seller/cases", permit="sales.read", include_in_schema=False)
async def index(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    chosen = [s for s in query.values("state") if s in cases.STATES]
    try:
        found = await cases.list_cases(
            request.db,
            Acting("seller", request.viewer),
            request.cursors,
            q=query.q,
            states=chosen,
            sort="due",
            limit=query.size,
            cursor=query.after or query.before or None,
        )
    except BadCursor:
        return see_other(request, query.with_(sort=query.sort).url())
    counts = counting.shown(found.states, newest=True)
    values = [FacetValue(s, state_mark(s, "case").words, counts.get(s, 0)) for s in cases.STATES]
    return await desk(
        request,
        "seller/cases.html",
        here=LIST,
        crumbs=[Crumb("Cases")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        total=counting.total(counts, chosen),
        facets=[Facet("state", "State", values)],
    )


@get("/seller/cases/{case_id:uuid}", permit="sales.read", include_in_schema=False)
async def show(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    return await _case_page(request, case_id)


async def _case_page(
    request: Call, case_id: UUID, typed: Mapping[str, str] | None = None, problem: Problem | None = None
) -> Response[Any]:
    found = await cases.read_case(request.db, Acting("seller", request.viewer), case_id)
    return await desk(
        request,
        "seller/case.html",
        here=LIST,
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Cases", LIST), Crumb(found.case.number)],
        base=f"{LIST}/{case_id}",
        order_href=f"{HOME}/orders/{found.case.order_id}",
        may_answer=can(request.viewer, "cases.answer"),
        **shown(found, "seller"),
        **refused(typed, problem),
    )


async def _after(request: Call, case_id: UUID, problem: Problem | None, words: str) -> Response[Any]:
    if problem:
        return await _case_page(request, case_id, await request.fields(), problem)
    return see_other(request, f"{LIST}/{case_id}", said=("good", words))


@post("/seller/cases/{case_id:uuid}/write", permit="cases.answer", include_in_schema=False)
async def write(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    by = Acting("seller", request.viewer)
    problem = await written(
        request, "seller", case_id, "text", lambda text, _: cases.write(request.db, by, case_id, text)
    )
    return await _after(request, case_id, problem, "Sent.")


@post("/seller/cases/{case_id:uuid}/answer", permit="cases.answer", include_in_schema=False)
async def answer(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    by = Acting("seller", request.viewer)
    problem = await written(
        request,
        "seller",
        case_id,
        "answer",
        lambda text, version: cases.answer(request.db, by, case_id, text, version=version),
    )
    return await _after(request, case_id, problem, "Your answer is with support.")


@post("/seller/cases/{case_id:uuid}/appeal", permit="cases.answer", include_in_schema=False)
async def appeal(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    by = Acting("seller", request.viewer)
    problem = await written(
        request, "seller", case_id, "appeal", lambda text, _: cases.appeal(request.db, by, case_id, text)
    )
    return await _after(request, case_id, problem, "Support looks at it again.")


@post("/seller/cases/{case_id:uuid}/offer", permit="cases.answer", include_in_schema=False)
async def offer(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    found = await cases.read_case(request.db, Acting("seller", request.viewer), case_id)
    fields = await request.fields()
    kind = fields.get("kind", "REFUND")
    amount = 0
    if kind == "REFUND":
        try:
            amount = parse_amount(fields.get("amount", "").strip(), found.case.currency)
        except BadAmount as problem:
            return await _case_page(request, case_id, fields, Invalid(fields={"amount": problem.detail}))
    problem = await written(
        request,
        "seller",
        case_id,
        "offer",
        lambda text, _: cases.offer(request.db, request.viewer, case_id, kind=kind, amount=amount, text=text),
    )
    return await _after(request, case_id, problem, "The buyer sees your offer.")


@post("/seller/cases/{case_id:uuid}/take-back", permit="cases.answer", include_in_schema=False)
async def take_back(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    try:
        await cases.take_back_offer(request.db, request.viewer, case_id)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"{LIST}/{case_id}", said=("bad", problem.detail))
    return see_other(request, f"{LIST}/{case_id}", said=("good", "The offer is taken back."))


@get("/seller/cases/{case_id:uuid}/fragment", permit="sales.read", include_in_schema=False)
async def changing_part(request: Call, case_id: FromPath[UUID]) -> Response[str]:
    """The part of the page that changes."""
    return await fragment_answer(request, "seller", case_id, f"{LIST}/{case_id}")


@get("/seller/cases/{case_id:uuid}/live", permit="sales.read", include_in_schema=False)
async def live(request: Call, case_id: FromPath[UUID]) -> ServerSentEvent:
    """The same part each time something happened."""
    return await live_answer(request, "seller", case_id, f"{LIST}/{case_id}")


@get("/seller/cases/files/{file_id:uuid}", permit="sales.read", include_in_schema=False)
async def file(request: Call, file_id: FromPath[UUID]) -> Response[bytes]:
    found = await cases.read_file(request.db, request.part(Blobs), request.viewer, file_id, staff=False)
    return file_answer(found)


@get("/seller/cases/{case_id:uuid}/evidence.pdf", permit="sales.read", include_in_schema=False)
async def evidence_pdf(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return await evidence_answer(request, "seller", case_id, pdf=True)


@get("/seller/cases/{case_id:uuid}/evidence.json", permit="sales.read", include_in_schema=False)
async def evidence_json(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return await evidence_answer(request, "seller", case_id, pdf=False)


routes = [
    index,
    show,
    write,
    answer,
    appeal,
    offer,
    take_back,
    changing_part,
    live,
    file,
    evidence_pdf,
    evidence_json,
]

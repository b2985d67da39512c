"""The case desk: the queue by deadline, one case with its evidence, and what the staff do with it."""

import json
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import ServerSentEvent

from fondaco import cases, orders
from fondaco.cases import Acting, CaseDetail
from fondaco.cases.files_routes import file_answer
from fondaco.core import counting
from fondaco.core.money import BadAmount, parse_amount
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.integrations.blobs import Blobs
from fondaco.pages.case_words import shown
from fondaco.pages.console.parts import (
    HOME,
    SIZES,
    cursor_of,
    desk,
    known,
    read_list,
    states_facet,
    words_facet,
)
from fondaco.pages.context import form_status, see_other
from fondaco.pages.listquery import ListSpec, SavedView
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import saved_views
from fondaco.pages.storefront.case_routes import (
    evidence_answer,
    fragment_answer,
    live_answer,
    read_version,
    refused,
)

LIST = f"{HOME}/cases"
SPEC = ListSpec(
    LIST,
    facets=("state", "only"),
    sorts={"due": "Nearest deadline", "new": "Newest"},
    sizes=SIZES,
)
ONLY = {"mine": "Taken by me", "appeal": "With an appeal"}
SAVED = (
    SavedView("To take up", f"{LIST}?state=OPEN"),
    SavedView("To decide", f"{LIST}?state=UNDER_REVIEW"),
    SavedView("Appeals", f"{LIST}?only=appeal"),
)


@get("/console/cases", permit="console.cases", include_in_schema=False)
async def index(request: Call) -> Response[str]:
    query = read_list(request, SPEC)
    chosen, only = known(query, "state", cases.STATES), known(query, "only", ONLY)
    found = await cases.list_cases(
        request.db,
        Acting("staff", request.viewer),
        request.cursors,
        q=query.q,
        states=chosen,
        appealed="appeal" in only,
        mine="mine" in only,
        sort=query.sort,
        limit=query.size,
        cursor=cursor_of(query),
    )
    figures = await cases.outcomes(request.db, request.viewer)
    views = await saved_views(request, SPEC)
    return await desk(
        request,
        "cases.html",
        here=LIST,
        crumbs=[Crumb("Cases")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        total=None if only else counting.total(counting.shown(found.states), chosen),
        facets=[
            states_facet(cases.STATES, "case", found.states),
            words_facet("only", "Only", ONLY),
        ],
        saved=[*SAVED, *(view for _, view in views)],
        mine=views,
        reasons=cases.REASONS,
        figures=figures,
        outcomes=[(cases.OUTCOMES[k], n) for k, n in figures.outcomes.items()],
    )


@get("/console/cases/{case_id:uuid}", permit="console.cases", include_in_schema=False)
async def show(request: Call, case_id: FromPath[UUID]) -> Response[str]:
    return await _case_page(request, case_id)


async def _case_page(
    request: Call, case_id: UUID, typed: Mapping[str, str] | None = None, problem: Problem | None = None
) -> Response[str]:
    found = await cases.read_case(request.db, Acting("staff", request.viewer), case_id)
    snapshot = await cases.read_snapshot(request.db, request.viewer, found.snapshot_id)
    return await desk(
        request,
        "case.html",
        here=LIST,
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Cases", LIST), Crumb(found.case.number)],
        base=f"{LIST}/{case_id}",
        order_href=f"{HOME}/orders/{found.case.order_id}",
        own=await cases.is_own(request.db, request.viewer, case_id),
        snapshot=snapshot,
        taken_at=datetime.fromisoformat(snapshot["taken_at"]),
        moment_of=datetime.fromisoformat,
        raw=json.dumps(snapshot, indent=2, ensure_ascii=False, sort_keys=True),
        **shown(found, "staff"),
        **refused(typed, problem),
    )


async def _act(
    request: Call, case_id: UUID, act: Awaitable[Any], words: str, field: str = ""
) -> Response[Any]:
    """Does it; a refusal is shown on the page, at the field its text was typed in."""
    try:
        await act
    except NotFound:
        raise
    except Problem as problem:
        fault = problem
        if isinstance(problem, Invalid) and "text" in problem.fields:
            fault = Invalid(fields={field: problem.fields["text"]})
        return await _case_page(request, case_id, await request.fields(), fault)
    return see_other(request, f"{LIST}/{case_id}", said=("good", words))


@post("/console/cases/{case_id:uuid}/take", permit="console.case_work", include_in_schema=False)
async def take(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    version = read_version(await request.fields())
    act = cases.take(request.db, request.viewer, case_id, version=version)
    return await _act(request, case_id, act, "It is yours.")


@post("/console/cases/{case_id:uuid}/ask", permit="console.case_work", include_in_schema=False)
async def ask(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    act = cases.ask(
        request.db,
        request.viewer,
        case_id,
        party=fields.get("party", ""),
        text=fields.get("question", ""),
        version=read_version(fields),
    )
    return await _act(request, case_id, act, "Asked. They have 72 hours.", "question")


@post("/console/cases/{case_id:uuid}/write", permit="console.case_work", include_in_schema=False)
async def write(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    text = (await request.fields()).get("text", "")
    act = cases.write(request.db, Acting("staff", request.viewer), case_id, text)
    return await _act(request, case_id, act, "Sent to both.", "text")


@post("/console/cases/{case_id:uuid}/note", permit="console.case_work", include_in_schema=False)
async def note(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    text = (await request.fields()).get("note", "")
    act = cases.note(request.db, request.viewer, case_id, text)
    return await _act(request, case_id, act, "Kept.", "note")


@post("/console/cases/{case_id:uuid}/close", permit="console.case_work", include_in_schema=False)
async def close(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    act = cases.close(
        request.db, request.viewer, case_id, text=fields.get("last", ""), version=read_version(fields)
    )
    return await _act(request, case_id, act, "The case is closed.", "last")


@get("/console/cases/{case_id:uuid}/decide", permit="console.case_decide", include_in_schema=False)
async def ask_decide(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    return await _decide_page(request, case_id)


async def _decide_page(
    request: Call, case_id: UUID, typed: Mapping[str, str] | None = None, problem: Problem | None = None
) -> Response[Any]:
    found = await cases.read_case(request.db, Acting("staff", request.viewer), case_id)
    group = await orders.group_in_scope(request.db, request.viewer.as_staff, found.case.order_id)
    return await desk(
        request,
        "case_decide.html",
        here=LIST,
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Cases", LIST), Crumb(found.case.number, f"{LIST}/{case_id}"), Crumb("Decide")],
        base=f"{LIST}/{case_id}",
        found=found,
        case=found.case,
        card=group.payment is not None,
        **refused(typed, problem),
    )


@post("/console/cases/{case_id:uuid}/decide", permit="console.case_decide", include_in_schema=False)
async def decide(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    """Decides it, and says what was typed wrong on the same page."""
    fields = await request.fields()
    found = await cases.read_case(request.db, Acting("staff", request.viewer), case_id)
    try:
        await cases.decide(
            request.db,
            request.viewer,
            case_id,
            outcome=fields.get("outcome", ""),
            text=fields.get("decision", ""),
            amounts=_amounts(found, fields),
            to="source" if fields.get("to") == "source" else "wallet",
            version=read_version(fields),
        )
    except NotFound:
        raise
    except Problem as problem:
        fault = problem
        if isinstance(problem, Invalid) and "text" in problem.fields:
            fault = Invalid(fields={"decision": problem.fields["text"]})
        return await _decide_page(request, case_id, fields, fault)
    return see_other(request, f"{LIST}/{case_id}", said=("good", "Decided. The money has moved."))


def _amounts(found: CaseDetail, fields: Mapping[str, str]) -> dict[UUID, int]:
    """What was typed for each line, in minor units. Raises Invalid."""
    chosen: dict[UUID, int] = {}
    faults: dict[str, str] = {}
    if fields.get("outcome") != "SPLIT":
        return chosen
    for line in found.lines:
        name = f"amount-{line.line_id}"
        if not (text := fields.get(name, "").strip()):
            continue
        try:
            chosen[line.line_id] = parse_amount(text, found.case.currency)
        except BadAmount as problem:
            faults[name] = problem.detail
    if faults:
        raise Invalid(fields=faults)
    return chosen


@get("/console/cases/{case_id:uuid}/fragment", permit="console.cases", include_in_schema=False)
async def changing_part(request: Call, case_id: FromPath[UUID]) -> Response[str]:
    """The part of the page that changes."""
    return await fragment_answer(request, "staff", case_id, f"{LIST}/{case_id}")


@get("/console/cases/{case_id:uuid}/live", permit="console.cases", include_in_schema=False)
async def live(request: Call, case_id: FromPath[UUID]) -> ServerSentEvent:
    """The same part each time something happened."""
    return await live_answer(request, "staff", case_id, f"{LIST}/{case_id}")


@get("/console/cases/files/{file_id:uuid}", permit="console.cases", include_in_schema=False)
async def file(request: Call, file_id: FromPath[UUID]) -> Response[bytes]:
    found = await cases.read_file(request.db, request.part(Blobs), request.viewer, file_id, staff=True)
    return file_answer(found)


@get("/console/cases/{case_id:uuid}/evidence.pdf", permit="console.cases", include_in_schema=False)
async def evidence_pdf(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return await evidence_answer(request, "staff", case_id, pdf=True)


@get("/console/cases/{case_id:uuid}/evidence.json", permit="console.cases", include_in_schema=False)
async def evidence_json(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return await evidence_answer(request, "staff", case_id, pdf=False)


routes = [
    index,
    show,
    take,
    ask,
    write,
    note,
    close,
    ask_decide,
    decide,
    changing_part,
    live,
    file,
    evidence_pdf,
    evidence_json,
]

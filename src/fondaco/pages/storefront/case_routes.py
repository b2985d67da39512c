"""A buyer's cases: opening one from an order, the list, one case as it goes on, and what may be done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from fondaco import cases, orders
from fondaco.cases import Acting, CaseDetail
from fondaco.cases.files_routes import file_answer
from fondaco.cases.model import PICK_UP, Side
from fondaco.core import counting
from fondaco.core.ids import parse_uuid
from fondaco.core.pagination import BadCursor
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.integrations.blobs import Blobs
from fondaco.pages.case_words import shown
from fondaco.pages.context import form_faults, form_status, fragment, page, see_other
from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec
from fondaco.pages.render import Crumb
from fondaco.pages.states import state_mark
from fondaco.pages.waking import waking

LIST = "/cases"
SPEC = ListSpec(LIST, facets=("state",), sizes=(25, 50, 100))


@get("/cases", permit="cases.own", include_in_schema=False)
async def index(request: Call) -> Response[Any]:
    """One's cases, newest first."""
    query = ListQuery.parse(SPEC, request.query_params.multi_items())
    try:
        found = await cases.list_cases(
            request.db,
            Acting("buyer", request.viewer),
            request.cursors,
            q=query.q,
            states=[s for s in query.values("state") if s in cases.STATES],
            limit=query.size,
            cursor=query.after or query.before or None,
        )
    except BadCursor:
        return see_other(request, query.with_(sort=query.sort).url())
    counts = counting.shown(found.states, newest=True)
    values = [FacetValue(s, state_mark(s, "case").words, counts[s]) for s in cases.STATES if s in counts]
    return await page(
        request,
        "storefront/cases.html",
        crumbs=[Crumb("Home", "/"), Crumb("Cases")],
        query=query,
        facets=[Facet("state", "State", values)],
        rows=found.items,
        found=found,
    )


@get("/orders/{order_id:uuid}/case", permit="cases.own", include_in_schema=False)
async def ask_open(request: Call, order_id: FromPath[UUID]) -> Response[Any]:
    return await _new_page(request, order_id)


async def _new_page(
    request: Call,
    order_id: UUID,
    typed: Mapping[str, Any] | None = None,
    problem: Problem | None = None,
) -> Response[Any]:
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    order = next((o for o in group.orders if o.id == order_id), group.orders[0])
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await page(
        request,
        "storefront/case_new.html",
        status=form_status(problem) if problem else 200,
        crumbs=[
            Crumb("Home", "/"),
            Crumb("Orders", "/orders"),
            Crumb(group.number, f"/orders/{group.id}"),
            Crumb("Case"),
        ],
        order=order,
        lines=[line for line in order.lines if line.delivery_state == "DELIVERED"],
        reasons=list(cases.REASONS.items()),
        wishes=list(cases.WISHES.items()),
        typed=typed or {"line_ids": (), "reason": "", "text": "", "wish": "REFUND"},
        hours=int(PICK_UP.total_seconds()) // 3600,
        errors=errors,
        alert=alert,
    )


@post("/orders/{order_id:uuid}/case", permit="cases.own", include_in_schema=False)
async def open_case(request: Call, order_id: FromPath[UUID]) -> Response[Any]:
    """Opens it, then adds the file, if there is one."""
    form = await request.form()
    group = await orders.own_order_group(request.db, request.viewer, order_id)
    order = next((o for o in group.orders if o.id == order_id), group.orders[0])
    chosen = [str(v) for k, v in form.multi_items() if k == "line_ids"]
    typed: dict[str, Any] = {
        "line_ids": chosen,
        **{name: str(form.get(name) or "") for name in ("reason", "text", "wish")},
    }
    try:
        ids = [i for i in map(parse_uuid, chosen) if i]
        if not ids:
            raise Invalid(fields={"line_ids": "Choose what it is about."})
        file = await sent_file(request)
        case_id = await cases.open_case(
            request.db,
            request.settings,
            request.viewer,
            order.id,
            reason=typed["reason"],
            text=typed["text"],
            wish=typed["wish"] or "REFUND",
            line_ids=ids,
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _new_page(request, order_id, typed, problem)
    said = ("good", "The case is open. We wrote to the seller.")
    if file:
        try:
            await _attach(request, "buyer", case_id, file)
        except Problem as problem:
            words = next(iter(form_faults(problem)[0].values()), problem.detail)
            said = ("wait", f"The case is open, but the file was not taken: {words}")
    return see_other(request, f"{LIST}/{case_id}", said=said)


async def sent_file(request: Call) -> tuple[str, bytes] | None:
    """The file of a form, looked at; None when none was chosen. Raises BadFile."""
    found = (await request.form()).get("file")
    if not isinstance(found, UploadFile) or not found.filename:
        return None
    body = await found.read()
    cases.sniffed(body)
    return found.filename, body


async def _attach(request: Call, side: Side, case_id: UUID, file: tuple[str, bytes]) -> None:
    by = Acting(side, request.viewer)
    await cases.attach(request.db, request.part(Blobs), by, case_id, name=file[0], body=file[1])


@get("/cases/{case_id:uuid}", permit="cases.own", include_in_schema=False)
async def show(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    return await _case_page(request, case_id)


async def _case_page(
    request: Call, case_id: UUID, typed: Mapping[str, str] | None = None, problem: Problem | None = None
) -> Response[Any]:
    found = await cases.read_case(request.db, Acting("buyer", request.viewer), case_id)
    return await page(
        request,
        "storefront/case.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Home", "/"), Crumb("Cases", LIST), Crumb(found.case.number)],
        base=f"{LIST}/{case_id}",
        order_href=f"/orders/{found.case.order_id}",
        **shown(found, "buyer"),
        **refused(typed, problem),
    )


def refused(typed: Mapping[str, str] | None, problem: Problem | None) -> dict[str, Any]:
    """What a form of a case shows of a refusal."""
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return {"typed": typed or {}, "errors": errors, "alert": alert}


async def written(
    request: Call, side: Side, case_id: UUID, field: str, act: Callable[[str, int | None], Awaitable[Any]]
) -> Problem | None:
    """What a form of a case sent, done: the text in `field` through `act`, then its file. The refusal, if
    any, with its words at that field."""
    fields = await request.fields()
    version = fields.get("version", "")
    try:
        file = await sent_file(request)
        await act(fields.get(field, ""), int(version) if version.isdigit() and len(version) < 10 else None)
        if file:
            await _attach(request, side, case_id, file)
    except NotFound:
        raise
    except Problem as problem:
        if isinstance(problem, Invalid) and "text" in problem.fields:
            return Invalid(fields={field: problem.fields["text"]})
        return problem
    return None


@post("/cases/{case_id:uuid}/write", permit="cases.own", include_in_schema=False)
async def write(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    by = Acting("buyer", request.viewer)
    problem = await written(
        request, "buyer", case_id, "text", lambda text, _: cases.write(request.db, by, case_id, text)
    )
    return await _after(request, case_id, problem, "Sent.")


@post("/cases/{case_id:uuid}/answer", permit="cases.own", include_in_schema=False)
async def answer(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    by = Acting("buyer", request.viewer)
    problem = await written(
        request,
        "buyer",
        case_id,
        "answer",
        lambda text, version: cases.answer(request.db, by, case_id, text, version=version),
    )
    return await _after(request, case_id, problem, "Your answer is with support.")


@post("/cases/{case_id:uuid}/appeal", permit="cases.own", include_in_schema=False)
async def appeal(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    by = Acting("buyer", request.viewer)
    problem = await written(
        request, "buyer", case_id, "appeal", lambda text, _: cases.appeal(request.db, by, case_id, text)
    )
    return await _after(request, case_id, problem, "Support looks at it again.")


async def _after(request: Call, case_id: UUID, problem: Problem | None, words: str) -> Response[Any]:
    if problem:
        return await _case_page(request, case_id, await request.fields(), problem)
    return see_other(request, f"{LIST}/{case_id}", said=("good", words))


@get("/cases/{case_id:uuid}/withdraw", permit="cases.own", include_in_schema=False)
async def ask_withdraw(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    found = await cases.read_case(request.db, Acting("buyer", request.viewer), case_id)
    return await page(
        request,
        "layouts/confirm.html",
        heading="Withdraw this case?",
        text=f"{found.case.number} is closed with it. What was frozen is protected as before. As long as the "
        "protection lasts, you may open another.",
        action=f"{LIST}/{case_id}/withdraw",
        fields=[("version", str(found.case.version))],
        confirm_label="Withdraw it",
        danger=True,
        back_href=f"{LIST}/{case_id}",
    )


@post("/cases/{case_id:uuid}/withdraw", permit="cases.own", include_in_schema=False)
async def withdraw(request: Call, case_id: FromPath[UUID]) -> Redirect:
    version = read_version(await request.fields())
    return await _act(
        request,
        case_id,
        cases.withdraw(request.db, request.viewer, case_id, version=version),
        "The case is withdrawn.",
    )


@get("/cases/{case_id:uuid}/accept", permit="cases.own", include_in_schema=False)
async def ask_accept(request: Call, case_id: FromPath[UUID]) -> Response[Any]:
    found = await cases.read_case(request.db, Acting("buyer", request.viewer), case_id)
    if found.offer is None:
        return see_other(request, f"{LIST}/{case_id}", said=("wait", "There is no open offer."))
    return await page(
        request,
        "layouts/confirm.html",
        heading="Accept the offer?",
        text=f"{found.case.number} is closed with it. This cannot be undone.",
        action=f"{LIST}/{case_id}/accept",
        fields=[("offer_id", str(found.offer.id)), ("version", str(found.case.version))],
        confirm_label="Accept",
        danger=False,
        back_href=f"{LIST}/{case_id}",
    )


@post("/cases/{case_id:uuid}/accept", permit="cases.own", include_in_schema=False)
async def accept(request: Call, case_id: FromPath[UUID]) -> Redirect:
    fields = await request.fields()
    act = cases.accept_offer(
        request.db,
        request.viewer,
        case_id,
        offer_id=parse_uuid(fields.get("offer_id", "")),
        version=read_version(fields),
    )
    return await _act(request, case_id, act, "You accepted. The case is closed.")


@post("/cases/{case_id:uuid}/decline", permit="cases.own", include_in_schema=False)
async def decline(request: Call, case_id: FromPath[UUID]) -> Redirect:
    act = cases.decline_offer(request.db, request.viewer, case_id)
    return await _act(request, case_id, act, "You declined. The case goes on.")


def read_version(fields: Mapping[str, str]) -> int | None:
    """The case's version as the form was made of it."""
    text = fields.get("version", "")
    return int(text) if text.isdigit() and len(text) < 10 else None


async def _act(request: Call, case_id: UUID, act: Awaitable[None], words: str) -> Redirect:
    try:
        await act
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"{LIST}/{case_id}", said=("bad", problem.detail))
    return see_other(request, f"{LIST}/{case_id}", said=("good", words))


@get("/cases/{case_id:uuid}/fragment", permit="cases.own", include_in_schema=False)
async def changing_part(request: Call, case_id: FromPath[UUID]) -> Response[str]:
    """The part of the page that changes, for browsers that have to ask for it."""
    return await fragment_answer(request, "buyer", case_id, f"{LIST}/{case_id}")


@get("/cases/{case_id:uuid}/live", permit="cases.own", include_in_schema=False)
async def live(request: Call, case_id: FromPath[UUID]) -> ServerSentEvent:
    """The same part each time something happened, until nothing more will."""
    return await live_answer(request, "buyer", case_id, f"{LIST}/{case_id}")


async def fragment_answer(request: Call, side: Side, case_id: UUID, base: str) -> Response[str]:
    """The changing part of a case's page for that side."""
    found = await cases.read_case(request.db, Acting(side, request.viewer), case_id)
    html = _fragment(request, side, found, base)
    return Response(html, media_type="text/html", headers={"Cache-Control": "no-store"})


async def live_answer(request: Call, side: Side, case_id: UUID, base: str) -> ServerSentEvent:
    """A stream of it."""
    await cases.read_case(request.db, Acting(side, request.viewer), case_id)
    return ServerSentEvent(_stream(request, side, case_id, base), headers={"Cache-Control": "no-store"})


def _fragment(request: Call, side: Side, found: CaseDetail, base: str) -> str:
    return fragment(request, "cases/_case.html", base=base, **shown(found, side))


async def _stream(
    request: Call, side: Side, case_id: UUID, base: str
) -> AsyncIterator[str | ServerSentEventMessage]:
    sent = ""
    wakes = waking(orders.watch(request.app.state.parts, f"case:{case_id}"))
    try:
        async for _ in wakes:
            found = await cases.read_case(request.db, Acting(side, request.viewer), case_id)
            html = _fragment(request, side, found, base)
            yield ServerSentEventMessage(comment="still here", data=None) if html == sent else html
            sent = html
            if found.case.state == "CLOSED":
                return
    finally:
        await wakes.aclose()


@get("/cases/files/{file_id:uuid}", permit="cases.own", include_in_schema=False)
async def file(request: Call, file_id: FromPath[UUID]) -> Response[bytes]:
    found = await cases.read_file(request.db, request.part(Blobs), request.viewer, file_id, staff=False)
    return file_answer(found)


@get("/cases/{case_id:uuid}/evidence.pdf", permit="cases.own", include_in_schema=False)
async def evidence_pdf(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return await evidence_answer(request, "buyer", case_id, pdf=True)


@get("/cases/{case_id:uuid}/evidence.json", permit="cases.own", include_in_schema=False)
async def evidence_json(request: Call, case_id: FromPath[UUID]) -> Response[bytes]:
    return await evidence_answer(request, "buyer", case_id, pdf=False)


async def evidence_answer(request: Call, side: Side, case_id: UUID, *, pdf: bool) -> Response[bytes]:
    """The pack of a case for that side, as a file."""
    made = await cases.pack_for(request.db, request.settings, Acting(side, request.viewer), case_id)
    body = await cases.pack_pdf(request.settings, made) if pdf else made.json
    ending, kind = ("pdf", "application/pdf") if pdf else ("json", "application/json")
    headers = {
        "Content-Disposition": f'attachment; filename="{made.name}.{ending}"',
        "Cache-Control": "no-store",
    }
    return Response(body, media_type=kind, headers=headers)


routes = [
    index,
    ask_open,
    open_case,
    show,
    write,
    answer,
    appeal,
    ask_withdraw,
    withdraw,
    ask_accept,
    accept,
    decline,
    changing_part,
    live,
    file,
    evidence_pdf,
    evidence_json,
]

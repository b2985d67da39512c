"""The API of reconciliation, for staff: runs, breaks, and money in suspense."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from fondaco import reconciliation
from fondaco.core.pagination import MAX_LIMIT, Page
from fondaco.core.web import Call
from fondaco.reconciliation.model import Break, Run
from fondaco.reconciliation.settling import Suspended

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows per page.")]
PageCursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` or `previous` of another page.")
]
States = Annotated[
    list[Literal["OPEN", "EXPLAINED", "RESOLVED"]] | None,
    QueryParameter(name="state", description="Only breaks in one of these states."),
]
Classes = Annotated[
    list[Literal["missing_here", "other_amount", "missing_there", "balance"]] | None,
    QueryParameter(name="class", description="Only breaks of these classes."),
]
Owner = Annotated[UUID | None, QueryParameter(description="Only breaks this person looks into.")]
Version = Annotated[
    int, Meta(ge=1, le=2**31 - 1, description="`version` as you saw it; refused if it moved.")
]
Why = Annotated[str, Meta(min_length=3, max_length=500)]


class Explanation(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why a difference is all right."""

    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    version: Version


class Seen(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The break as you saw it."""

    version: Version


class Booking(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """As what a movement of the provider shall be booked; a second person decides."""

    as_: Literal["fee", "suspense", "bank"] = msgspec.field(name="as")
    because: Why


class Settling(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where money in suspense shall go; a second person decides."""

    how: Literal["wallet", "card", "income"]
    because: Why
    email: Annotated[str, Meta(max_length=254, description="With wallet: whose.")] = ""


class Asked(msgspec.Struct, frozen=True):
    """The request that waits for a second person."""

    approval_id: UUID


@get(
    "/api/v1/console/reconciliation/runs", permit="console.reconcile", summary="Reconciliations, newest first"
)
async def list_runs(request: Call, *, limit: Limit = 25, cursor: PageCursor = None) -> Page[Run]:
    return await reconciliation.list_runs(
        request.db, request.viewer, request.cursors, limit=limit, cursor=cursor
    )


@post(
    "/api/v1/console/reconciliation/runs",
    permit="console.reconcile_run",
    status_code=202,
    summary="Compare the provider with our books now",
)
async def start_run(request: Call) -> Run:
    """A worker does it; read the run to see how far it is."""
    run_id = await reconciliation.begin(request.db, request.viewer.actor, queue=True)
    return await reconciliation.read_run(request.db, request.viewer, run_id)


@get("/api/v1/console/reconciliation/runs/{run_id:int}", permit="console.reconcile", summary="One run")
async def get_run(request: Call, run_id: FromPath[int]) -> Run:
    return await reconciliation.read_run(request.db, request.viewer, run_id)


@get(
    "/api/v1/console/reconciliation/runs/{run_id:int}/report",
    permit="console.reconcile",
    summary="The signed report of a run",
)
async def get_report(request: Call, run_id: FromPath[int]) -> Response[str]:
    """A JSON document of `report` (canonical JSON, as text), `signature` (Ed25519, base64) and `key_id`."""
    return await report_answer(request, run_id)


async def report_answer(request: Call, run_id: int) -> Response[str]:
    """The signed report to save."""
    found = await reconciliation.read_report(request.db, request.viewer, run_id)
    headers = {
        "Content-Disposition": f'attachment; filename="reconciliation-{run_id}.json"',
        "Cache-Control": "private, no-store",
    }
    return Response(reconciliation.signed_file(*found), media_type="application/json", headers=headers)


@get("/api/v1/console/reconciliation/breaks", permit="console.reconcile", summary="Breaks, oldest first")
async def list_breaks(
    request: Call,
    *,
    state_: States = None,
    class_: Classes = None,
    owner: Owner = None,
    limit: Limit = 50,
    cursor: PageCursor = None,
) -> Page[Break]:
    return await reconciliation.list_breaks(
        request.db,
        request.viewer,
        request.cursors,
        states=state_ or [],
        classes=class_ or [],
        owner_id=owner,
        limit=limit,
        cursor=cursor,
    )


@get("/api/v1/console/reconciliation/breaks/{break_id:int}", permit="console.reconcile", summary="One break")
async def get_break(request: Call, break_id: FromPath[int]) -> Break:
    return await reconciliation.read_break(request.db, request.viewer, break_id)


@post(
    "/api/v1/console/reconciliation/breaks/{break_id:int}/take",
    permit="console.reconcile_run",
    status_code=200,
    summary="Look into a break yourself",
)
async def take_break(request: Call, break_id: FromPath[int]) -> Break:
    await reconciliation.take(request.db, request.viewer, break_id, request.viewer.user())
    return await reconciliation.read_break(request.db, request.viewer, break_id)


@post(
    "/api/v1/console/reconciliation/breaks/{break_id:int}/explain",
    permit="console.resolve_break",
    status_code=200,
    summary="Say why a break is all right",
)
async def explain_break(request: Call, break_id: FromPath[int], data: JSONBody[Explanation]) -> Break:
    """Payouts go on once every break is explained or gone."""
    await reconciliation.explain(request.db, request.viewer, break_id, data.version, data.reason)
    return await reconciliation.read_break(request.db, request.viewer, break_id)


@post(
    "/api/v1/console/reconciliation/breaks/{break_id:int}/reopen",
    permit="console.resolve_break",
    status_code=200,
    summary="Take an explanation back",
)
async def reopen_break(request: Call, break_id: FromPath[int], data: JSONBody[Seen]) -> Break:
    """Payouts stop until it is explained again or gone."""
    await reconciliation.reopen(request.db, request.viewer, break_id, data.version)
    return await reconciliation.read_break(request.db, request.viewer, break_id)


@post(
    "/api/v1/console/reconciliation/breaks/{break_id:int}/book",
    permit="console.resolve_break",
    status_code=202,
    summary="Ask for a movement to be booked",
)
async def book_break(request: Call, break_id: FromPath[int], data: JSONBody[Booking]) -> Asked:
    return Asked(
        await reconciliation.ask_to_book(request.db, request.viewer, break_id, data.as_, data.because)
    )


@get(
    "/api/v1/console/suspense", permit="console.reconcile", summary="Money that matches nothing, oldest first"
)
async def list_suspense(request: Call) -> list[Suspended]:
    return await reconciliation.in_suspense(request.db, request.viewer)


@post(
    "/api/v1/console/suspense/{journal_id:int}/settle",
    permit="console.resolve_break",
    status_code=202,
    summary="Ask for money in suspense to be settled",
)
async def settle_suspense(request: Call, journal_id: FromPath[int], data: JSONBody[Settling]) -> Asked:
    return Asked(
        await reconciliation.ask_to_settle(
            request.db, request.viewer, journal_id, data.how, email=data.email, why=data.because
        )
    )


routes = [
    list_runs,
    start_run,
    get_run,
    get_report,
    list_breaks,
    get_break,
    take_break,
    explain_break,
    reopen_break,
    book_break,
    list_suspense,
    settle_suspense,
]

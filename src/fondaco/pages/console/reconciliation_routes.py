"""The reconciliation desk: runs with progress and signed reports, breaks and what is done with them, money
that matches nothing."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from fondaco import console, reconciliation
from fondaco.console.words import ACCOUNTS
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.charts import Series
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
from fondaco.pages.console.refund_routes import ASKED
from fondaco.pages.context import form_faults, form_status, fragment, see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb, format_money
from fondaco.reconciliation import Break
from fondaco.reconciliation.routes import report_answer

LIST = f"{HOME}/reconciliation"
BREAKS = f"{LIST}/breaks"
SPEC = ListSpec(LIST, facets=("state", "class", "owner"), sizes=SIZES)
OWNERS = {"me": "Looked into by me"}
CHARTED = ("escrow", "wallet", "seller_pending", "seller_available", "payout_in_flight", "seller_reserve")
LIVE_EVERY_S, LIVE_FOR_S = 1, 600


@get(LIST, permit="console.reconcile", include_in_schema=False)
async def page(request: Call) -> Response[str]:
    db, viewer = request.db, request.viewer
    query = read_list(request, SPEC)
    found = await reconciliation.list_breaks(
        db,
        viewer,
        request.cursors,
        states=known(query, "state", reconciliation.STATES) or ([] if query.filtered else ["OPEN"]),
        classes=known(query, "class", reconciliation.CLASSES),
        owner_id=viewer.user() if "me" in query.values("owner") else None,
        limit=query.size,
        cursor=cursor_of(query),
    )
    runs = await reconciliation.list_runs(db, viewer, request.cursors, limit=10)
    money = await reconciliation.money_by_day(db, viewer, request.settings.currency, CHARTED)
    ages = await reconciliation.break_ages(db, viewer)
    refs = {r.asked_by for r in runs.items} | {f"user:{b.owner_id}" for b in found.items if b.owner_id}
    return await desk(
        request,
        "reconciliation.html",
        here=LIST,
        crumbs=[Crumb("Reconciliation")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        classes=reconciliation.CLASSES,
        facets=[
            states_facet(reconciliation.STATES, "break"),
            words_facet("class", "Class", reconciliation.CLASSES),
            words_facet("owner", "Owner", OWNERS),
        ],
        runs=runs.items,
        names=await console.names_of(db, viewer, refs),
        suspense=await reconciliation.in_suspense(db, viewer),
        ages=[Series("Breaks", [n for _, n in ages])],
        age_labels=[words for words, _ in ages],
        money=[Series(ACCOUNTS[k], [each[k] for _, each in money]) for k in CHARTED],
        money_labels=[f"{at:%d %b}" for at, _ in money],
        stands=[(ACCOUNTS[k], money[-1][1][k]) for k in CHARTED if money and money[-1][1][k] > 0],
        currency=request.settings.currency,
        **await _present(request),
    )


async def _present(request: Call) -> dict[str, Any]:
    runs = await reconciliation.list_runs(request.db, request.viewer, request.cursors, limit=10)
    done = [run for run in runs.items if run.state == "DONE"]
    return {
        "run": runs.items[0] if runs.items else None,
        "last": done[0] if done else None,
        "unexplained": await reconciliation.count_open(request.db, request.viewer),
    }


@get(f"{LIST}/live", permit="console.reconcile", include_in_schema=False)
async def live(request: Call) -> ServerSentEvent:
    """The part that moves while a run is under way, until it is over."""
    return ServerSentEvent(_follow(request), headers={"Cache-Control": "no-store"})


async def _follow(request: Call) -> AsyncIterator[str]:
    for _ in range(LIVE_FOR_S // LIVE_EVERY_S):
        present = await _present(request)
        yield fragment(request, "console/_reconciliation.html", **present)
        if present["run"] is None or present["run"].state != "RUNNING":
            return
        await asyncio.sleep(LIVE_EVERY_S)


@post(LIST, permit="console.reconcile_run", include_in_schema=False)
async def start(request: Call) -> Redirect:
    try:
        await reconciliation.begin(request.db, request.viewer.actor, queue=True)
    except Problem as problem:
        return see_other(request, LIST, said=refusal(problem))
    return see_other(request, LIST, said=("busy", "A worker begins to compare. It goes on without you."))


@get(f"{LIST}/runs/{{run_id:int}}", permit="console.reconcile", include_in_schema=False)
async def one_run(request: Call, run_id: FromPath[int]) -> Response[str]:
    db, viewer = request.db, request.viewer
    run = await reconciliation.read_run(db, viewer, run_id)
    report: tuple[str, bytes, str] | None = None
    if run.state == "DONE":
        report = await reconciliation.read_report(db, viewer, run_id)
    return await desk(
        request,
        "reconciliation_run.html",
        here=LIST,
        crumbs=[Crumb("Reconciliation", LIST), Crumb(f"Run {run_id}")],
        run=run,
        asked_by=(await console.names_of(db, viewer, [run.asked_by]))[run.asked_by],
        key_id=report[2] if report else "",
        report=reconciliation.told(report[0]) if report else None,
        classes=reconciliation.CLASSES,
    )


@get(f"{LIST}/runs/{{run_id:int}}/report", permit="console.reconcile", include_in_schema=False)
async def report_file(request: Call, run_id: FromPath[int]) -> Response[str]:
    return await report_answer(request, run_id)


@get(f"{BREAKS}/{{break_id:int}}", permit="console.reconcile", include_in_schema=False)
async def one_break(request: Call, break_id: FromPath[int]) -> Response[str]:
    db, viewer = request.db, request.viewer
    found = await reconciliation.read_break(db, viewer, break_id)
    people = [f"user:{i}" for i in (found.owner_id, found.decided_by) if i]
    return await desk(
        request,
        "break.html",
        here=LIST,
        crumbs=_crumbs(found),
        row=found,
        classes=reconciliation.CLASSES,
        names=await console.names_of(db, viewer, people),
        mine=found.owner_id == viewer.user_id,
        story=await console.timeline_of(db, viewer, f"break:{break_id}"),
    )


def _crumbs(row: Break, *more: str) -> list[Crumb]:
    here = Crumb(f"Break {row.id}", f"{BREAKS}/{row.id}" if more else "")
    return [Crumb("Reconciliation", LIST), here, *(Crumb(words) for words in more)]


@post(f"{BREAKS}/{{break_id:int}}/take", permit="console.reconcile_run", include_in_schema=False)
async def take(request: Call, break_id: FromPath[int]) -> Redirect:
    let_go = "let_go" in await request.fields()
    owner = None if let_go else request.viewer.user()
    await reconciliation.take(request.db, request.viewer, break_id, owner)
    words = "Nobody looks into it now." if let_go else "You look into it."
    return see_other(request, f"{BREAKS}/{break_id}", said=("good", words))


@get(f"{BREAKS}/{{break_id:int}}/explain", permit="console.resolve_break", include_in_schema=False)
async def ask_explain(request: Call, break_id: FromPath[int]) -> Response[str]:
    return await _explain_page(request, break_id)


async def _explain_page(
    request: Call, break_id: int, given: str = "", problem: Problem | None = None
) -> Response[str]:
    row = await reconciliation.read_break(request.db, request.viewer, break_id)
    here = f"{BREAKS}/{break_id}"
    return await ask_reason(
        request,
        here=LIST,
        crumbs=_crumbs(row, "Explain"),
        heading="Explain this difference?",
        texts=[
            f"{row.words}: {format_money(row.amount, row.currency)}.",
            "Nothing is booked. Payouts go on once no difference is unexplained. When its amount changes, it "
            "is unexplained again.",
        ],
        help_text="It is kept with the break and in the audit log. Up to 200 characters.",
        action=f"{here}/explain?version={row.version}",
        label="Explain it",
        back=here,
        given=given,
        problem=problem,
    )


@post(f"{BREAKS}/{{break_id:int}}/explain", permit="console.resolve_break", include_in_schema=False)
async def explain(request: Call, break_id: FromPath[int]) -> Response[Any]:
    because = (await request.fields()).get("because", "")
    try:
        await reconciliation.explain(request.db, request.viewer, break_id, _version(request), because)
    except NotFound:
        raise
    except Invalid as problem:
        faults = Invalid(fields={"because": next(iter(problem.fields.values()))})
        return await _explain_page(request, break_id, because, faults)
    except Problem as problem:
        return await _explain_page(request, break_id, because, problem)
    return see_other(request, f"{BREAKS}/{break_id}", said=("good", "The difference is explained."))


def _version(request: Call) -> int:
    given = request.query_params.get("version", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0


@post(f"{BREAKS}/{{break_id:int}}/reopen", permit="console.resolve_break", include_in_schema=False)
async def reopen(request: Call, break_id: FromPath[int]) -> Redirect:
    said = ("wait", "It is unexplained again. Payouts stop until it is explained or gone.")
    try:
        await reconciliation.reopen(request.db, request.viewer, break_id, _version(request))
    except NotFound:
        raise
    except Problem as problem:
        said = refusal(problem)
    return see_other(request, f"{BREAKS}/{break_id}", said=said)


@get(f"{BREAKS}/{{break_id:int}}/book", permit="console.resolve_break", include_in_schema=False)
async def ask_book(request: Call, break_id: FromPath[int]) -> Response[str]:
    return await _book_page(request, break_id, {})


async def _book_page(
    request: Call, break_id: int, given: Mapping[str, str], problem: Problem | None = None
) -> Response[str]:
    row = await reconciliation.read_break(request.db, request.viewer, break_id)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    left = row.amount < 0
    choices = {k: w for k, w in reconciliation.AS.items() if k != ("suspense" if left else "fee")}
    return await desk(
        request,
        "settle.html",
        status=form_status(problem) if problem else 200,
        here=LIST,
        crumbs=_crumbs(row, "Book it"),
        heading="Book this movement?",
        texts=[f"{row.words}: {format_money(row.amount, row.currency)}, which our books do not have."],
        name="as",
        legend="What it is",
        choices=list(choices.items()),
        ask_email=False,
        action=f"{BREAKS}/{break_id}/book",
        back=f"{BREAKS}/{break_id}",
        given=given,
        errors=errors,
        alert=alert,
    )


@post(f"{BREAKS}/{{break_id:int}}/book", permit="console.resolve_break", include_in_schema=False)
async def book(request: Call, break_id: FromPath[int]) -> Response[Any]:
    fields = await request.fields()
    because, as_ = fields.get("because", ""), fields.get("as", "")
    try:
        await reconciliation.ask_to_book(request.db, request.viewer, break_id, as_, because)
    except NotFound:
        raise
    except Problem as problem:
        return await _book_page(request, break_id, fields, problem)
    return see_other(request, f"{BREAKS}/{break_id}", said=ASKED)


@get(f"{LIST}/suspense/{{suspense_id:int}}", permit="console.resolve_break", include_in_schema=False)
async def ask_settle(request: Call, suspense_id: FromPath[int]) -> Response[str]:
    return await _settle_page(request, suspense_id, {})


async def _settle_page(
    request: Call, journal_id: int, given: Mapping[str, str], problem: Problem | None = None
) -> Response[str]:
    waiting = await reconciliation.in_suspense(request.db, request.viewer, 1000)
    one = next((each for each in waiting if each.journal_id == journal_id), None)
    if one is None:
        raise NotFound("This money is not in suspense any more.")
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "settle.html",
        status=form_status(problem) if problem else 200,
        here=LIST,
        crumbs=[Crumb("Reconciliation", LIST), Crumb("Money in suspense")],
        heading=f"Where does {format_money(one.amount, one.currency)} go?",
        texts=["It came in and matches nothing here. A second person decides; then it leaves suspense."],
        name="how",
        legend="Where it goes",
        choices=[(k, w) for k, w in reconciliation.HOW.items() if k != "card" or one.intent_id],
        ask_email=True,
        action=f"{LIST}/suspense/{journal_id}",
        back=LIST,
        given=given,
        errors=errors,
        alert=alert,
    )


@post(f"{LIST}/suspense/{{suspense_id:int}}", permit="console.resolve_break", include_in_schema=False)
async def settle(request: Call, suspense_id: FromPath[int]) -> Response[Any]:
    fields = await request.fields()
    how, email = fields.get("how", ""), fields.get("email", "")
    try:
        await reconciliation.ask_to_settle(
            request.db, request.viewer, suspense_id, how, email=email, why=fields.get("because", "")
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _settle_page(request, suspense_id, fields, problem)
    return see_other(request, LIST, said=ASKED)


routes = [
    page,
    live,
    start,
    one_run,
    report_file,
    one_break,
    take,
    ask_explain,
    explain,
    reopen,
    ask_book,
    book,
    ask_settle,
    settle,
]

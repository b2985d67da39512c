"""The payout desk: what has not left and why, the run with preview and progress, one payout and its acts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent

from fondaco import console, payouts
from fondaco.core.db import Database
from fondaco.core.problem import NotFound, Problem
from fondaco.core.viewer import Viewer
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
from fondaco.pages.context import fragment, see_other
from fondaco.pages.listquery import ListSpec
from fondaco.pages.render import Crumb, format_money, minute_words
from fondaco.pages.states import state_mark
from fondaco.payouts import PAYOUT_STATES, RunState

LIST = f"{HOME}/payouts"
RUN = f"{LIST}/run"
SPEC = ListSpec(LIST, facets=("state", "kind"), sizes=SIZES)
KINDS = {"daily": "Daily", "withdrawal": "Withdrawal"}
LIVE_EVERY_S = 1.0
LIVE_FOR_S = 600
Verb = Callable[[Database, Viewer, UUID, str], Awaitable[None]]


async def _take_back(db: Database, viewer: Viewer, payout_id: UUID, because: str) -> None:
    await payouts.take_back(db, viewer, payout_id, amount=None, because=because)


async def _take_back_second(db: Database, viewer: Viewer, payout_id: UUID, because: str) -> None:
    await payouts.take_back(db, viewer, payout_id, amount=None, because=because, second=True)


@dataclass(frozen=True)
class Act:
    """Something done with a payout, with a reason, after what will happen was read."""

    verb: Verb
    label: str
    heading: str
    text: str
    said: str


HOLD = Act(
    payouts.hold,
    "Hold",
    "Hold this payout?",
    "It does not leave until a person lets it go. The money stays set aside for the seller.",
    "The payout is on hold.",
)
LET_GO = Act(
    payouts.let_go,
    "Let go",
    "Let this payout go?",
    "It leaves at once if every gate is open; a closed gate holds it again.",
    "The payout is let go.",
)
CANCEL = Act(
    payouts.cancel,
    "Cancel the payout",
    "Cancel this payout?",
    "Nothing was sent. The money is payable again, and the next run pays it unless something holds it.",
    "The payout is cancelled.",
)
TAKE_BACK = Act(
    _take_back,
    "Take it back",
    "Take this transfer back?",
    "The provider is asked to bring back all that is left of it; it refuses when the seller's account there "
    "has too little. What comes back is payable to the seller again.",
    "The provider is asked to take it back.",
)
SECOND = Act(
    _take_back_second,
    "Take the second one back",
    "Take the second transfer back?",
    "Two transfers were made for this payout. The younger is taken back; the first stands.",
    "The provider is asked to take the second transfer back.",
)


@get("/console/payouts", permit="console.payouts", include_in_schema=False)
async def list_payouts(request: Call) -> Response[str]:
    db, viewer = request.db, request.viewer
    query = read_list(request, SPEC)
    found = await payouts.list_payouts(
        db,
        viewer,
        request.cursors,
        q=query.q,
        states=known(query, "state", PAYOUT_STATES),
        kinds=known(query, "kind", KINDS),
        limit=query.size,
        cursor=cursor_of(query),
    )
    ages = await payouts.ages(db, viewer)
    runs = await payouts.runs(db, viewer, 1)
    return await desk(
        request,
        "payouts.html",
        here=LIST,
        crumbs=[Crumb("Payouts")],
        query=query,
        rows=found.items,
        next=found.next,
        previous=found.previous,
        kinds=KINDS,
        facets=[states_facet(PAYOUT_STATES, "payout"), words_facet("kind", "Kind", KINDS)],
        waiting=await payouts.waiting(db, viewer, 10),
        figures=await payouts.figures(db, viewer),
        ages=[Series("Payouts", [n for _, n in ages])],
        age_labels=[words for words, _ in ages],
        run=runs[0] if runs else None,
        next_run=await payouts.next_run(db, request.settings),
    )


@get("/console/payouts/run", permit="console.payouts", include_in_schema=False)
async def run_page(request: Call) -> Response[str]:
    db, viewer, settings = request.db, request.viewer, request.settings
    runs = await payouts.runs(db, viewer)
    day = await payouts.run_date(db, settings)
    return await desk(
        request,
        "payout_run.html",
        here=LIST,
        crumbs=[Crumb("Payouts", LIST), Crumb("Run")],
        run=runs[0] if runs else None,
        runs=runs,
        day=day,
        preview=await payouts.preview(db, settings, viewer, day),
        next_run=await payouts.next_run(db, settings),
    )


@get("/console/payouts/run/live", permit="console.payouts", include_in_schema=False)
async def run_live(request: Call) -> ServerSentEvent:
    """The newest run's part of the page, again whenever it has moved, until it is over."""
    return ServerSentEvent(_follow(request), headers={"Cache-Control": "no-store"})


async def _follow(request: Call) -> AsyncIterator[str]:
    shown: RunState | None = None
    for _ in range(int(LIVE_FOR_S / LIVE_EVERY_S)):
        runs = await payouts.runs(request.db, request.viewer, 1)
        if not runs:
            return
        found = runs[0]
        if found != shown:
            shown = found
            yield fragment(request, "console/_payout_run.html", run=found)
        if found.ended_at is not None:
            return
        await asyncio.sleep(LIVE_EVERY_S)


@post("/console/payouts/run", permit="console.payouts_run", include_in_schema=False)
async def start_run(request: Call) -> Redirect:
    try:
        await payouts.start_run(request.db, request.settings, request.viewer)
    except Problem as problem:
        return see_other(request, RUN, said=refusal(problem))
    return see_other(request, RUN, said=("good", "The run has begun. It goes on without you."))


@get("/console/payouts/{payout_id:uuid}", permit="console.payouts", include_in_schema=False)
async def one_payout(request: Call, payout_id: FromPath[UUID]) -> Response[str]:
    db, viewer = request.db, request.viewer
    found = await payouts.read_payout(db, viewer, payout_id)
    seller, by = f"seller:{found.row.payout.seller_id}", found.row.held_by or "system"
    ids = [i for i in (found.row.transfer_id, found.row.second_id) if i]
    names = await console.names_of(db, viewer, [seller, by])
    return await desk(
        request,
        "payout.html",
        here=LIST,
        crumbs=[Crumb("Payouts", LIST), Crumb(found.row.store)],
        found=found,
        row=found.row,
        payout=found.row.payout,
        seller=names[seller],
        held_by=names[by],
        story=await console.payout_timeline(db, viewer, payout_id, ids),
        decided_when=_decided_when(found.gates, found.row.payout.currency),
    )


def _decided_when(gates: Mapping[str, Any], currency: str) -> list[tuple[str, str]]:
    """How things stood when a payout was decided, in words."""
    told: dict[str, tuple[str, Callable[[Any], str]]] = {
        "account": ("Account", lambda v: state_mark(v, "payout_account").words),
        "account_checked_at": ("Asked last", lambda v: minute_words(datetime.fromisoformat(v))),
        "store": ("Store", lambda v: state_mark(v, "seller").words),
        "tier": ("Standing", lambda v: state_mark(v, "risk_tier").words),
        "debt": ("Debt", lambda v: format_money(v, currency)),
        "stopped": ("Payouts stopped", lambda v: "Yes" if v else "No"),
    }
    return [(words, say(gates[name])) for name, (words, say) in told.items() if gates.get(name) is not None]


async def _act_page(
    request: Call,
    payout_id: UUID,
    name: str,
    act: Act,
    *,
    given: str = "",
    problem: Problem | None = None,
) -> Response[str]:
    row = (await payouts.read_payout(request.db, request.viewer, payout_id)).row
    here = f"{LIST}/{payout_id}"
    amount = format_money(row.payout.amount, row.payout.currency)
    return await ask_reason(
        request,
        here=LIST,
        crumbs=[Crumb("Payouts", LIST), Crumb(row.store, here), Crumb(act.label)],
        heading=act.heading,
        texts=[f"{amount} to {row.store}.", act.text],
        help_text="The seller reads it, and it is kept in the audit log. 3 to 200 characters.",
        action=f"{here}/{name}",
        label=act.label,
        back=here,
        given=given,
        problem=problem,
    )


async def _do(request: Call, payout_id: UUID, name: str, act: Act) -> Response[Any]:
    because = (await request.fields()).get("because", "")
    try:
        await act.verb(request.db, request.viewer, payout_id, because)
    except NotFound:
        raise
    except Problem as problem:
        return await _act_page(request, payout_id, name, act, given=because, problem=problem)
    return see_other(request, f"{LIST}/{payout_id}", said=("good", act.said))


@get("/console/payouts/{payout_id:uuid}/hold", permit="console.payouts_hold", include_in_schema=False)
async def ask_hold(request: Call, payout_id: FromPath[UUID]) -> Response[str]:
    return await _act_page(request, payout_id, "hold", HOLD)


@post("/console/payouts/{payout_id:uuid}/hold", permit="console.payouts_hold", include_in_schema=False)
async def hold(request: Call, payout_id: FromPath[UUID]) -> Response[Any]:
    return await _do(request, payout_id, "hold", HOLD)


@get("/console/payouts/{payout_id:uuid}/let-go", permit="console.payouts_run", include_in_schema=False)
async def ask_let_go(request: Call, payout_id: FromPath[UUID]) -> Response[str]:
    return await _act_page(request, payout_id, "let-go", LET_GO)


@post("/console/payouts/{payout_id:uuid}/let-go", permit="console.payouts_run", include_in_schema=False)
async def let_go(request: Call, payout_id: FromPath[UUID]) -> Response[Any]:
    return await _do(request, payout_id, "let-go", LET_GO)


@get("/console/payouts/{payout_id:uuid}/cancel", permit="console.payouts_run", include_in_schema=False)
async def ask_cancel(request: Call, payout_id: FromPath[UUID]) -> Response[str]:
    return await _act_page(request, payout_id, "cancel", CANCEL)


@post("/console/payouts/{payout_id:uuid}/cancel", permit="console.payouts_run", include_in_schema=False)
async def cancel(request: Call, payout_id: FromPath[UUID]) -> Response[Any]:
    return await _do(request, payout_id, "cancel", CANCEL)


@get("/console/payouts/{payout_id:uuid}/take-back", permit="console.payouts_run", include_in_schema=False)
async def ask_take_back(request: Call, payout_id: FromPath[UUID]) -> Response[str]:
    return await _act_page(request, payout_id, "take-back", TAKE_BACK)


@post("/console/payouts/{payout_id:uuid}/take-back", permit="console.payouts_run", include_in_schema=False)
async def take_back(request: Call, payout_id: FromPath[UUID]) -> Response[Any]:
    return await _do(request, payout_id, "take-back", TAKE_BACK)


@get("/console/payouts/{payout_id:uuid}/second", permit="console.payouts_run", include_in_schema=False)
async def ask_second(request: Call, payout_id: FromPath[UUID]) -> Response[str]:
    return await _act_page(request, payout_id, "second", SECOND)


@post("/console/payouts/{payout_id:uuid}/second", permit="console.payouts_run", include_in_schema=False)
async def second(request: Call, payout_id: FromPath[UUID]) -> Response[Any]:
    return await _do(request, payout_id, "second", SECOND)


routes = [
    list_payouts,
    run_page,
    run_live,
    start_run,
    one_payout,
    ask_hold,
    hold,
    ask_let_go,
    let_go,
    ask_cancel,
    cancel,
    ask_take_back,
    take_back,
    ask_second,
    second,
]

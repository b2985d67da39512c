"""The checks that run by themselves: how things stand, what was found, and having everything looked at."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect, ServerSentEvent

from fondaco import checks, console
from fondaco.core.web import Call
from fondaco.pages.console.parts import HOME, desk, refusal
from fondaco.pages.context import fragment, see_other
from fondaco.pages.render import Crumb

CHECKS = f"{HOME}/checks"
LIVE_EVERY_S, LIVE_FOR_S = 1, 300


@get(CHECKS, permit="console.checks", include_in_schema=False)
async def page(request: Call) -> Response[str]:
    db, viewer = request.db, request.viewer
    runs = await checks.list_runs(db, viewer, kind="full", limit=10)
    minutes = await checks.list_runs(db, viewer, kind="minute", limit=10)
    return await desk(
        request,
        "checks.html",
        here=CHECKS,
        crumbs=[Crumb("Checks")],
        runs=runs,
        minutes=minutes,
        names=await console.names_of(db, viewer, {r.asked_by for r in runs}),
        open=await checks.open_faults(db, viewer.as_staff),
        gone=await checks.list_faults(db, viewer),
        invariants=checks.INVARIANTS,
        **await _present(request),
    )


async def _present(request: Call) -> dict[str, Any]:
    return {"summary": await checks.summary(request.db, request.viewer.as_staff)}


@post(CHECKS, permit="console.checks", include_in_schema=False)
async def look_now(request: Call) -> Redirect:
    """Have everything looked at by a worker. It changes nothing that is looked at."""
    try:
        await checks.ask_for_full_run(request.db, request.viewer)
    except checks.RunUnderWay as problem:
        return see_other(request, CHECKS, said=refusal(problem))
    return see_other(request, CHECKS, said=("busy", "A worker begins to look at everything."))


@get(f"{CHECKS}/live", permit="console.checks", include_in_schema=False)
async def live(request: Call) -> ServerSentEvent:
    """The part that moves while a run is under way, until it is over."""
    return ServerSentEvent(_follow(request), headers={"Cache-Control": "no-store"})


async def _follow(request: Call) -> AsyncIterator[str]:
    for _ in range(LIVE_FOR_S // LIVE_EVERY_S):
        present = await _present(request)
        yield fragment(request, "console/_checks.html", **present)
        if not present["summary"].under_way:
            return
        await asyncio.sleep(LIVE_EVERY_S)


routes = [page, look_now, live]

"""A buyer says that a key does not work, or that it does after all."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from fondaco import delivery, refunds
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.render import Crumb


@get("/library/{entitlement_id:uuid}/report", permit="library.own", include_in_schema=False)
async def ask(request: Call, entitlement_id: FromPath[UUID]) -> Response[Any]:
    return await _page(request, entitlement_id)


@post("/library/{entitlement_id:uuid}/report", permit="library.own", include_in_schema=False)
async def report(request: Call, entitlement_id: FromPath[UUID]) -> Response[Any]:
    why = (await request.fields()).get("why", "")
    try:
        await refunds.report_bad_key(request.db, request.viewer, request.settings, entitlement_id, why)
    except NotFound:
        raise
    except Problem as problem:
        return await _page(request, entitlement_id, why, problem)
    said = ("good", "The seller is told and has to answer in time. You hear of it by mail.")
    return see_other(request, f"/library/{entitlement_id}", said=said)


async def _page(
    request: Call, entitlement_id: UUID, why: str = "", problem: Problem | None = None
) -> Response[Any]:
    found = await delivery.entitlement(request.db, request.viewer, entitlement_id)
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    home = f"/library/{entitlement_id}"
    return await page(
        request,
        "account/report.html",
        status=form_status(problem) if problem else 200,
        crumbs=[
            Crumb("Library", "/library"),
            Crumb(found.entitlement.title, home),
            Crumb("It does not work"),
        ],
        item=found.entitlement,
        hours=request.settings.report_hours,
        why=why,
        errors=errors,
        alert=alert,
    )


@post("/library/{entitlement_id:uuid}/works", permit="library.own", include_in_schema=False)
async def works(request: Call, entitlement_id: FromPath[UUID]) -> Redirect:
    home = f"/library/{entitlement_id}"
    found = await refunds.bad_key_of(request.db, request.viewer, entitlement_id)
    if found is None:
        raise NotFound()
    try:
        await refunds.withdraw_report(request.db, request.viewer, found.id)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, home, said=("bad", problem.detail))
    return see_other(request, home, said=("good", "Thank you. The report is taken back."))


routes = [ask, report, works]

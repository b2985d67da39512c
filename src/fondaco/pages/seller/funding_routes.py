"""How the store is paid: buyers' money held here and paid out, or straight to the store's own account."""

from litestar import Response, get, post

from fondaco import destination
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, desk

PAGE = f"{HOME}/paid-at-sale"
ACCOUNT = f"{HOME}/payout-account"


@get(PAGE, permit="store.connect", include_in_schema=False)
async def show(request: Call) -> Response[str]:
    return await _page(request)


@post(PAGE, permit="store.connect", include_in_schema=False)
async def ask(request: Call) -> Response[str]:
    fields = await request.fields()
    try:
        await destination.ask_for(
            request.db, request.viewer, fields.get("policy", ""), fields.get("reason", "")
        )
    except Problem as problem:
        return await _page(request, fields.get("reason", ""), problem)
    return see_other(request, PAGE, said=("good", "Asked for. Finance decides, and it counts from then on."))


async def _page(request: Call, reason: str = "", problem: Problem | None = None) -> Response[str]:
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    now = await destination.own_policy(request.db, request.viewer)
    return await desk(
        request,
        "seller/funding.html",
        status=form_status(problem) if problem else 200,
        here=ACCOUNT,
        crumbs=[Crumb("Payout account", ACCOUNT), Crumb("How you are paid")],
        now=now,
        words=destination.FUNDING_POLICIES,
        other="standard" if now.policy == "destination" else "destination",
        reason=reason,
        errors=errors,
        alert=alert,
    )


routes = [show, ask]

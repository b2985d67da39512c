"""Where one stands: what it means, why, when it is over, and an appeal."""

from litestar import Response, get, post

from fondaco import risk
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.account.parts import account_tabs
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.render import Crumb

PATH = "/account/standing"


@get(PATH, permit="account.own", include_in_schema=False)
async def show(request: Call) -> Response[str]:
    return await _page(request)


@post(PATH, permit="account.own", include_in_schema=False)
async def appeal(request: Call) -> Response[str]:
    text = (await request.fields()).get("text", "")
    try:
        await risk.appeal(request.db, request.viewer, "user", text)
    except Problem as problem:
        return await _page(request, text, problem)
    return see_other(request, PATH, said=("good", "Your appeal is with us. You get a mail with the answer."))


@post(f"{PATH}/words", permit="account.own", include_in_schema=False)
async def add_words(request: Call) -> Response[str]:
    text = (await request.fields()).get("text", "")
    try:
        await risk.add_to_appeal(request.db, request.viewer, "user", text)
    except Problem as problem:
        return await _page(request, text, problem)
    return see_other(request, PATH, said=("good", "Added to your appeal."))


async def _page(request: Call, text: str = "", problem: Problem | None = None) -> Response[str]:
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await page(
        request,
        "account/standing.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Home", "/"), Crumb("Account", "/account"), Crumb("Standing")],
        tabs=account_tabs(PATH),
        found=await risk.my_standing(request.db, request.viewer, "user"),
        action=PATH,
        may_write=True,
        given=text,
        errors=errors,
        alert=alert,
        knows_browsers=request.settings.knows_browsers,
    )


routes = [show, appeal, add_words]

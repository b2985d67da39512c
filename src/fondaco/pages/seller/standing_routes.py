"""Where the store stands: what it means, why, when it is over, and an appeal."""

from litestar import Response, get, post

from fondaco import risk
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, can, desk

PATH = f"{HOME}/standing"


@get("/seller/standing", permit="balance.read", include_in_schema=False)
async def show(request: Call) -> Response[str]:
    return await _page(request)


@post("/seller/standing", permit="store.edit", include_in_schema=False)
async def appeal(request: Call) -> Response[str]:
    text = (await request.fields()).get("text", "")
    try:
        await risk.appeal(request.db, request.viewer, "seller", text)
    except Problem as problem:
        return await _page(request, text, problem)
    return see_other(request, PATH, said=("good", "Your appeal is with us. You get a mail with the answer."))


@post("/seller/standing/words", permit="store.edit", include_in_schema=False)
async def add_words(request: Call) -> Response[str]:
    text = (await request.fields()).get("text", "")
    try:
        await risk.add_to_appeal(request.db, request.viewer, "seller", text)
    except Problem as problem:
        return await _page(request, text, problem)
    return see_other(request, PATH, said=("good", "Added to your appeal."))


async def _page(request: Call, text: str = "", problem: Problem | None = None) -> Response[str]:
    errors, alert = form_faults(problem) if problem else (dict[str, str](), "")
    return await desk(
        request,
        "seller/standing.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Standing")],
        here=PATH,
        found=await risk.my_standing(request.db, request.viewer, "seller"),
        action=PATH,
        may_write=can(request.viewer, "store.edit"),
        given=text,
        errors=errors,
        alert=alert,
    )


routes = [show, appeal, add_words]

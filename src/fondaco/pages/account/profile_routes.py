"""Who one is here: name, country, colours."""

from typing import Any

from litestar import Response, get, post

from fondaco import identity
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.pages.account.parts import account_tabs, countries
from fondaco.pages.context import form_faults, form_status, page, see_other, theme_cookie
from fondaco.pages.render import Crumb


@get("/account", permit="account.own", include_in_schema=False)
async def account(request: Call) -> Response[Any]:
    viewer = request.viewer
    theme = request.cookies.get("theme") or await identity.theme_of(request.db, viewer.user())
    return await _account_page(
        request, {"name": viewer.name, "country": viewer.country or "", "theme": theme}
    )


@post("/account", permit="account.own", include_in_schema=False)
async def change_account(request: Call) -> Response[Any]:
    fields = await request.fields()
    given = {name: fields.get(name, "") for name in ("name", "country", "theme")}
    try:
        await identity.change_details(
            request.db,
            request.viewer,
            name=given["name"],
            country=given["country"] or None,
            theme=given["theme"] or "auto",
        )
    except Problem as problem:
        return await _account_page(request, given, problem)
    cookie = theme_cookie(request.settings, given["theme"] or "auto")
    return see_other(request, "/account", said=("good", "Saved."), cookies=[cookie])


async def _account_page(
    request: Call, given: dict[str, str], problem: Problem | None = None
) -> Response[Any]:
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await page(
        request,
        "account/profile.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Home", "/"), Crumb("Account")],
        tabs=account_tabs("/account"),
        given=given,
        email=request.viewer.email,
        verified=request.viewer.verified,
        countries=countries(),
        errors=errors,
        alert=alert,
    )


routes = [account, change_account]

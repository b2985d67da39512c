"""Opening an account, proving its address, and a new password by mail.

Links from mails are opened by scanners too: a GET shows a button, only its POST uses the link up.
"""

from typing import Any

from litestar import Response, get, post

from fondaco import identity
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.identity.model import DeadLink
from fondaco.pages.account.parts import SECRET_PAGE, countries, is_demo
from fondaco.pages.context import form_faults, form_status, page, see_other


@get("/sign-up", permit="public.see", include_in_schema=False)
async def sign_up_form(request: Call) -> Response[Any]:
    if request.viewer.user_id:
        return see_other(request, "/account")
    return await _sign_up_page(request, {})


@post("/sign-up", permit="public.see", include_in_schema=False)
async def sign_up(request: Call) -> Response[Any]:
    fields = await request.fields()
    try:
        await identity.sign_up(
            request.db,
            request.viewer,
            email=fields.get("email", ""),
            password=fields.get("password", ""),
            name=fields.get("name", ""),
            country=fields.get("country") or None,
        )
    except Problem as problem:
        return await _sign_up_page(request, fields, problem)
    return see_other(request, "/verify")


async def _sign_up_page(
    request: Call, fields: dict[str, str], problem: Problem | None = None
) -> Response[Any]:
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await page(
        request,
        "account/sign_up.html",
        status=form_status(problem) if problem else 200,
        given={name: fields.get(name, "") for name in ("name", "email", "country")},
        countries=countries(),
        errors=errors,
        alert=alert,
    )


@get("/verify", permit="public.see", include_in_schema=False)
async def verify_form(request: Call) -> Response[Any]:
    """With a link's token: the button that proves the address. Without: what to do now."""
    token = request.query_params.get("token", "")
    if not token:
        return await page(request, "account/check_mail.html", demo=is_demo(request))
    return await page(request, "account/verify.html", headers=SECRET_PAGE, token=token)


@post("/verify", permit="public.see", include_in_schema=False)
async def verify(request: Call) -> Response[Any]:
    fields = await request.fields()
    try:
        await identity.verify_email(request.db, fields.get("token", ""))
    except DeadLink as problem:
        return await _dead_link(request, problem, "/verify/again", "Send a new link")
    if request.viewer.user_id:
        return see_other(request, "/account", said=("good", "Your address is confirmed."))
    return see_other(request, "/sign-in", said=("good", "Your address is confirmed. You can sign in now."))


@get("/verify/again", permit="public.see", include_in_schema=False)
async def verify_again_form(request: Call) -> Response[Any]:
    return await page(
        request, "account/verify_again.html", email=request.viewer.email, errors={}, alert="", sent=False
    )


@post("/verify/again", permit="public.see", include_in_schema=False)
async def verify_again(request: Call) -> Response[Any]:
    email = (await request.fields()).get("email", "")
    try:
        await identity.ask_verification(request.db, request.viewer, email=email)
    except Problem as problem:
        errors, alert = form_faults(problem)
        return await page(
            request,
            "account/verify_again.html",
            status=form_status(problem),
            email=email,
            errors=errors,
            alert=alert,
        )
    said = "If this address has an account that is not confirmed yet, a mail is on its way."
    return see_other(request, "/verify", said=("good", said))


@get("/forgot", permit="public.see", include_in_schema=False)
async def forgot_form(request: Call) -> Response[Any]:
    return await page(request, "account/forgot.html", email=request.viewer.email, errors={}, alert="")


@post("/forgot", permit="public.see", include_in_schema=False)
async def forgot(request: Call) -> Response[Any]:
    email = (await request.fields()).get("email", "")
    try:
        await identity.ask_reset(request.db, request.viewer, email=email)
    except Problem as problem:
        errors, alert = form_faults(problem)
        return await page(
            request,
            "account/forgot.html",
            status=form_status(problem),
            email=email,
            errors=errors,
            alert=alert,
        )
    said = "If this address has an account, a mail with a link is on its way. It works for 30 minutes."
    return see_other(request, "/sign-in", said=("good", said))


@get("/reset", permit="public.see", include_in_schema=False)
async def reset_form(request: Call) -> Response[Any]:
    token = request.query_params.get("token", "")
    if not token:
        return see_other(request, "/forgot")
    return await page(request, "account/reset.html", headers=SECRET_PAGE, token=token, errors={}, alert="")


@post("/reset", permit="public.see", include_in_schema=False)
async def reset(request: Call) -> Response[Any]:
    fields = await request.fields()
    token = fields.get("token", "")
    try:
        await identity.reset_password(request.db, token, password=fields.get("password", ""))
    except DeadLink as problem:
        return await _dead_link(request, problem, "/forgot", "Ask for a new link")
    except Problem as problem:
        errors, alert = form_faults(problem)
        return await page(
            request,
            "account/reset.html",
            status=form_status(problem),
            headers=SECRET_PAGE,
            token=token,
            errors=errors,
            alert=alert,
        )
    said = "Your password is changed and every session has ended. Please sign in."
    return see_other(request, "/sign-in", said=("good", said))


async def _dead_link(request: Call, problem: DeadLink, href: str, label: str) -> Response[Any]:
    return await page(
        request,
        "account/dead_link.html",
        status=problem.status,
        detail=problem.detail,
        action_href=href,
        action_label=label,
    )


routes = [
    sign_up_form,
    sign_up,
    verify_form,
    verify,
    verify_again_form,
    verify_again,
    forgot_form,
    forgot,
    reset_form,
    reset,
]

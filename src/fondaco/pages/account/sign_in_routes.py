"""Signing in, passing the second factor, signing out."""

from typing import Any
from urllib.parse import quote

from litestar import Response, get, post

from fondaco import identity
from fondaco.core.problem import Problem, SignInNeeded
from fondaco.core.web import Call
from fondaco.identity.sessions import clear_cookie
from fondaco.pages.account.parts import is_demo, next_of, signed_in
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.vault import Vault

SET_UP = "/account/security/second-factor"


def with_next(path: str, target: str) -> str:
    return path if target == "/" else f"{path}?next={quote(target, safe='/')}"


@get("/sign-in", permit="public.see", include_in_schema=False)
async def sign_in_form(request: Call) -> Response[Any]:
    """Address and password."""
    target = next_of(request)
    if request.viewer.user_id:
        return see_other(request, target)
    if request.viewer.session_id:
        return see_other(request, with_next("/second-factor", target))
    return await page(request, "account/sign_in.html", next=target, email="", errors={}, alert="")


@post("/sign-in", permit="public.see", include_in_schema=False)
async def sign_in(request: Call) -> Response[Any]:
    fields = await request.fields()
    email, target = fields.get("email", ""), next_of(request, fields)
    try:
        found = await identity.sign_in(
            request.db, request.viewer, email=email, password=fields.get("password", "")
        )
    except Problem as problem:
        errors, alert = form_faults(problem)
        return await page(
            request,
            "account/sign_in.html",
            status=form_status(problem),
            next=target,
            email=email,
            errors=errors,
            alert=alert,
        )
    if found.second_factor_needed:
        return await signed_in(request, found, with_next("/second-factor", target))
    return await signed_in(request, found, target)


@get("/second-factor", permit="public.see", include_in_schema=False)
async def second_factor_form(request: Call) -> Response[Any]:
    """The code from the app. Who has none yet is led to set it up."""
    viewer, target = request.viewer, next_of(request)
    if viewer.user_id and not viewer.mfa_enrolled:
        return see_other(request, with_next(SET_UP, target))
    if viewer.user_id:
        return see_other(request, target)
    if viewer.session_id is None:
        return see_other(request, with_next("/sign-in", target))
    return await _second_factor_page(request, target)


@post("/second-factor", permit="public.see", include_in_schema=False)
async def second_factor(request: Call) -> Response[Any]:
    fields = await request.fields()
    target = next_of(request, fields)
    try:
        found = await identity.verify_second_factor(
            request.db, request.part(Vault), request.viewer, fields.get("code", "").strip()[:40]
        )
    except SignInNeeded:
        return see_other(request, with_next("/sign-in", target))
    except Problem as problem:
        return await _second_factor_page(request, target, problem)
    return await signed_in(request, found, target)


async def _second_factor_page(request: Call, target: str, problem: Problem | None = None) -> Response[Any]:
    return await page(
        request,
        "account/second_factor.html",
        status=form_status(problem) if problem else 200,
        next=target,
        error=problem.detail if problem else "",
        demo=is_demo(request),
    )


@post("/sign-out", permit="public.see", include_in_schema=False)
async def sign_out(request: Call) -> Response[Any]:
    await identity.sign_out(request.db, request.viewer)
    return see_other(
        request, "/", said=("good", "You are signed out."), cookies=[clear_cookie(request.settings)]
    )


routes = [sign_in_form, sign_in, second_factor_form, second_factor, sign_out]

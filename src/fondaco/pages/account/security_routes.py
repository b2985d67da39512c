"""Password, second factor, and where one is signed in."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from markupsafe import Markup

from fondaco import identity
from fondaco.core.problem import Problem
from fondaco.core.web import Call
from fondaco.identity.sessions import clear_cookie, session_cookie
from fondaco.pages.account.parts import SECRET_PAGE, account_tabs, device_words, is_demo, next_of
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.render import Crumb
from fondaco.vault import Vault

HERE = "/account/security"


@get(HERE, permit="account.own", include_in_schema=False)
async def security(request: Call) -> Response[Any]:
    return await _security_page(request)


@post(f"{HERE}/password", permit="account.own", include_in_schema=False)
async def change_password(request: Call) -> Response[Any]:
    fields = await request.fields()
    try:
        found = await identity.change_password(
            request.db,
            request.viewer,
            current=fields.get("current", ""),
            password=fields.get("password", ""),
        )
    except Problem as problem:
        return await _security_page(request, problem)
    return see_other(
        request,
        HERE,
        said=("good", "Your password is changed. You are signed out everywhere else."),
        cookies=[session_cookie(request.settings, found.token)],
    )


async def _security_page(request: Call, problem: Problem | None = None) -> Response[Any]:
    viewer = request.viewer
    errors, alert = form_faults(problem) if problem else ({}, "")
    sessions = await identity.list_sessions(request.db, viewer)
    return await page(
        request,
        "account/security.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Home", "/"), Crumb("Account", "/account"), Crumb("Security")],
        tabs=account_tabs(HERE),
        errors=errors,
        alert=alert,
        enrolled=viewer.mfa_enrolled,
        staff=viewer.staff_role is not None,
        codes_left=await identity.recovery_codes_left(request.db, viewer) if viewer.mfa_enrolled else 0,
        sessions=[(s, device_words(s.user_agent)) for s in sessions],
    )


@post(f"{HERE}/sessions/{{session_id:uuid}}/end", permit="account.own", include_in_schema=False)
async def end_session(request: Call, session_id: FromPath[UUID]) -> Response[Any]:
    await identity.revoke_session(request.db, request.viewer, session_id)
    if session_id == request.viewer.session_id:
        return see_other(
            request,
            "/sign-in",
            said=("good", "You are signed out."),
            cookies=[clear_cookie(request.settings)],
        )
    return see_other(request, HERE, said=("good", "That session has ended."))


@post(f"{HERE}/sessions/end-others", permit="account.own", include_in_schema=False)
async def end_other_sessions(request: Call) -> Response[Any]:
    count = await identity.revoke_other_sessions(request.db, request.viewer)
    words = {0: "You are signed in nowhere else.", 1: "One other session has ended."}
    return see_other(request, HERE, said=("good", words.get(count, f"{count} other sessions have ended.")))


@get(f"{HERE}/second-factor", permit="account.own", include_in_schema=False)
async def second_factor_start(request: Call) -> Response[Any]:
    """What it is, and the button that begins. Nothing is made by looking."""
    if request.viewer.mfa_enrolled:
        return see_other(request, HERE)
    return await _setting_up(request, "account/second_factor_start.html", next_of(request))


@post(f"{HERE}/second-factor", permit="account.own", include_in_schema=False)
async def second_factor_set_up(request: Call) -> Response[Any]:
    """The QR code and the secret, on this page only; asking again makes another."""
    target = next_of(request, await request.fields())
    try:
        setup = await identity.start_second_factor(
            request.db, request.part(Vault), request.settings, request.viewer
        )
    except Problem as problem:
        return see_other(request, HERE, said=("bad", problem.detail))
    spaced = " ".join(setup.secret[i : i + 4] for i in range(0, len(setup.secret), 4))
    qr = Markup(setup.svg)  # noqa: S704 - drawn by us from the secret
    return await _setting_up(request, "account/second_factor_setup.html", target, qr=qr, secret=spaced)


@post(f"{HERE}/second-factor/confirm", permit="account.own", include_in_schema=False)
async def second_factor_confirm(request: Call) -> Response[Any]:
    """The first code switches it on; the recovery codes are shown this once."""
    fields = await request.fields()
    target = next_of(request, fields)
    try:
        on = await identity.confirm_second_factor(
            request.db, request.part(Vault), request.viewer, fields.get("code", "").strip()[:40]
        )
    except Problem as problem:
        return await _setting_up(
            request,
            "account/second_factor_setup.html",
            target,
            status=form_status(problem),
            qr=None,
            secret="",
            error=problem.detail,
        )
    answer = await _setting_up(request, "account/recovery_codes.html", target, codes=on.recovery_codes)
    answer.set_cookie(session_cookie(request.settings, on.token))
    return answer


async def _setting_up(
    request: Call, template: str, target: str, *, status: int = 200, error: str = "", **context: Any
) -> Response[Any]:
    return await page(
        request,
        template,
        status=status,
        headers=SECRET_PAGE,
        next=target,
        error=error,
        staff=request.viewer.staff_role is not None,
        demo=is_demo(request),
        **context,
    )


@get(f"{HERE}/second-factor/off", permit="account.own", include_in_schema=False)
async def second_factor_off_form(request: Call) -> Response[Any]:
    if not request.viewer.mfa_enrolled:
        return see_other(request, HERE)
    return await _setting_up(request, "account/second_factor_off.html", HERE)


@post(f"{HERE}/second-factor/off", permit="account.own", include_in_schema=False)
async def second_factor_off(request: Call) -> Response[Any]:
    code = (await request.fields()).get("code", "").strip()[:40]
    try:
        await identity.stop_second_factor(request.db, request.part(Vault), request.viewer, code)
    except Problem as problem:
        return await _setting_up(
            request,
            "account/second_factor_off.html",
            HERE,
            status=form_status(problem),
            error=problem.detail,
        )
    return see_other(request, HERE, said=("good", "The second factor is off."))


routes = [
    security,
    change_password,
    end_session,
    end_other_sessions,
    second_factor_start,
    second_factor_set_up,
    second_factor_confirm,
    second_factor_off_form,
    second_factor_off,
]

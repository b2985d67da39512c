"""A store's team: who is in it, in which role."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import sellers
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, ROLES, can, desk
from fondaco.sellers import Member

TEAM = f"{HOME}/team"


@get(TEAM, permit="team.see", include_in_schema=False)
async def team(request: Call) -> Response[Any]:
    return await _team_page(request, {"email": "", "role": "read_only"})


async def _team_page(request: Call, given: dict[str, str], problem: Problem | None = None) -> Response[Any]:
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await desk(
        request,
        "seller/team.html",
        status=form_status(problem) if problem else 200,
        here=TEAM,
        crumbs=[Crumb("Team")],
        members=await sellers.list_team(request.db, request.viewer),
        me=request.viewer.user_id,
        roles=ROLES,
        given=given,
        errors=errors,
        alert=alert,
        writable=can(request.viewer, "team.edit"),
    )


@post(TEAM, permit="team.edit", include_in_schema=False)
async def add_member(request: Call) -> Response[Any]:
    fields = await request.fields()
    given = {name: fields.get(name, "") for name in ("email", "role")}
    try:
        await sellers.add_member(request.db, request.viewer, **given)
    except Problem as problem:
        return await _team_page(request, given, problem)
    return see_other(request, TEAM, said=("good", f"{given['email'].strip()} is in the team now."))


@post(f"{TEAM}/{{user_id:uuid}}/role", permit="team.edit", include_in_schema=False)
async def change_role(request: Call, user_id: FromPath[UUID]) -> Response[Any]:
    role = (await request.fields()).get("role", "")
    try:
        await sellers.change_role(request.db, request.viewer, user_id=user_id, role=role)
    except NotFound:
        raise
    except Problem as problem:
        fields, words = form_faults(problem)
        return see_other(request, TEAM, said=("bad", words or fields.get("role", problem.detail)))
    target = TEAM if user_id != request.viewer.user_id or role == "owner" else HOME
    return see_other(request, target, said=("good", "The new role counts from now on."))


@get(f"{TEAM}/{{user_id:uuid}}/remove", permit="team.edit", include_in_schema=False)
async def ask_remove(request: Call, user_id: FromPath[UUID]) -> Response[Any]:
    member = await _member(request, user_id)
    return await page(
        request,
        "layouts/confirm.html",
        heading=f"Remove {member.name} from the team?",
        text="They lose their way into this store at once, and API keys they made for it stop working.",
        action=f"{TEAM}/{user_id}/remove",
        fields=(),
        confirm_label="Remove",
        danger=True,
        back_href=TEAM,
    )


async def _member(request: Call, user_id: UUID) -> Member:
    for member in await sellers.list_team(request.db, request.viewer):
        if member.user_id == user_id:
            return member
    raise NotFound()


@post(f"{TEAM}/{{user_id:uuid}}/remove", permit="team.edit", include_in_schema=False)
async def remove_member(request: Call, user_id: FromPath[UUID]) -> Response[Any]:
    member = await _member(request, user_id)
    try:
        await sellers.remove_member(request.db, request.viewer, user_id=user_id)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, TEAM, said=("bad", problem.detail))
    if user_id == request.viewer.user_id:
        return see_other(request, "/", said=("good", "You left the team."))
    return see_other(request, TEAM, said=("good", f"{member.name} is no longer in the team."))


routes = [team, add_member, change_role, ask_remove, remove_member]

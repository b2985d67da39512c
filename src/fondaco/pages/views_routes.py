"""Saved views: keeping a list's filter under a name, for every list of the desks."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from litestar import Response, post
from litestar.params import FromPath

from fondaco import identity
from fondaco.core.problem import Problem
from fondaco.core.web import Call, safe_next
from fondaco.pages.context import form_faults, see_other


@post("/views", permit="account.own", include_in_schema=False)
async def save_view(request: Call) -> Response[Any]:
    """`url` is the list as it is filtered: its path names the list, its query is what is kept."""
    fields = await request.fields()
    back = safe_next(fields.get("url"))
    place = urlsplit(back)
    try:
        view = await identity.save_view(
            request.db,
            request.viewer,
            list_name=place.path,
            name=fields.get("name", ""),
            query=place.query,
        )
    except Problem as problem:
        faults, words = form_faults(problem)
        return see_other(request, back, said=("bad", words or next(iter(faults.values()), problem.detail)))
    return see_other(request, back, said=("good", f"“{view.name}” is under Saved views."))


@post("/views/{view_id:uuid}/delete", permit="account.own", include_in_schema=False)
async def delete_view(request: Call, view_id: FromPath[UUID]) -> Response[Any]:
    back = safe_next((await request.fields()).get("back"))
    await identity.delete_view(request.db, request.viewer, view_id)
    return see_other(request, back, said=("good", "That view is deleted."))


routes = [save_view, delete_view]

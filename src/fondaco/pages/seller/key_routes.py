"""A store's API keys: made with chosen permissions, shown once, revoked at once."""

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import identity
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.identity.model import ApiKey, NewApiKey
from fondaco.identity.permissions import KEY_SCOPES
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import API_REFERENCE, HOME, SCOPES, desk

KEYS = f"{HOME}/api-keys"
EXPIRY = {"30": "30 days", "90": "90 days", "365": "One year", "": "Until I revoke it"}


@get(KEYS, permit="api_keys.edit", include_in_schema=False)
async def keys(request: Call) -> Response[Any]:
    return await _keys_page(request, name="", scopes=["catalog.read", "stock.read"], days="90")


async def _keys_page(
    request: Call,
    *,
    name: str,
    scopes: list[str],
    days: str,
    problem: Problem | None = None,
    made: NewApiKey | None = None,
) -> Response[Any]:
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await desk(
        request,
        "seller/api_keys.html",
        status=form_status(problem) if problem else 200,
        headers={"Cache-Control": "no-store"},
        here=KEYS,
        crumbs=[Crumb("API keys")],
        keys=await identity.list_api_keys(request.db, request.viewer),
        scopes=[(scope, SCOPES.get(scope, scope)) for scope in KEY_SCOPES],
        words=SCOPES,
        expiry=list(EXPIRY.items()),
        given={"name": name, "scopes": scopes, "days": days},
        errors=errors,
        alert=alert,
        made=made,
        base_url=request.settings.base_url,
        api_reference=API_REFERENCE,
    )


@post(KEYS, permit="api_keys.edit", include_in_schema=False)
async def create_key(request: Call) -> Response[Any]:
    """The new key is on this answer only: no address leads to it again."""
    form = await request.form()
    name, days = str(form.get("name") or ""), str(form.get("days") or "")
    scopes = [s for s in form.getall("scopes", []) if isinstance(s, str)]
    try:
        if days not in EXPIRY:
            raise Invalid(fields={"days": "Choose one of the times offered."})
        made = await identity.create_api_key(
            request.db, request.viewer, name=name, scopes=scopes, days=int(days) if days else None
        )
    except Problem as problem:
        if isinstance(problem, Invalid) and "scopes" in problem.fields:
            problem.fields["scopes"] = "Choose at least one permission."
        return await _keys_page(request, name=name, scopes=scopes, days=days, problem=problem)
    return await _keys_page(request, name="", scopes=scopes, days=days, made=made)


@get(f"{KEYS}/{{key_id:uuid}}/revoke", permit="api_keys.edit", include_in_schema=False)
async def ask_revoke(request: Call, key_id: FromPath[UUID]) -> Response[Any]:
    key = await _key(request, key_id)
    return await page(
        request,
        "layouts/confirm.html",
        heading=f"Revoke “{key.name}”?",
        text="Whatever uses this key is refused at once. This cannot be undone; you can make a new key.",
        action=f"{KEYS}/{key_id}/revoke",
        fields=(),
        confirm_label="Revoke",
        danger=True,
        back_href=KEYS,
    )


async def _key(request: Call, key_id: UUID) -> ApiKey:
    for key in await identity.list_api_keys(request.db, request.viewer):
        if key.id == key_id:
            return key
    raise NotFound()


@post(f"{KEYS}/{{key_id:uuid}}/revoke", permit="api_keys.edit", include_in_schema=False)
async def revoke_key(request: Call, key_id: FromPath[UUID]) -> Response[Any]:
    await identity.revoke_api_key(request.db, request.viewer, key_id)
    return see_other(request, KEYS, said=("good", "The key is revoked."))


routes = [keys, create_key, ask_revoke, revoke_key]

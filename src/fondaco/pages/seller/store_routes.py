"""Opening a store, its settings, and going from one store to another."""

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post

from fondaco import catalog, identity, sellers
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import Conflict, NotFound, Problem
from fondaco.core.web import Call
from fondaco.orders import MATURITY_DAYS
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.render import Crumb
from fondaco.pages.richtext import rich_text
from fondaco.pages.seller.parts import HOME, can, desk, percent, read_version
from fondaco.sellers import OwnStore

SETTINGS = f"{HOME}/settings"
STORES = f"{HOME}/stores"
_FIELDS = {
    "name": "Store name",
    "support_email": "Support address",
    "country": "Country",
    "about": "About the store",
}


def _countries() -> list[tuple[str, str]]:
    return [(code, name) for code, name in catalog.regions().items() if catalog.is_country(code)]


@get("/sell", permit="public.see", include_in_schema=False)
async def sell(request: Call) -> Response[Any]:
    """What selling here is, and the form that opens a store."""
    viewer = request.viewer
    given = {"name": "", "support_email": viewer.email, "country": viewer.country or "", "about": ""}
    return await _sell_page(request, given)


async def _sell_page(
    request: Call, given: Mapping[str, str], problem: Problem | None = None
) -> Response[Any]:
    viewer, settings = request.viewer, request.settings
    errors, alert = form_faults(problem) if problem else ({}, "")
    stores = await sellers.stores_of(request.db, viewer) if viewer.user_id else []
    return await page(
        request,
        "seller/sell.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Home", "/"), Crumb("Open a store")],
        given=given,
        errors=errors,
        alert=alert,
        stores=stores,
        verified=viewer.verified,
        countries=_countries(),
        commission=percent(settings.commission_bps),
        protection_days=settings.protection_days,
        maturity_days=MATURITY_DAYS,
    )


@post("/sell", permit="store.open", include_in_schema=False)
async def open_store(request: Call) -> Response[Any]:
    fields = await request.fields()
    given = {name: fields.get(name, "") for name in _FIELDS}
    try:
        store = await sellers.open_store(
            request.db,
            request.viewer,
            name=given["name"],
            country=given["country"],
            support_email=given["support_email"] or None,
            about=given["about"],
        )
    except Problem as problem:
        return await _sell_page(request, given, problem)
    return see_other(request, HOME, said=("good", f"{store.name} is open. Here is what to do next."))


@get(SETTINGS, permit="seller.see", include_in_schema=False)
async def settings(request: Call) -> Response[Any]:
    store = await sellers.my_store(request.db, request.viewer)
    return await _settings_page(request, store, _values(store))


@post(SETTINGS, permit="store.edit", include_in_schema=False)
async def save_settings(request: Call) -> Response[Any]:
    fields = await request.fields()
    given = {name: fields.get(name, "") for name in _FIELDS}
    if "preview" in fields:
        store = await sellers.my_store(request.db, request.viewer)
        version = read_version(fields.get("version", ""))
        return await _settings_page(request, store, given, version=version, preview=given["about"])
    try:
        await sellers.edit_store(
            request.db, request.viewer, version=read_version(fields.get("version", "")), **given
        )
    except Problem as problem:
        store = await sellers.my_store(request.db, request.viewer)
        seen = None if isinstance(problem, Conflict) else read_version(fields.get("version", ""))
        return await _settings_page(request, store, given, version=seen, problem=problem)
    return see_other(request, SETTINGS, said=("good", "Saved."))


def _values(store: OwnStore) -> dict[str, str]:
    return {name: getattr(store, name) for name in _FIELDS}


async def _settings_page(
    request: Call,
    store: OwnStore,
    given: Mapping[str, str],
    *,
    version: int | None = None,
    preview: str | None = None,
    problem: Problem | None = None,
) -> Response[Any]:
    """`version`: what the form was made of, when that is not the present one."""
    errors, alert = form_faults(problem) if problem and not isinstance(problem, Conflict) else ({}, "")
    saved = _values(store)
    differences = [
        (label, given[name], saved[name]) for name, label in _FIELDS.items() if given[name] != saved[name]
    ]
    return await desk(
        request,
        "seller/settings.html",
        status=form_status(problem) if problem else 200,
        here=SETTINGS,
        crumbs=[Crumb("Settings")],
        store=store,
        version=store.version if version is None else version,
        given=given,
        errors=errors,
        alert=alert,
        differences=differences if isinstance(problem, Conflict) else [],
        preview=rich_text(preview) if preview is not None else None,
        countries=_countries(),
        writable=can(request.viewer, "store.edit"),
    )


@get(STORES, permit="account.own", include_in_schema=False)
async def stores(request: Call) -> Response[Any]:
    found = await sellers.stores_of(request.db, request.viewer)
    if not found:
        return see_other(request, "/sell")
    return await desk(request, "seller/stores.html", here=STORES, crumbs=[Crumb("Stores")], stores=found)


@post(f"{STORES}/switch", permit="account.own", include_in_schema=False)
async def switch_store(request: Call) -> Response[Any]:
    wanted = parse_uuid((await request.fields()).get("store", ""))
    if wanted is None:
        raise NotFound()
    await identity.switch_store(request.db, request.viewer, wanted)
    return see_other(request, HOME)


routes = [sell, open_store, settings, save_settings, stores, switch_store]

"""One listing: its sections, each a form of its own, and what is done with it as a whole."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.datastructures import UploadFile
from litestar.params import FromPath

from fondaco import catalog, inventory
from fondaco.catalog import OwnListing
from fondaco.catalog.model import MAX_PRICE
from fondaco.core.money import Money
from fondaco.core.problem import Conflict, Invalid, NotFound, Problem
from fondaco.core.web import Call
from fondaco.integrations.blobs import Blobs
from fondaco.pages.context import form_faults, form_status, page, see_other
from fondaco.pages.render import Crumb, format_money
from fondaco.pages.richtext import rich_text
from fondaco.pages.seller.acts import ACTS, act_of
from fondaco.pages.seller.parts import (
    LIST,
    can,
    choices,
    desk,
    listing_tabs,
    read_price,
    read_version,
    read_whole,
    with_faults,
)

NATURE = ("category", "platform", "region", "edition")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "details": ("title", *NATURE, "max_per_order", "key_format"),
    "texts": ("summary", "description", "activation"),
}
LABELS = {
    "title": "Title",
    "category": "Category",
    "platform": "Platform",
    "region": "Region",
    "edition": "Edition",
    "max_per_order": "Most in one order",
    "key_format": "Key format",
    "summary": "In one sentence",
    "description": "Description",
    "activation": "How to redeem",
    "price": "Price",
}


@get(f"{LIST}/{{listing_id:uuid}}", permit="catalog.read", include_in_schema=False)
async def show_listing(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    return await _page(request, listing_id)


@post(
    [f"{LIST}/{{listing_id:uuid}}/details", f"{LIST}/{{listing_id:uuid}}/texts"],
    permit="catalog.write",
    include_in_schema=False,
)
async def save_section(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    """One section. Asked for a preview, the texts are shown as buyers would see them, and not kept."""
    section = request.url.path.rsplit("/", 1)[-1]
    fields = await request.fields()
    given = {name: fields[name] for name in SECTIONS[section] if name in fields}
    version = read_version(fields.get("version", ""))
    if "preview" in fields:
        return await _page(request, listing_id, given=given, version=version, preview=True)
    faults: dict[str, str] = {}
    changes: dict[str, Any] = {**given}
    if "max_per_order" in given:
        changes["max_per_order"] = read_whole(faults, "max_per_order", given["max_per_order"])
    try:
        await catalog.edit(request.db, request.viewer, listing_id, version=version, **changes)
    except NotFound:
        raise
    except Problem as problem:
        seen = None if _meanwhile(problem) else version
        return await _page(
            request, listing_id, given=given, version=seen, problem=with_faults(problem, faults)
        )
    return see_other(request, f"{LIST}/{listing_id}", said=("good", "Saved."))


@post(f"{LIST}/{{listing_id:uuid}}/price", permit="catalog.write", include_in_schema=False)
async def save_price(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    given = {"price": fields.get("price", "")}
    version = read_version(fields.get("price_version", ""))
    faults: dict[str, str] = {}
    old = await catalog.own_listing(request.db, request.viewer, listing_id)
    price = read_price(faults, given["price"], old.currency, MAX_PRICE)
    try:
        await catalog.change_price(request.db, request.viewer, listing_id, price=price, price_version=version)
    except NotFound:
        raise
    except Problem as problem:
        return await _page(request, listing_id, given=given, problem=with_faults(problem, faults))
    return see_other(request, f"{LIST}/{listing_id}", said=("good", "The new price counts from now on."))


@post(f"{LIST}/{{listing_id:uuid}}/cover", permit="catalog.write", include_in_schema=False)
async def save_cover(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    found = (await request.form()).get("cover")
    try:
        if not isinstance(found, UploadFile) or not found.filename:
            raise Invalid(fields={"cover": "Choose a picture first."})
        await catalog.set_cover(
            request.db, request.part(Blobs), request.viewer, listing_id, await found.read()
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _page(request, listing_id, problem=problem)
    return see_other(request, f"{LIST}/{listing_id}", said=("good", "The new picture is in place."))


@get(f"{LIST}/{{listing_id:uuid}}/do/{{act:str}}", permit="catalog.write", include_in_schema=False)
async def ask_act(request: Call, listing_id: FromPath[UUID], act: FromPath[str]) -> Response[Any]:
    """The question, for readers without scripts."""
    chosen = act_of(act)
    listing = await catalog.own_listing(request.db, request.viewer, listing_id)
    return await page(
        request,
        "layouts/confirm.html",
        heading=chosen.heading,
        text=f"{listing.title}: {chosen.text}",
        action=f"{LIST}/{listing_id}/do/{act}",
        fields=(),
        confirm_label=chosen.label,
        danger=chosen.danger,
        back_href=f"{LIST}/{listing_id}",
    )


@post(f"{LIST}/{{listing_id:uuid}}/do/{{act:str}}", permit="catalog.write", include_in_schema=False)
async def do_act(request: Call, listing_id: FromPath[UUID], act: FromPath[str]) -> Response[Any]:
    chosen = act_of(act)
    try:
        found = await chosen.verb(request.db, request.viewer, listing_id)
    except Invalid as problem:  # texts are missing: shown where they are written
        return await _page(request, listing_id, problem=problem)
    except NotFound:
        raise
    except Problem as problem:
        return see_other(request, f"{LIST}/{listing_id}", said=("bad", problem.detail))
    return see_other(request, f"{LIST}/{found.id}", said=("good", chosen.said))


def _meanwhile(problem: Problem | None) -> OwnListing | None:
    """The listing somebody else saved meanwhile, when that is what was refused."""
    current = problem.extra.get("current") if isinstance(problem, Conflict) else None
    return current if isinstance(current, OwnListing) else None


def _values(listing: OwnListing) -> dict[str, str]:
    """What the forms hold, as it is typed."""
    values = {name: str(getattr(listing, name)) for name in LABELS}
    return {**values, "price": f"{Money(listing.price, listing.currency).decimal():f}"}


async def _page(
    request: Call,
    listing_id: UUID,
    *,
    given: Mapping[str, str] | None = None,
    version: int | None = None,
    preview: bool = False,
    problem: Problem | None = None,
) -> Response[Any]:
    """`given`: what was typed; `version`: what the form was made of, when that is not the present one."""
    current = _meanwhile(problem)
    listing = current or await catalog.own_listing(request.db, request.viewer, listing_id)
    stock = await inventory.stock_counts(request.db, request.viewer, listing_id)
    saved, typed = _values(listing), dict(given or {})
    shown = {**saved, **typed}
    errors, alert = form_faults(problem) if problem and current is None else ({}, "")
    return await desk(
        request,
        "seller/listing.html",
        status=form_status(problem) if problem else 200,
        here=LIST,
        crumbs=[Crumb("Listings", LIST), Crumb(listing.title)],
        listing=listing,
        tabs=listing_tabs(request.viewer, listing, f"{LIST}/{listing_id}", stock.available),
        stock=stock,
        given=shown,
        version=listing.version if version is None else version,
        errors=errors,
        alert=alert,
        differences=_differences(listing, typed, saved) if current else [],
        preview={n: rich_text(shown[n]) for n in ("description", "activation")} if preview else None,
        acts=[(name, act) for name, act in ACTS.items() if listing.state in act.states],
        fixed=listing.published_at is not None,
        writable=can(request.viewer, "catalog.write"),
        editable=can(request.viewer, "catalog.write") and listing.state != "ARCHIVED",
        region_name=catalog.region_name(listing.region),
        **await choices(request),
    )


def _differences(
    listing: OwnListing, typed: Mapping[str, str], saved: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """(words, as typed, as saved) for each value that is not the same."""
    found: list[tuple[str, str, str]] = []
    for name, value in typed.items():
        if value.replace("\r\n", "\n").strip() != saved[name]:
            kept = format_money(listing.price, listing.currency) if name == "price" else saved[name]
            found.append((LABELS[name], value, kept))
    return found


routes = [show_listing, save_section, save_price, save_cover, ask_act, do_act]

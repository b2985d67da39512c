"""An article: its content, with a preview and its versions, and how many copies are for sale."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import catalog, inventory
from fondaco.catalog import OwnListing
from fondaco.core.problem import Conflict, NotFound, Problem
from fondaco.core.web import Call
from fondaco.inventory import MAX_CONTENT, Article
from fondaco.pages.context import form_faults, form_status, see_other
from fondaco.pages.render import Crumb, plural
from fondaco.pages.richtext import rich_text
from fondaco.pages.seller.parts import LIST, can, desk, listing_tabs, read_version, read_whole, with_faults
from fondaco.vault import Vault

SHOWN_VERSIONS = 20
NO_STORE = {"Cache-Control": "no-store"}


@get(f"{LIST}/{{listing_id:uuid}}/content", permit="catalog.write", include_in_schema=False)
async def content(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    """The editor with the newest content, or with the version the address names."""
    article = await inventory.article(request.db, request.viewer, listing_id)
    asked = read_version(request.query_params.get("version", ""))
    version = asked or article.content_version
    text = ""
    if version:
        found = await inventory.read_content(
            request.db, request.part(Vault), request.viewer, listing_id, version
        )
        text = found.reveal().decode()
    older = version if version != article.content_version else 0
    return await _content_page(request, article, text, seen=article.content_version, older=older)


@post(f"{LIST}/{{listing_id:uuid}}/content", permit="catalog.write", include_in_schema=False)
async def save_content(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    """Asked for a preview, the text is shown as buyers would read it, and not kept."""
    fields = await request.fields()
    text, seen = fields.get("content", ""), read_whole({}, "", fields.get("version", ""))
    article = await inventory.article(request.db, request.viewer, listing_id)
    if "preview" in fields:
        return await _content_page(request, article, text[:MAX_CONTENT], seen=seen, preview=True)
    try:
        saved = await inventory.save_content(
            request.db, request.part(Vault), request.viewer, listing_id, content=text, version=seen
        )
    except NotFound:
        raise
    except Problem as problem:
        current = problem.extra.get("current") if isinstance(problem, Conflict) else None
        if isinstance(current, Article):  # saving again puts it after the other one, which is not lost
            article, seen = current, current.content_version
        return await _content_page(request, article, text, seen=seen, problem=problem)
    if saved.content_version == seen:
        return see_other(request, f"{LIST}/{listing_id}/content", said=("wait", "Nothing was changed."))
    if not article.content_version and not article.copies:
        said = "Saved and sealed. Now say how many copies are for sale."
        return see_other(request, f"{LIST}/{listing_id}/stock", said=("good", said))
    said = f"Saved as version {saved.content_version}. Buyers read it from now on."
    return see_other(request, f"{LIST}/{listing_id}/content", said=("good", said))


async def _content_page(
    request: Call,
    article: Article,
    text: str,
    *,
    seen: int,
    older: int = 0,
    preview: bool = False,
    problem: Problem | None = None,
) -> Response[Any]:
    """`seen`: the newest version the writer knows of; `older`: the version in the editor, when not that."""
    viewer = request.viewer
    listing = await catalog.own_listing(request.db, viewer, article.listing_id)
    own = f"{LIST}/{listing.id}"
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await desk(
        request,
        "seller/content.html",
        status=form_status(problem) if problem else 200,
        headers=NO_STORE,
        here=LIST,
        crumbs=[Crumb("Listings", LIST), Crumb(listing.title, own), Crumb("Content")],
        listing=listing,
        tabs=listing_tabs(viewer, listing, f"{own}/content", article.copies),
        article=article,
        text=text,
        seen=seen,
        older=older,
        preview=rich_text(text) if preview else None,
        versions=await inventory.content_versions(request.db, viewer, listing.id, SHOWN_VERSIONS),
        most=MAX_CONTENT,
        errors=errors,
        alert=alert,
        editable=listing.state != "ARCHIVED",
    )


@post(f"{LIST}/{{listing_id:uuid}}/copies", permit="stock.write", include_in_schema=False)
async def save_copies(request: Call, listing_id: FromPath[UUID]) -> Response[Any]:
    fields = await request.fields()
    given = fields.get("copies", "")
    faults: dict[str, str] = {}
    wanted = read_whole(faults, "copies", given)
    try:
        if faults:
            wanted = -1  # refused by the verb, with the words about how it was typed
        saved = await inventory.set_copies(
            request.db,
            request.viewer,
            listing_id,
            copies=wanted,
            version=read_version(fields.get("version", "")),
        )
    except NotFound:
        raise
    except Problem as problem:
        listing = await catalog.own_listing(request.db, request.viewer, listing_id)
        return await copies_page(
            request, listing, given={"copies": given}, problem=with_faults(problem, faults)
        )
    said = f"{plural(saved.copies, 'copy is', 'copies are')} for sale now."
    return see_other(request, f"{LIST}/{listing_id}/stock", said=("good", said))


async def copies_page(
    request: Call,
    listing: OwnListing,
    *,
    given: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> Response[Any]:
    """The stock of an article."""
    viewer = request.viewer
    article = await inventory.article(request.db, viewer, listing.id)
    own = f"{LIST}/{listing.id}"
    errors, alert = form_faults(problem) if problem else ({}, "")
    return await desk(
        request,
        "seller/copies.html",
        status=form_status(problem) if problem else 200,
        headers=NO_STORE,
        here=LIST,
        crumbs=[Crumb("Listings", LIST), Crumb(listing.title, own), Crumb("Stock")],
        listing=listing,
        tabs=listing_tabs(viewer, listing, f"{own}/stock", article.copies),
        article=article,
        put_up=article.copies + article.held + article.sold,
        copies=(given or {}).get("copies", str(article.copies)),
        errors=errors,
        alert=alert,
        writable=can(viewer, "stock.write") and listing.state != "ARCHIVED",
        writes=can(viewer, "catalog.write"),
    )


routes = [content, save_content, save_copies]

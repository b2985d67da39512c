"""The library: everything delivered, and the key or article itself when its owner asks for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from fondaco import catalog, delivery, refunds
from fondaco.core import counting
from fondaco.core.problem import NotFound, Problem
from fondaco.core.web import Call
from fondaco.delivery import Entitlement, EntitlementPage
from fondaco.pages.account.parts import device_words
from fondaco.pages.context import form_status, page
from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec
from fondaco.pages.render import Crumb
from fondaco.vault import Vault

THINGS = {"stocked_secret": "Key", "article": "Article"}
SPEC = ListSpec("/library", facets=("key",), sizes=(24, 48, 96), views=("cards", "table"))
# The revealed secret's page: no cache keeps it, and no address tells of it. It holds no form.
REVEALED = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class Shelved:
    """One delivered thing as the library shows it."""

    href: str
    thing: str  # "Key" or "Article"
    title: str
    platform: str
    region: str
    cover_url: str
    seller: str
    delivered_at: datetime
    tone: str
    words: str


def shelved(one: Entitlement) -> Shelved:
    tone, words = _mark(one)
    return Shelved(
        href=f"/library/{one.id}",
        thing=THINGS[one.kind],
        title=one.title,
        platform=one.platform,
        region=catalog.region_name(one.region),
        cover_url=f"/media/{one.cover}" if one.cover else "",
        seller=one.seller,
        delivered_at=one.delivered_at,
        tone=tone,
        words=words,
    )


def _mark(one: Entitlement) -> tuple[str, str]:
    if one.revoked_at:
        return "bad", "Taken back"
    shown, unseen = ("Opened", "Not opened yet") if one.kind == "article" else ("Shown", "Not shown yet")
    return ("quiet", shown) if one.revealed_at else ("new", unseen)


@get("/library", permit="library.own", include_in_schema=False)
async def library(request: Call) -> Response[Any]:
    query = ListQuery.parse(SPEC, request.query_params.multi_items())
    chosen = [v for v in query.values("key") if v in ("new", "revealed")]
    found = await delivery.library(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q[:100],
        state=chosen[0] if len(chosen) == 1 else None,
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    counts = counting.shown(found.states, newest=True)
    facet = Facet(
        "key",
        "State",
        [
            FacetValue("new", "Not shown yet", counts["new"]),
            FacetValue("revealed", "Shown", counts["revealed"]),
        ],
    )
    return await page(
        request,
        "account/library.html",
        crumbs=[Crumb("Home", "/"), Crumb("Library")],
        query=query,
        facets=[facet],
        items=[shelved(one) for one in found.items],
        next_cursor=found.next,
        previous_cursor=found.previous,
        total=counting.total(counts, chosen),
    )


@get("/library/{entitlement_id:uuid}", permit="library.own", include_in_schema=False)
async def library_item(request: Call, entitlement_id: FromPath[UUID]) -> Response[Any]:
    found = await delivery.entitlement(request.db, request.viewer, entitlement_id)
    return await _item_page(request, found)


@post("/library/{entitlement_id:uuid}/reveal", permit="library.reveal", include_in_schema=False)
async def reveal(request: Call, entitlement_id: FromPath[UUID]) -> Response[Any]:
    """The key or the article, on this answer only."""
    as_bought = (await request.fields()).get("version") == "bought"
    found = await delivery.entitlement(request.db, request.viewer, entitlement_id)
    try:
        secret = await delivery.reveal(
            request.db, request.part(Vault), request.viewer, entitlement_id, as_bought=as_bought
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _item_page(request, found, problem)
    return await page(
        request,
        "account/article.html" if found.entitlement.kind == "article" else "account/revealed.html",
        headers=REVEALED,
        item=found.entitlement,
        activation=found.activation,
        secret=secret.reveal().decode(),
        version=found.bought_version if as_bought else found.newest_version,
        bought_version=found.bought_version,
    )


async def _item_page(request: Call, found: EntitlementPage, problem: Problem | None = None) -> Response[Any]:
    one = found.entitlement
    return await page(
        request,
        "account/library_item.html",
        status=form_status(problem) if problem else 200,
        crumbs=[Crumb("Home", "/"), Crumb("Library", "/library"), Crumb(one.title)],
        item=one,
        shown=shelved(one),
        order_number=found.order_number,
        edition=found.edition,
        activation=found.activation,
        release_at=found.release_at,
        escrow_state=found.escrow_state,
        region=catalog.region_name(one.region),
        usable=request.viewer.country is None or catalog.can_activate(one.region, request.viewer.country),
        reveals=[(r, device_words(r.user_agent)) for r in found.reveals],
        bought_version=found.bought_version,
        newest_version=found.newest_version,
        bad_key=await refunds.bad_key_of(request.db, request.viewer, one.id) if one.revealed_at else None,
        may_report=one.kind != "article" and found.escrow_state in ("HELD", "RELEASED", "SPLIT", "DIRECT"),
        replacement=found.replaced_by,
        alert=problem.detail if problem else "",
    )


routes = [library, library_item, reveal]

"""The shop's window: front page, lists, one listing, one store."""

from typing import Any

from litestar import Response, get
from litestar.params import FromPath
from litestar.response import Redirect

from fondaco import catalog, sellers
from fondaco.catalog import ListingPage
from fondaco.core.pagination import BadCursor
from fondaco.core.problem import NotFound
from fondaco.core.web import Call
from fondaco.pages.context import page, see_other
from fondaco.pages.listquery import ListQuery
from fondaco.pages.render import Crumb
from fondaco.pages.richtext import plain_text
from fondaco.pages.storefront.cards import item, items, shop_facets, shop_list, shop_spec, stock_tone

SHELF_ICONS = {
    "games": "gamepad-2",
    "gift-cards": "gift",
    "software": "app-window",
    "subscriptions": "calendar-sync",
    "game-credit": "coins",
    "learning": "graduation-cap",
}
ON_FRONT = 10
MAX_QUANTITY_SHOWN = 100


@get("/", permit="public.see", include_in_schema=False)
async def front(request: Call) -> Response[Any]:
    """The promise, the shelves, what is bought most and what is new."""
    popular = await _shelf(request, "popular")
    newest = await _shelf(request, "newest")
    shelves = [
        {"name": c.name, "href": f"/c/{c.slug}", "icon": SHELF_ICONS.get(c.slug, "key-round")}
        for c in await catalog.categories(request.db)
    ]
    return await page(
        request,
        "storefront/front.html",
        popular=items(popular.items),
        newest=items(newest.items),
        total=popular.total_text,
        shelves=shelves,
        protection_days=request.settings.protection_days,
    )


async def _shelf(request: Call, sort: str) -> catalog.BrowseResult:
    wanted = catalog.BrowseQuery(sort=sort, in_stock=True, limit=ON_FRONT)
    return await catalog.browse(request.db, request.cursors, wanted)


@get("/browse", permit="public.see", include_in_schema=False)
async def browse(request: Call) -> Response[Any]:
    """Everything on sale, narrowed by what the URL says."""
    query = ListQuery.parse(shop_spec("/browse"), request.query_params.multi_items())
    heading = f"Results for “{query.q}”" if query.q else "All listings"
    return await _list_page(request, query, heading, [Crumb("Home", "/"), Crumb("All listings")])


@get("/c/{slug:str}", permit="public.see", include_in_schema=False)
async def shelf(request: Call, slug: FromPath[str]) -> Response[Any]:
    """One category."""
    name = next((c.name for c in await catalog.categories(request.db) if c.slug == slug), None)
    if name is None:
        raise NotFound()
    query = ListQuery.parse(shop_spec(f"/c/{slug}", "category"), request.query_params.multi_items())
    crumbs = [Crumb("Home", "/"), Crumb("All listings", "/browse"), Crumb(name)]
    return await _list_page(request, query, name, crumbs, category=slug)


async def _list_page(
    request: Call, query: ListQuery, heading: str, crumbs: list[Crumb], *, category: str | None = None
) -> Response[Any]:
    try:
        found = await shop_list(request, query, category=category)
    except BadCursor:
        return _first_page(request, query)
    return await page(
        request,
        "storefront/browse.html",
        heading=heading,
        crumbs=crumbs,
        search=query.q,
        **_list_context(request, query, found),
    )


def _list_context(request: Call, query: ListQuery, found: catalog.BrowseResult) -> dict[str, Any]:
    return {
        "query": query,
        "facets": shop_facets(query, found, request.settings.currency),
        "items": items(found.items),
        "found": found,
    }


def _first_page(request: Call, query: ListQuery) -> Redirect:
    """An old link into the middle of a list begins at its start."""
    return see_other(request, query.with_(sort=query.sort).url())


@get("/l/{slug:str}", permit="public.see", include_in_schema=False)
async def listing(request: Call, slug: FromPath[str]) -> Response[Any]:
    """One listing: what it is, where it works, what it costs, who sells it."""
    found = await catalog.listing_page(request.db, slug, request.viewer)
    card = found.card
    if slug != card.slug:
        return Redirect(f"/l/{card.slug}", status_code=301)
    return await page(
        request,
        "storefront/listing.html",
        found=found,
        card=card,
        item=item(card),
        tone=stock_tone(card.stock),
        most=min(card.max_per_order, card.stock.left or MAX_QUANTITY_SHOWN),
        region=region_notice(request, found),
        offers=items(found.offers),
        related=items(await catalog.related(request.db, card.id, 5)),
        described=card.summary or plain_text(found.description, 160),
        protection_days=request.settings.protection_days,
        crumbs=[
            Crumb("Home", "/"),
            Crumb(card.category_name, f"/c/{card.category}"),
            Crumb(card.title),
        ],
    )


def region_notice(request: Call, found: ListingPage) -> tuple[str, str]:
    """Tone and words: whether a key works where the viewer lives."""
    card, country = found.card, request.viewer.country
    if card.region == "GLOBAL":
        return "good", "Works everywhere: this key has no region lock."
    if country is None:
        return "wait", f"Works in region {card.region_name} only. Check that this is where you live."
    home = catalog.region_name(country)
    if catalog.can_activate(card.region, country):
        return "good", f"Works in {home}, the country of your account (region {card.region_name})."
    return "bad", f"Does not work in {home}, the country of your account. It is for {card.region_name} only."


@get("/s/{slug:str}", permit="public.see", include_in_schema=False)
async def store(request: Call, slug: FromPath[str]) -> Response[Any]:
    """One store: who they are, and all they sell."""
    found = await sellers.store_by_slug(request.db, slug)
    query = ListQuery.parse(shop_spec(f"/s/{found.slug}", "seller"), request.query_params.multi_items())
    try:
        shown = await shop_list(request, query, seller=found.slug)
    except BadCursor:
        return _first_page(request, query)
    return await page(
        request,
        "storefront/store.html",
        store=found,
        country=catalog.region_name(found.country),
        crumbs=[Crumb("Home", "/"), Crumb("All listings", "/browse"), Crumb(found.name)],
        **_list_context(request, query, shown),
    )


routes = [front, browse, shelf, listing, store]

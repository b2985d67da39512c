"""The shop's window: front page, lists, one listing, one store."""

from functools import partial
from typing import Any

from litestar import Response, get
from litestar.params import FromPath
from litestar.response import Redirect

from fondaco import catalog, sellers
from fondaco.catalog import Kept, ListingPage
from fondaco.core.ids import parse_uuid
from fondaco.core.pagination import BadCursor
from fondaco.core.problem import NotFound
from fondaco.core.web import Call
from fondaco.pages.context import see_other
from fondaco.pages.kept import Show, Shown, kept_page, shown_page
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
    return await kept_page(request, "", "storefront/front.html", partial(_front, request))


async def _front(request: Call, since: float) -> Shown:
    popular, newest = [
        await catalog.shelf(
            request.db, request.cursors, catalog.BrowseQuery(sort=sort, in_stock=True, limit=ON_FRONT)
        )
        for sort in ("popular", "newest")
    ]
    every = catalog.BrowseQuery(in_stock=True)
    counts, good_for_s = await catalog.counts_kept(request.part(Kept), request.db, every, since)
    shelves = [
        {"name": c.name, "href": f"/c/{c.slug}", "icon": SHELF_ICONS.get(c.slug, "key-round")}
        for c in await catalog.categories_kept(request.part(Kept), request.db, since)
    ]
    context = {
        "popular": items(popular.items),
        "newest": items(newest.items),
        "total": counts.total_text,
        "shelves": shelves,
        "protection_days": request.settings.protection_days,
    }
    cards = [*popular.items, *newest.items]
    return Shown(context, [cards, counts.total_text, shelves], cards, good_for_s=good_for_s)


@get("/browse", permit="public.see", include_in_schema=False)
async def browse(request: Call) -> Response[Any]:
    """Everything on sale, narrowed by what the URL says."""
    query = ListQuery.parse(shop_spec("/browse"), request.query_params.multi_items())

    async def show(since: float) -> Shown:
        heading = f"Results for “{query.q}”" if query.q else "All listings"
        return await _list(request, since, query, heading, [Crumb("Home", "/"), Crumb("All listings")])

    return await _list_page(request, query, "storefront/browse.html", show)


@get("/c/{slug:str}", permit="public.see", include_in_schema=False)
async def shelf(request: Call, slug: FromPath[str]) -> Response[Any]:
    """One category."""
    query = ListQuery.parse(shop_spec(f"/c/{slug}", "category"), request.query_params.multi_items())

    async def show(since: float) -> Shown:
        shelves = await catalog.categories_kept(request.part(Kept), request.db, since)
        name = next((c.name for c in shelves if c.slug == slug), None)
        if name is None:
            raise NotFound()
        crumbs = [Crumb("Home", "/"), Crumb("All listings", "/browse"), Crumb(name)]
        return await _list(request, since, query, name, crumbs, category=slug)

    return await _list_page(request, query, "storefront/browse.html", show)


async def _list(
    request: Call,
    since: float,
    query: ListQuery,
    heading: str,
    crumbs: list[Crumb],
    *,
    category: str | None = None,
) -> Shown:
    found, good_for_s = await shop_list(request, query, since, category=category)
    context = {"heading": heading, "crumbs": crumbs, **_list_context(request, query, found)}
    return Shown(context, [heading, found], found.items, crumbs, query.q, good_for_s)


async def _list_page(request: Call, query: ListQuery, template: str, show: Show) -> Response[Any]:
    try:
        return await kept_page(request, (query.spec.path, *query.pairs()), template, show)
    except BadCursor:  # an old link into the middle of a list begins at its start
        return see_other(request, query.with_(sort=query.sort).url())


def _list_context(request: Call, query: ListQuery, found: catalog.BrowseResult) -> dict[str, Any]:
    return {
        "query": query,
        "facets": shop_facets(query, found, request.settings.currency),
        "items": items(found.items),
        "found": found,
    }


@get("/l/{slug:str}", permit="public.see", include_in_schema=False)
async def listing(request: Call, slug: FromPath[str]) -> Response[Any]:
    """One listing: what it is, where it works, what it costs, who sells it."""
    if parse_uuid(slug):
        found = await catalog.listing_page(request.db, slug, request.viewer)
        return Redirect(f"/l/{found.card.slug}", status_code=301)
    template = "storefront/listing.html"
    if request.viewer.seller_id:  # its own listing, or one that is not on sale, is seen so by its store alone
        return await shown_page(request, template, partial(_listing, request, slug))
    key = (slug, request.viewer.country)
    return await kept_page(request, key, template, partial(_listing, request, slug))


async def _listing(request: Call, slug: str, since: float) -> Shown:
    found = await catalog.listing_page(request.db, slug, request.viewer)
    card = found.card
    related = await catalog.related_kept(request.part(Kept), request.db, card, 5, since)
    crumbs = [Crumb("Home", "/"), Crumb(card.category_name, f"/c/{card.category}"), Crumb(card.title)]
    context = {
        "found": found,
        "card": card,
        "item": item(card),
        "tone": stock_tone(card.stock),
        "most": min(card.max_per_order, card.stock.left or MAX_QUANTITY_SHOWN),
        "region": region_notice(request, found),
        "offers": items(found.offers),
        "related": items(related),
        "described": card.summary or plain_text(found.description, 160),
        "protection_days": request.settings.protection_days,
    }
    return Shown(context, [found, related], [card, *found.offers, *related], crumbs)


def region_notice(request: Call, found: ListingPage) -> tuple[str, str]:
    """Tone and words: whether it works where the viewer lives."""
    card, country = found.card, request.viewer.country
    if card.region == "GLOBAL":
        if card.kind == "article":
            return "good", "Can be read everywhere."
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
    query = ListQuery.parse(shop_spec(f"/s/{slug}", "seller"), request.query_params.multi_items())

    async def show(since: float) -> Shown:
        found = await sellers.store_by_slug(request.db, slug)
        shown, good_for_s = await shop_list(request, query, since, seller=found.slug)
        crumbs = [Crumb("Home", "/"), Crumb("All listings", "/browse"), Crumb(found.name)]
        context = {
            "store": found,
            "country": catalog.region_name(found.country),
            **_list_context(request, query, shown),
        }
        return Shown(context, [found, shown], shown.items, crumbs, good_for_s=good_for_s)

    return await _list_page(request, query, "storefront/store.html", show)


routes = [front, browse, shelf, listing, store]

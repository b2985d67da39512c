"""Listings as the shop's templates show them, and the shop's list in its URL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fondaco import catalog
from fondaco.catalog import BrowseResult, Card, Stock
from fondaco.core.web import Call
from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec
from fondaco.pages.render import format_money

STOCK_TONES = {"in_stock": "good", "low": "wait", "sold_out": "bad"}
# The sort in the URL -> the catalogue's.
SORTS: Mapping[str, str] = {
    "popular": "popular",
    "new": "newest",
    "price": "price_up",
    "-price": "price_down",
}
_SORT_WORDS = {
    "popular": "Most bought",
    "new": "Newest first",
    "price": "Lowest price",
    "-price": "Highest price",
}
_LABELS = {
    "in_stock": "Stock",
    "category": "Category",
    "platform": "Platform",
    "region": "Region",
    "price": "Price",
    "seller": "Seller",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A listing on a card or in a row. `listing_id` is None when it cannot be added to the cart.

    It names no kind of goods: a cover is drawn from title and platform, which orders and the library know
    too, so that it is the same picture everywhere.
    """

    title: str
    href: str
    platform: str
    region: str
    edition: str
    seller: str
    seller_href: str
    price_minor: int
    currency: str
    stock_words: str
    stock_tone: str
    listing_id: UUID | None
    cover_url: str
    summary: str = ""


def item(card: Card) -> Item:
    """A published listing."""
    return Item(
        title=card.title,
        href=f"/l/{card.slug}",
        platform=card.platform,
        region=card.region_name,
        edition=card.edition,
        seller=card.seller.name,
        seller_href=f"/s/{card.seller.slug}",
        price_minor=card.price,
        currency=card.currency,
        stock_words=card.stock.text,
        stock_tone=stock_tone(card.stock),
        listing_id=None if card.stock.word == "sold_out" else card.id,
        cover_url=card.cover or "",
        summary=card.summary,
    )


def items(cards: Sequence[Card]) -> list[Item]:
    return [item(card) for card in cards]


def stock_tone(stock: Stock) -> str:
    return STOCK_TONES[stock.word]


def shop_spec(path: str, *fixed: str) -> ListSpec:
    """The shop's list at `path`; facets that the path itself decides are `fixed` and not offered."""
    return ListSpec(
        path=path,
        facets=tuple(name for name in _LABELS if name not in fixed),
        sorts=_SORT_WORDS,
        sizes=(24, 48, 96),
        views=("cards", "table"),
    )


async def shop_list(
    request: Call,
    query: ListQuery,
    since: float,
    *,
    category: str | None = None,
    seller: str | None = None,
) -> tuple[BrowseResult, float]:
    """One page of the shop, and for how many seconds it may be kept at most. Raises BadCursor."""
    return await catalog.browse_kept(
        request.part(catalog.Kept),
        request.db,
        request.cursors,
        catalog.BrowseQuery(
            q=query.q,
            categories=(category,) if category else query.values("category"),
            platforms=query.values("platform"),
            regions=query.values("region"),
            sellers=(seller,) if seller else query.values("seller"),
            price_bands=query.values("price"),
            in_stock="true" in query.values("in_stock"),
            sort=SORTS[query.sort],
            limit=query.size,
            cursor=query.after or query.before or None,
        ),
        since,
    )


def shop_facets(query: ListQuery, found: BrowseResult, currency: str) -> list[Facet]:
    """The facets offered, in their order; a chosen value stays offered even where nothing is left of it."""
    by_name = {facet.name: facet for facet in found.facets}
    return [
        Facet(name, _LABELS[name], _values(name, query, by_name[name].values, currency))
        for name in query.spec.facets
        if by_name[name].values or query.values(name)
    ]


def _values(name: str, query: ListQuery, counts: Sequence[Any], currency: str) -> list[FacetValue]:
    shown = [
        FacetValue(c.value, price_words(c.value, currency) if name == "price" else c.label, c.count)
        for c in counts
        if name != "in_stock" or c.value == "true"
    ]
    if name == "price":
        order = list(catalog.PRICE_BANDS)
        shown.sort(key=lambda value: order.index(value.value))
    offered = {value.value for value in shown}
    gone = [FacetValue(v, _gone(name, v, currency), 0) for v in query.values(name) if v not in offered]
    return shown + gone


def _gone(name: str, value: str, currency: str) -> str:
    if name == "price":
        return price_words(value, currency)
    if name == "region":
        return catalog.region_name(value)
    return "In stock" if name == "in_stock" else value


def price_words(band: str, currency: str) -> str:
    """A range of prices: "Under €5.00", "€5.00 to €9.99", "€50.00 and more"."""
    low, high = catalog.PRICE_BANDS.get(band, (0, 0))
    if not high:
        return f"{format_money(low, currency)} and more"
    if not low:
        return f"Under {format_money(high + 1, currency)}"
    return f"{format_money(low, currency)} to {format_money(high, currency)}"

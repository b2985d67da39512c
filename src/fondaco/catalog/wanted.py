"""What a visitor asks of the shop, and the same as SQL conditions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fondaco.catalog import checks
from fondaco.catalog.checks import Faults
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.catalog.model import MAX_PRICE

_ID = ("id", "l.id", "uuid")
SORTS: dict[str, Keyset] = {
    "newest": Keyset("shop-newest", (("published_at", "l.published_at", "timestamptz"), _ID)),
    "price_up": Keyset("shop-price-up", (("price", "l.price", "bigint"), _ID), down=False),
    "price_down": Keyset("shop-price-down", (("price", "l.price", "bigint"), _ID)),
    "popular": Keyset("shop-popular", (("sold", "l.sold", "bigint"), _ID)),
}
# Ranges of prices offered as a facet: minor units, from and up to and including; 0 for no end.
PRICE_BANDS: dict[str, tuple[int, int]] = {
    "0-499": (0, 499),
    "500-999": (500, 999),
    "1000-1999": (1000, 1999),
    "2000-4999": (2000, 4999),
    "5000-": (5000, 0),
}


@dataclass(frozen=True, slots=True)
class BrowseQuery:
    """What to show of the shop. Values of one facet add up, facets narrow each other.

    Prices are minor units, both ends included; `price_bands` are names of PRICE_BANDS; `sellers` are slugs;
    `sort` is one of SORTS.
    """

    q: str = ""
    categories: Sequence[str] = ()
    platforms: Sequence[str] = ()
    regions: Sequence[str] = ()
    sellers: Sequence[str] = ()
    price_min: int | None = None
    price_max: int | None = None
    price_bands: Sequence[str] = ()
    in_stock: bool = False
    sort: str = "newest"
    limit: int = 24
    cursor: str | None = None

    def checked(self) -> "BrowseQuery":
        """Itself; raises Invalid with words per field."""
        faults = Faults()
        checks.one_of(faults, "sort", self.sort, SORTS)
        for name in ("price_min", "price_max"):
            if getattr(self, name) is not None:
                checks.whole(faults, name, getattr(self, name), 0, MAX_PRICE)
        if len(self.q) > 200:
            faults["q"] = "At most 200 characters."
        for name in ("categories", "platforms", "regions", "sellers", "price_bands"):
            values = getattr(self, name)
            if len(values) > 50 or any(len(v) > 200 for v in values):
                faults[name] = "Too many or too long values."
        faults.stop()
        checked_limit(self.limit)
        return self

    @property
    def narrowing(self) -> tuple[object, ...]:
        """What decides which listings match; equal for all pages and orders of one list."""
        facets = (self.categories, self.platforms, self.regions, self.sellers, self.price_bands)
        return (self.q, *map(tuple, facets), self.price_min, self.price_max, self.in_stock)

    @property
    def key(self) -> tuple[object, ...]:
        """What decides the answer."""
        return (*self.narrowing, self.sort, self.limit, self.cursor)


class Where:
    """The conditions of a query as SQL; each facet's own can be left out."""

    def __init__(self, query: BrowseQuery) -> None:
        self.args: list[Any] = []
        self.always = ["true"]
        self.by_facet: dict[str, str] = {}
        if any(c.isalnum() for c in query.q):
            self.always.append(
                f"l.document @@ catalog.search_query({self._mark(query.q.replace(chr(0), ' '))})"
            )
        if query.price_min is not None:
            self.always.append(f"l.price >= {self._mark(query.price_min)}")
        if query.price_max is not None:
            self.always.append(f"l.price <= {self._mark(query.price_max)}")
        chosen = {
            "category": query.categories,
            "platform": query.platforms,
            "region": query.regions,
            "seller": query.sellers,
            "price": query.price_bands,
        }
        for name, values in chosen.items():
            if values:
                self.by_facet[name] = self._one_of(name, [v.replace("\x00", "") for v in values])
        if query.in_stock:
            self.by_facet["in_stock"] = "l.in_stock"

    def _one_of(self, facet: str, values: list[str]) -> str:
        """The facet has one of these values. A single one is said with =: then an index that begins with the
        column gives the order, too."""
        if facet == "price":
            bands = [PRICE_BANDS[v] for v in values if v in PRICE_BANDS]
            ranges = [f"l.price BETWEEN {low} AND {high or MAX_PRICE}" for low, high in bands]
            return f"({' OR '.join(ranges)})" if ranges else "false"
        if facet == "seller":
            found = "(SELECT id FROM sellers.seller WHERE slug"
            if len(values) == 1:
                return f"l.seller_id = {found} = {self._mark(values[0])})"
            return f"l.seller_id = ANY(ARRAY{found} = ANY({self._mark(values)}::text[])))"
        if len(values) == 1:
            return f"l.{facet} = {self._mark(values[0])}"
        return f"l.{facet} = ANY({self._mark(values)}::text[])"

    def _mark(self, value: Any) -> str:
        self.args.append(value)
        return f"${len(self.args)}"

    def sql(self, without: str = "") -> str:
        return " AND ".join([*self.always, *(c for name, c in self.by_facet.items() if name != without)])

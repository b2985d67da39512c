"""The catalogue: rows, errors and the listing machine."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from fondaco.core.machine import Machine, Move

LISTING = Machine(
    "listing",
    born=("DRAFT",),
    ends=("ARCHIVED",),
    moves=(
        Move("DRAFT", "PUBLISHED", "seller", "title, texts and price are complete"),
        Move("PUBLISHED", "PAUSED", "seller, ops", "hidden from buyers; open orders go on"),
        Move("PAUSED", "PUBLISHED", "seller, ops", "shown again"),
        Move("DRAFT", "ARCHIVED", "seller", "given up"),
        Move("PAUSED", "ARCHIVED", "seller", "no longer sold; its orders stay readable"),
    ),
)

# Platforms offered in the form; others may be typed.
PLATFORMS: tuple[str, ...] = (
    *("Steam", "GOG", "Epic Games", "EA App", "Ubisoft Connect", "Battle.net", "Rockstar Games"),
    *("PlayStation", "Xbox", "Nintendo", "Windows", "macOS", "Linux", "Android", "iOS", "Web"),
)
# How a listing's goods are kept and handed over.
KINDS: tuple[str, ...] = ("stocked_secret", "article")
MAX_PRICE = 100_000_000
LOW_STOCK = 10  # fewer than this are told as "only n left"

Price = Annotated[int, Meta(ge=1, le=MAX_PRICE, description="Minor units of the currency (cents).")]


class Category(Struct, frozen=True):
    """A shelf of the marketplace."""

    slug: str
    name: str


class SellerBrief(Struct, frozen=True):
    """Who sells."""

    id: UUID
    slug: str
    name: str


class Stock(Struct, frozen=True):
    """What buyers are told of the stock: never the raw count."""

    word: Annotated[str, Meta(description="in_stock, low or sold_out.")]
    left: Annotated[int | None, Meta(description="How many are left, told only when fewer than 10.")] = None

    @property
    def text(self) -> str:
        """In customers' words."""
        if self.word == "low":
            return f"Only {self.left} left"
        return "In stock" if self.word == "in_stock" else "Sold out"


class Card(Struct, frozen=True):
    """A published listing as it stands in the shop's lists."""

    id: UUID
    slug: str
    product_id: UUID
    title: str
    summary: str
    category: str
    category_name: str
    platform: str
    region: Annotated[str, Meta(description="GLOBAL, EU or a country: where the key can be activated.")]
    region_name: str
    edition: str
    price: Price
    currency: str
    price_version: Annotated[int, Meta(description="Changes with the price; sent along when buying.")]
    cover: Annotated[str | None, Meta(description="Path of the picture, or null: draw one from the title.")]
    seller: SellerBrief
    stock: Stock
    max_per_order: int
    published_at: datetime | None
    kind: Annotated[str, Meta(description="stocked_secret (a key of one's own) or article.")]


class ListingPage(Struct, frozen=True):
    """Everything a buyer reads before paying."""

    card: Card
    state: str
    description: Annotated[str, Meta(description="Markdown.")]
    activation: Annotated[str, Meta(description="Markdown: how to redeem.")]
    seller_about: Annotated[str, Meta(description="Markdown.")]
    offers: Annotated[
        list[Card], Meta(description="The same product from other sellers or as other variants.")
    ]
    own: Annotated[bool, Meta(description="Whether it is the viewer's own store's.")] = False


class FacetCount(Struct, frozen=True):
    """One value a list can be narrowed to, with how many it would show."""

    value: str
    label: str
    count: int


class BrowseFacet(Struct, frozen=True):
    """Values of one property. A facet's own choice does not narrow its own counts."""

    name: Annotated[str, Meta(description="category, platform, region, seller, price or in_stock.")]
    values: list[FacetCount]
    at_least: Annotated[bool, Meta(description="Counted within the first 10,000 only: counts may be higher.")]


class BrowseResult(Struct, frozen=True):
    """One page of the shop with what it can be narrowed to."""

    items: list[Card]
    next: str | None
    previous: str | None
    total: Annotated[int, Meta(description="How many match, up to 10,000.")]
    at_least: Annotated[bool, Meta(description="More than `total` match.")]
    facets: list[BrowseFacet]


class OwnListing(Struct, frozen=True):
    """A listing as its own seller sees and edits it."""

    id: UUID
    slug: str
    product_id: UUID
    kind: Annotated[str, Meta(description="stocked_secret or article; settled when it is made.")]
    title: str
    summary: str
    description: str
    activation: str
    key_format: Annotated[str, Meta(description="Pattern of a key: A or X letter or digit, 9 digit.")]
    category: str
    platform: str
    region: str
    edition: str
    price: Price
    currency: str
    price_version: int
    max_per_order: int
    cover: str | None
    state: Annotated[str, Meta(description="DRAFT, PUBLISHED, PAUSED or ARCHIVED.")]
    in_stock: bool
    sold: int
    version: Annotated[int, Meta(description="Sent back with an edit, so that none is lost.")]
    created_at: datetime
    published_at: datetime | None


class OwnListings(Struct, frozen=True):
    """One page of a seller's listings with counts per state."""

    items: list[OwnListing]
    next: str | None
    previous: str | None
    states: Annotated[dict[str, int], Meta(description="How many are in each state, for the same search.")]

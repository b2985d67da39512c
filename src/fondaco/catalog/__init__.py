"""Catalog: products, their variants, and sellers' listings; the shop's list, search and facets.

A listing's kind says what a buyer gets: a stocked secret (a key of one's own) or an article (text that
every buyer gets, sold in a number of copies). It is seen by the public only while it is published and its
store is open; otherwise it exists for its own seller alone. What it is (category, platform, region, edition)
is fixed once it was published. Every price change raises `price_version`, so that no buyer is charged a
price that was not seen.
"""

from fondaco.catalog.actions import (
    archive,
    change_price,
    create_listing,
    duplicate,
    edit,
    pause,
    publish,
    set_cover,
)
from fondaco.catalog.kept import Kept, Made, digest_of, made_of
from fondaco.catalog.listing import listing_page
from fondaco.catalog.model import (
    KINDS,
    LOW_STOCK,
    PLATFORMS,
    BrowseFacet,
    BrowseResult,
    Card,
    Category,
    ListingPage,
    OwnListing,
    OwnListings,
    Stock,
)
from fondaco.catalog.owned import OWN_SORTS, own_listing, own_listings
from fondaco.catalog.regions import can_activate, is_country, region_name, regions
from fondaco.catalog.shop import browse, categories, newest_slugs, shelf
from fondaco.catalog.showing import browse_kept, categories_kept, counts_kept, related_kept
from fondaco.catalog.wanted import PRICE_BANDS, SORTS, BrowseQuery

__all__ = [
    "KINDS",
    "LOW_STOCK",
    "OWN_SORTS",
    "PLATFORMS",
    "PRICE_BANDS",
    "SORTS",
    "BrowseFacet",
    "BrowseQuery",
    "BrowseResult",
    "Card",
    "Category",
    "Kept",
    "ListingPage",
    "Made",
    "OwnListing",
    "OwnListings",
    "Stock",
    "archive",
    "browse",
    "browse_kept",
    "can_activate",
    "categories",
    "categories_kept",
    "change_price",
    "counts_kept",
    "create_listing",
    "digest_of",
    "duplicate",
    "edit",
    "is_country",
    "listing_page",
    "made_of",
    "newest_slugs",
    "own_listing",
    "own_listings",
    "pause",
    "publish",
    "region_name",
    "regions",
    "related_kept",
    "set_cover",
    "shelf",
]

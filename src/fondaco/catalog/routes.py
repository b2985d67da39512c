"""The API of the shop's list and of a seller's listings."""

from math import inf
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, patch, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody
from msgspec import Meta

from fondaco import catalog
from fondaco.catalog import Kept
from fondaco.catalog.answers import Found, kept_json
from fondaco.catalog.model import BrowseResult, Category, ListingPage, OwnListing, OwnListings, Price
from fondaco.catalog.pictures import MAX_BYTES
from fondaco.catalog.uploads import PictureOperation, uploaded
from fondaco.core.pagination import Page
from fondaco.core.problem import Invalid
from fondaco.core.web import Call
from fondaco.integrations.blobs import Blobs

Region = Annotated[str, Meta(description="GLOBAL, EU or a country (ISO 3166-1, two letters).")]
Version = Annotated[int, Meta(ge=1, le=2**31 - 1, description="As it was seen.")]
Sort = Literal["newest", "price_up", "price_down", "popular"]
State = Literal["DRAFT", "PUBLISHED", "PAUSED", "ARCHIVED"]


class NewListing(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A listing to be drafted."""

    title: Annotated[str, Meta(description="2 to 140 characters. Equal titles are one product.")]
    category: Annotated[str, Meta(description="A category's slug.")]
    platform: Annotated[str, Meta(description="2 to 40 characters, such as Steam.")]
    region: Region
    price: Price
    currency: Annotated[str | None, Meta(description="Default and only one: the marketplace's.")] = None
    edition: Annotated[str, Meta(description="1 to 60 characters.")] = "Standard"
    summary: Annotated[str, Meta(description="One sentence, at most 300 characters.")] = ""
    description: Annotated[str, Meta(description="Markdown, at most 20,000 characters.")] = ""
    activation: Annotated[str, Meta(description="Markdown, at most 5,000 characters.")] = ""
    key_format: Annotated[str, Meta(description="A or X letter or digit, 9 digit: AAAAA-AAAAA.")] = ""
    max_per_order: Annotated[int, Meta(ge=1, le=100)] = 10
    kind: Annotated[
        Literal["stocked_secret", "article"],
        Meta(description="A key of one's own for each buyer, or text that every buyer gets. It stays."),
    ] = "stocked_secret"


class ListingChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What to change; fields left out stay. The second half only before the first publication."""

    version: Version
    title: str | None = None
    summary: str | None = None
    description: str | None = None
    activation: str | None = None
    key_format: str | None = None
    max_per_order: Annotated[int | None, Meta(description="1 to 100.")] = None
    category: str | None = None
    platform: str | None = None
    region: str | None = None
    edition: str | None = None


class PriceChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new price."""

    price: Price
    price_version: Annotated[int | None, Meta(description="When given, the price must not have changed.")] = (
        None
    )


@get("/api/v1/categories", permit="public.see", summary="The categories")
async def list_categories(request: Call) -> Page[Category]:
    return Page(await catalog.categories_kept(request.part(Kept), request.db))


@get("/api/v1/listings", permit="public.see", summary="What is on sale")
async def browse(
    request: Call,
    *,
    q: FromQuery[str] = "",
    category: FromQuery[list[str] | None] = None,
    platform: FromQuery[list[str] | None] = None,
    region: FromQuery[list[str] | None] = None,
    seller: FromQuery[list[str] | None] = None,
    price_min: FromQuery[int | None] = None,
    price_max: FromQuery[int | None] = None,
    in_stock: FromQuery[bool] = False,
    sort: FromQuery[Sort] = "newest",
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> Response[BrowseResult]:
    """Repeat a facet's parameter to allow several values. Counts are told up to 10,000; those of more than
    1,000 matches may be some seconds old. Prices and stock are always those of this moment. Answers have an
    ETag: ask again with If-None-Match to hear only whether anything changed."""
    query = catalog.BrowseQuery(
        q=q,
        categories=category or (),
        platforms=platform or (),
        regions=region or (),
        sellers=seller or (),
        price_min=price_min,
        price_max=price_max,
        in_stock=in_stock,
        sort=sort,
        limit=limit,
        cursor=cursor,
    )

    async def find() -> Found:
        found, good_for_s = await catalog.browse_kept(request.part(Kept), request.db, request.cursors, query)
        return found, found.items, good_for_s

    return await kept_json(request, query.key, find)


@get("/api/v1/listings/{key:str}", permit="public.see", summary="One listing, by id or slug")
async def show_listing(request: Call, key: FromPath[str]) -> Response[ListingPage]:
    """Prices and stock are those of this moment; the answer has an ETag."""
    if request.viewer.seller_id:  # a store sees its own also when they are not on sale
        return Response(await catalog.listing_page(request.db, key, request.viewer))

    async def find() -> Found:
        found = await catalog.listing_page(request.db, key)
        return found, [found.card, *found.offers], inf

    return await kept_json(request, key, find)


@get("/api/v1/seller/listings", permit="catalog.read", summary="The store's listings")
async def list_own(
    request: Call,
    q: FromQuery[str] = "",
    state_: Annotated[list[State] | None, QueryParameter(name="state")] = None,
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> OwnListings:
    return await catalog.own_listings(
        request.db,
        request.viewer,
        request.cursors,
        q=q,
        states=state_ or (),
        limit=limit,
        cursor=cursor,
    )


@post("/api/v1/seller/listings", permit="catalog.write", summary="Draft a listing")
async def create(request: Call, data: JSONBody[NewListing]) -> OwnListing:
    currency = request.settings.currency
    if data.currency not in (None, currency):
        raise Invalid(fields={"currency": f"This marketplace sells in {currency}."})
    values: dict[str, Any] = msgspec.structs.asdict(data) | {"currency": currency}
    return await catalog.create_listing(request.db, request.viewer, **values)


@get(
    "/api/v1/seller/listings/{listing_id:uuid}", permit="catalog.read", summary="One of the store's listings"
)
async def show_own(request: Call, listing_id: FromPath[UUID]) -> OwnListing:
    return await catalog.own_listing(request.db, request.viewer, listing_id)


@patch("/api/v1/seller/listings/{listing_id:uuid}", permit="catalog.write", summary="Change a listing")
async def change(request: Call, listing_id: FromPath[UUID], data: JSONBody[ListingChange]) -> OwnListing:
    changes = {n: v for n, v in msgspec.structs.asdict(data).items() if n != "version" and v is not None}
    return await catalog.edit(request.db, request.viewer, listing_id, version=data.version, **changes)


@put("/api/v1/seller/listings/{listing_id:uuid}/price", permit="catalog.write", summary="Set the price")
async def set_price(request: Call, listing_id: FromPath[UUID], data: JSONBody[PriceChange]) -> OwnListing:
    return await catalog.change_price(
        request.db, request.viewer, listing_id, price=data.price, price_version=data.price_version
    )


@put(
    "/api/v1/seller/listings/{listing_id:uuid}/cover",
    permit="catalog.write",
    summary="Replace the picture",
    operation_class=PictureOperation,
    request_max_body_size=MAX_BYTES + 64 * 1024,
)
async def set_cover(request: Call, listing_id: FromPath[UUID], body: RawBody) -> OwnListing:
    """A PNG, JPEG or WebP as the body, or as the field `cover` of a multipart form."""
    upload = await uploaded(request, body, "cover")
    return await catalog.set_cover(request.db, request.part(Blobs), request.viewer, listing_id, upload)


@post(
    "/api/v1/seller/listings/{listing_id:uuid}/publish",
    permit="catalog.write",
    status_code=200,
    summary="Put a listing on sale",
)
async def publish(request: Call, listing_id: FromPath[UUID]) -> OwnListing:
    return await catalog.publish(request.db, request.viewer, listing_id)


@post(
    "/api/v1/seller/listings/{listing_id:uuid}/pause",
    permit="catalog.write",
    status_code=200,
    summary="Hide a listing from buyers",
)
async def pause(request: Call, listing_id: FromPath[UUID]) -> OwnListing:
    return await catalog.pause(request.db, request.viewer, listing_id)


@post(
    "/api/v1/seller/listings/{listing_id:uuid}/archive",
    permit="catalog.write",
    status_code=200,
    summary="Give a listing up",
)
async def archive(request: Call, listing_id: FromPath[UUID]) -> OwnListing:
    return await catalog.archive(request.db, request.viewer, listing_id)


@post(
    "/api/v1/seller/listings/{listing_id:uuid}/duplicate",
    permit="catalog.write",
    summary="A new draft like this listing",
)
async def duplicate(request: Call, listing_id: FromPath[UUID]) -> OwnListing:
    return await catalog.duplicate(request.db, request.viewer, listing_id)


routes = [
    list_categories,
    browse,
    show_listing,
    list_own,
    create,
    show_own,
    change,
    set_price,
    set_cover,
    publish,
    pause,
    archive,
    duplicate,
]

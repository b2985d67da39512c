"""The API of a seller's stock. No call gives a key back."""

from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post, put
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody
from msgspec import Meta

from fondaco import inventory
from fondaco.core.ids import id_of
from fondaco.core.pagination import Page
from fondaco.core.problem import Invalid, Problem
from fondaco.core.web import Call
from fondaco.inventory.lines import MAX_LINES
from fondaco.inventory.model import Article, Batch, BatchProblem, LowStock, StockCounts
from fondaco.vault import Vault

BatchState = Literal["RECEIVED", "IMPORTING", "CLOSED", "FAILED"]


class NewStock(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Keys to be handed in."""

    keys: Annotated[list[str], Meta(min_length=1, max_length=MAX_LINES, description="One key each.")]


class Withdrawal(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How much to take out of sale."""

    count: Annotated[int | None, Meta(description="The latest so many; null: all that are free.")]


class Withdrawn(msgspec.Struct):
    """What was taken out of sale."""

    count: int


class WrongContent(Problem):
    """Send the keys as application/json, text/csv or text/plain."""

    status = 415
    code = "wrong_content"


class Copies(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How many copies of an article are for sale."""

    copies: Annotated[int, Meta(ge=0, le=inventory.MAX_COPIES, description="From this moment on.")]
    version: Annotated[int, Meta(ge=1, le=2**31 - 1, description="As it was seen.")]


class NewContent(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the buyers of an article get."""

    content: Annotated[str, Meta(description="Markdown, 1 to 200,000 characters.")]
    version: Annotated[
        int, Meta(ge=0, le=2**31 - 2, description="The newest `content_version` seen; 0: none.")
    ]


class Content(msgspec.Struct, frozen=True):
    """What the buyers of an article get."""

    content: Annotated[str, Meta(description="Markdown.")]


@dataclass
class _StockOperation(Operation):
    """Describes the three ways to hand keys in."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        keys = Schema(
            type=OpenAPIType.OBJECT,
            properties={"keys": Schema(type=OpenAPIType.ARRAY, items=text, min_items=1, max_items=MAX_LINES)},
            required=["keys"],
            additional_properties=False,
        )
        self.request_body = RequestBody(
            content={
                "application/json": OpenAPIMediaType(schema=keys),
                "text/csv": OpenAPIMediaType(schema=text),
                "text/plain": OpenAPIMediaType(schema=text),
            },
            required=True,
        )


@post(
    "/api/v1/seller/listings/{listing_id:uuid}/stock",
    permit="stock.write",
    summary="Hand keys in",
    operation_class=_StockOperation,
)
async def add_stock(request: Call, listing_id: FromPath[UUID], body: RawBody) -> Batch:
    """`{"keys": [...]}`, a CSV with a column named key, code or serial (else its first), or one key a line.
    The batch is imported by a worker, whole or not at all; ask for it until it is CLOSED or FAILED."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        source, content = "api", "\n".join(_keys(body)).encode()
    elif kind in ("text/csv", "text/plain"):
        source, content = "csv" if kind == "text/csv" else "paste", body
    else:
        raise WrongContent()
    own = id_of(request.viewer.seller(), request.headers.get("idempotency-key"))
    return await inventory.receive(
        request.db,
        request.part(Vault),
        request.viewer,
        listing_id,
        source=source,
        content=content,
        batch_id=own,
    )


def _keys(body: bytes) -> list[str]:
    try:
        keys = msgspec.json.decode(body, type=NewStock).keys
    except msgspec.ValidationError as error:
        # Told without the value: it may be a key.
        message, _, path = str(error).partition(" - at `$")
        raise Invalid(fields={path.strip("`.") or "body": message}) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("The body is not valid JSON in UTF-8.") from None
    if any("\n" in key or "\r" in key for key in keys):
        raise Invalid(fields={"keys": "A key cannot have several lines."})
    return keys


@get("/api/v1/seller/listings/{listing_id:uuid}/stock", permit="stock.read", summary="A listing's stock")
async def show_stock(request: Call, listing_id: FromPath[UUID]) -> StockCounts:
    return await inventory.stock_counts(request.db, request.viewer, listing_id)


@post(
    "/api/v1/seller/listings/{listing_id:uuid}/stock/withdraw",
    permit="stock.write",
    status_code=200,
    summary="Take free units out of sale for good",
)
async def withdraw(request: Call, listing_id: FromPath[UUID], data: JSONBody[Withdrawal]) -> Withdrawn:
    return Withdrawn(await inventory.withdraw(request.db, request.viewer, listing_id, data.count))


@get("/api/v1/seller/low-stock", permit="stock.read", summary="Listings on sale with little left")
async def low_stock(request: Call) -> Page[LowStock]:
    return Page(await inventory.low_stock(request.db, request.viewer))


@get("/api/v1/seller/batches", permit="stock.read", summary="The store's batches")
async def list_batches(
    request: Call,
    listing: FromQuery[UUID | None] = None,
    state_: Annotated[list[BatchState] | None, QueryParameter(name="state")] = None,
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> Page[Batch]:
    return await inventory.batches(
        request.db,
        request.viewer,
        request.cursors,
        listing_id=listing,
        states=state_ or (),
        limit=limit,
        cursor=cursor,
    )


@get("/api/v1/seller/batches/{batch_id:uuid}", permit="stock.read", summary="A batch and its report")
async def show_batch(request: Call, batch_id: FromPath[UUID]) -> Batch:
    return await inventory.batch(request.db, request.viewer, batch_id)


@get(
    "/api/v1/seller/batches/{batch_id:uuid}/problems",
    permit="stock.read",
    summary="Lines that were not imported",
)
async def list_problems(
    request: Call,
    batch_id: FromPath[UUID],
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> Page[BatchProblem]:
    """The first 10,000, in order, masked."""
    return await inventory.batch_problems(
        request.db, request.viewer, request.cursors, batch_id, limit=limit, cursor=cursor
    )


@get(
    "/api/v1/seller/batches/{batch_id:uuid}/problems.csv",
    permit="stock.read",
    summary="The same as a CSV file",
    media_type="text/csv",
)
async def download_problems(request: Call, batch_id: FromPath[UUID]) -> Response[bytes]:
    body = await inventory.problems_csv(request.db, request.viewer, batch_id)
    return Response(
        body,
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="batch-{batch_id}.csv"'},
    )


@get(
    "/api/v1/seller/listings/{listing_id:uuid}/article",
    permit="stock.read",
    summary="An article's copies and content version",
)
async def show_article(request: Call, listing_id: FromPath[UUID]) -> Article:
    return await inventory.article(request.db, request.viewer, listing_id)


@put(
    "/api/v1/seller/listings/{listing_id:uuid}/copies",
    permit="stock.write",
    summary="Set how many copies of an article are for sale",
)
async def set_copies(request: Call, listing_id: FromPath[UUID], data: JSONBody[Copies]) -> Article:
    """Copies in a checkout stay held. Answers 409 with `current` when the number was set meanwhile."""
    return await inventory.set_copies(
        request.db, request.viewer, listing_id, copies=data.copies, version=data.version
    )


@get(
    "/api/v1/seller/listings/{listing_id:uuid}/content",
    permit="catalog.write",
    secret=True,
    summary="The newest content of one's own article",
    description="For going on with writing it. Written down each time.",
)
async def read_content(request: Call, listing_id: FromPath[UUID]) -> Response[Content]:
    found = await inventory.read_content(request.db, request.part(Vault), request.viewer, listing_id)
    return Response(Content(found.reveal().decode()), headers={"Cache-Control": "no-store"})


@put(
    "/api/v1/seller/listings/{listing_id:uuid}/content",
    permit="catalog.write",
    summary="Save an article's content as its next version",
)
async def save_content(request: Call, listing_id: FromPath[UUID], data: JSONBody[NewContent]) -> Article:
    """Sealed at once. Buyers read it from now on, those of before as well. Answers 409 with `current` when
    another version was saved meanwhile."""
    return await inventory.save_content(
        request.db,
        request.part(Vault),
        request.viewer,
        listing_id,
        content=data.content,
        version=data.version,
    )


routes = [
    add_stock,
    show_stock,
    withdraw,
    low_stock,
    list_batches,
    show_batch,
    list_problems,
    download_problems,
    show_article,
    set_copies,
    read_content,
    save_content,
]

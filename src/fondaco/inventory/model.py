"""Stock: rows, errors and the machines of units and batches."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from fondaco.core.machine import Machine, Move

STOCK_UNIT = Machine(
    "stock_unit",
    born=("AVAILABLE", "QUARANTINED"),
    ends=("CONSUMED", "WITHDRAWN", "INVALID"),
    moves=(
        Move("QUARANTINED", "AVAILABLE", "ops", "looked at; from a store that is at risk"),
        Move("QUARANTINED", "INVALID", "ops", "looked at and bad: nobody gets it"),
        Move("AVAILABLE", "RESERVED", "checkout", "held for an order that awaits its payment"),
        Move("RESERVED", "AVAILABLE", "sweeper", "the order expired or was cancelled unpaid"),
        Move("RESERVED", "SOLD", "payment", "the order is paid"),
        Move("AVAILABLE", "SOLD", "checkout", "bought from the wallet, or paid late"),
        Move("SOLD", "CONSUMED", "buyer", "revealed: from here it can never be sold again"),
        Move("AVAILABLE", "WITHDRAWN", "seller", "taken out of sale"),
        Move("SOLD", "AVAILABLE", "refund", "the buyer has the money back and never saw it"),
        Move("SOLD", "INVALID", "refund", "it is bad; nobody gets it again"),
        Move("CONSUMED", "INVALID", "refund", "the buyer saw it and it is bad; counts against the seller"),
    ),
)

STOCK_BATCH = Machine(
    "stock_batch",
    born=("RECEIVED",),
    ends=("CLOSED", "FAILED"),
    moves=(
        Move("RECEIVED", "IMPORTING", "worker", "lines are being checked"),
        Move("IMPORTING", "CLOSED", "worker", "every good line is in stock, in one transaction"),
        Move("IMPORTING", "FAILED", "worker", "nothing was imported; the reason is kept"),
        Move("RECEIVED", "FAILED", "worker", "nothing was imported; the reason is kept"),
    ),
)

SOURCES = ("paste", "csv", "api")


def unit_binding(unit_id: UUID) -> str:
    """What a unit's sealed text is bound to: it opens for no other row."""
    return f"unit:{unit_id}"


def content_binding(listing_id: UUID, version: int) -> str:
    """What a version of an article's sealed content is bound to."""
    return f"content:{listing_id}:{version}"


def upload_binding(batch_id: UUID) -> str:
    """What a batch's sealed upload is bound to."""
    return f"batch:{batch_id}"


class Batch(Struct, frozen=True):
    """Keys that were handed in together, and what became of them."""

    id: UUID
    listing_id: UUID
    listing_title: str
    source: Annotated[str, Meta(description="paste, csv or api.")]
    state: Annotated[str, Meta(description="RECEIVED, IMPORTING, CLOSED or FAILED.")]
    lines: Annotated[int, Meta(description="Keys in the upload, empty lines left out.")]
    done: Annotated[int, Meta(description="Progress, out of `lines`.")]
    imported: Annotated[int, Meta(description="Put into stock.")]
    malformed: Annotated[int, Meta(description="Not in the listing's key format.")]
    repeated: Annotated[int, Meta(description="Twice in the upload, or already this store's.")]
    known_elsewhere: Annotated[int, Meta(description="Already handed in by another store: not imported.")]
    failure: Annotated[str | None, Meta(description="Why nothing was imported.")]
    created_at: datetime
    closed_at: datetime | None

    @property
    def open(self) -> bool:
        """Whether a worker is still to finish it."""
        return self.state in ("RECEIVED", "IMPORTING")

    @property
    def percent(self) -> int:
        """Progress for the bar, 0 to 100."""
        if not self.open:
            return 100
        return min(99, self.done * 100 // self.lines) if self.lines else 0


class BatchProblem(Struct, frozen=True):
    """A line that was not imported. Never the line itself."""

    line: int
    problem: Annotated[str, Meta(description="malformed or repeated.")]
    mask: Annotated[str, Meta(description="The first signs of the line.")]


class StockCounts(Struct, frozen=True):
    """A listing's units by state, for its own seller; of an article, its copies (`sold`: all delivered)."""

    available: int
    reserved: Annotated[int, Meta(description="In a checkout.")]
    sold: Annotated[int, Meta(description="Delivered, not revealed yet.")]
    consumed: Annotated[int, Meta(description="Revealed by the buyer.")]
    withdrawn: int


class Article(Struct, frozen=True):
    """Counted stock: an article's copies and the versions of its content, for its own seller. What was put up
    is what is for sale, held and sold together."""

    listing_id: UUID
    copies: Annotated[int, Meta(description="For sale now.")]
    held: Annotated[int, Meta(description="In a checkout.")]
    sold: Annotated[int, Meta(description="Delivered.")]
    version: Annotated[int, Meta(description="Of the number of copies; sales do not change it.")]
    content_version: Annotated[int, Meta(description="The newest content; 0: none was written yet.")]
    content_at: Annotated[datetime | None, Meta(description="When it was saved.")]


class ContentVersion(Struct, frozen=True):
    """One saved version of an article's content, without the content."""

    version: int
    created_at: datetime
    created_by: str


class LowStock(Struct, frozen=True):
    """A listing on sale that soon has nothing left."""

    listing_id: UUID
    title: str
    available: int

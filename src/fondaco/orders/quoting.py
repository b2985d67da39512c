"""Quotes: what a purchase would cost now, checked against price, stock, state, region and store.

A quote has a fingerprint of what the buyer is shown. Buying sends it back; when the fingerprint of the
present quote is another one, nothing is bought and the differences are shown instead.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.catalog import can_activate
from fondaco.core.db import Database, Record
from fondaco.core.ids import token_hash
from fondaco.core.problem import Invalid, Problem
from fondaco.core.viewer import Viewer
from fondaco.orders.model import (
    MAX_LINES,
    MAX_QUANTITY,
    EmptyCart,
    PriceChanged,
    Wish,
    difference_in_words,
    refusal,
)

_LOW = 10  # below this the number left is told
_BLOCKING = ("unavailable", "own_goods", "region", "too_many", "currency", "sold_out")  # gravest first
MinorUnits = Annotated[int, Meta(description="Minor units of `currency`.")]


class QuoteChanged(Problem):
    """Your selection changed since you looked at it. Nothing was charged; look again and confirm."""

    status = 409
    code = "quote_changed"


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """One listing of a quote, as it can be bought now."""

    listing_id: UUID
    slug: str
    title: str
    seller_id: UUID | None
    seller: str
    seller_slug: str
    platform: str
    region: str
    edition: str
    cover: str | None
    quantity: int
    max_per_order: int
    left: Annotated[int | None, Meta(description="How many are left, told when they are fewer than 10.")]
    price: MinorUnits
    price_version: int
    seen_price: Annotated[int | None, Meta(description="The price the buyer saw before, minor units.")]
    total: MinorUnits
    currency: str
    difference: Annotated[
        str,
        Meta(
            description="Why it is not as it was seen: `price_changed`, `sold_out`, `unavailable`, `region`, "
            "`own_goods`, `too_many`, `currency`; empty: as it was seen."
        ),
    ]
    words: Annotated[str, Meta(description="The difference, or what to know about it, for people.")]
    blocked: Annotated[bool, Meta(description="It cannot be bought as long as this is so.")]
    at_sale: Annotated[
        bool,
        Meta(description="Paid directly to its store: by card, in a purchase of its own."),
    ]

    @property
    def purchase(self) -> str:
        """What it can be bought together with: a store that is paid directly, or '': all others."""
        return self.seller_slug if self.at_sale else ""


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a purchase would cost now. It can be bought when `can_buy`."""

    lines: list[QuoteLine]
    total: Annotated[int, Meta(description="Sum of the lines that can be bought, minor units.")]
    currency: str
    can_buy: bool
    refused: Annotated[
        str,
        Meta(
            description="Why this buyer can buy nothing now, whatever it is: `wallet_at_risk`, "
            "`tier_forbids`; empty: nothing is in the way."
        ),
    ]
    differences: Annotated[list[str], Meta(description="What is not as it was seen, in words.")]
    fingerprint: Annotated[str, Meta(description="Send it back as `quote` to buy exactly this.")]
    wallet: Annotated[int, Meta(description="What the buyer's wallet holds, minor units; 0 for guests.")]
    enough: Annotated[bool, Meta(description="Whether the wallet pays for it.")]
    purchases: Annotated[
        int, Meta(description="How many purchases it takes: goods paid directly to a store are bought apart.")
    ]

    @property
    def at_sale(self) -> bool:
        """Whether it is one store's that is paid directly."""
        return self.purchases == 1 and self.lines[0].at_sale

    @property
    def sellers(self) -> dict[str, list[QuoteLine]]:
        """The lines by the name of their seller."""
        found: dict[str, list[QuoteLine]] = {}
        for line in self.lines:
            found.setdefault(line.seller, []).append(line)
        return found

    def wishes(self) -> tuple[Wish, ...]:
        """The lines with the prices shown, to be bought."""
        return tuple(Wish(x.listing_id, x.quantity, x.price, x.price_version) for x in self.lines)


_QUOTED = "SELECT * FROM orders.quoted($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::jsonb)"


async def quote(db: Database, viewer: Viewer, wishes: Sequence[Wish]) -> Quote:
    """The present quote for these lines; the same listing twice is added up. Raises Invalid with words per
    line."""
    now, _ = await present(db, viewer, wishes)
    return now


async def present(
    db: Database,
    viewer: Viewer,
    wishes: Sequence[Wish] | None,
    *,
    guest: str | None = None,
    idem: str | None = None,
    store: str | None = None,
) -> tuple[Quote, UUID | None]:
    """The present quote for these lines, or for the viewer's cart when None (`guest`: the token of a
    guest's), and the group the viewer bought with the purchase key `idem`, if any. `store`: of a cart that
    takes several purchases only the one of this store ('': of all stores that are not paid directly).

    All of it is read at one moment, in one call with what others ask then. Raises Invalid with words per
    line.
    """
    lines = None if wishes is None else [wish.wire() for wish in merge(wishes)]
    if not lines and idem is None and (wishes is not None or not (viewer.user_id or guest)):
        return quote_told([], viewer, known=False), None
    key = idem if idem and idem.isprintable() else None  # no other was ever bought with
    hashed = token_hash(guest) if guest and not viewer.user_id else None
    rows = await db.gathered(_QUOTED, viewer.user_id, hashed, viewer.country, key, lines)
    found = [row for row in rows if row["listing_id"]]
    if wishes is None and store is not None:
        found = _one_purchase(found, store)
    # What was chosen from the shop before keeps its name when it left.
    return quote_told(found, viewer, known=wishes is None), rows[0]["before"]


def _one_purchase(rows: list[Record], store: str) -> list[Record]:
    """The rows of one purchase: that of `store` when there is one, else the first."""
    kept: dict[str, list[Record]] = {}
    for row in rows:
        kept.setdefault(row["seller_slug"] if row["at_sale"] else "", []).append(row)
    return kept[store] if store in kept else kept[min(kept)] if kept else []


def quote_told(rows: Sequence[Record], viewer: Viewer, *, known: bool) -> Quote:
    """The quote of the rows of one question. `known`: a line that left the shop keeps its name."""
    first = next((row for row in rows if row["for_sale"]), None)
    currency: str = first["currency"] if first else ""
    lines = [_line(row, viewer.country, currency, known) for row in rows]
    holds: int = first["wallet"] if first else 0
    total = sum(line.total for line in lines if not line.blocked)
    refused: str = (rows[0]["fault"] if rows else None) or ""
    can_buy = bool(lines) and not refused and not any(line.blocked for line in lines)
    at_sale = any(line.at_sale for line in lines)
    return Quote(
        lines=lines,
        total=total,
        currency=currency,
        can_buy=can_buy,
        refused=refused,
        differences=[
            *([str(refusal(refused, {"lines": []}).detail)] if refused else []),
            *(line.words for line in lines if line.difference),
        ],
        fingerprint=_fingerprint(lines, currency),
        wallet=holds,
        enough=can_buy and holds >= total and not at_sale,
        purchases=len({line.purchase for line in lines}),
    )


def merge(wishes: Sequence[Wish]) -> list[Wish]:
    """One wish per listing, quantities added. Raises Invalid for quantities and prices out of bounds."""
    if len(wishes) > MAX_LINES:
        raise Invalid(fields={"lines": f"At most {MAX_LINES} lines in one purchase."})
    found: dict[UUID, Wish] = {}
    for i, w in enumerate(wishes):
        if not 1 <= w.quantity <= MAX_QUANTITY:
            raise Invalid(fields={f"lines.{i}.quantity": f"Must be from 1 to {MAX_QUANTITY}."})
        if not all(seen is None or 0 <= seen < 2**31 for seen in (w.price, w.price_version)):
            raise Invalid(fields={f"lines.{i}.price": "Must be one that was shown."})
        before = found.get(w.listing_id)
        if before and (before.price, before.price_version) != (w.price, w.price_version):
            raise Invalid(fields={f"lines.{i}.price": "The same listing is named with two prices."})
        together = w.quantity + (before.quantity if before else 0)
        if together > MAX_QUANTITY:
            raise Invalid(fields={f"lines.{i}.quantity": f"Together at most {MAX_QUANTITY}."})
        found[w.listing_id] = Wish(w.listing_id, together, w.price, w.price_version)
    return list(found.values())


def confirmed(now: Quote, fingerprint: str | None) -> tuple[Wish, ...]:
    """The wishes of the present quote, when it can be bought and is the one that was confirmed.

    `fingerprint` None: nothing was confirmed beforehand, so nothing may differ from what was seen. Raises
    EmptyCart, what blocks a line, PriceChanged or QuoteChanged; each with `lines` and the new `quote`.
    """
    if not now.lines:
        raise EmptyCart()
    if now.refused:
        raise refusal(
            now.refused, {"lines": [{**_as_difference(x), "fault": now.refused} for x in now.lines]}
        )
    for fault in _BLOCKING:
        if blocked := [_as_difference(line) for line in now.lines if line.difference == fault]:
            raise refusal(fault, {"lines": blocked})
    if now.purchases > 1:
        apart = [{**_as_difference(line), "fault": "at_sale"} for line in now.lines if line.at_sale]
        raise refusal("at_sale", {"lines": apart})
    changed = [_as_difference(line) for line in now.lines if line.difference]
    if fingerprint == now.fingerprint or (fingerprint is None and not changed):
        return now.wishes()
    kind = PriceChanged if changed else QuoteChanged
    detail = " ".join([*now.differences, "Nothing was charged."]) if changed else None
    raise kind(detail, lines=changed, quote=now.fingerprint)


def _as_difference(line: QuoteLine) -> dict[str, Any]:
    return {
        "listing_id": line.listing_id,
        "title": line.title,
        "fault": line.difference,
        "price": line.price,
        "price_version": line.price_version,
        "seen_price": line.seen_price,
        "currency": line.currency,
        "quantity": line.quantity,
        "max_per_order": line.max_per_order,
        "region": line.region,
        "left": line.left or 0,
    }


def _line(row: Record, country: str | None, currency: str, known: bool) -> QuoteLine:
    there = row["for_sale"] or (known and row["title"] is not None)
    fault = _fault(row, currency)
    free = row["free"] or 0
    left = free if row["for_sale"] and free < _LOW else None
    facts: Mapping[str, Any] = {
        "fault": fault,
        "title": row["title"] if there else "",
        "price": row["price"],
        "currency": row["currency"],
        "left": left,
        "region": row["region"],
        "max_per_order": row["max_per_order"],
    }
    words = difference_in_words(facts) if fault else ""
    if fault == "unavailable" and not words:
        words = "One of the listings is not for sale."
    if not fault and not can_activate(row["region"], country):
        words = f"It works in region {row['region']} only."
    if not words and row["at_sale"]:
        words = "Sold and paid directly to this store: by card, in an order of its own."
    price = row["price"] if there else 0
    return QuoteLine(
        listing_id=row["listing_id"],
        slug=row["slug"] if there else "",
        title=row["title"] if there else "",
        seller_id=row["seller_id"] if there else None,
        seller=row["seller"] if there else "",
        seller_slug=row["seller_slug"] if there else "",
        platform=row["platform"] if there else "",
        region=row["region"] if there else "",
        edition=row["edition"] if there else "",
        cover=row["cover"] if there else None,
        quantity=row["quantity"],
        max_per_order=row["max_per_order"] if there else 0,
        left=left,
        price=price,
        price_version=row["price_version"] if there else 0,
        seen_price=row["seen_price"],
        total=price * row["quantity"],
        currency=row["currency"] if there else "",
        difference=fault,
        words=words,
        blocked=fault in _BLOCKING,
        at_sale=row["at_sale"],
    )


def _fault(row: Record, currency: str) -> str:
    seen, version = row["seen_price"], row["seen_version"]
    changed = seen != row["price"] if seen is not None else version not in (None, row["price_version"])
    checks = (
        (not row["for_sale"], "unavailable"),
        (row["own"], "own_goods"),
        (row["fits"] is False, "region"),
        ((row["max_per_order"] or 0) < row["quantity"], "too_many"),
        (row["currency"] != currency, "currency"),
        ((row["free"] or 0) < row["quantity"], "sold_out"),
        (changed, "price_changed"),
    )
    return next((fault for wrong, fault in checks if wrong), "")


def _fingerprint(lines: Sequence[QuoteLine], currency: str) -> str:
    return fingerprint_of([(x.listing_id, x.quantity, x.price, x.price_version) for x in lines], currency)


def fingerprint_of(lines: Sequence[tuple[UUID, int, int, int]], currency: str) -> str:
    """Of a quote that shows these listings, quantities, prices and price versions."""
    shown = sorted([str(listing_id), *rest] for listing_id, *rest in lines)
    return hashlib.sha256(msgspec.json.encode([currency, shown])).hexdigest()[:32]

"""A purchase from the wallet as it was answered first: built from what never changes afterwards."""

from itertools import groupby
from typing import Any
from uuid import UUID

from fondaco.core.db import Database, Record
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.policies import refund_until, release_policy
from fondaco.orders.reads import Order, OrderGroup, OrderLine

_AS_BOUGHT = "SELECT * FROM orders.as_bought($1::uuid[], $2::uuid[])"


async def as_bought(db: Database, viewer: Viewer, group_id: UUID) -> OrderGroup:
    """The viewer's wallet purchase as it stood when it was made, whatever became of it since.

    Purchases that are answered at the same moment are read together. Raises NotFound, also for a purchase
    that was not from the wallet.
    """
    rows = await db.gathered(_AS_BOUGHT, group_id, viewer.user())
    if not rows:
        raise NotFound()
    first = rows[0]
    return OrderGroup(
        id=group_id,
        number=first["group_number"],
        buyer_id=first["buyer_id"],
        state="DELIVERED",
        pay_with="wallet",
        total=first["group_total"],
        currency=first["currency"],
        created_at=first["at"],
        orders=[_order(list(lines)) for _, lines in groupby(rows, key=_order_id)],
        payment=None,
    )


def _order_id(row: Record) -> UUID:
    found: UUID = row["order_id"]
    return found


def _order(rows: list[Record]) -> Order:
    first = rows[0]
    terms: dict[str, Any] = first["terms"]
    return Order(
        id=first["order_id"],
        number=first["number"],
        group_id=first["group_id"],
        seller_id=first["seller_id"],
        seller=terms["seller"],
        seller_slug=terms["seller_slug"],
        state="DELIVERED",
        total=first["order_total"],
        currency=first["currency"],
        created_at=first["at"],
        expires_at=None,
        paid_at=first["at"],
        delivered_at=first["at"],
        completed_at=None,
        closed_because=None,
        lines=[_line(row) for row in rows],
    )


def _line(row: Record) -> OrderLine:
    terms: dict[str, Any] = row["terms"]
    return OrderLine(
        id=row["line_id"],
        listing_id=row["listing_id"],
        slug=terms["slug"],
        title=terms["title"],
        kind=terms.get("kind", "stocked_secret"),  # lines from before there were other kinds
        platform=terms["platform"],
        region=terms["region"],
        edition=terms["edition"],
        quantity=row["quantity"],
        unit_price=row["unit_price"],
        total=row["line_total"],
        currency=row["currency"],
        delivery_state="DELIVERED",
        escrow_state="HELD",
        release_at=row["release_at"],
        released_at=None,
        refunded=0,
        release_policy=release_policy(terms),
        return_until=refund_until(terms, row["at"]),
        entitlements=row["entitlements"],
    )

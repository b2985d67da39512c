"""What a buyer reads of their orders: groups with orders, lines, deliveries and payment."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco import wallets
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core import counting
from fondaco.core.db import Connection, Database, Scope
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.policies import refund_until, release_policy

MinorUnits = Annotated[int, Meta(description="Minor units of `currency`.")]
_NEWEST = Keyset("order-groups", (("created_at", "g.created_at", "timestamptz"), ("id", "g.id", "uuid")))
# The state of a group: that of its order which is least far.
STATES = ("PENDING_PAYMENT", "DELIVERED", "COMPLETED", "REFUNDED", "EXPIRED", "CANCELLED")


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One listing of an order, as it was when it was bought."""

    id: UUID
    listing_id: UUID
    slug: str
    title: str
    kind: Annotated[str, Meta(description="stocked_secret (keys) or article.")]
    platform: str
    region: str
    edition: str
    quantity: int
    unit_price: MinorUnits
    total: MinorUnits
    currency: str
    delivery_state: str
    escrow_state: str
    release_at: Annotated[
        datetime | None, Meta(description="When the money goes to the seller if nobody confirms before.")
    ]
    released_at: datetime | None
    refunded: Annotated[int, Meta(description="What came back of it, minor units.")]
    release_policy: Annotated[
        str, Meta(description="When the seller is paid: delivered_days, revealed_hours or confirmed.")
    ]
    return_until: Annotated[
        datetime | None,
        Meta(description="Until when the buyer can give back what was not opened, while the money is held."),
    ]
    entitlements: Annotated[list[UUID], Meta(description="What was delivered: ids in the library.")]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One seller's part of a purchase."""

    id: UUID
    number: str
    group_id: UUID
    seller_id: UUID
    seller: str
    seller_slug: str
    state: str
    total: MinorUnits
    currency: str
    created_at: datetime
    expires_at: Annotated[datetime | None, Meta(description="Until when the payment is awaited.")]
    paid_at: datetime | None
    delivered_at: datetime | None
    completed_at: datetime | None
    closed_because: str | None
    lines: list[OrderLine]


class GroupPayment(msgspec.Struct, frozen=True, kw_only=True):
    """The card payment of a purchase."""

    id: UUID
    state: str
    amount: MinorUnits
    currency: str
    url: Annotated[str | None, Meta(description="Where it can be paid now.")]
    failure: str | None
    refunded: MinorUnits
    refund_pending: MinorUnits


class OrderGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One purchase: an order per seller, and its payment when it was by card."""

    id: UUID
    number: str
    buyer_id: UUID
    state: Annotated[str, Meta(description="Of its order that is least far.")]
    pay_with: Annotated[
        str,
        Meta(
            description="`wallet`, `card`, `instant_credit`, or `destination`: by card, to the store itself."
        ),
    ]
    total: MinorUnits
    currency: str
    created_at: datetime
    orders: list[Order]
    payment: GroupPayment | None


class GroupPage(msgspec.Struct, frozen=True):
    """One page of purchases with counts per state."""

    items: list[OrderGroup]
    next: str | None
    previous: str | None
    states: Annotated[dict[str, int], Meta(description="Orders per state, for the same search.")]


_MATCH = """($2 = '' AND $3::text[] IS NULL OR EXISTS (SELECT 1 FROM orders.orders o WHERE o.group_id = g.id
  AND ($2 = '' OR o.number ILIKE $2 OR g.number ILIKE $2 OR EXISTS (
    SELECT 1 FROM orders.order_line l WHERE l.order_id = o.id AND l.terms->>'title' ILIKE $2))
  AND ($3::text[] IS NULL OR o.state = ANY ($3))))"""


async def own_groups(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> GroupPage:
    """The viewer's purchases, newest first. `q`: part of a number or of a title."""
    args: list[Any] = [viewer.user(), pattern(q), list(states) or None]
    start = _NEWEST.start(cursors, cursor, args)
    async with db.transaction(viewer.as_user) as conn:
        counts = await conn.fetch(
            counting.among_newest(
                """SELECT o.state FROM orders.orders o WHERE o.buyer_id = $1
                     AND ($2 = '' OR o.number ILIKE $2
                       OR EXISTS (SELECT 1 FROM orders.order_group g
                                  WHERE g.id = o.group_id AND g.number ILIKE $2)
                       OR EXISTS (SELECT 1 FROM orders.order_line l
                                  WHERE l.order_id = o.id AND l.terms->>'title' ILIKE $2))""",
                "o.created_at DESC, o.id DESC",
            ),
            *args[:2],
        )
        rows = await conn.fetch(
            f"""SELECT g.id, g.created_at FROM orders.order_group g
                WHERE g.buyer_id = $1 AND {_MATCH}{start.condition}
                ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
        page = start.page(rows, limit, lambda r: UUID(str(r["id"])))
        found = await _groups(conn, list(page.items))
    return GroupPage(
        [found[i] for i in page.items], page.next, page.previous, {r["state"]: r["n"] for r in counts}
    )


async def own_order_group(db: Database, viewer: Viewer, order_id: UUID) -> OrderGroup:
    """The viewer's purchase, by its own id or that of one of its orders. Raises NotFound."""
    found = await group_in_scope(db, viewer.as_user, order_id)
    if found.buyer_id != viewer.user():
        raise NotFound()
    return found


async def own_order_numbers(db: Database, viewer: Viewer, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The numbers of those of these orders that the viewer bought, by id."""
    rows = await db.fetch(
        viewer.as_user,
        "SELECT id, number FROM orders.orders WHERE id = ANY ($1) AND buyer_id = $2",
        list(ids),
        viewer.user(),
    )
    return {r["id"]: r["number"] for r in rows}


async def group_in_scope(db: Database, scope: Scope, order_id: UUID) -> OrderGroup:
    """A purchase as `scope` may see it, by its own id or that of one of its orders. Raises NotFound."""
    async with db.transaction(scope) as conn:
        group_id = await conn.fetchval(
            "SELECT group_id FROM orders.orders WHERE id = $1 OR group_id = $1 LIMIT 1", order_id
        )
        found = await _groups(conn, [group_id]) if group_id else {}
    if group_id not in found:
        raise NotFound()
    return found[group_id]


async def _groups(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, OrderGroup]:
    """The groups by id, each with all that belongs to it."""
    if not ids:
        return {}
    groups = await conn.fetch("SELECT * FROM orders.order_group WHERE id = ANY ($1)", ids)
    orders = await conn.fetch(
        """SELECT o.*, s.name AS seller, s.slug AS seller_slug FROM orders.orders o
           JOIN sellers.seller s ON s.id = o.seller_id WHERE o.group_id = ANY ($1) ORDER BY o.id""",
        ids,
    )
    lines = await conn.fetch(
        """SELECT l.*, ARRAY(SELECT e.id FROM delivery.entitlement e
             WHERE e.line_id = l.id AND (e.revoked_at IS NULL OR l.delivery_state = 'REFUNDED')
             ORDER BY e.id) AS entitlements
           FROM orders.orders o JOIN orders.order_line l ON l.order_id = o.id
           WHERE o.group_id = ANY ($1) ORDER BY l.id""",
        ids,
    )
    fundings = await conn.fetch(
        """SELECT DISTINCT ON (group_id) id, group_id, state, amount, currency, session_url, intent_id,
             failure, refunded, refund_pending
           FROM wallets.funding WHERE group_id = ANY ($1) ORDER BY group_id, created_at DESC""",
        ids,
    )
    by_order: dict[UUID, list[OrderLine]] = defaultdict(list)
    for row in lines:
        by_order[row["order_id"]].append(_line(dict(row)))
    by_group: dict[UUID, list[Order]] = defaultdict(list)
    for row in orders:
        by_group[row["group_id"]].append(_order(dict(row), by_order[row["id"]]))
    payments = {row["group_id"]: _payment(dict(row)) for row in fundings}
    return {
        row["id"]: OrderGroup(
            id=row["id"],
            number=row["number"],
            buyer_id=row["buyer_id"],
            state=min((o.state for o in by_group[row["id"]]), key=STATES.index),
            pay_with=row["funding_policy"],
            total=row["total"],
            currency=row["currency"],
            created_at=row["created_at"],
            orders=by_group[row["id"]],
            payment=payments.get(row["id"]),
        )
        for row in groups
    }


def _order(row: dict[str, Any], lines: list[OrderLine]) -> Order:
    return msgspec.convert({**row, "lines": lines}, Order)


def _line(row: dict[str, Any]) -> OrderLine:
    terms = {k: row["terms"].get(k, "") for k in ("title", "slug", "platform", "region", "edition")}
    kind = row["terms"].get("kind", "stocked_secret")  # lines from before there were other kinds
    policies = {
        "release_policy": release_policy(row["terms"]),
        "return_until": refund_until(row["terms"], row["delivered_at"]),
    }
    return msgspec.convert({**row, **terms, **policies, "kind": kind}, OrderLine)


def _payment(row: dict[str, Any]) -> GroupPayment:
    payable = row["state"] == "PROCESSING" and row["intent_id"] is None
    paid = row["state"] in wallets.PAID
    return GroupPayment(
        id=row["id"],
        state=row["state"],
        amount=row["amount"],
        currency=row["currency"],
        url=row["session_url"] if payable else None,
        failure=None if paid else row["failure"],
        refunded=row["refunded"],
        refund_pending=row["refund_pending"],
    )


def pattern(q: str) -> str:
    """What somebody typed as a LIKE pattern; '' for nothing."""
    text = q.replace("\x00", "").strip()[:100]
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%" if text else ""

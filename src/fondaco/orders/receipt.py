"""The receipt of an order as PDF."""

import asyncio
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fondaco.core.db import Database
from fondaco.core.money import Money
from fondaco.core.pdf import BOTTOM, LEFT, RIGHT, TOP, new_canvas, put, rule
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.model import NotDelivered
from fondaco.orders.reads import Order, OrderGroup, group_in_scope

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

_PAID_WITH = {
    "wallet": "Wallet",
    "card": "Card",
    "instant_credit": "On credit",
    "destination": "Card, directly to the store",
}


async def order_receipt(
    db: Database, viewer: Viewer, order_id: UUID, *, marketplace: str = "fondaco", support: str = ""
) -> bytes:
    """The PDF receipt of one of the viewer's delivered orders.

    Raises NotFound; NotDelivered while there is nothing paid.
    """
    group = await group_in_scope(db, viewer.as_user, order_id)
    order = next((o for o in group.orders if o.id == order_id), group.orders[0])
    if group.buyer_id != viewer.user():
        raise NotFound()
    if order.paid_at is None:
        raise NotDelivered("There is no receipt yet: this order is not paid.")
    people = await db.fetchrow(
        viewer.as_user,
        """SELECT u.name AS buyer, u.email AS buyer_email, s.support_email, s.country
           FROM identity.users u, sellers.seller s WHERE u.id = $1 AND s.id = $2""",
        viewer.user(),
        order.seller_id,
    )
    assert people
    return await asyncio.to_thread(_draw, group, order, dict(people), marketplace, support)


def _draw(group: OrderGroup, order: Order, people: dict[str, Any], marketplace: str, support: str) -> bytes:
    out = BytesIO()
    page = new_canvas(out, f"Receipt {order.number}", marketplace)
    assert order.paid_at
    put(page, LEFT, TOP, marketplace, 18, bold=True)
    put(page, RIGHT, TOP, "Receipt", 18, right=True)
    y = TOP - 44
    facts = [
        ("Receipt number", order.number),
        ("Purchase", group.number),
        ("Paid", order.paid_at.strftime("%Y-%m-%d %H:%M UTC")),
        ("Paid with", _PAID_WITH[group.pay_with]),
        ("Sold by", f"{order.seller} ({people['country']})"),
        ("Seller's support", people["support_email"]),
        ("Sold to", f"{people['buyer']}, {people['buyer_email']}"),
    ]
    for name, value in facts:
        put(page, LEFT, y, name, 9, grey=True)
        put(page, LEFT + 120, y, value, 10, width=RIGHT - LEFT - 120)
        y -= 17
    y = _table(page, order, y - 22)
    footer = "All amounts are what was paid in total for digital goods. Keep this receipt."
    put(page, LEFT, BOTTOM - 20, f"{footer} {support}".strip(), 8, grey=True, width=RIGHT - LEFT)
    page.showPage()
    page.save()
    return out.getvalue()


def _table(page: "Canvas", order: Order, y: int) -> int:
    """Lines and total, over as many pages as they need; returns where it ended."""
    _head(page, y)
    y -= 20
    for line in order.lines:
        if y < BOTTOM + 40:
            page.showPage()
            y = TOP
            _head(page, y)
            y -= 20
        put(page, LEFT, y, line.title, 10, width=270)
        put(page, LEFT, y - 12, f"{line.platform}, {line.region}, {line.edition}", 8, grey=True, width=270)
        put(page, 350, y, str(line.quantity), 10, right=True)
        put(page, 440, y, str(Money(line.unit_price, line.currency)), 10, right=True)
        put(page, RIGHT, y, str(Money(line.total, line.currency)), 10, right=True)
        y -= 32
    page.line(LEFT, y + 14, RIGHT, y + 14)
    put(page, LEFT, y - 4, "Total paid", 11, bold=True)
    put(page, RIGHT, y - 4, str(Money(order.total, order.currency)), 11, bold=True, right=True)
    return y - 30


def _head(page: "Canvas", y: int) -> None:
    put(page, LEFT, y, "Item", 9, grey=True)
    put(page, 350, y, "Quantity", 9, grey=True, right=True)
    put(page, 440, y, "Price", 9, grey=True, right=True)
    put(page, RIGHT, y, "Amount", 9, grey=True, right=True)
    rule(page, y - 5)

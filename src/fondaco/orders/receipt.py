"""The receipt of an order as PDF."""

import asyncio
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fondaco.core.db import Database
from fondaco.core.money import Money
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.model import NotDelivered
from fondaco.orders.reads import Order, OrderGroup, group_in_scope

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 539, 780, 70
_GREY, _INK = (0.42, 0.44, 0.5), (0.1, 0.11, 0.16)
_PAID_WITH = {"wallet": "Wallet", "card": "Card"}


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
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    _fonts()
    out = BytesIO()
    page = Canvas(out, pagesize=A4, invariant=1, lang="en")
    page.setTitle(f"Receipt {order.number}")
    page.setAuthor(marketplace)
    assert order.paid_at
    _text(page, _LEFT, _TOP, marketplace, 18, bold=True)
    _text(page, _RIGHT, _TOP, "Receipt", 18, right=True)
    y = _TOP - 44
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
        _text(page, _LEFT, y, name, 9, grey=True)
        _text(page, _LEFT + 120, y, value, 10, width=_RIGHT - _LEFT - 120)
        y -= 17
    y = _table(page, order, y - 22)
    footer = "All amounts are what was paid in total for digital goods. Keep this receipt."
    _text(page, _LEFT, _BOTTOM - 20, f"{footer} {support}".strip(), 8, grey=True, width=_RIGHT - _LEFT)
    page.showPage()
    page.save()
    return out.getvalue()


def _table(page: "Canvas", order: Order, y: int) -> int:
    """Lines and total, over as many pages as they need; returns where it ended."""
    _head(page, y)
    y -= 20
    for line in order.lines:
        if y < _BOTTOM + 40:
            page.showPage()
            y = _TOP
            _head(page, y)
            y -= 20
        _text(page, _LEFT, y, line.title, 10, width=270)
        _text(page, _LEFT, y - 12, f"{line.platform}, {line.region}, {line.edition}", 8, grey=True, width=270)
        _text(page, 350, y, str(line.quantity), 10, right=True)
        _text(page, 440, y, str(Money(line.unit_price, line.currency)), 10, right=True)
        _text(page, _RIGHT, y, str(Money(line.total, line.currency)), 10, right=True)
        y -= 32
    page.line(_LEFT, y + 14, _RIGHT, y + 14)
    _text(page, _LEFT, y - 4, "Total paid", 11, bold=True)
    _text(page, _RIGHT, y - 4, str(Money(order.total, order.currency)), 11, bold=True, right=True)
    return y - 30


def _head(page: "Canvas", y: int) -> None:
    _text(page, _LEFT, y, "Item", 9, grey=True)
    _text(page, 350, y, "Quantity", 9, grey=True, right=True)
    _text(page, 440, y, "Price", 9, grey=True, right=True)
    _text(page, _RIGHT, y, "Amount", 9, grey=True, right=True)
    page.setStrokeColorRGB(*_GREY)
    page.setLineWidth(0.4)
    page.line(_LEFT, y - 5, _RIGHT, y - 5)


def _text(
    page: "Canvas",
    x: int,
    y: int,
    text: str,
    size: int,
    *,
    bold: bool = False,
    grey: bool = False,
    right: bool = False,
    width: int = 0,
) -> None:
    """One line of text; cut with an ellipsis when it is wider than `width`."""
    font = "Receipt-Bold" if bold else "Receipt"
    shown = _printable(text, font)
    while width and len(shown) > 1 and page.stringWidth(shown, font, size) > width:
        shown = shown[:-2].rstrip() + "…"
    page.setFont(font, size)
    page.setFillColorRGB(*(_GREY if grey else _INK))
    (page.drawRightString if right else page.drawString)(x, y, shown)


def _printable(text: str, font: str) -> str:
    """The text in characters the font has; others are shown as a question mark."""
    known = _fonts()[font]
    return "".join(c if ord(c) in known else "?" for c in text)


@cache
def _fonts() -> dict[str, frozenset[int]]:
    """Registers the typefaces of the receipt once; answers which characters each has."""
    from reportlab.pdfbase.pdfmetrics import registerFont  # pyright: ignore[reportUnknownVariableType]
    from reportlab.pdfbase.ttfonts import TTFont

    found: dict[str, frozenset[int]] = {}
    for name, file in (("Receipt", "RedHatDisplay-Regular.ttf"), ("Receipt-Bold", "RedHatDisplay-Bold.ttf")):
        font = TTFont(name, BytesIO(files("font_rhd").joinpath("files", file).read_bytes()))
        registerFont(font)
        found[name] = frozenset(font.face.charToGlyph)
    return found

"""Papers of buyers: an invoice for each delivered order, a credit note for each refund of a line."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from fondaco.core.db import Connection, Record
from fondaco.core.money import Money
from fondaco.settings import Settings
from fondaco.statements.issuing import Draft
from fondaco.statements.model import Kind, PaperLine

COLUMNS = ["Tax included", "Amount"]
_PAID_WITH = {
    "wallet": "Wallet",
    "card": "Card",
    "instant_credit": "On credit",
    "destination": "Card, directly to the store",
}
_ORDER = """o.id, o.number, o.buyer_id, o.currency, o.paid_at, g.number AS group_number, g.funding_policy,
  s.name AS store, s.country AS store_country, s.support_email, u.name AS buyer, u.email"""
_FROM = """FROM orders.orders o JOIN orders.order_group g ON g.id = o.group_id
  JOIN sellers.seller s ON s.id = o.seller_id JOIN identity.users u ON u.id = o.buyer_id"""


async def invoices(conn: Connection, settings: Settings, order_ids: Sequence[UUID]) -> list[Draft]:
    """A draft for each of these orders that is paid, in order of payment."""
    orders = await conn.fetch(
        f"SELECT {_ORDER} {_FROM} WHERE o.id = ANY ($1) AND o.paid_at IS NOT NULL ORDER BY o.paid_at, o.id",
        list(order_ids),
    )
    lines = await conn.fetch(
        """SELECT order_id, quantity, unit_price, total, tax, currency, terms FROM orders.order_line
           WHERE order_id = ANY ($1) ORDER BY id""",
        [o["id"] for o in orders],
    )
    by_order: dict[UUID, list[Record]] = defaultdict(list)
    for line in lines:
        by_order[line["order_id"]].append(line)
    return [_invoice(settings, order, by_order[order["id"]]) for order in orders]


def _invoice(settings: Settings, order: Record, lines: Sequence[Record]) -> Draft:
    drawn = [
        PaperLine(
            str(line["terms"]["title"]),
            f"{line['quantity']} × {Money(line['unit_price'], line['currency'])}, {_goods(line)}",
            [line["tax"], line["total"]],
        )
        for line in lines
    ]
    sums = [sum(line.amounts[i] for line in drawn) for i in range(len(COLUMNS))]
    return Draft(
        kind=Kind.INVOICE,
        ref=f"order:{order['id']}",
        owner=order["buyer_id"],
        to_seller=False,
        issuer=_seller(order),
        receiver=f"{order['buyer']}, {order['email']}",
        currency=order["currency"],
        facts=[
            ("Order", order["number"]),
            ("Purchase", order["group_number"]),
            ("Paid", _moment(order["paid_at"])),
            ("Paid with", _PAID_WITH[order["funding_policy"]]),
            ("Sold through", settings.marketplace_name),
            ("Seller's support", order["support_email"]),
        ],
        columns=COLUMNS,
        lines=drawn,
        totals=[PaperLine("Total paid", "", sums)],
        note=f"Questions about the payment: {settings.support_email}",
        order_id=order["id"],
    )


def _goods(line: Record) -> str:
    terms = line["terms"]
    return ", ".join(str(terms[k]) for k in ("platform", "region", "edition") if terms.get(k))


def _seller(order: Record) -> str:
    return f"{order['store']} ({order['store_country']})"


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


async def credit_notes(conn: Connection, settings: Settings, refund_ids: Sequence[UUID]) -> list[Draft]:
    """A draft for each of these refunds of lines, oldest first."""
    rows = await conn.fetch(
        f"""SELECT r.id AS refund_id, r.amount, r.tax, r.destination, r.created_at, l.terms, l.quantity,
              {_ORDER}, (SELECT p.number FROM statements.paper p
                         WHERE p.kind = 'invoice' AND p.ref = 'order:' || o.id) AS invoice
            FROM refunds.refund r JOIN orders.order_line l ON l.id = r.line_id
            JOIN orders.orders o ON o.id = r.order_id JOIN orders.order_group g ON g.id = o.group_id
            JOIN sellers.seller s ON s.id = o.seller_id JOIN identity.users u ON u.id = o.buyer_id
            WHERE r.id = ANY ($1) ORDER BY r.created_at, r.id""",
        list(refund_ids),
    )
    return [_credit_note(settings, row) for row in rows]


def _credit_note(settings: Settings, row: Record) -> Draft:
    facts = [("Order", row["number"]), ("Refunded", _moment(row["created_at"]))]
    if row["invoice"]:
        facts.insert(0, ("Invoice", row["invoice"]))
    facts.append(("Refunded to", "The card it was paid with" if row["destination"] == "source" else "Wallet"))
    amounts = [row["tax"], row["amount"]]
    return Draft(
        kind=Kind.CREDIT_NOTE,
        ref=f"line_refund:{row['refund_id']}",
        owner=row["buyer_id"],
        to_seller=False,
        issuer=_seller(row),
        receiver=f"{row['buyer']}, {row['email']}",
        currency=row["currency"],
        facts=[*facts, ("Sold through", settings.marketplace_name)],
        columns=COLUMNS,
        lines=[PaperLine(str(row["terms"]["title"]), f"{row['quantity']} ordered, {_goods(row)}", amounts)],
        totals=[PaperLine("Total refunded", "", amounts)],
        note=f"Questions about the payment: {settings.support_email}",
        order_id=row["id"],
    )

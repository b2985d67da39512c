"""The paper of a payout: what was sent to a store's account, and for which sales."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from fondaco.core.db import Connection, Record
from fondaco.settings import Settings
from fondaco.statements.issuing import Draft
from fondaco.statements.model import Kind, PaperLine

_KINDS = {"daily": "Daily batch", "withdrawal": "Withdrawal"}


async def payout_statements(conn: Connection, settings: Settings, payout_ids: Sequence[UUID]) -> list[Draft]:
    """A draft for each of these payouts that was sent, in order of sending."""
    payouts = await conn.fetch(
        """SELECT p.id, p.seller_id, p.amount, p.currency::text AS currency, p.kind, p.transfer_id, p.sent_at,
             s.name, s.country
           FROM payouts.payout p JOIN sellers.seller s ON s.id = p.seller_id
           WHERE p.id = ANY ($1) AND p.sent_at IS NOT NULL ORDER BY p.sent_at, p.id""",
        list(payout_ids),
    )
    items = await conn.fetch(
        """SELECT i.payout_id, i.amount, l.terms, o.number, l.delivered_at FROM payouts.item i
           LEFT JOIN orders.order_line l ON l.id = i.line_id LEFT JOIN orders.orders o ON o.id = l.order_id
           WHERE i.payout_id = ANY ($1) ORDER BY i.payout_id, l.matured_at, l.id""",
        [p["id"] for p in payouts],
    )
    by_payout: dict[UUID, list[Record]] = defaultdict(list)
    for item in items:
        by_payout[item["payout_id"]].append(item)
    return [_statement(settings, payout, by_payout[payout["id"]]) for payout in payouts]


def _statement(settings: Settings, payout: Record, items: Sequence[Record]) -> Draft:
    lines = [
        PaperLine(
            str(item["terms"]["title"]) if item["terms"] else "Other than sales",
            f"{item['number']}, delivered {item['delivered_at']:%Y-%m-%d}" if item["number"] else "",
            [item["amount"]],
        )
        for item in items
    ]
    return Draft(
        kind=Kind.PAYOUT_STATEMENT,
        ref=f"payout:{payout['id']}",
        owner=payout["seller_id"],
        to_seller=True,
        issuer=settings.marketplace_name,
        receiver=f"{payout['name']} ({payout['country']})",
        currency=payout["currency"],
        facts=[
            ("Sent", payout["sent_at"].strftime("%Y-%m-%d %H:%M UTC")),
            ("Why", _KINDS[payout["kind"]]),
            ("Transfer", payout["transfer_id"]),
            ("Sales", str(len(items))),
        ],
        columns=["Your part"],
        lines=lines,
        totals=[PaperLine("Sent to your account", "", [payout["amount"]])],
        note="Your part of a sale is its price less the marketplace's share. Days until it reaches your bank "
        "depend on your account at the payment provider.",
    )

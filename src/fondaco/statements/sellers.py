"""Papers of sellers for a month: the statement of their accounts, and the invoice for the commission."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from fondaco.core.db import Connection, Record
from fondaco.core.ids import parse_uuid
from fondaco.settings import Settings
from fondaco.statements.issuing import Draft
from fondaco.statements.model import Kind, PaperLine

ACCOUNTS = {
    "seller_pending": "Maturing",
    "seller_available": "Payable",
    "seller_reserve": "Reserve",
    "seller_receivable": "Owed by you",
}
"""The accounts a statement is about, as its columns are called; then comes their sum."""
COLUMNS = [*ACCOUNTS.values(), "Balance"]
WORDS = {
    "release": "Sale released",
    "mature": "Became payable",
    "reserve_free": "Reserve freed",
    "refund_released": "Refund after release",
    "netting": "Debt paid from your balance",
    "goodwill": "Goodwill",
    "adjustment": "Adjustment",
    "forfeit": "Forfeited",
    "debt_written_off": "Debt written off",
    "liability": "Your share of a chargeback",
    "liability_back": "Your share of a chargeback returned",
    "payout_intent": "Payout",
    "payout_failed": "Payout refused, money returned",
    "payout_cancelled": "Payout cancelled, money returned",
    "payout_reversed": "Payout reversed, money returned",
    "destination_returned": "Chargeback the bank reversed",
    "destination_debt": "Refund your own account could not pay",
    "reversal": "Correction",
}
"""What kinds of journals are called on a statement."""


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC, such as 2030-01."""

    year: int
    month: int

    @classmethod
    def before(cls, moment: datetime) -> "Month":
        """The month before the one this moment is in."""
        at = moment.astimezone(UTC)
        return cls(at.year - 1, 12) if at.month == 1 else cls(at.year, at.month - 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime(self.year + self.month // 12, self.month % 12 + 1, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


_MOVES = """FROM ledger.account a JOIN ledger.account_kind k ON k.kind = a.kind
  JOIN ledger.entry e ON e.account_id = a.id JOIN ledger.journal j ON j.id = e.journal_id
  WHERE a.owner = $1 AND a.currency = $2 AND a.kind = ANY ($3) AND"""


async def statement(
    conn: Connection, settings: Settings, store: Record, currency: str, month: Month
) -> Draft | None:
    """All that moved the store's accounts in the month; None when nothing did and nothing was on them.

    `store`: id, name and country of the seller.
    """
    owner = (f"seller:{store['id']}", currency, list(ACCOUNTS))
    before = await conn.fetch(
        f"""SELECT a.kind AS account, sum(e.amount * k.side)::bigint AS amount {_MOVES} j.posted_at < $4
            GROUP BY 1""",
        *owner,
        month.start,
    )
    rows = await conn.fetch(
        f"""SELECT a.kind AS account, (e.amount * k.side)::bigint AS amount, j.id, j.kind, j.posted_at, j.ref
            {_MOVES} j.posted_at >= $4 AND j.posted_at < $5 ORDER BY j.id""",
        *owner,
        month.start,
        month.end,
    )
    opening = _amounts(before)
    if not rows and not any(opening):
        return None
    numbers = await _order_numbers(conn, rows)
    inside: dict[int, list[Record]] = {}
    for row in rows:
        inside.setdefault(row["id"], []).append(row)
    lines = [
        PaperLine(
            WORDS.get(group[0]["kind"]) or str(group[0]["kind"]),
            _detail(group[0], numbers),
            _amounts(group),
        )
        for group in inside.values()
    ]
    closing = [sum(parts) for parts in zip(opening, *(line.amounts for line in lines), strict=True)]
    return Draft(
        kind=Kind.STATEMENT,
        ref=f"seller:{store['id']}:{currency}:{month}",
        owner=store["id"],
        to_seller=True,
        issuer=settings.marketplace_name,
        receiver=f"{store['name']} ({store['country']})",
        currency=currency,
        facts=[("Month", f"{month} (UTC)"), ("Entries", str(len(lines)))],
        columns=COLUMNS,
        opening=[PaperLine("Brought forward", "", opening)],
        lines=lines,
        totals=[PaperLine("Carried forward", "", closing)],
        note="Balance is what is maturing, payable and in reserve, less what you owe. Sales still under "
        "buyer protection are not yours yet and are not on this statement.",
        period=str(month),
    )


def _amounts(rows: list[Record]) -> list[int]:
    sums = dict.fromkeys(ACCOUNTS, 0)
    for row in rows:
        sums[row["account"]] += row["amount"]
    owed = sums["seller_receivable"]
    return [*sums.values(), sum(sums.values()) - 2 * owed]


async def _order_numbers(conn: Connection, journals: Sequence[Record]) -> dict[str, str]:
    """The numbers of the orders these journals are about, by the journals' refs."""
    ids = {UUID(r["ref"][6:]) for r in journals if r["ref"].startswith("order:") and parse_uuid(r["ref"][6:])}
    found = await conn.fetch("SELECT id, number FROM orders.orders WHERE id = ANY ($1)", list(ids))
    return {f"order:{row['id']}": row["number"] for row in found}


def _detail(journal: Record, numbers: dict[str, str]) -> str:
    moment = journal["posted_at"].strftime("%Y-%m-%d %H:%M")
    number = numbers.get(journal["ref"])
    return f"{moment} · {number}" if number else moment


async def commission_paper(
    conn: Connection, settings: Settings, store: Record, currency: str, month: Month
) -> Draft | None:
    """The marketplace's share of what was released to the store in the month, less what went back with
    refunds; None when there was none. More back than earned makes it a credit note."""
    rows = await conn.fetch(
        """WITH mine AS (
             SELECT DISTINCT j.id, j.kind, j.ref, j.posted_at FROM ledger.account a
             JOIN ledger.entry e ON e.account_id = a.id JOIN ledger.journal j ON j.id = e.journal_id
             WHERE a.owner = $1 AND a.currency = $2 AND a.kind = ANY ($3) AND j.posted_at >= $4
               AND j.posted_at < $5 AND j.kind IN ('release', 'refund_released'))
           SELECT m.id, m.kind, m.posted_at, m.ref,
             (-coalesce(sum(e.amount) FILTER (WHERE c.kind = 'commission'), 0))::bigint AS amount,
             (-coalesce(sum(e.amount) FILTER (WHERE c.kind = 'tax_payable'), 0))::bigint AS tax
           FROM mine m JOIN ledger.entry e ON e.journal_id = m.id
           JOIN ledger.account c ON c.id = e.account_id AND (c.kind = 'commission'
             OR c.kind = 'tax_payable' AND c.owner LIKE 'country:%')
           GROUP BY m.id, m.kind, m.posted_at, m.ref ORDER BY m.id""",
        f"seller:{store['id']}",
        currency,
        list(ACCOUNTS),
        month.start,
        month.end,
    )
    if not rows:
        return None
    numbers = await _order_numbers(conn, rows)
    taxed = any(row["tax"] for row in rows)
    totals = _with_tax(sum(row["amount"] for row in rows), sum(row["tax"] for row in rows), taxed)
    back = totals[-1] < 0
    lines = [
        PaperLine(
            "Share of a sale" if row["amount"] > 0 else "Share returned with a refund",
            _detail(row, numbers),
            _with_tax(row["amount"], row["tax"], taxed),
        )
        for row in rows
    ]
    return Draft(
        kind=Kind.COMMISSION_CREDIT_NOTE if back else Kind.COMMISSION_INVOICE,
        ref=f"seller:{store['id']}:{currency}:{month}",
        owner=store["id"],
        to_seller=True,
        issuer=settings.marketplace_name,
        receiver=f"{store['name']} ({store['country']})",
        currency=currency,
        facts=[("Month", f"{month} (UTC)"), ("Sales and refunds", str(len(lines)))],
        columns=["Share", f"Tax ({store['country']})", "Amount"] if taxed else ["Amount"],
        lines=lines,
        totals=[PaperLine("Returned to you" if back else "Total", "", totals)],
        note="This share was kept from your sales when they were released; there is nothing to pay.",
        period=str(month),
    )


def _with_tax(amount: int, tax: int, taxed: bool) -> list[int]:
    return [amount, tax, amount + tax] if taxed else [amount]


async def stores_with_books(conn: Connection, after: UUID | None, limit: int) -> list[Record]:
    """Stores that ever had money, in order of their ids: id, name, country, currencies."""
    return await conn.fetch(
        """SELECT s.id, s.name, s.country, c.currencies FROM sellers.seller s, LATERAL (
             SELECT array_agg(DISTINCT a.currency::text ORDER BY a.currency::text) AS currencies
             FROM ledger.account a WHERE a.kind = ANY ($1) AND a.owner = 'seller:' || s.id) c
           WHERE ($2::uuid IS NULL OR s.id > $2) AND c.currencies IS NOT NULL ORDER BY s.id LIMIT $3""",
        list(ACCOUNTS),
        after,
        limit,
    )

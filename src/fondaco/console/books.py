"""The books as the desks page through them: accounts, and an account's entries with the running balance."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.console.model import AccountLine
from fondaco.core.db import Database, Record
from fondaco.core.money import Money
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer
from fondaco.inventory import csv_cell
from fondaco.ledger import LedgerAccount, TrialLine

_ACCOUNTS = Keyset("console-accounts", (("id", "a.id", "bigint"),), down=False)


async def list_accounts(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    kinds: Sequence[str] = (),
    currencies: Sequence[str] = (),
    nonzero: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[LedgerAccount]:
    """Accounts in order of opening. `q`: an owner such as 'user:<id>', a user's address, a store's name, an
    order's number, or an account's own id."""
    text = q.replace("\x00", "").strip()[:200]
    own_id = int(text) if text.isdecimal() and text.isascii() and len(text) <= 18 else None
    args: list[Any] = [text, own_id, list(kinds) or None, list(currencies) or None, nonzero]
    start = _ACCOUNTS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT a.id, a.kind, a.owner, a.currency, a.frozen, k.meaning, b.amount, b.entries,
              CASE k.side WHEN 1 THEN 'debit' ELSE 'credit' END AS side
            FROM ledger.account a JOIN ledger.account_kind k ON k.kind = a.kind
            CROSS JOIN LATERAL (SELECT sum(amount)::bigint AS amount, sum(version)::bigint AS entries
                                FROM ledger.balance WHERE account_id = a.id) b
            WHERE ($1 = '' OR a.id = $2 OR a.owner = $1
                   OR a.owner IN (SELECT 'user:' || id FROM identity.users WHERE email = lower($1)
                                  UNION ALL SELECT 'seller:' || id FROM sellers.seller WHERE name ILIKE $1
                                  UNION ALL SELECT 'line:' || l.id FROM orders.order_line l
                                    JOIN orders.orders o ON o.id = l.order_id WHERE o.number = upper($1)))
              AND ($3::text[] IS NULL OR a.kind = ANY ($3)) AND ($4::text[] IS NULL OR a.currency = ANY ($4))
              AND (NOT $5 OR b.amount <> 0){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), LedgerAccount))


async def account_lines(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    account_id: int,
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[AccountLine]:
    """An account's entries, newest journal first, each with the balance of the whole account after it (an
    account may be kept in several slots). One statement, so that nothing moves in between."""
    keyset = Keyset(f"console-account-{account_id}", (("journal_id", "e.journal_id", "bigint"),))
    args: list[Any] = [account_id]
    start = keyset.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""WITH page AS (
              SELECT e.journal_id, e.slot, (e.amount * k.side)::bigint AS amount
              FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
              JOIN ledger.account_kind k ON k.kind = a.kind
              WHERE e.account_id = $1{start.condition}
              ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}),
            newest AS (
              SELECT (SELECT sum(b.amount) FROM ledger.balance b WHERE b.account_id = $1)
                - coalesce(sum(e.amount * k.side), 0) AS balance
              FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
              JOIN ledger.account_kind k ON k.kind = a.kind
              WHERE e.account_id = $1 AND e.journal_id > (SELECT max(journal_id) FROM page))
            SELECT e.journal_id, j.kind, j.ref, j.actor, j.posted_at, e.amount, e.slot,
              (newest.balance - coalesce(sum(e.amount) OVER (
                ORDER BY e.journal_id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))::bigint
                AS running
            FROM page e JOIN ledger.journal j ON j.id = e.journal_id CROSS JOIN newest
            ORDER BY {start.order}""",
        *args,
    )
    return start.page(rows, limit, _line)


def _line(row: Record) -> AccountLine:
    return msgspec.convert(dict(row), AccountLine)


def end_of_day(text: str) -> datetime | None:
    """The last moment (UTC) of a day written as 2030-01-31; None for ''. Raises Invalid (field as_of)."""
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return start + timedelta(days=1) - timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Invalid(fields={"as_of": "Write the day as year-month-day, such as 2030-01-31."}) from None


def trial_csv(lines: Iterable[TrialLine]) -> str:
    """The trial balance as CSV, amounts in major units. No cell is taken for a formula."""
    sheet = io.StringIO()
    rows = csv.writer(sheet)
    rows.writerow(["account", "meaning", "currency", "accounts", "debit", "credit", "balance", "side"])
    for line in lines:
        amounts = [str(Money(a, line.currency).decimal()) for a in (line.debit, line.credit)]
        # A balance may be below zero, which begins like a formula; it holds digits only.
        balance = str(Money(line.balance, line.currency).decimal())
        texts = [csv_cell(t) for t in (line.kind, line.meaning, line.currency)]
        rows.writerow([*texts, line.accounts, *amounts, balance, csv_cell(line.side)])
    return sheet.getvalue()

"""The books as text that plain-text-accounting programs read, journal by journal in bounded memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum

from fondaco.core.checking import snapshot
from fondaco.core.clock import now
from fondaco.core.db import Connection, Database, Record
from fondaco.core.money import Money

AT_ONCE = 2_000  # journals read at once

ROOTS = {
    "psp_clearing": "Assets",
    "bank": "Assets",
    "credit_out": "Assets",
    "seller_receivable": "Assets",
    "buyer_receivable": "Assets",
    "chargeback_held": "Assets",
    "dest_clearing": "Assets",
    "psp_fees": "Expenses",
    "chargeback_fees": "Expenses",
    "chargeback_loss": "Expenses",
    "bad_debt": "Expenses",
    "promo_expense": "Expenses",
    "goodwill": "Expenses",
    "commission": "Income",
    "other_income": "Income",
    "fx": "Equity",
}
"""Under which of the five roots an account kind stands; what is owed to others are liabilities."""


class Format(StrEnum):
    """The dialects that are written. hledger reads ledger's."""

    BEANCOUNT = "beancount"
    LEDGER = "ledger"


async def export_journals(
    db: Database, form: Format, *, since: datetime | None = None, until: datetime | None = None
) -> AsyncIterator[str]:
    """Pieces of the text, in order of the journals' ids, from one unchanging view of the books.

    `since` (included) and `until` (excluded) are moments of posting; with `since` the balances before it come
    first as one opening entry, so that the text adds up by itself.
    """
    async with snapshot(db) as conn:
        yield "; Debit is above zero, credit below. Times are UTC.\n"
        if form is Format.BEANCOUNT:
            yield "".join(await _opened(conn))
        if since is not None:
            yield await _opening(conn, form, since)
        last = 0
        while rows := await _next_journals(conn, last, since, until):
            last = rows[-1]["id"]
            entries = await conn.fetch(
                """SELECT e.journal_id, a.kind, a.owner, e.currency, e.amount FROM ledger.entry e
                   JOIN ledger.account a ON a.id = e.account_id WHERE e.journal_id = ANY ($1)
                   ORDER BY e.journal_id, e.amount DESC, e.account_id""",
                [row["id"] for row in rows],
            )
            by_journal: dict[int, list[Record]] = {}
            for entry in entries:
                by_journal.setdefault(entry["journal_id"], []).append(entry)
            yield "".join(_journal(form, row, by_journal[row["id"]]) for row in rows)


async def _next_journals(
    conn: Connection, after: int, since: datetime | None, until: datetime | None
) -> Sequence[Record]:
    return await conn.fetch(
        """SELECT id, kind, idem, ref, actor, posted_at FROM ledger.journal
           WHERE id > $1 AND ($2::timestamptz IS NULL OR posted_at >= $2)
             AND ($3::timestamptz IS NULL OR posted_at < $3) ORDER BY id LIMIT $4""",
        after,
        since,
        until,
        AT_ONCE,
    )


async def _opened(conn: Connection) -> Iterable[str]:
    """Beancount wants each account opened before it is used."""
    first = await conn.fetchval("SELECT min(posted_at) FROM ledger.journal")
    rows = await conn.fetch("SELECT kind, owner, currency FROM ledger.account ORDER BY kind, owner, currency")
    day = _day(first or now())
    return [f"{day} open {account_name(r['kind'], r['owner'])} {r['currency']}\n" for r in rows]


async def _opening(conn: Connection, form: Format, since: datetime) -> str:
    rows = await conn.fetch(
        """SELECT a.kind, a.owner, a.currency, sum(e.amount)::bigint AS amount FROM ledger.journal j
           JOIN ledger.entry e ON e.journal_id = j.id JOIN ledger.account a ON a.id = e.account_id
           WHERE j.posted_at < $1 GROUP BY 1, 2, 3 HAVING sum(e.amount) <> 0 ORDER BY 1, 2, 3""",
        since,
    )
    if not rows:
        return ""
    return _head(form, _day(since), "opening", "balances brought forward", {}) + _legs(form, rows)


def account_name(kind: str, owner: str) -> str:
    """'Liabilities:Wallet:User-<id>' for kind 'wallet' and owner 'user:<id>'; the same in all dialects."""
    parts = [ROOTS.get(kind, "Liabilities"), "".join(w.capitalize() for w in kind.split("_"))]
    if owner != "platform":
        whose, _, name = owner.partition(":")
        parts.append(f"{whose.capitalize()}-{name}" if name else whose.capitalize())
    return ":".join(parts)


def _journal(form: Format, row: Record, entries: Sequence[Record]) -> str:
    facts = {"journal": str(row["id"]), "key": row["idem"], "actor": row["actor"]}
    return _head(form, _day(row["posted_at"]), row["kind"], row["ref"], facts) + _legs(form, entries)


def _head(form: Format, day: date, kind: str, about: str, facts: dict[str, str]) -> str:
    if form is Format.BEANCOUNT:
        notes = "".join(f'  {name}: "{_quoted(value)}"\n' for name, value in facts.items())
        return f'\n{day} * "{_quoted(kind)}" "{_quoted(about)}"\n{notes}'
    notes = "".join(f"    ; {name}: {_plain(value)}\n" for name, value in facts.items())
    return f"\n{day} * {_plain(kind)} | {_plain(about)}\n{notes}"


def _legs(form: Format, entries: Sequence[Record]) -> str:
    indent = "  " if form is Format.BEANCOUNT else "    "
    return "".join(
        f"{indent}{account_name(e['kind'], e['owner'])}  {Money(e['amount'], e['currency'])}\n"
        for e in entries
    )


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _quoted(text: str) -> str:
    return _plain(text).replace("\\", "\\\\").replace('"', '\\"')


def _plain(text: str) -> str:
    return " ".join(text.split())

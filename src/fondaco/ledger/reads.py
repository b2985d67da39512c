"""What people read of the books: accounts, statements, journals, the trial balance. For staff, except
`statement`, which shows one named account: the caller decides whose."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import msgspec

from fondaco.core.clock import now
from fondaco.core.db import Connection, Database, Record, Scope
from fondaco.core.problem import Invalid, NotFound
from fondaco.ledger.actions import balance
from fondaco.ledger.model import AccountRef, EntryRow, Journal, LedgerAccount, StatementLine, TrialLine

_ACCOUNT = """
SELECT a.id, a.kind, a.owner, a.currency, sum(b.amount)::bigint AS amount, sum(b.version)::bigint AS entries,
       a.frozen, CASE k.side WHEN 1 THEN 'debit' ELSE 'credit' END AS side, k.meaning
FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
JOIN ledger.account_kind k ON k.kind = a.kind
"""

_LINES = """
SELECT e.journal_id, j.kind, j.ref, j.actor, j.posted_at, (e.amount * k.side)::bigint AS amount,
       e.balance_after, e.version, e.slot
FROM ledger.entry e JOIN ledger.journal j ON j.id = e.journal_id
JOIN ledger.account a ON a.id = e.account_id JOIN ledger.account_kind k ON k.kind = a.kind
"""


async def accounts(
    db: Database,
    scope: Scope,
    *,
    kind: str | None = None,
    owner: str | None = None,
    currency: str | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[LedgerAccount]:
    """Accounts in order of their id, those after `after`. `owner` is exact, such as 'user:<id>'."""
    rows = await db.fetch(
        scope,
        _ACCOUNT
        + """WHERE a.id > $1 AND ($2::text IS NULL OR a.kind = $2) AND ($3::text IS NULL OR a.owner = $3)
               AND ($4::text IS NULL OR a.currency = $4)
             GROUP BY a.id, k.kind ORDER BY a.id LIMIT $5""",
        after,
        kind,
        owner,
        currency,
        limit,
    )
    return msgspec.convert([dict(r) for r in rows], list[LedgerAccount])


async def account(db: Database, scope: Scope, account_id: int) -> LedgerAccount:
    """One account; raises NotFound."""
    row = await db.fetchrow(scope, _ACCOUNT + "WHERE a.id = $1 GROUP BY a.id, k.kind", account_id)
    if row is None:
        raise NotFound()
    return msgspec.convert(dict(row), LedgerAccount)


async def entries_of(
    db: Database, scope: Scope, account_id: int, *, before: int | None = None, limit: int = 50
) -> list[StatementLine]:
    """An account's entries, newest journal first; `before` is the journal id the last page ended with."""
    rows = await db.fetch(
        scope,
        _LINES
        + "WHERE e.account_id = $1 AND ($2::bigint IS NULL OR e.journal_id < $2) "
        + "ORDER BY e.journal_id DESC LIMIT $3",
        account_id,
        before,
        limit,
    )
    return msgspec.convert([dict(r) for r in rows], list[StatementLine])


async def statement(
    db: Database, scope: Scope, ref: AccountRef, *, before: int | None = None, limit: int = 50
) -> list[StatementLine]:
    """The entries of a named account with one slot, newest first; `before` is the version the last page
    ended with. Empty when the account was never used."""
    rows = await db.fetch(
        scope,
        _LINES
        + "WHERE e.account_id = (SELECT id FROM ledger.account WHERE kind = $1 AND owner = $2 "
        + "AND currency = $3) AND e.slot = 0 "
        + "AND ($4::bigint IS NULL OR e.version < $4) ORDER BY e.version DESC LIMIT $5",
        ref.kind,
        ref.owner,
        ref.currency,
        before,
        limit,
    )
    return msgspec.convert([dict(r) for r in rows], list[StatementLine])


async def closing_balances(db: Database, scope: Scope, ref: AccountRef, days: int) -> list[tuple[date, int]]:
    """The balance of a named account with one slot at the end of each of the last `days` days (UTC, today
    included), oldest first, in minor units on its normal side."""
    last = now().date()
    first = last - timedelta(days=days - 1)
    found = await db.fetch(
        scope,
        """SELECT (j.posted_at AT TIME ZONE 'UTC')::date AS day,
             (array_agg(e.balance_after ORDER BY e.version DESC))[1] AS closing,
             (array_agg(e.balance_after - e.amount * k.side ORDER BY e.version))[1] AS opening
           FROM ledger.entry e JOIN ledger.journal j ON j.id = e.journal_id
           JOIN ledger.account a ON a.id = e.account_id JOIN ledger.account_kind k ON k.kind = a.kind
           WHERE a.kind = $1 AND a.owner = $2 AND a.currency = $3 AND e.slot = 0
             AND j.posted_at >= $4::date::timestamp AT TIME ZONE 'UTC' GROUP BY 1 ORDER BY 1""",
        ref.kind,
        ref.owner,
        ref.currency,
        first,
    )
    amount = found[0]["opening"] if found else (await _amount(db, scope, ref))
    closing = {row["day"]: row["closing"] for row in found}
    result: list[tuple[date, int]] = []
    for day in (first + timedelta(days=i) for i in range(days)):
        amount = closing.get(day, amount)
        result.append((day, amount))
    return result


async def _amount(db: Database, scope: Scope, ref: AccountRef) -> int:
    async with db.transaction(scope) as conn:
        return await balance(conn, ref)


async def journal(db: Database, scope: Scope, journal_id: int) -> Journal:
    """One journal with its entries; raises NotFound."""
    async with db.transaction(scope) as conn:
        found = await _journals(conn, "j.id = $1", journal_id)
    if not found:
        raise NotFound()
    return found[0]


async def journals_of(
    db: Database, scope: Scope, refs: str | Sequence[str], limit: int = 200
) -> list[Journal]:
    """The journals about one thing or several ('order:<id>', 'funding:<id>'), oldest first."""
    wanted = [refs] if isinstance(refs, str) else list(refs)
    async with db.transaction(scope) as conn:
        return await _journals(conn, "j.ref = ANY($1)", wanted, limit=limit)


async def _journals(conn: Connection, where: str, value: object, *, limit: int = 1) -> list[Journal]:
    heads = await conn.fetch(
        f"""SELECT j.id, j.kind, j.idem AS key, j.ref, j.actor, j.reverses, j.posted_at,
              (SELECT r.id FROM ledger.journal r WHERE r.reverses = j.id) AS reversed_by
            FROM ledger.journal j WHERE {where} ORDER BY j.id LIMIT $2""",
        value,
        limit,
    )
    lines = await conn.fetch(
        """SELECT e.journal_id, e.account_id, a.kind, a.owner, e.currency, e.amount, e.balance_after
           FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
           WHERE e.journal_id = ANY($1) ORDER BY e.journal_id, e.amount DESC, e.account_id""",
        [h["id"] for h in heads],
    )
    by_journal: dict[int, list[Record]] = {}
    for line in lines:
        by_journal.setdefault(line["journal_id"], []).append(line)
    return [
        msgspec.convert(
            dict(h) | {"entries": [msgspec.convert(dict(e), EntryRow) for e in by_journal.get(h["id"], [])]},
            Journal,
        )
        for h in heads
    ]


async def trial_balance(db: Database, scope: Scope, as_of: datetime | None = None) -> list[TrialLine]:
    """Debits, credits and balance per kind of account and currency, up to `as_of` (aware; default: now)."""
    if as_of is not None and as_of.tzinfo is None:
        raise Invalid(fields={"as_of": "Write the time with its offset, such as 2030-01-31T00:00:00Z."})
    rows = await db.fetch(
        scope,
        """SELECT a.kind, k.meaning, a.currency, count(DISTINCT a.id) AS accounts,
             coalesce(sum(e.amount) FILTER (WHERE e.amount > 0), 0)::bigint AS debit,
             coalesce(-sum(e.amount) FILTER (WHERE e.amount < 0), 0)::bigint AS credit,
             coalesce(sum(e.amount) * k.side, 0)::bigint AS balance,
             CASE k.side WHEN 1 THEN 'debit' ELSE 'credit' END AS side
           FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
           JOIN ledger.account_kind k ON k.kind = a.kind
           JOIN ledger.journal j ON j.id = e.journal_id
           WHERE $1::timestamptz IS NULL OR j.posted_at <= $1
           GROUP BY a.kind, k.kind, a.currency ORDER BY a.currency, k.side DESC, a.kind""",
        as_of,
    )
    return msgspec.convert([dict(r) for r in rows], list[TrialLine])

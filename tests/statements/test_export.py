"""The books as text: read back by a parser of the test's own, every account ends where the ledger has it."""

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.money import Money
from fondaco.ledger import AccountRef, platform, post
from fondaco.statements import export
from fondaco.statements.export import Format, account_name, export_journals

LEG = re.compile(r"^ +([A-Z]\S+)  (-?[0-9.]+) ([A-Z]{3})$")
HEAD = re.compile(r"^(\d{4}-\d{2}-\d{2}) \* (.+)$")


async def some_books(db: Database, n: int) -> None:
    async def work(conn: Connection) -> None:
        for i in range(n):
            currency = ("EUR", "JPY", "KWD")[i % 3]
            wallet = AccountRef("wallet", f"user:{uuid4()}", currency)
            legs = [(platform("psp_clearing", currency), 1234 + i), (wallet, -1234 - i)]
            ref = f'funding:"quoted\\ {i}"\n; not a comment'
            await post(conn, "top_up", idem=f"topup:{uuid4()}", ref=ref, actor="stripe", legs=legs)

    await db.run(SYSTEM, work)


async def text_of(db: Database, form: Format, **bounds: datetime) -> str:
    return "".join([piece async for piece in export_journals(db, form, **bounds)])


def balances(text: str) -> dict[tuple[str, str], Decimal]:
    """Sums per account and currency; fails on a transaction that does not sum to zero."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for block in text.split("\n\n")[1:]:
        lines = block.strip("\n").split("\n")
        assert HEAD.match(lines[0]), lines[0]
        total: dict[str, Decimal] = defaultdict(Decimal)
        for line in lines[1:]:
            if found := LEG.match(line):
                account, amount, currency = found.groups()
                sums[account, currency] += Decimal(amount)
                total[currency] += Decimal(amount)
            else:
                assert re.match(r"^ +(; )?[a-z]+: ", line), line
        assert total and not any(total.values())
    return {key: value for key, value in sums.items() if value}


async def ledger_balances(db: Database) -> dict[tuple[str, str], Decimal]:
    rows = await db.fetch(
        SYSTEM,
        """SELECT a.kind, a.owner, a.currency, sum(e.amount)::bigint AS amount FROM ledger.entry e
           JOIN ledger.account a ON a.id = e.account_id GROUP BY 1, 2, 3 HAVING sum(e.amount) <> 0""",
    )
    return {
        (account_name(r["kind"], r["owner"]), r["currency"]): Money(r["amount"], r["currency"]).decimal()
        for r in rows
    }


@pytest.mark.parametrize("form", Format)
async def test_every_account_ends_where_the_ledger_has_it(
    db: Database, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AT_ONCE", 4)
    await some_books(db, 11)
    text = await text_of(db, form)
    assert balances(text) == await ledger_balances(db)
    assert text.count("\n\n") == 11


async def test_what_was_before_is_brought_forward(db: Database) -> None:
    await some_books(db, 3)
    later = datetime.now(UTC) + timedelta(seconds=1)
    text = await text_of(db, Format.LEDGER, since=later)
    assert balances(text) == await ledger_balances(db)
    assert "brought forward" in text
    assert balances(await text_of(db, Format.LEDGER, until=later)) == await ledger_balances(db)
    early = datetime(2020, 1, 1, tzinfo=UTC)
    assert balances(await text_of(db, Format.LEDGER, until=early)) == {}


async def test_beancount_opens_each_account_once(db: Database) -> None:
    await some_books(db, 6)
    text = await text_of(db, Format.BEANCOUNT)
    opened = re.findall(r"^\d{4}-\d{2}-\d{2} open (\S+) ([A-Z]{3})$", text, re.MULTILINE)
    assert len(opened) == len(set(opened)) == 9
    assert {(a, c) for a, c in balances(text)} <= set(opened)

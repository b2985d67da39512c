"""What somebody with all rights over the database does to the books is found, and named."""

import asyncpg
import pytest

from fondaco.core.db import Database
from fondaco.embedded import Endpoints
from fondaco.ledger import platform, post, verify, wallet_of
from tests.support.money import give_money, make_buyer

TAMPERING = {
    "an amount": ("UPDATE ledger.entry SET amount = amount * 2", "I02"),
    "one amount of many": ("UPDATE ledger.entry SET amount = amount + 1 WHERE version = 3", "I03"),
    "both sides of a journal": (
        "UPDATE ledger.entry SET amount = amount * 2, balance_after = balance_after WHERE journal_id = "
        "(SELECT max(id) FROM ledger.journal)",
        "I02",
    ),
    "a balance": ("UPDATE ledger.balance SET amount = amount + 500 WHERE version > 0", "I03"),
    "a balance after": ("UPDATE ledger.entry SET balance_after = 1 WHERE version = 2", "I03"),
    "an entry gone": ("DELETE FROM ledger.entry WHERE version = 2", "I03"),
    "a journal's kind": ("UPDATE ledger.journal SET kind = 'refund_late_failure'", "I02"),
    "what a journal is about": ("UPDATE ledger.journal SET ref = 'user:me'", "I02"),
    "a hash": ("UPDATE ledger.entry SET hash = sha256(hash) WHERE version = 1", "I03"),
    "the head of a chain": ("UPDATE ledger.balance SET chain = sha256(chain)", "I03"),
    "an overdraft": (
        "ALTER TABLE ledger.balance DROP CONSTRAINT balance_floor; UPDATE ledger.balance SET amount = -5, "
        "floor = NULL WHERE floor = 0",
        "I04",
    ),
    "the currency of an entry": (
        "ALTER TABLE ledger.entry DROP CONSTRAINT entry_account_id_currency_fkey; "
        "UPDATE ledger.entry SET currency = 'USD' WHERE version = 1",
        "I05",
    ),
    "an account kind": ("UPDATE ledger.account SET kind = 'commission' WHERE kind = 'wallet'", "I07"),
}


async def _books(db: Database) -> None:
    for _ in range(3):
        buyer = await make_buyer(db)
        for amount in (1000, 250, 75, 3):
            await give_money(db, buyer.user(), amount)


async def test_untouched_books_have_no_fault(db: Database) -> None:
    await _books(db)
    told: list[str] = []
    assert await verify(db, told.append) == []
    assert told


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_is_found(db: Database, endpoints: Endpoints, what: str) -> None:
    await _books(db)
    sql, check = TAMPERING[what]
    admin = await asyncpg.connect(endpoints.admin_dsn)
    try:
        for table in ("entry", "journal", "balance", "account"):
            await admin.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER")
        await admin.execute(sql)
    finally:
        await admin.close()
    faults = await verify(db)
    assert check in {f.check for f in faults}
    assert all(f.where and f.words and str(f) for f in faults)


async def test_names_with_every_kind_of_letter_have_the_same_fingerprint(db: Database) -> None:
    """Python writes the content exactly as PostgreSQL does, or every such journal would be a fault."""
    buyer = await make_buyer(db)
    for n, ref in enumerate(
        ["ü", "日本", '"quoted"', "back\\slash", "tab\tline\nend", "\x01\x1f\x7f", "😀", "/"]
    ):
        async with db.transaction(buyer.as_user) as conn:
            await post(
                conn,
                "top_up",
                idem=f"letters:{n}",
                ref=ref,
                actor="test",
                legs=[(platform("psp_clearing", "EUR"), 1), (wallet_of(buyer.user(), "EUR"), -1)],
            )
    assert await verify(db) == []

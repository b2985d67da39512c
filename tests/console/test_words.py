"""People read words: every kind of account and journal the ledger knows has some."""

from fondaco.console.words import ACCOUNTS, JOURNALS
from fondaco.core.db import SYSTEM, Database


async def test_every_kind_the_ledger_knows_has_words(db: Database) -> None:
    kinds = await db.fetch(SYSTEM, "SELECT kind FROM ledger.account_kind")
    assert {r["kind"] for r in kinds} == set(ACCOUNTS)
    journals = await db.fetch(SYSTEM, "SELECT DISTINCT journal_kind AS kind FROM ledger.posting_rule")
    assert {r["kind"] for r in journals} == set(JOURNALS)

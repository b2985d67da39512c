"""The provider's fees: booked many at once, and one that cannot be booked holds up no other."""

import asyncpg

from fondaco import checks
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.ledger import platform
from fondaco.settings import Settings
from fondaco.wallets import gate, jobs
from tests.support.money import amount_on


async def test_a_fee_that_cannot_be_booked_stays_and_is_named(
    db: Database, parts: Parts, settings: Settings, owner: asyncpg.Connection
) -> None:
    async with db.transaction(SYSTEM) as conn:
        await gate.book_fee(conn, "fee:txn_b", "funding:other", 999, "EUR")
    for key, amount in (("fee:txn_a", 30), ("fee:txn_b", 40), ("fee:txn_c", 50)):
        await owner.execute(
            "INSERT INTO wallets.fee_due VALUES ($1, 'funding:this', $2, 'EUR', now() - interval '1 hour')",
            key,
            amount,
        )
    await jobs.book_fees(parts)
    assert await amount_on(db, platform("psp_fees", "EUR")) == 999 + 30 + 50
    left = await db.fetch(SYSTEM, "SELECT key FROM wallets.fee_due")
    assert [row["key"] for row in left] == ["fee:txn_b"]
    told = [str(fault) for fault in await checks.verify_all(db, settings)]
    assert any("fee:txn_b" in words and "waited to be booked" in words for words in told)

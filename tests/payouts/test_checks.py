"""`verify` names what somebody changes by hand about payouts."""

import asyncpg
import pytest

from fondaco import checks
from tests.support.money import Till
from tests.support.payouts import paying

# name -> (what somebody with all rights does, the check that must see it, words of it)
TAMPERING = {
    "sent in words only": (
        "UPDATE payouts.payout SET state = 'SENT', transfer_id = 'tr_none', lease_until = NULL "
        "WHERE state = 'CREATED'",
        "I18",
        "did not leave",
    ),
    "another transfer": (
        "UPDATE payouts.payout SET transfer_id = 'tr_other' WHERE state = 'SENT'",
        "I18",
        "was not sent",
    ),
    "two transfers": ("UPDATE payouts.payout SET second_id = 'tr_two' WHERE state = 'SENT'", "I18", "two"),
    "taken back in words only": ("UPDATE payouts.payout SET reversed = 5", "I18", "taken back"),
    "another sum of lines": ("UPDATE payouts.item SET amount = amount + 1", "I19", "pays"),
    "a line paid twice": ("UPDATE payouts.payable SET paid = 0 WHERE paid > 0", "I19", "as paid out"),
    "a line that is not payable any more": ("DELETE FROM payouts.payable", "I19", "has matured"),
    "a line given back in words only": (
        "UPDATE payouts.item SET returned = 1",
        "I19",
        "paid again",
    ),
    "somebody else's line": (
        "UPDATE orders.order_line SET matured_at = NULL",
        "I19",
        "another seller",
    ),
    "no attempt": ("DELETE FROM payouts.attempt", "I20", "gate was closed"),
    "a gate that was closed": ("UPDATE payouts.payout SET gates = '{}'", "I20", "gate was closed"),
    "a second daily payout": (
        "DROP INDEX payouts.payout_daily_once; UPDATE payouts.payout SET kind = 'daily'",
        "I21",
        "daily payouts",
    ),
    "a payout forgotten": (
        "UPDATE payouts.payout SET created_at = now() - interval '3 days' WHERE state = 'CREATED'",
        "I22",
        "has been CREATED",
    ),
    "a payout ended in words only": (
        "UPDATE payouts.payout SET state = 'CANCELLED' WHERE state = 'CREATED'",
        "I22",
        "in flight",
    ),
    "a run that stopped": (
        "INSERT INTO payouts.run (batch_date, asked_by, accounts, beat_at) "
        "VALUES ('2026-01-01', 'clock', 3, now() - interval '1 hour')",
        "I22",
        "has not moved",
    ),
    "money nobody collects": (
        "UPDATE payouts.payable SET matured_at = now() - interval '91 days'",
        "I22",
        "never paid out",
    ),
    "a reserve that is never freed": (
        "INSERT INTO payouts.reserve (seller_id, currency, amount, bps, held_at) "
        "SELECT id, 'EUR', 5, 500, now() - interval '91 days' FROM sellers.seller LIMIT 1",
        "I22",
        "kept back",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_what_is_changed_by_hand_is_named(till: Till, owner: asyncpg.Connection, what: str) -> None:
    one = await paying(till, owner, 3)
    await one.send(await one.withdraw(1000))
    await one.withdraw(500)
    await one.whole()
    act, name, words = TAMPERING[what]
    for table in ("payouts.payout", "payouts.item", "payouts.payable", "orders.order_line"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await owner.execute(act)
    found = await checks.verify_all(one.db, till.settings)
    assert any(f.check == name and words in f.words for f in found), [str(f) for f in found]

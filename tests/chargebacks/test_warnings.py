"""Early fraud warnings: the unspent part goes back to the card, the spent part blocks the wallet."""

from typing import Any

import pytest

from fondaco import chargebacks, wallets
from fondaco.chargebacks import debts, sweeping
from fondaco.core.db import SYSTEM, Record
from fondaco.core.viewer import Viewer
from fondaco.inbox.model import WARNING_TYPES
from fondaco.wallets import Funding, WalletAtRisk
from tests.chargebacks.test_money import buy, even, reveal_all, standing
from tests.support.money import Till, make_buyer, make_staff
from tests.support.shop import make_shop


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def warn(till: Till, funding: Funding) -> None:
    intent = await till.db.fetchval(SYSTEM, "SELECT intent_id FROM wallets.funding WHERE id = $1", funding.id)
    till.sandbox.post(f"/sandbox/charges/{intent}/warn")


async def answered(till: Till) -> Record:
    """What the job does with the one warning there is."""
    row = await till.db.fetchrow(SYSTEM, "SELECT * FROM chargebacks.warning")
    assert row
    await chargebacks.answer_warning(till.db, till.settings, row["id"])
    await till.work()
    found = await till.db.fetchrow(SYSTEM, "SELECT * FROM chargebacks.warning")
    assert found
    return found


async def test_an_unspent_payment_goes_back_to_the_card(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    await warn(till, funding)
    await till.deliver_all(*WARNING_TYPES)
    assert await standing(till, buyer) == "WALLET_AT_RISK", "blocked until it is answered"
    row = await answered(till)
    assert (await till.wallet(buyer), (await till.funding(funding)).state) == (0, "REFUNDED")
    assert (row["blocks"], row["refund_id"] is not None, await standing(till, buyer)) == (False, True, "OK")
    for _ in range(2):
        await till.deliver_all()
        await answered(till)
    assert await till.db.fetchval(SYSTEM, "SELECT count(*) FROM wallets.refund") == 1
    await even(till)


async def test_what_was_spent_blocks_the_wallet_until_somebody_has_looked(
    till: Till, buyer: Viewer, owner: Any
) -> None:
    shop = await make_shop(till.db, price=2000, stock=3)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    await warn(till, funding)
    await till.deliver_all(*WARNING_TYPES)
    await answered(till)
    assert (await till.wallet(buyer), (await till.funding(funding)).refunded) == (0, 3000)
    assert await standing(till, buyer) == "WALLET_AT_RISK"
    await till.paid_top_up(buyer, 2000)
    with pytest.raises(WalletAtRisk):
        await buy(till, buyer, shop)
    assert await debts.clear(till.db, await make_staff(till.db, "finance"), buyer.user(), "A friend.") == "OK"
    await till.deliver_all()
    assert await standing(till, buyer) == "OK", "events of before change nothing about it"
    await buy(till, buyer, shop)
    await even(till)


async def test_large_payments_are_left_to_people(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 20_000)
    await warn(till, funding)
    await till.deliver_all(*WARNING_TYPES)
    row = await answered(till)
    assert (row["refund_id"], row["blocks"], await till.wallet(buyer)) == (None, True, 20_000)
    assert await standing(till, buyer) == "WALLET_AT_RISK"
    await even(till)


async def test_a_refund_of_a_warning_that_fails_blocks_the_wallet_again(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    await warn(till, funding)
    await till.deliver_all(*WARNING_TYPES)
    row = await answered(till)
    refund = await till.db.fetchval(
        SYSTEM, "SELECT provider_id FROM wallets.refund WHERE id = $1", row["refund_id"]
    )
    till.sandbox.post(f"/sandbox/refunds/{refund}", status="failed", reason="declined")
    await till.deliver_all()
    assert await till.wallet(buyer) == 5000
    await sweeping.sweep(till.db, till.gateway, till.settings)
    assert await standing(till, buyer) == "WALLET_AT_RISK"
    await even(till)


async def test_warnings_no_event_told_of_are_found_by_asking(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    await warn(till, funding)
    assert [await sweeping.ask(till.db, till.gateway) for _ in range(2)] == [1, 0]
    assert await standing(till, buyer) == "WALLET_AT_RISK"
    signal = await till.db.fetchval(SYSTEM, "SELECT kind FROM risk.signal WHERE party = $1", buyer.actor)
    assert signal == "warning.fraud"
    assert (await wallets.own_standing(till.db, buyer)) == "WALLET_AT_RISK"

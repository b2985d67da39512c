"""The money of chargebacks at the sandbox: held, won, lost, reversed; never a seller's; in any order."""

import itertools
from typing import Any

import pytest

from fondaco import chargebacks, checks, wallets
from fondaco.core.db import SYSTEM, Connection, Record
from fondaco.core.viewer import Viewer
from fondaco.ledger import buyer_receivable_of, platform, wallet_hold_of
from fondaco.orders.combiner import Combiner
from fondaco.wallets import Funding, WalletAtRisk
from tests.support.money import Till, amount_on, make_buyer
from tests.support.shop import Shop, make_shop, purchase, states

FEE = 1500


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def dispute(till: Till, funding: Funding, **more: Any) -> str:
    """A dispute of the payment at the sandbox; its id. Nothing is delivered yet."""
    intent = await till.db.fetchval(SYSTEM, "SELECT intent_id FROM wallets.funding WHERE id = $1", funding.id)
    made = till.sandbox.post(f"/sandbox/charges/{intent}/dispute", **more)
    return str(made["id"])


async def resolve(till: Till, dispute_id: str, outcome: str, **more: Any) -> None:
    till.sandbox.post(f"/sandbox/disputes/{dispute_id}/resolve", outcome=outcome, **more)


async def the_one(till: Till) -> Record:
    row = await till.db.fetchrow(SYSTEM, "SELECT * FROM chargebacks.chargeback")
    assert row
    return row


async def standing(till: Till, buyer: Viewer) -> str:
    return (
        await till.db.fetchval(SYSTEM, "SELECT state FROM wallets.standing WHERE user_id = $1", buyer.user())
        or "OK"
    )


async def held(till: Till, buyer: Viewer) -> int:
    return await amount_on(till.db, wallet_hold_of(buyer.user(), "EUR"))


async def owed(till: Till, buyer: Viewer) -> int:
    return await amount_on(till.db, buyer_receivable_of(buyer.user(), "EUR"))


async def even(till: Till) -> None:
    """Our account at the provider is what the provider says; nothing is wrong anywhere."""
    assert await till.psp() == await till.provider_balance()
    assert [str(f) for f in await checks.verify_all(till.db, till.settings)] == []


async def buy(till: Till, buyer: Viewer, shop: Shop, quantity: int = 1) -> Any:
    return (await Combiner(till.db).buy(purchase(buyer, shop.wish(quantity)))).group_id


async def reveal_all(till: Till, owner: Any) -> None:
    """As if the buyers had seen everything."""
    await owner.execute("UPDATE delivery.entitlement SET revealed_at = now()")
    await owner.execute("UPDATE inventory.stock_unit SET state = 'CONSUMED' WHERE state = 'SOLD'")
    await owner.execute(
        """SELECT audit.record('secret.revealed', 'entitlement:' || id, 'system',
             jsonb_build_object('line_id', line_id)) FROM delivery.entitlement"""
    )


async def test_an_unspent_top_up_is_held_and_comes_back_when_won(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    found = await dispute(till, funding)
    await till.deliver_all()
    assert (await standing(till, buyer), await held(till, buyer), await till.wallet(buyer)) == (
        "WALLET_AT_RISK",
        5000,
        0,
    )
    assert (await till.funding(funding)).state == "DISPUTED"
    assert await amount_on(till.db, platform("chargeback_fees", "EUR")) == FEE
    await even(till)
    await resolve(till, found, "won")
    await till.deliver_all()
    assert (await standing(till, buyer), await held(till, buyer), await till.wallet(buyer)) == ("OK", 0, 5000)
    assert (await till.funding(funding)).state == "SUCCEEDED"
    await even(till)


async def test_what_was_spent_is_owed_when_lost_and_the_seller_keeps_all(
    till: Till, buyer: Viewer, owner: Any
) -> None:
    shop = await make_shop(till.db, price=2000, stock=3)
    funding = await till.paid_top_up(buyer, 5000)
    group = await buy(till, buyer, shop)
    await reveal_all(till, owner)
    found = await dispute(till, funding)
    await till.deliver_all()
    assert (await held(till, buyer), await till.wallet(buyer)) == (3000, 0)
    assert await states(till.db, group) == {("DELIVERED", "DELIVERED", "HELD")}
    await resolve(till, found, "lost")
    await till.deliver_all()
    assert (await standing(till, buyer), await owed(till, buyer), await held(till, buyer)) == (
        "LOCKED",
        2000,
        0,
    )
    assert (await till.funding(funding)).state == "CHARGED_BACK"
    assert await states(till.db, group) == {("DELIVERED", "DELIVERED", "HELD")}, "the seller's money stays"
    await even(till)
    await resolve(till, found, "won")
    await till.deliver_all()
    assert (await owed(till, buyer), await till.wallet(buyer), await standing(till, buyer)) == (0, 3000, "OK")
    await even(till)


async def test_what_nobody_has_seen_is_taken_back_first(till: Till, buyer: Viewer) -> None:
    shop = await make_shop(till.db, price=2000, stock=3)
    funding = await till.paid_top_up(buyer, 5000)
    group = await buy(till, buyer, shop, 2)
    await dispute(till, funding)
    await till.deliver_all()
    assert await states(till.db, group) == {("REFUNDED", "REFUNDED", "REFUNDED")}
    assert await held(till, buyer) == 5000
    await even(till)


async def test_a_blocked_wallet_buys_nothing_and_sends_nothing_back(till: Till, buyer: Viewer) -> None:
    shop = await make_shop(till.db, price=1000, stock=3)
    first = await till.paid_top_up(buyer, 3000)
    second = await till.paid_top_up(buyer, 4000)
    await dispute(till, first)
    await till.deliver_all()
    assert await till.wallet(buyer) == 4000
    with pytest.raises(WalletAtRisk):
        await buy(till, buyer, shop)

    async def work(conn: Connection) -> None:
        await wallets.request_refund(conn, second.id, 1000, reason="test", actor="system")

    with pytest.raises(WalletAtRisk):
        await till.db.run(SYSTEM, work)


async def test_the_hold_grows_with_the_wallet(till: Till, buyer: Viewer, owner: Any) -> None:
    shop = await make_shop(till.db, price=4000, stock=1)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    await dispute(till, funding)
    await till.deliver_all()
    assert await held(till, buyer) == 1000
    await till.paid_top_up(buyer, 2500)
    row = await the_one(till)

    async def work(conn: Connection) -> int:
        return await chargebacks.hold_more(conn, row["id"])

    assert [await till.db.run(SYSTEM, work) for _ in range(2)] == [2500, 0]
    assert (await held(till, buyer), await till.wallet(buyer)) == (3500, 0)
    await even(till)


async def test_an_inquiry_takes_no_money(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    found = await dispute(till, funding, inquiry=True)
    await till.deliver_all()
    assert (await standing(till, buyer), await held(till, buyer)) == ("WALLET_AT_RISK", 0)
    await resolve(till, found, "warning_closed")
    await till.deliver_all()
    assert (await standing(till, buyer), (await the_one(till))["state"]) == ("OK", "WARNING_CLOSED")
    await even(till)


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_any_order_of_events_ends_in_the_same_books(till: Till, buyer: Viewer, outcome: str) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    found = await dispute(till, funding)
    told = await till.events(*chargebacks_types())
    await resolve(till, found, outcome)
    told = await till.events(*chargebacks_types())
    assert len(told) >= 3
    for event in itertools.islice(itertools.cycle(reversed(told)), len(told) * 2):
        await till.deliver(event)
        await till.work()
    expected = ("OK", 0, 5000, 0) if outcome == "won" else ("WALLET_AT_RISK", 0, 0, 0)
    assert (
        await standing(till, buyer),
        await held(till, buyer),
        await till.wallet(buyer),
        await owed(till, buyer),
    ) == expected
    await even(till)


def chargebacks_types() -> tuple[str, ...]:
    from fondaco.inbox.model import DISPUTE_TYPES

    return DISPUTE_TYPES

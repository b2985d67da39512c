"""What leaves: one transfer per payout, to the cent, through lost answers, crashes, refusals and a provider
that is away; what certainly did not leave is payable again."""

import asyncio

import asyncpg
import pytest

from fondaco import payouts, refunds
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection
from fondaco.ledger import platform, seller_receivable_of
from tests.support.money import Till, amount_on, journals, make_staff
from tests.support.payouts import Paying, activate, connected, earn, owe, paying
from tests.support.shop import make_shop

TRANSFERS = "/v1/transfers"


@pytest.fixture
async def one(till: Till, owner: asyncpg.Connection) -> Paying:
    return await paying(till, owner)


async def test_money_leaves_once(one: Paying) -> None:
    till = one.till
    before = await till.psp()
    payout = await one.withdraw()
    assert (await one.in_flight(payout), await one.available()) == (1800, 0)
    await one.send(payout)
    row = await one.row(payout)
    assert (row["state"], row["attempt"], row["destination"]) == ("SENT", 1, one.account)
    assert await one.in_flight(payout) == 0
    assert await till.psp() == before - 1800
    await one.send(payout)
    await till.deliver_all("transfer.created")
    await till.deliver_all()
    await one.sweep()
    assert one.transfers == [1800]
    assert await journals(one.db, "payout_sent") == [f"tr:{row['transfer_id']}"]
    await one.whole()


async def test_many_senders_at_once_send_once(one: Paying) -> None:
    payout = await one.withdraw()
    await asyncio.gather(
        *(one.send(payout, patient=True) for _ in range(4)), *(one.sweep() for _ in range(4))
    )
    assert await one.state(payout) == "SENT"
    assert one.transfers == [1800]
    assert (await one.row(payout))["attempt"] == 1


async def test_a_lost_answer_is_resolved_by_asking(one: Paying) -> None:
    payout = await one.withdraw(1000)
    one.till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": TRANSFERS})
    await one.send(payout)
    assert await one.state(payout) == "UNKNOWN"
    assert await one.in_flight(payout) == 1000
    await one.sweep()
    assert ((await one.row(payout))["state"], (await one.row(payout))["attempt"]) == ("SENT", 1)
    assert one.transfers == [1000]
    await one.whole()


async def test_the_event_alone_resolves_it_too(one: Paying) -> None:
    payout = await one.withdraw()
    one.till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": TRANSFERS})
    await one.send(payout)
    await one.till.deliver_all("transfer.created")
    assert await one.state(payout) == "SENT"
    await one.sweep()
    assert one.transfers == [1800]


@pytest.mark.parametrize("fault", ["fail_before", "fail_after"])
async def test_a_failure_kept_under_the_key(one: Paying, fault: str) -> None:
    """The provider keeps a 500 under the key. Done all the same: found. Not done: a new key, but only when no
    call can be under way any more."""
    payout = await one.withdraw()
    one.till.sandbox.post("/sandbox/faults", **{fault: {"count": 1, "path": TRANSFERS}})
    await one.send(payout)
    assert await one.state(payout) == "UNKNOWN"
    for _ in range(4):
        await one.sweep()
        await one.later("3 minutes")
    row = await one.row(payout)
    assert row["state"] == "SENT"
    assert one.transfers == [1800]
    keys = await one.db.fetch(SYSTEM, "SELECT key FROM payouts.attempt ORDER BY no")
    assert [k["key"] for k in keys] == [f"payout:{payout}:{n}" for n in range(1, row["attempt"] + 1)]
    await one.whole()


@pytest.mark.parametrize("point", ["payout.before_call", "payout.after_call_before_store"])
async def test_a_sender_that_dies_is_followed_by_another(one: Paying, point: str) -> None:
    payout = await one.withdraw()
    failpoints.arm(f"{point}=raise")
    with pytest.raises(failpoints.FailpointHit):
        await one.send(payout)
    failpoints.arm("")
    assert await one.state(payout) == "SENDING"
    await one.sweep()
    assert await one.state(payout) == "SENDING"  # its lease still runs
    await one.later("3 minutes")
    await one.sweep()
    await one.sweep()
    assert await one.state(payout) == "SENT"
    assert one.transfers == [1800]
    await one.whole()


async def test_a_lost_connection_at_the_commit_changes_nothing(one: Paying) -> None:
    payout = await one.withdraw()
    failpoints.arm("payout.after_store_before_commit=raise")
    with pytest.raises(failpoints.FailpointHit):
        await one.send(payout)
    failpoints.arm("")
    await one.later("3 minutes")
    await one.sweep()
    assert await one.state(payout) == "SENT"
    assert one.transfers == [1800]
    assert len(await journals(one.db, "payout_sent")) == 1


@pytest.mark.parametrize(("away", "attempts"), [(2, 1), (26, 2)])
async def test_a_provider_that_is_away_for_hours(one: Paying, away: int, attempts: int) -> None:
    """Within the life of its key a payout is sent again under it; after that under a new one."""
    payout = await one.withdraw()
    one.till.sandbox.post("/sandbox/faults", lose_answer={"count": 0, "path": TRANSFERS})
    failpoints.arm("payout.before_call=lose_connection")
    with pytest.raises(ConnectionResetError):
        await one.send(payout)
    failpoints.arm("")
    await one.later(f"{away} hours")
    one.till.sandbox.advance(away * 3600)
    await one.sweep()
    await one.sweep()
    row = await one.row(payout)
    assert (row["state"], row["attempt"]) == ("SENT", attempts)
    assert one.transfers == [1800]


async def test_a_forgotten_key_and_a_transfer_that_was_made(one: Paying) -> None:
    """The answer was lost and nobody asked for 26 hours: the transfer is found, no second one is made."""
    payout = await one.withdraw()
    one.till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": TRANSFERS})
    await one.send(payout)
    one.till.sandbox.advance(26 * 3600)
    await one.later("26 hours")
    await one.sweep()
    row = await one.row(payout)
    assert (row["state"], row["attempt"]) == ("SENT", 1)
    assert one.transfers == [1800]


async def test_a_refusal_gives_the_money_back_in_words(till: Till, owner: asyncpg.Connection) -> None:
    one = await paying(till, owner)
    one.till.sandbox.post("/sandbox/payout", currency="eur")  # the platform's own bank has everything
    payout = await one.withdraw()
    await one.send(payout)
    row = await one.row(payout)
    assert (row["state"], row["failure_code"]) == ("FAILED", "balance_insufficient")
    assert "marketplace's balance" in row["failure"]
    assert (await one.available(), await one.in_flight(payout)) == (1800, 0)
    await one.sweep()
    assert one.transfers == []
    await one.whole()


async def test_an_account_changed_after_the_decision_gets_nothing(
    one: Paying, owner: asyncpg.Connection
) -> None:
    payout = await one.withdraw()
    await owner.execute("UPDATE payouts.account SET state = 'CLOSED'")
    other = await activate(one.db, one.shop.seller_id)
    await one.send(payout)
    row = await one.row(payout)
    assert (row["state"], row["failure_code"]) == ("CANCELLED", "account_changed")
    assert await one.available() == 1800
    assert one.transfers == []
    again = await one.withdraw()
    assert (await one.row(again))["destination"] == other


async def test_a_gate_that_closes_holds_and_lets_go_by_itself(one: Paying) -> None:
    payout = await one.withdraw()
    one.till.sandbox.post(f"/sandbox/accounts/{one.account}", require=["individual.id_number"], past_due=True)
    await one.told("account.updated")
    assert (await payouts.my_account(one.db, one.shop.owner)).state == "RESTRICTED"
    await one.send(payout)
    row = await one.row(payout)
    assert (row["state"], row["held_by"]) == ("HELD", "system")
    assert "restricted" in row["held_because"]
    await one.sweep()
    assert await one.state(payout) == "HELD"
    one.till.sandbox.post(f"/sandbox/accounts/{one.account}", require=[])
    await one.told("account.updated")
    await one.sweep()
    assert await one.state(payout) == "SENT"
    assert one.transfers == [1800]
    await one.whole()


async def test_what_a_person_holds_a_person_lets_go(one: Paying) -> None:
    staff = await make_staff(one.db, "finance")
    payout = await one.withdraw()
    await payouts.hold(one.db, staff, payout, "looks odd to me")
    await one.send(payout)
    await one.sweep()
    assert await one.state(payout) == "HELD"
    await payouts.let_go(one.db, staff, payout, "it is all right")
    await one.sweep()
    assert await one.state(payout) == "SENT"
    with pytest.raises(payouts.NotNow):
        await payouts.hold(one.db, staff, payout, "too late for that")


async def test_a_debt_that_came_in_meanwhile_is_set_against_it(one: Paying) -> None:
    payout = await one.withdraw()
    await owe(one.db, one.shop, 500)
    await one.send(payout)
    assert ((await one.row(payout))["state"], (await one.row(payout))["failure_code"]) == (
        "CANCELLED",
        "debt",
    )
    assert await one.available() == 1300
    assert await amount_on(one.db, seller_receivable_of(one.shop.seller_id, "EUR")) == 0
    again = await one.withdraw()
    await one.send(again)
    assert one.transfers == [1300]
    await one.whole()


async def test_a_gate_that_closed_while_the_outcome_was_unknown(
    one: Paying, owner: asyncpg.Connection
) -> None:
    """Certainly not sent, and may not be any more: given back. But only once no call can be under way."""
    payout = await one.withdraw()
    failpoints.arm("payout.before_call=lose_connection")
    with pytest.raises(ConnectionResetError):
        await one.send(payout)
    failpoints.arm("")
    await owner.execute("UPDATE sellers.seller SET state = 'SUSPENDED'")
    await owner.execute("UPDATE payouts.payout SET lease_until = now() - interval '1 second'")
    await one.sweep()
    assert await one.state(payout) == "UNKNOWN"
    await one.later("3 minutes")
    await one.sweep()
    row = await one.row(payout)
    assert (row["state"], row["failure_code"]) == ("FAILED", "store_suspended")
    assert await one.available() == 1800
    assert one.transfers == []


async def test_two_transfers_for_one_payout_stop_everything_until_somebody_looks(one: Paying) -> None:
    payout = await one.withdraw(1000)
    await one.send(payout)
    await one.till.gateway.client.v1.transfers.create_async(
        {
            "amount": 1000,
            "currency": "eur",
            "destination": one.account,
            "transfer_group": f"payout:{payout}",
            "metadata": {"payout_id": str(payout)},
        }
    )
    await one.till.deliver_all("transfer.created")
    row = await one.row(payout)
    assert row["second_id"] and row["second_id"] != row["transfer_id"]
    assert await one.till.audited("payout.second_transfer") == 1
    staff = await make_staff(one.db, "finance")
    reversal = await payouts.take_back(
        one.db, staff, payout, amount=None, because="one too many", second=True
    )
    await payouts.send_reversal(one.db, one.till.gateway, reversal)
    await one.till.deliver_all()
    assert (await one.row(payout))["second_id"] is None
    assert (await one.row(payout))["state"] == "SENT"
    assert await journals(one.db, "payout_reversed") == []


async def test_finance_takes_a_transfer_back_in_parts(one: Paying) -> None:
    till = one.till
    staff = await make_staff(one.db, "finance")
    payout = await one.withdraw()
    await one.send(payout)
    till.sandbox.post("/sandbox/available")
    before = await till.psp()
    first = await payouts.take_back(one.db, staff, payout, amount=800, because="paid by mistake")
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": TRANSFERS})
    await payouts.send_reversal(one.db, till.impatient, first)
    await payouts.sweep_reversals(one.db, till.gateway)
    await till.deliver_all()
    assert ((await one.row(payout))["state"], (await one.row(payout))["reversed"]) == ("SENT", 800)
    assert (await one.available(), await till.psp()) == (800, before + 800)
    rest = await payouts.take_back(one.db, staff, payout, amount=None, because="paid by mistake")
    await payouts.send_reversal(one.db, till.gateway, rest)
    await payouts.send_reversal(one.db, till.gateway, rest)
    await till.deliver_all()
    assert await one.state(payout) == "REVERSED"
    assert await one.available() == 1800
    assert len(await journals(one.db, "payout_reversed")) == 2
    with pytest.raises(payouts.NotNow):
        await payouts.take_back(one.db, staff, payout, amount=None, because="once more")
    await one.whole()


async def test_a_reversal_that_never_was_is_over_once_its_key_is_forgotten(
    one: Paying, owner: asyncpg.Connection
) -> None:
    till = one.till
    staff = await make_staff(one.db, "finance")
    payout = await one.withdraw()
    await one.send(payout)
    till.sandbox.post("/sandbox/available")
    first = await payouts.take_back(one.db, staff, payout, amount=None, because="paid by mistake")
    till.sandbox.post("/sandbox/faults", fail_before={"count": 9, "path": TRANSFERS})
    await payouts.send_reversal(one.db, till.impatient, first)
    till.sandbox.post("/sandbox/faults", fail_before={"count": 0, "path": TRANSFERS})
    await owner.execute(
        """UPDATE payouts.reversal SET called_at = called_at - interval '30 hours',
             checked_at = checked_at - interval '30 hours'"""
    )
    await payouts.sweep_reversals(one.db, till.gateway)
    state = "SELECT state FROM payouts.reversal WHERE id = $1"
    assert await one.db.fetchval(SYSTEM, state, first) == "FAILED"
    again = await payouts.take_back(one.db, staff, payout, amount=None, because="paid by mistake")
    await payouts.send_reversal(one.db, till.gateway, again)
    assert await one.state(payout) == "REVERSED"
    await one.whole()


async def test_what_is_taken_back_at_the_provider_is_noted_once(one: Paying) -> None:
    payout = await one.withdraw()
    await one.send(payout)
    one.till.sandbox.post("/sandbox/available")
    transfer = (await one.row(payout))["transfer_id"]
    await one.till.gateway.client.v1.transfers.reversals.create_async(transfer, {"amount": 300})
    await one.till.deliver_all("transfer.reversed")
    await one.till.deliver_all("transfer.reversed")
    assert (await one.row(payout))["reversed"] == 300
    assert await one.available() == 300
    await one.whole()


async def test_the_bank_pays_and_may_still_fail_days_later(one: Paying) -> None:
    """States only: no money of the marketplace moves."""
    payout = await one.withdraw()
    await one.send(payout)
    posted = len(await journals(one.db))
    one.till.sandbox.post("/sandbox/available")
    at_bank = one.till.sandbox.post(f"/sandbox/accounts/{one.account}/payout", currency="eur")
    one.till.sandbox.post(f"/sandbox/payouts/{at_bank['id']}/arrive")
    await one.told("payout.paid")
    assert await one.state(payout) == "PAID"
    one.till.sandbox.post(f"/sandbox/payouts/{at_bank['id']}/fail", code="account_closed")
    await one.told()
    row = await one.row(payout)
    assert row["state"] == "BANK_FAILED"
    assert "closed" in row["failure"]
    assert len(await journals(one.db)) == posted
    assert await one.available() == 0
    await one.whole()


async def test_the_books_agree_with_the_provider(one: Paying) -> None:
    """What the platform owes and has sent: our clearing account moved as the provider's balance did."""
    books, bank = await one.till.psp(), await one.till.provider_balance()
    for amount in (500, 700):
        await one.send(await one.withdraw(amount))
    assert books - await one.till.psp() == 1200
    assert bank - await one.till.provider_balance() == 1200
    assert await amount_on(one.db, platform("psp_clearing", "EUR")) == await one.till.psp()


async def test_selling_before_the_account_is_complete(till: Till, owner: asyncpg.Connection) -> None:
    shop = await make_shop(till.db, price=1000)
    await connected(till, shop, "")
    assert (await payouts.my_account(till.db, shop.owner)).state == "PENDING"
    one = Paying(till, shop, "")
    with pytest.raises(payouts.PayoutsClosed) as refused:
        await one.withdraw()
    assert refused.value.reasons == ["account_pending"]


async def test_a_refund_after_the_payout_is_owed_and_set_against_later_sales(
    one: Paying, owner: asyncpg.Connection
) -> None:
    """Nobody is paid more than is due: the refund of a line that was paid out lowers the next payout."""
    await one.send(await one.withdraw())
    line = await one.db.fetchval(SYSTEM, "SELECT line_id FROM payouts.item ORDER BY line_id LIMIT 1")

    async def refund(conn: Connection) -> None:
        await refunds.refund_line(conn, line, None, reason="bad_code", why="does not work", actor="test")

    await one.db.run(SYSTEM, refund)
    assert await amount_on(one.db, seller_receivable_of(one.shop.seller_id, "EUR")) == 900
    with pytest.raises(payouts.PayoutsClosed):
        await one.withdraw()
    await one.whole()
    await earn(one.db, owner, one.shop, 2)
    assert (await one.available(), one.transfers) == (900, [1800])
    await one.send(await one.withdraw())
    assert one.transfers == [1800, 900]
    assert await amount_on(one.db, seller_receivable_of(one.shop.seller_id, "EUR")) == 0
    await one.whole()


async def test_a_refund_before_the_payout_leaves_less_of_its_line(one: Paying) -> None:
    line = await one.db.fetchval(SYSTEM, "SELECT line_id FROM payouts.payable ORDER BY line_id LIMIT 1")

    async def refund(conn: Connection) -> None:
        await refunds.refund_line(conn, line, 400, reason="bad_code", why="half of it works", actor="test")

    await one.db.run(SYSTEM, refund)
    assert await one.available() == 1800 - 360
    await one.send(await one.withdraw())
    assert one.transfers == [1440]
    paid = "SELECT paid FROM payouts.payable WHERE line_id = $1"
    assert await one.db.fetchval(SYSTEM, paid, line) == 540
    await one.whole()

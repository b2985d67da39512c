"""Every way money moves at the provider has the journal that a run expects: nothing is a break."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fondaco import payouts, reconciliation, wallets
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection
from fondaco.core.pagination import Cursors
from fondaco.ledger import platform
from fondaco.orders.combiner import Combiner
from fondaco.orders.policies import refund_terms
from fondaco.reconciliation import Break, breaks
from tests.support.money import Till, amount_on, journals, make_buyer, make_staff
from tests.support.payouts import Paying, paying, release
from tests.support.shop import POLICY, add_units, purchase

USABLE = "4000000000000077"  # money of this test card can be sent on at once


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for being on its way."""
    monkeypatch.setattr(breaks, "GRACE", timedelta(0))


async def compare(till: Till) -> list[Break]:
    run_id = await reconciliation.begin(till.db, "clock", until=now() + timedelta(seconds=2))
    assert await reconciliation.run(till.db, till.gateway, till.settings, run_id)
    finance = await make_staff(till.db, "finance")
    found = await reconciliation.list_breaks(till.db, finance, Cursors(b"k" * 32), states=["OPEN"])
    return list(found.items)


async def whole(till: Till) -> None:
    """No break, every movement and every journal has its counterpart, and the balances are the same. The
    money that these tests' sellers earned without a card payment is not the provider's."""
    await till.db.execute(
        SYSTEM, "SELECT reconciliation.match(ARRAY(SELECT id FROM reconciliation.movement))"
    )
    found = [b for b in await compare(till) if "topup:pi_test_" not in b.words]
    assert found == [], [(b.class_, b.words, b.amount) for b in found]
    unmatched = await till.db.fetch(
        SYSTEM,
        """SELECT id, type, amount, fee FROM reconciliation.movement
           WHERE amount <> 0 AND journal_id IS NULL OR fee <> 0 AND fee_journal_id IS NULL""",
    )
    assert [dict(r) for r in unmatched] == []


async def refund(till: Till, funding_id: UUID, amount: int) -> None:
    async def work(conn: Connection) -> None:
        await wallets.request_refund(conn, funding_id, amount, reason="test", actor="system")

    await till.db.run(SYSTEM, work)
    await till.work()


async def test_charges_fees_refunds_and_their_failure(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.paid_top_up(buyer, 2500)
    await refund(till, funding.id, 1000)
    await refund(till, funding.id, 300)
    await whole(till)
    made = [f["refund"] for f in till.sandbox.truth() if f["fact"] == "refund.created"]
    till.sandbox.post(f"/sandbox/refunds/{made[-1]}", status="failed", reason="declined")
    await till.deliver_all()
    await whole(till)
    assert [k for k in await journals(till.db) if k.startswith("rflate:")]


async def dispute(till: Till, funding: wallets.Funding, **more: Any) -> str:
    intent = await till.db.fetchval(SYSTEM, "SELECT intent_id FROM wallets.funding WHERE id = $1", funding.id)
    made = till.sandbox.post(f"/sandbox/charges/{intent}/dispute", **more)
    await till.deliver_all()
    return str(made["id"])


@pytest.mark.parametrize("outcomes", [["won"], ["lost"], ["lost", "won"]])
@pytest.mark.parametrize("return_fee", [False, True])
async def test_disputes_with_their_fees_however_they_end(
    till: Till, outcomes: list[str], return_fee: bool
) -> None:
    buyer = await make_buyer(till.db)
    found = await dispute(till, await till.paid_top_up(buyer, 5000))
    await whole(till)
    for outcome in outcomes:
        till.sandbox.post(f"/sandbox/disputes/{found}/resolve", outcome=outcome, return_fee=return_fee)
        await till.deliver_all()
        await whole(till)


async def test_a_share_that_a_store_bore_comes_back_with_the_dispute(
    till: Till, owner: asyncpg.Connection
) -> None:
    one = await paying(till, owner)
    buyer = await make_buyer(till.db)
    funding = await till.paid_top_up(buyer, 1000)
    await add_units(till.db, one.shop.listing_id, 1)
    terms = refund_terms(till.settings.model_copy(update={"chargeback_liability": "seller"}))
    asked = replace(purchase(buyer, one.shop.wish()), policy=replace(POLICY, refund=terms))
    bought = await Combiner(till.db).buy(asked)
    line_id = await till.db.fetchval(
        SYSTEM,
        """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           WHERE o.group_id = $1""",
        bought.group_id,
    )
    await owner.execute("UPDATE delivery.entitlement SET revealed_at = now() WHERE line_id = $1", line_id)
    await release(till.db, line_id)
    found = await dispute(till, funding)
    for outcome in ("lost", "won"):
        till.sandbox.post(f"/sandbox/disputes/{found}/resolve", outcome=outcome)
        await till.deliver_all()
        await whole(till)
    assert {"liab", "liabback", "dprev"} <= {k.partition(":")[0] for k in await journals(till.db)}


async def test_transfers_and_what_is_taken_back_of_them(till: Till, owner: asyncpg.Connection) -> None:
    one: Paying = await paying(till, owner)
    payout_id = await one.withdraw()
    await one.send(payout_id)
    await whole(till)
    finance = await make_staff(till.db, "finance")
    reversal = await payouts.take_back(till.db, finance, payout_id, amount=700, because="A test of it")
    await payouts.send_reversal(till.db, till.gateway, reversal)
    await till.deliver_all()
    await whole(till)
    assert {"tr", "trr"} <= {k.partition(":")[0] for k in await journals(till.db)}


async def test_what_goes_to_our_own_bank_is_booked_by_its_event(till: Till) -> None:
    await till.paid_top_up(await make_buyer(till.db), 50_000, USABLE)
    made = till.sandbox.post("/sandbox/payout", currency="eur")
    till.sandbox.post(f"/sandbox/payouts/{made['id']}/arrive")
    await till.deliver_all()
    assert await amount_on(till.db, platform("bank", "EUR")) == made["amount"]
    await whole(till)
    till.sandbox.post(f"/sandbox/payouts/{made['id']}/fail", code="account_closed")
    await till.deliver_all()
    assert await amount_on(till.db, platform("bank", "EUR")) == 0
    await whole(till)
    assert await journals(till.db, "sweep") == [f"sweep:{made['id']}", f"sweepback:{made['id']}"]


async def test_what_goes_to_our_own_bank_unheard_is_found_by_a_run(till: Till) -> None:
    await till.paid_top_up(await make_buyer(till.db), 50_000, USABLE)
    made = till.sandbox.post("/sandbox/payout", currency="eur")
    assert await compare(till) == []
    assert await amount_on(till.db, platform("bank", "EUR")) == made["amount"]
    await whole(till)
    await till.whole()

"""Every movement of the provider in these flows has one journal, to the cent, and the other way round."""

from datetime import timedelta

import pytest

from fondaco.core.db import SYSTEM
from fondaco.orders.actions import give_up
from fondaco.reconciliation import breaks
from tests.reconciliation.test_runs import compare, stopped
from tests.support.direct import direct
from tests.support.money import Till


async def test_all_ways_at_once(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaks, "GRACE", timedelta(0))  # nothing is taken for being on its way
    one = await direct(till, price=2000, stock=9)
    group = await one.sell(2)
    await one.refund(await one.line(group), 777)
    await till.work()
    late = await one.place()
    await one.pay(late)
    await give_up(till.db, late, "CANCELLED", "cancelled by the buyer", "x")
    await till.deliver_all()
    funding = await one.funding(await one.sell())
    made = till.sandbox.post(f"/sandbox/charges/{funding['intent_id']}/dispute")
    till.sandbox.post(f"/sandbox/disputes/{made['id']}/resolve", outcome="lost")
    await till.deliver_all()
    one.empty()
    await one.refund(await one.line(group))
    await till.deliver_all()
    assert {state for _, state in await one.reversals()} == {"DONE", "OWED"}
    assert await compare(till) == []
    unmatched = await till.db.fetch(
        SYSTEM,
        """SELECT id, type FROM reconciliation.movement
           WHERE amount <> 0 AND journal_id IS NULL OR fee <> 0 AND fee_journal_id IS NULL""",
    )
    assert not unmatched
    types = {r["type"] for r in await till.db.fetch(SYSTEM, "SELECT type FROM reconciliation.movement")}
    assert {"charge", "transfer", "refund", "transfer_refund", "adjustment"} <= types
    assert await stopped(till) is None
    await one.whole()

"""Evidence goes to the bank once: confirmed or by the clock, through lost answers; what was sent stays."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from fondaco import chargebacks
from fondaco.chargebacks import debts, sending, sweeping
from fondaco.chargebacks.model import EvidenceMoved, StillAtStake, WindowOver
from fondaco.core.db import SYSTEM, Connection, Record
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from tests.chargebacks.test_money import (
    buy,
    dispute,
    even,
    held,
    owed,
    resolve,
    reveal_all,
    standing,
    the_one,
)
from tests.support.money import Till, make_buyer, make_staff
from tests.support.shop import make_shop


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def written(till: Till) -> Record:
    row = await till.db.fetchrow(SYSTEM, "SELECT * FROM chargebacks.evidence")
    assert row
    return row


async def at_the_bank(till: Till) -> int:
    """How often the bank was sent something."""
    one = await the_one(till)
    return (await till.gateway.retrieve_dispute(one["provider_id"])).submission_count


async def disputed(till: Till, buyer: Viewer, owner: Any) -> Record:
    shop = await make_shop(till.db, price=2000, stock=3)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    await dispute(till, funding)
    await till.deliver_all()
    return await the_one(till)


async def test_a_draft_says_what_was_so_and_no_key(till: Till, buyer: Viewer, owner: Any) -> None:
    await disputed(till, buyer, owner)
    row = await written(till)
    assert (row["state"], row["stage"]) == ("DRAFT", "chargeback")
    assert row["fields"]["customer_email_address"] == buyer.email
    assert "20.00 EUR" in row["fields"]["product_description"]
    assert "50.00 EUR put into the customer's wallet" in row["fields"]["product_description"]
    body = await till.db.fetchval(SYSTEM, "SELECT body FROM cases.snapshot WHERE id = $1", row["snapshot_id"])
    assert b"ciphertext" not in body
    due = await till.db.fetchval(SYSTEM, "SELECT due_by FROM chargebacks.chargeback")
    assert row["window_ends"] <= due - timedelta(hours=36)


async def test_nobody_confirms_and_it_goes_out_before_its_time_is_over(
    till: Till, buyer: Viewer, owner: Any
) -> None:
    await disputed(till, buyer, owner)
    await sweeping.sweep(till.db, till.gateway, till.settings)
    assert (await written(till))["state"] == "DRAFT", "its time has not come"
    await owner.execute("UPDATE chargebacks.chargeback SET due_by = now() + interval '23 hours'")
    for _ in range(3):
        await sweeping.sweep(till.db, till.gateway, till.settings)
    row = await written(till)
    assert (row["state"], await at_the_bank(till)) == ("SENT", 1)
    assert (await the_one(till))["state"] == "UNDER_REVIEW"
    await even(till)


async def test_where_evidence_is_left_to_people_it_is_not_sent_alone(
    till: Till, buyer: Viewer, owner: Any
) -> None:
    await disputed(till, buyer, owner)
    await owner.execute("UPDATE chargebacks.chargeback SET due_by = now() + interval '23 hours'")
    leave = till.settings.model_copy(update={"evidence_unconfirmed": "leave"})
    await sweeping.sweep(till.db, till.gateway, leave)
    assert ((await written(till))["state"], await at_the_bank(till)) == ("DRAFT", 0)


async def test_a_lost_answer_is_asked_about_and_nothing_is_sent_twice(
    till: Till, buyer: Viewer, owner: Any
) -> None:
    await disputed(till, buyer, owner)
    row = await written(till)
    finance = await make_staff(till.db, "finance")
    await chargebacks.confirm(till.db, finance, row["chargeback_id"], row["version"])
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/disputes"})
    await chargebacks.send_evidence(till.db, till.impatient, row["id"])
    assert ((await written(till))["state"], await at_the_bank(till)) == ("UNKNOWN", 1)
    await sweeping.sweep(till.db, till.gateway, till.settings)
    assert ((await written(till))["state"], await at_the_bank(till)) == ("SENT", 1)
    for _ in range(2):
        await chargebacks.send_evidence(till.db, till.gateway, row["id"])
    assert await at_the_bank(till) == 1


async def test_what_never_arrived_is_sent_again(till: Till, buyer: Viewer, owner: Any) -> None:
    await disputed(till, buyer, owner)
    row = await written(till)
    await chargebacks.confirm(
        till.db, await make_staff(till.db, "finance"), row["chargeback_id"], row["version"]
    )
    facts = await till.gateway.retrieve_dispute((await the_one(till))["provider_id"])

    async def die_after_the_first_commit(conn: Connection) -> bool:
        return await sending._claim(conn, row["id"], facts)

    assert await till.db.run(SYSTEM, die_after_the_first_commit)
    assert ((await written(till))["state"], await at_the_bank(till)) == ("SENDING", 0)
    await sweeping.sweep(till.db, till.gateway, till.settings)
    assert (await written(till))["state"] == "SENDING", "its sender may still be at it"
    await owner.execute("UPDATE chargebacks.evidence SET called_at = now() - interval '3 minutes'")
    await sweeping.sweep(till.db, till.gateway, till.settings)
    assert ((await written(till))["state"], await at_the_bank(till)) == ("SENT", 1)


async def test_what_was_sent_never_changes(till: Till, buyer: Viewer, owner: Any) -> None:
    await disputed(till, buyer, owner)
    row = await written(till)
    await chargebacks.send_evidence(till.db, till.gateway, row["id"])
    with pytest.raises(asyncpg.CheckViolationError, match="never changes"):
        await owner.execute("UPDATE chargebacks.evidence SET sent = '{}'::jsonb")
    with pytest.raises(EvidenceMoved):
        await chargebacks.write_words(
            till.db, await make_staff(till.db, "finance"), row["chargeback_id"], "Late.", row["version"]
        )


async def test_a_bank_that_decided_gets_nothing_any_more(till: Till, buyer: Viewer, owner: Any) -> None:
    one = await disputed(till, buyer, owner)
    row = await written(till)
    await resolve(till, one["provider_id"], "lost")
    await chargebacks.send_evidence(till.db, till.gateway, row["id"])
    assert ((await written(till))["state"], await at_the_bank(till)) == ("CLOSED", 0)
    assert (await the_one(till))["state"] == "LOST"
    await even(till)


async def test_sellers_add_only_while_their_window_is_open(till: Till, buyer: Viewer, owner: Any) -> None:
    one = await disputed(till, buyer, owner)
    seller = await till.db.fetchval(SYSTEM, "SELECT seller_id FROM chargebacks.line")
    viewer = Viewer(user_id=buyer.user_id, seller_id=seller)
    await chargebacks.add_statement(till.db, viewer, one["id"], "It was opened the same day.")
    await owner.execute("UPDATE chargebacks.evidence SET window_ends = now() - interval '1 second'")
    with pytest.raises(WindowOver):
        await chargebacks.add_statement(till.db, viewer, one["id"], "Too late.")
    other = await make_shop(till.db, price=1, stock=1)
    with pytest.raises(NotFound):
        await chargebacks.add_statement(till.db, other.owner, one["id"], "Not mine.")


async def test_what_no_event_told_is_found_by_asking(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    found = await dispute(till, funding)
    assert await sweeping.ask(till.db, till.gateway) == 1
    assert (await held(till, buyer), await standing(till, buyer)) == (5000, "WALLET_AT_RISK")
    assert await sweeping.ask(till.db, till.gateway) == 0
    await resolve(till, found, "won")
    assert await sweeping.ask(till.db, till.gateway) == 1
    assert (await held(till, buyer), await standing(till, buyer)) == (0, "OK")
    await even(till)


async def test_holds_grow_and_debts_are_paid_by_the_clock(till: Till, buyer: Viewer, owner: Any) -> None:
    shop = await make_shop(till.db, price=5000, stock=1)
    funding = await till.paid_top_up(buyer, 5000)
    await buy(till, buyer, shop)
    await reveal_all(till, owner)
    found = await dispute(till, funding)
    await till.deliver_all()
    await till.paid_top_up(buyer, 1000)
    await sweeping.sweep(till.db, till.gateway, till.settings)
    assert (await held(till, buyer), await till.wallet(buyer)) == (1000, 0)
    await resolve(till, found, "lost")
    await till.deliver_all()
    assert (await owed(till, buyer), await standing(till, buyer)) == (4000, "LOCKED")
    finance = await make_staff(till.db, "finance")
    with pytest.raises(StillAtStake):
        await debts.clear(till.db, finance, buyer.user(), "Too early.")
    await till.paid_top_up(buyer, 4500)
    await sweeping.sweep(till.db, till.gateway, till.settings)
    assert (await owed(till, buyer), await till.wallet(buyer)) == (0, 500)
    assert await standing(till, buyer) == "WALLET_AT_RISK"
    await even(till)
    assert await debts.clear(till.db, finance, buyer.user(), "Paid.") == "OK"
    await resolve(till, found, "won")
    await till.deliver_all()
    assert await till.wallet(buyer) == 500 + 5000, "all of it comes back: held, and repaid"
    await even(till)


async def test_an_inquiry_that_escalates_is_answered_twice(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 5000)
    found = await dispute(till, funding, inquiry=True)
    await till.deliver_all()
    assert (await written(till))["stage"] == "inquiry"
    await resolve(till, found, "escalated")
    await till.deliver_all()
    stages = await till.db.fetch(SYSTEM, "SELECT stage, state FROM chargebacks.evidence ORDER BY made_at")
    assert [r["stage"] for r in stages] == ["inquiry", "chargeback"]
    assert stages[1]["state"] == "DRAFT"
    await even(till)

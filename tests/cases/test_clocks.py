"""Every deadline has an outcome: the clock is wound on and the sweeper comes."""

import asyncpg
import pytest

from fondaco import cases
from fondaco.cases import sweep
from fondaco.cases.jobs import sweep_deadlines
from fondaco.core.db import SYSTEM
from fondaco.core.web import Parts
from fondaco.ledger import wallet_of
from tests.cases.steps import PRICE, Sale, bring, make_sale, wind
from tests.support.money import amount_on
from tests.support.shop import books


async def test_an_open_case_is_taken_up_after_48_hours(
    sale: Sale, owner: asyncpg.Connection, parts: Parts
) -> None:
    case_id = await sale.open()
    await wind(owner, hours=47, minutes=59)
    assert await sweep(sale.db) == 0
    await wind(owner, minutes=2)
    await sweep_deadlines(parts)
    case = await sale.case(case_id)
    assert (case["state"], case["taken_by"], case["version"]) == ("UNDER_REVIEW", None, 2)
    assert await sweep(sale.db) == 0


async def test_the_desk_is_reminded_every_day(sale: Sale, owner: asyncpg.Connection) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, "UNDER_REVIEW")
    for day in range(2):
        await wind(owner, hours=73 if day == 0 else 25)
        assert await sweep(sale.db) == 1
    case = await sale.case(case_id)
    assert case["state"] == "UNDER_REVIEW"
    found = await cases.read_case(sale.db, sale.as_staff, case_id)
    assert [e.kind for e in found.events[-2:]] == ["overdue", "overdue"]
    assert (await cases.outcomes(sale.db, sale.support)).late == 1


async def test_a_silent_seller_loses(sale: Sale, owner: asyncpg.Connection) -> None:
    case_id = await sale.open()
    before = await amount_on(sale.db, wallet_of(sale.buyer.user(), "EUR"))
    await bring(sale, case_id, "NEEDS_RESPONSE", "seller")
    await wind(owner, hours=71)
    assert await sweep(sale.db) == 0
    await wind(owner, hours=2)
    assert await sweep(sale.db) == 1
    case = await sale.case(case_id)
    assert (case["state"], case["outcome"], case["decided_by"]) == ("LOST", "BUYER", None)
    assert await amount_on(sale.db, wallet_of(sale.buyer.user(), "EUR")) - before == PRICE
    await books(sale.db)


async def test_of_a_silent_buyer_the_case_goes_on(sale: Sale, owner: asyncpg.Connection) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, "NEEDS_RESPONSE", "buyer")
    await wind(owner, hours=73)
    assert await sweep(sale.db) == 1
    found = await cases.read_case(sale.db, sale.as_staff, case_id)
    assert (found.case.state, found.case.asked_party) == ("UNDER_REVIEW", None)
    assert found.events[-1].kind == "unanswered"
    assert (await sale.line())["escrow_state"] == "FROZEN"


@pytest.mark.parametrize("state", ["WON", "LOST"])
async def test_a_decided_case_closes_after_seven_days(
    sale: Sale, owner: asyncpg.Connection, state: str
) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, state)
    outcome = (await sale.case(case_id))["outcome"]
    await wind(owner, days=6, hours=23)
    assert await sweep(sale.db) == 0
    await wind(owner, hours=2)
    assert await sweep(sale.db) == 1
    case = await sale.case(case_id)
    assert (case["state"], case["outcome"], case["deadline"]) == ("CLOSED", outcome, None)


async def test_an_appeal_keeps_it_open_until_somebody_answers(sale: Sale, owner: asyncpg.Connection) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, "WON")
    await cases.appeal(sale.db, sale.as_buyer, case_id, "Look again, please.")
    await wind(owner, days=8)
    assert await sweep(sale.db) == 1
    assert (await sale.case(case_id))["state"] == "WON"
    await cases.close(sale.db, sale.support, case_id, text="We looked again; it stays.")
    assert (await sale.case(case_id))["state"] == "CLOSED"


async def test_one_case_that_cannot_move_holds_up_no_other(sale: Sale, owner: asyncpg.Connection) -> None:
    """The first one's money was taken away behind the case's back; it is told, and the next one moves."""
    stuck = await sale.open()
    await bring(sale, stuck, "NEEDS_RESPONSE", "seller")
    other = await make_sale(sale.db, sale.settings)
    fine = await other.open()
    await owner.execute("ALTER TABLE orders.order_line DISABLE TRIGGER USER")
    await owner.execute("UPDATE orders.order_line SET escrow_state = 'EMPTY' WHERE id = $1", sale.line_id)
    await owner.execute("ALTER TABLE orders.order_line ENABLE TRIGGER USER")
    await wind(owner, hours=80)
    assert await sweep(sale.db) == 1
    assert (await sale.case(stuck))["state"] == "NEEDS_RESPONSE"
    assert (await sale.case(fine))["state"] == "UNDER_REVIEW"
    told = await sale.db.fetchval(
        SYSTEM, "SELECT count(*) FROM cases.event WHERE case_id = $1 AND target = 'LOST'", stuck
    )
    assert told == 0

"""A case from its opening to its end: what moves, what money does, what is kept."""

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from fondaco import cases, orders, refunds
from fondaco.cases.model import CaseMoved, CaseNotNow, CaseOpen, CaseTooLate, OwnCase
from fondaco.core.db import SYSTEM, Database
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Invalid, NotFound
from fondaco.ledger import wallet_of
from fondaco.settings import Settings
from tests.cases.steps import PRICE, Sale, bring, make_sale
from tests.support.money import amount_on, make_buyer
from tests.support.shop import books


async def test_opening_freezes_the_money_and_keeps_the_evidence(sale: Sale) -> None:
    case_id = await sale.open()
    line = await sale.line()
    assert line["escrow_state"] == "FROZEN"
    found = await cases.read_case(sale.db, sale.as_buyer, case_id)
    assert (found.case.state, found.case.version, found.case.at_stake) == ("OPEN", 1, PRICE)
    assert [m.kind for m in found.messages] == ["opening"]
    assert found.lines[0].frozen
    kept = await sale.db.fetchrow(SYSTEM, "SELECT * FROM cases.snapshot WHERE id = $1", found.snapshot_id)
    assert kept and kept["hash"].hex() == found.snapshot_sha256
    with pytest.raises(CaseOpen):
        await sale.open()


async def test_frozen_money_is_neither_released_nor_refunded_beside_the_case(sale: Sale) -> None:
    await sale.open()
    await orders.confirm_delivery(sale.db, sale.buyer, sale.order_id)
    assert (await sale.line())["escrow_state"] == "FROZEN"
    with pytest.raises(refunds.FrozenByCase):
        await refunds.refund_by_seller(
            sale.db, sale.shop.owner, sale.line_id, None, reason="goodwill", why="For you"
        )
    assert "release" not in await sale.journals()


async def test_withdrawing_thaws_and_a_new_case_may_follow(sale: Sale) -> None:
    case_id = await sale.open()
    await cases.withdraw(sale.db, sale.buyer, case_id)
    case = await sale.case(case_id)
    assert (case["state"], case["outcome"]) == ("CLOSED", "WITHDRAWN")
    assert (await sale.line())["escrow_state"] == "HELD"
    assert await sale.open()


async def test_decided_for_the_seller_the_money_is_released_once(sale: Sale) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, "WON")
    case = await sale.case(case_id)
    assert (case["state"], case["outcome"], case["decided_by"]) == ("WON", "SELLER", sale.finance.user())
    assert (await sale.line())["escrow_state"] == "RELEASED"
    assert (await sale.journals())["release"] == 1
    with pytest.raises(CaseNotNow, match="decided"):
        await sale.open()
    await books(sale.db)


async def test_decided_for_the_buyer_everything_goes_back_once(sale: Sale) -> None:
    case_id = await sale.open()
    before = await amount_on(sale.db, wallet_of(sale.buyer.user(), "EUR"))
    await bring(sale, case_id, "LOST")
    assert await amount_on(sale.db, wallet_of(sale.buyer.user(), "EUR")) - before == PRICE
    line = await sale.line()
    assert (line["escrow_state"], line["refunded"]) == ("REFUNDED", PRICE)
    assert (await sale.journals())["refund_line"] == 1
    kept = await sale.db.fetchrow(SYSTEM, "SELECT * FROM cases.case_line WHERE case_id = $1", case_id)
    assert kept and (kept["refund"], kept["open"]) == (PRICE, False)
    await books(sale.db)


async def test_shared_a_part_goes_back_and_the_rest_to_the_seller(sale: Sale) -> None:
    case_id = await sale.open(wish="PART")
    await cases.take(sale.db, sale.support, case_id)
    for bad in ({}, {sale.line_id: PRICE}, {sale.line_id: PRICE + 1}, {case_id: 5}):
        with pytest.raises(Invalid):
            await cases.decide(
                sale.db, sale.finance, case_id, outcome="SPLIT", text="Both are right.", amounts=bad
            )
    await cases.decide(
        sale.db, sale.finance, case_id, outcome="SPLIT", text="Both are right.", amounts={sale.line_id: 700}
    )
    line = await sale.line()
    assert (line["escrow_state"], line["refunded"]) == ("SPLIT", 700)
    journals = await sale.journals()
    assert (journals["refund_line"], journals["release"]) == (1, 1)
    assert (await sale.case(case_id))["outcome"] == "SPLIT"
    await books(sale.db)


async def test_released_money_can_be_disputed_for_some_days(sale: Sale, owner: asyncpg.Connection) -> None:
    await orders.confirm_delivery(sale.db, sale.buyer, sale.order_id)
    case_id = await sale.open()
    assert not (await cases.read_case(sale.db, sale.as_staff, case_id)).lines[0].frozen
    with pytest.raises(refunds.FrozenByCase):
        await refunds.refund_by_seller(
            sale.db, sale.shop.owner, sale.line_id, None, reason="goodwill", why="For you"
        )
    await bring(sale, case_id, "LOST")
    assert (await sale.journals())["refund_released"] == 1
    await books(sale.db)
    other = await make_sale(sale.db, sale.settings)
    await orders.confirm_delivery(sale.db, other.buyer, other.order_id)
    await owner.execute(
        "UPDATE orders.order_line SET released_at = released_at - $1::interval WHERE id = $2",
        timedelta(days=sale.settings.case_days, seconds=5),
        other.line_id,
    )
    with pytest.raises(CaseTooLate):
        await other.open()


async def test_an_accepted_offer_settles_it(sale: Sale) -> None:
    case_id = await sale.open()
    with pytest.raises(Invalid):
        await cases.offer(sale.db, sale.shop.owner, case_id, amount=PRICE + 1, text="All and more.")
    await cases.offer(sale.db, sale.shop.owner, case_id, amount=300, text="A little.")
    first = (await cases.read_case(sale.db, sale.as_buyer, case_id)).offer
    await cases.offer(sale.db, sale.shop.owner, case_id, amount=500, text="A little more.")
    assert first
    with pytest.raises(CaseNotNow):
        await cases.accept_offer(sale.db, sale.buyer, case_id, offer_id=first.id)
    await cases.accept_offer(sale.db, sale.buyer, case_id)
    case, line = await sale.case(case_id), await sale.line()
    assert (case["state"], case["outcome"]) == ("CLOSED", "SPLIT")
    assert (line["escrow_state"], line["refunded"]) == ("HELD", 500)
    rows = await sale.db.fetch(SYSTEM, "SELECT ending FROM cases.offer ORDER BY made_at")
    assert [r["ending"] for r in rows] == ["TAKEN_BACK", "ACCEPTED"]
    await orders.confirm_delivery(sale.db, sale.buyer, sale.order_id)
    assert (await sale.line())["escrow_state"] == "SPLIT"
    await books(sale.db)


async def test_an_accepted_replacement_gives_another_key(sale: Sale) -> None:
    case_id = await sale.open(wish="REPLACEMENT")
    await cases.offer(sale.db, sale.shop.owner, case_id, kind="REPLACEMENT", text="Take another.")
    await cases.accept_offer(sale.db, sale.buyer, case_id)
    rows = await sale.db.fetch(
        SYSTEM, "SELECT revoked_at FROM delivery.entitlement WHERE line_id = $1 ORDER BY id", sale.line_id
    )
    assert sorted(r["revoked_at"] is None for r in rows) == [False, True]
    assert (await sale.line())["escrow_state"] == "HELD"


async def test_a_replacement_that_is_sold_out_changes_nothing(sale: Sale, owner: asyncpg.Connection) -> None:
    case_id = await sale.open(wish="REPLACEMENT")
    await cases.offer(sale.db, sale.shop.owner, case_id, kind="REPLACEMENT", text="Take another.")
    await owner.execute("UPDATE inventory.stock_unit SET state = 'WITHDRAWN' WHERE state = 'AVAILABLE'")
    with pytest.raises(CaseNotNow, match="no other one left"):
        await cases.accept_offer(sale.db, sale.buyer, case_id)
    found = await cases.read_case(sale.db, sale.as_buyer, case_id)
    assert (found.case.state, found.offer is not None) == ("OPEN", True)
    assert (await sale.line())["escrow_state"] == "FROZEN"


async def test_whoever_the_decision_went_against_may_appeal_once(sale: Sale) -> None:
    case_id = await sale.open()
    await bring(sale, case_id, "WON")
    with pytest.raises(CaseNotNow):
        await cases.appeal(sale.db, sale.as_seller, case_id, "We won, but still.")
    await cases.appeal(sale.db, sale.as_buyer, case_id, "You did not see the picture.")
    with pytest.raises(CaseNotNow):
        await cases.appeal(sale.db, sale.as_buyer, case_id, "And once more.")
    page = await cases.list_cases(sale.db, sale.as_staff, Cursors(sale.settings.key), appealed=True)
    assert [c.id for c in page.items] == [case_id]


async def test_nobody_works_on_a_case_of_their_own(sale: Sale) -> None:
    case_id = await sale.open()
    for party in (sale.buyer, sale.shop.owner):
        insider = replace(party, staff_role="admin", mfa=True)
        for act in (
            cases.take(sale.db, insider, case_id),
            cases.ask(sale.db, insider, case_id, party="buyer", text="Why?"),
            cases.decide(sale.db, insider, case_id, outcome="SELLER", text="Mine."),
            cases.note(sale.db, insider, case_id, "A note"),
        ):
            with pytest.raises(OwnCase):
                await act
    assert (await sale.case(case_id))["version"] == 1


async def test_a_stale_version_is_refused(sale: Sale) -> None:
    case_id = await sale.open()
    await cases.take(sale.db, sale.support, case_id, version=1)
    with pytest.raises(CaseMoved):
        await cases.decide(sale.db, sale.finance, case_id, outcome="BUYER", text="Yes.", version=1)
    with pytest.raises(CaseMoved):
        await cases.withdraw(sale.db, sale.buyer, case_id, version=1)
    assert (await sale.line())["escrow_state"] == "FROZEN"


async def test_what_cannot_be_disputed(sale: Sale, db: Database, settings: Settings) -> None:
    stranger = await make_buyer(db)
    with pytest.raises(NotFound):
        await cases.open_case(db, settings, stranger, sale.order_id, reason="OTHER", text="Not mine.")
    for bad in ({"reason": "BECAUSE"}, {"wish": "A PONY"}, {"text": "x"}, {"text": "nul \x00 in it"}):
        with pytest.raises(Invalid):
            await sale.open(**bad)
    with pytest.raises(NotFound):
        await sale.open(line_ids=[stranger.user()])
    await refunds.refund_by_seller(db, sale.shop.owner, sale.line_id, None, reason="goodwill", why="For you")
    with pytest.raises(CaseNotNow):
        await sale.open()


async def test_notes_are_for_the_staff_alone(sale: Sale) -> None:
    case_id = await sale.open()
    await cases.note(sale.db, sale.support, case_id, "Seen this buyer before.")
    assert len((await cases.read_case(sale.db, sale.as_staff, case_id)).messages) == 2
    for by in (sale.as_buyer, sale.as_seller):
        assert len((await cases.read_case(sale.db, by, case_id)).messages) == 1
    async with sale.db.transaction(sale.buyer.as_user) as conn:
        assert await conn.fetchval("SELECT count(*) FROM cases.message") == 1  # the second wall


async def test_the_database_refuses_a_step_without_its_event(sale: Sale, owner: asyncpg.Connection) -> None:
    case_id = await sale.open()
    with pytest.raises(asyncpg.CheckViolationError, match="no event"):
        await owner.execute(
            "UPDATE cases.case SET state = 'UNDER_REVIEW', version = version + 1 WHERE id = $1", case_id
        )
    with pytest.raises(asyncpg.CheckViolationError, match="version"):
        await owner.execute("UPDATE cases.case SET deadline = now() WHERE id = $1", case_id)
    for table in ("event", "message", "snapshot"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await owner.execute(f"DELETE FROM cases.{table}")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(
            "INSERT INTO cases.snapshot (id, why, body, hash) VALUES (gen_random_uuid(), 'x', 'a', 'b')"
        )


async def test_the_database_refuses_a_second_refund_of_a_case(sale: Sale) -> None:
    case_id = await sale.open()
    await cases.take(sale.db, sale.support, case_id)
    await cases.decide(
        sale.db, sale.finance, case_id, outcome="SPLIT", text="Both are right.", amounts={sale.line_id: 700}
    )
    with pytest.raises(asyncpg.UniqueViolationError, match="refund_of_case"):
        async with sale.db.transaction(SYSTEM) as conn:
            await refunds.refund_line(
                conn,
                sale.line_id,
                5,
                reason="case",
                why="Once more",
                actor="system",
                case_id=case_id,
                even_frozen=True,
            )
    assert (await sale.line())["refunded"] == 700

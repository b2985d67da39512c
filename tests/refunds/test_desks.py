"""Refunds by sellers and desks, two people above the limit, goodwill, and journals that are undone."""

from uuid import UUID

import asyncpg
import pytest

from fondaco import approvals, orders, refunds
from fondaco.approvals import AlreadyAsked
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.ledger import InsufficientFunds, platform, seller_available_of, wallet_of
from fondaco.refunds import RefundAboveRest
from fondaco.refunds.adjusting import AlreadyReversed, NotReversible
from fondaco.settings import Settings
from tests.refunds.test_refund_line import line_of, no_faults, sold
from tests.support.money import Till, amount_on, make_buyer, make_staff
from tests.support.shop import make_shop, whole
from tests.wallets.conftest import running, till

__all__ = ["running", "till"]


async def by_staff(
    db: Database,
    viewer: Viewer,
    settings: Settings,
    line: UUID,
    amount: int | None = None,
    to: str = "wallet",
) -> bool:
    return await refunds.refund_by_staff(
        db,
        viewer,
        settings,
        line,
        amount,
        to=to,
        reason="goodwill",
        why="They waited long",  # type: ignore[arg-type]
    )


async def test_a_store_refunds_its_own_sale_only(db: Database, settings: Settings) -> None:
    shop, other = await make_shop(db, price=1000, stock=3), await make_shop(db, price=1000, stock=3)
    buyer, _, line = await sold(db, shop)
    with pytest.raises(NotFound):
        await refunds.refund_by_seller(db, other.owner, line, None, reason="other", why="")
    with pytest.raises(Invalid):
        await refunds.refund_by_seller(db, shop.owner, line, None, reason="chargeback", why="")
    await refunds.refund_by_seller(db, shop.owner, line, 300, reason="wrong_goods", why="Sorry")
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 9300
    await no_faults(db, settings)


async def test_up_to_the_limit_finance_alone_above_it_two(db: Database, settings: Settings) -> None:
    settings = settings.model_copy(update={"refund_limit": 500})
    finance, admin = await make_staff(db, "finance"), await make_staff(db, "admin")
    shop = await make_shop(db, price=1000, stock=3)
    buyer, _, line = await sold(db, shop)
    assert await by_staff(db, finance, settings, line, 500) is True
    assert await by_staff(db, finance, settings.model_copy(update={"refund_limit": 499}), line) is False
    with pytest.raises(AlreadyAsked):
        await by_staff(db, admin, settings.model_copy(update={"refund_limit": 1}), line, 100)
    assert (await line_of(db, line))["refunded"] == 500
    asked = await db.fetchrow(SYSTEM, "SELECT id, words FROM approvals.request")
    assert asked and "€5.00" in asked["words"] and "the buyer's wallet" in asked["words"]
    await approvals.decide(db, admin, asked["id"], True)
    assert (await line_of(db, line))["refunded"] == 1000
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 10_000
    actor = await db.fetchval(SYSTEM, "SELECT actor FROM refunds.refund ORDER BY created_at DESC LIMIT 1")
    assert actor == admin.actor
    await no_faults(db, settings)


async def test_the_desk_proposes(db: Database, settings: Settings) -> None:
    ops, finance = await make_staff(db, "ops"), await make_staff(db, "finance")
    shop = await make_shop(db, price=1000, stock=3)
    _, _, line = await sold(db, shop)
    with pytest.raises(RefundAboveRest):
        await by_staff(db, ops, settings, line, 1001)
    assert await by_staff(db, ops, settings, line, 1000) is False
    await refunds.refund_by_seller(db, shop.owner, line, 1, reason="other", why="")
    asked = await db.fetchval(SYSTEM, "SELECT id FROM approvals.request")
    with pytest.raises(RefundAboveRest):  # a cent is gone meanwhile: nothing is decided
        await approvals.decide(db, finance, asked, True)
    assert (await approvals.read(db, finance, asked)).state == "OPEN"
    assert (await line_of(db, line))["refunded"] == 1


async def test_on_to_the_card_that_paid(till: Till) -> None:
    """Back into the wallet and out of it in one step, then at the provider as any refund of a payment."""
    db = till.db
    shop = await make_shop(db, price=1999, stock=3)
    buyer = await make_buyer(db)
    asked = orders.purchase_of(
        buyer, orders.policy_of(till.settings), [shop.wish(2)], currency="EUR", idem="by card"
    )
    placed = await orders.place_with_card(db, till.gateway, till.settings, asked)
    session = await db.fetchval(
        SYSTEM, "SELECT session_id FROM wallets.funding WHERE group_id = $1", placed.group_id
    )
    till.sandbox.pay(session)
    await till.deliver_all()
    line = await db.fetchval(SYSTEM, "SELECT id FROM orders.order_line")
    finance = await make_staff(db, "finance")
    assert await by_staff(db, finance, till.settings, line, 1500, "source")
    assert await till.wallet(buyer) == 0
    await till.work()
    await till.deliver_all()
    (one,) = await refunds.own_refunds(db, buyer, placed.group_id)
    assert (one.amount, one.destination, one.source_state) == (1500, "source", "SUCCEEDED")
    assert await till.psp() == await till.provider_balance()
    assert await by_staff(db, finance, till.settings, line, None, "source")
    await till.work()
    await till.deliver_all()
    assert await db.fetchval(SYSTEM, "SELECT state FROM wallets.funding") == "REFUNDED"
    assert await till.wallet(buyer) == 0 and await till.psp() == await till.provider_balance()
    await whole(db)
    await till.whole()


async def test_goodwill_once_and_above_its_limit_by_two(db: Database, settings: Settings) -> None:
    finance, admin = await make_staff(db, "finance"), await make_staff(db, "admin")
    buyer, shop = await make_buyer(db), await make_shop(db)
    key = uuid7()

    async def pay(amount: int, key: UUID, **to: UUID) -> bool:
        return await refunds.pay_goodwill(
            db, finance, settings, key=key, amount=amount, currency="EUR", why="They waited", **to
        )

    assert await pay(1500, key, user_id=buyer.user()) is True
    assert await pay(1500, key, user_id=buyer.user()) is True  # the form was sent twice
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 1500
    assert await pay(2001, uuid7(), seller_id=shop.seller_id) is False
    asked = await db.fetchval(SYSTEM, "SELECT id FROM approvals.request")
    await approvals.decide(db, admin, asked, True)
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 2001
    assert await amount_on(db, platform("goodwill", "EUR")) == 3501
    for wrong in (pay(0, uuid7(), user_id=buyer.user()), pay(5, uuid7())):
        with pytest.raises(Invalid):
            await wrong
    with pytest.raises(NotFound):
        await pay(5, uuid7(), user_id=uuid7())
    await no_faults(db, settings)


async def test_a_journal_is_undone_once_by_two_people(db: Database, settings: Settings) -> None:
    finance, admin = await make_staff(db, "finance"), await make_staff(db, "admin")
    buyer = await make_buyer(db)
    shop = await make_shop(db, price=1000, stock=2)
    await refunds.pay_goodwill(
        db,
        finance,
        settings,
        key=uuid7(),
        amount=1500,
        currency="EUR",
        why="By mistake",
        user_id=buyer.user(),
    )
    journal = await db.fetchval(SYSTEM, "SELECT id FROM ledger.journal WHERE kind = 'goodwill'")
    asked = await refunds.ask_reversal(db, finance, journal, "Paid to the wrong person")
    await approvals.decide(db, admin, asked, True)
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
    mirror = await db.fetchval(SYSTEM, "SELECT id FROM ledger.journal WHERE reverses = $1", journal)
    for again in (journal, mirror):
        with pytest.raises(AlreadyReversed):
            await refunds.ask_reversal(db, finance, again, "Once more")
    await sold(db, shop)
    bought = await db.fetchval(SYSTEM, "SELECT id FROM ledger.journal WHERE kind = 'purchase'")
    with pytest.raises(NotReversible):
        await refunds.ask_reversal(db, finance, bought, "It was wrong")
    with pytest.raises(NotFound):
        await refunds.ask_reversal(db, finance, 10**9, "It was wrong")
    await no_faults(db, settings)


async def test_what_is_spent_cannot_be_undone(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    finance, admin = await make_staff(db, "finance"), await make_staff(db, "admin")
    buyer, other = await make_buyer(db), await make_buyer(db)
    await refunds.pay_goodwill(
        db,
        finance,
        settings,
        key=uuid7(),
        amount=1500,
        currency="EUR",
        why="By mistake",
        user_id=buyer.user(),
    )
    journal = await db.fetchval(SYSTEM, "SELECT id FROM ledger.journal WHERE kind = 'goodwill'")
    asked = await refunds.ask_reversal(db, finance, journal, "Paid to the wrong person")
    await owner.fetchval(
        """SELECT ledger.post('adjustment', 'adj:1', 'x', 'x', ARRAY[
             ledger.open_account('wallet', 'user:' || $1::uuid, 'EUR'),
             ledger.open_account('wallet', 'user:' || $2::uuid, 'EUR')], ARRAY[1, -1])""",
        buyer.user(),
        other.user(),
    )
    with pytest.raises(InsufficientFunds):
        await approvals.decide(db, admin, asked, True)
    assert (await approvals.read(db, admin, asked)).state == "OPEN"

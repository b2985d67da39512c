"""What buyers do by themselves: giving back what was not opened, and keys that do not work."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from fondaco import orders, refunds
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.ledger import wallet_of
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import SoldOut
from fondaco.refunds import AlreadyRevealed, FrozenByCase, RefundWindowOver
from fondaco.refunds.model import AlreadyReported, NotRevealed, ReportClosed, ReportWindowOver
from fondaco.refunds.replacing import SILENT, answer_for_the_silent
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.refunds.test_refund_line import (
    entitlements,
    give_back,
    line_of,
    no_faults,
    release,
    reveal,
)
from tests.support.money import amount_on, give_money, make_buyer
from tests.support.shop import Shop, make_shop, purchase, stock_of, whole


async def sold(
    db: Database, settings: Settings, shop: Shop, quantity: int = 1
) -> tuple[Viewer, UUID, list[UUID]]:
    """Somebody with 100.00 buys on the marketplace's terms: the buyer, the line, its keys."""
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    asked = purchase(buyer, shop.wish(quantity))
    await Combiner(db).buy(type(asked)(**{**_fields(asked), "policy": orders.policy_of(settings)}))
    line = await db.fetchval(SYSTEM, "SELECT id FROM orders.order_line WHERE buyer_id = $1", buyer.user())
    return buyer, line, [e["id"] for e in await entitlements(db, line)]


def _fields(asked: object) -> dict[str, object]:
    return {name: getattr(asked, name) for name in asked.__dataclass_fields__}  # type: ignore[attr-defined]


async def test_what_was_not_opened_is_given_back(db: Database, settings: Settings) -> None:
    shop = await make_shop(db, price=1000, stock=5)
    buyer, line, keys = await sold(db, settings, shop, 3)
    assert await reveal(db, buyer, keys[0]) == 1
    offer = await refunds.returnable(db, buyer, line)
    assert (offer.units, offer.of, offer.amount) == (2, 3, 2000)
    assert (await refunds.give_back(db, buyer, line)).amount == 2000
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 9000
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 4, "CONSUMED": 1}
    with pytest.raises(AlreadyRevealed):
        await refunds.give_back(db, buyer, line)
    (one,) = await refunds.own_refunds(db, buyer, offer.group_id)
    assert (one.amount, one.reason_words) == (2000, "Not wanted after all")
    assert await refunds.sale_refunds(db, shop.owner, offer.order_id) == [one]
    stranger = await make_buyer(db)
    for ask in (refunds.own_refunds(db, stranger, offer.order_id), refunds.returnable(db, stranger, line)):
        with pytest.raises(NotFound):
            await ask
    await no_faults(db, settings)


async def test_not_when_it_was_opened_released_late_or_in_a_case(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000, stock=5)
    buyer, line, keys = await sold(db, settings, shop)
    async with db.transaction(SYSTEM) as conn:
        await orders.freeze(conn, [line], "x")
    with pytest.raises(FrozenByCase):
        await refunds.give_back(db, buyer, line)
    async with db.transaction(SYSTEM) as conn:
        await orders.thaw(conn, [line], "x")
    assert await reveal(db, buyer, keys[0])
    with pytest.raises(AlreadyRevealed):
        await refunds.give_back(db, buyer, line)
    other, second, _ = await sold(db, settings, shop)
    await owner.execute("UPDATE orders.order_line SET delivered_at = delivered_at - interval '15 days'")
    with pytest.raises(RefundWindowOver):
        await refunds.give_back(db, other, second)
    third_buyer, third, _ = await sold(db, settings, shop)
    await release(db, third)
    with pytest.raises(RefundWindowOver):
        await refunds.give_back(db, third_buyer, third)
    none, fourth, _ = await sold(db, settings.model_copy(update={"refund_days": 0}), shop)
    with pytest.raises(RefundWindowOver):
        await refunds.give_back(db, none, fourth)


async def test_a_key_opened_meanwhile_is_not_taken_back(db: Database, settings: Settings) -> None:
    shop = await make_shop(db, price=1000, stock=5)
    buyer, line, keys = await sold(db, settings, shop)
    await reveal(db, buyer, keys[0])
    with pytest.raises(AlreadyRevealed):
        await give_back(db, line, 1000, entitlements=keys, unseen=True)
    assert (await line_of(db, line))["refunded"] == 0


async def test_a_bad_key_is_replaced(db: Database, settings: Settings) -> None:
    shop = await make_shop(db, price=1000, stock=3)
    buyer, line, keys = await sold(db, settings, shop)
    with pytest.raises(NotRevealed):
        await refunds.report_bad_key(db, buyer, settings, keys[0], "Already used")
    await reveal(db, buyer, keys[0])
    with pytest.raises(Invalid):
        await refunds.report_bad_key(db, buyer, settings, keys[0], " ")
    report = await refunds.report_bad_key(db, buyer, settings, keys[0], "Already used")
    with pytest.raises(AlreadyReported):
        await refunds.report_bad_key(db, buyer, settings, keys[0], "Already used")
    stranger = await make_shop(db, stock=1)
    with pytest.raises(NotFound):
        await refunds.answer_report(db, stranger.owner, stranger.owner.as_seller, report, answer="replace")
    await refunds.answer_report(db, shop.owner, shop.owner.as_seller, report, answer="replace")
    with pytest.raises(ReportClosed):
        await refunds.answer_report(db, shop.owner, shop.owner.as_seller, report, answer="refund")
    found = await entitlements(db, line)
    (new,) = [e for e in found if e["replaces"] == keys[0]]
    assert new["revealed_at"] is None and new["revoked_at"] is None
    assert await reveal(db, buyer, keys[0]) == 0 and await reveal(db, buyer, new["id"]) == 1
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 1, "CONSUMED": 1, "INVALID": 1}
    mine = await refunds.bad_key_of(db, buyer, keys[0])
    assert mine and mine.state == "REPLACED"
    kinds = await db.fetch(SYSTEM, "SELECT kind FROM audit.event WHERE kind LIKE 'line.%' ORDER BY id")
    assert [k["kind"] for k in kinds] == ["line.bad_code", "line.replaced", "line.bad_code_answered"]
    await no_faults(db, settings)


async def test_without_another_key_its_money_goes_back(db: Database, settings: Settings) -> None:
    shop = await make_shop(db, price=1000, stock=2)
    buyer, line, keys = await sold(db, settings, shop, 2)
    await reveal(db, buyer, keys[1])
    report = await refunds.report_bad_key(db, buyer, settings, keys[1], "Already used")
    with pytest.raises(SoldOut):
        await refunds.answer_report(db, shop.owner, shop.owner.as_seller, report, answer="replace")
    await refunds.answer_report(db, shop.owner, shop.owner.as_seller, report, answer="refund")
    row = await line_of(db, line)
    assert (row["refunded"], row["delivery_state"]) == (1000, "DELIVERED")
    assert await stock_of(db, shop.listing_id) == {"INVALID": 1, "SOLD": 1}
    await no_faults(db, settings)


async def test_the_seller_may_refuse_with_words(db: Database, settings: Settings) -> None:
    shop = await make_shop(db, price=1000, stock=2)
    buyer, line, keys = await sold(db, settings, shop)
    await reveal(db, buyer, keys[0])
    report = await refunds.report_bad_key(db, buyer, settings, keys[0], "Already used")
    with pytest.raises(Invalid):
        await refunds.answer_report(db, shop.owner, shop.owner.as_seller, report, answer="refuse")
    await refunds.answer_report(
        db, shop.owner, shop.owner.as_seller, report, answer="refuse", words="It was redeemed by you"
    )
    found = await refunds.bad_key_of(db, buyer, keys[0])
    assert found and (found.state, found.answer) == ("REFUSED", "It was redeemed by you")
    assert (await line_of(db, line))["refunded"] == 0


async def test_who_says_nothing_gives_the_money_back(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000, stock=4)
    made = [await sold(db, settings, shop) for _ in range(3)]
    for buyer, _, keys in made:
        await reveal(db, buyer, keys[0])
        await refunds.report_bad_key(db, buyer, settings, keys[0], "Already used")
    assert await answer_for_the_silent(db) == 0
    await owner.execute("UPDATE refunds.report SET due_at = now() - interval '1 minute'")
    await give_back(db, made[1][1])  # its money went back otherwise
    async with db.transaction(SYSTEM) as conn:
        await orders.freeze(conn, [made[2][1]], "x")
    await answer_for_the_silent(db)
    states = [await refunds.bad_key_of(db, buyer, keys[0]) for buyer, _, keys in made]
    assert [s and s.state for s in states] == ["REFUNDED", "WITHDRAWN", "OPEN"]
    assert states[0] and states[0].answer == SILENT
    assert await amount_on(db, wallet_of(made[0][0].user(), "EUR")) == 10_000
    await whole(db)


async def test_a_report_in_time_or_not_at_all(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000, stock=2)
    buyer, _, keys = await sold(db, settings, shop)
    await reveal(db, buyer, keys[0])
    await owner.execute("UPDATE delivery.entitlement SET delivered_at = now() - interval '15 days'")
    with pytest.raises(ReportWindowOver):
        await refunds.report_bad_key(db, buyer, settings, keys[0], "Already used")
    with pytest.raises(NotFound):
        await refunds.report_bad_key(db, shop.owner, settings, keys[0], "Already used")


@pytest.mark.parametrize("policy", ["delivered_days", "revealed_hours", "confirmed"])
async def test_each_release_policy_is_kept_in_the_terms(db: Database, endpoints: object, policy: str) -> None:
    changed = make_settings(endpoints, release_policy=policy, release_hours=5)  # type: ignore[arg-type]
    shop = await make_shop(db, price=1000, stock=4)
    buyer, line, keys = await sold(db, changed, shop, 2)
    before = await line_of(db, line)
    assert before["terms"]["release"]["policy"] == policy and before["terms"]["refund"]["days"] == 14
    assert before["release_at"] - before["delivered_at"] == timedelta(days=3)
    assert "3 days" in orders.release_words(before["terms"])
    assert "14 days" in orders.refund_words(before["terms"])
    await reveal(db, buyer, keys[0])
    assert (await line_of(db, line))["release_at"] == before["release_at"]
    await reveal(db, buyer, keys[1])
    after = await line_of(db, line)
    lasts = after["release_at"] - after["delivered_at"]
    if policy == "revealed_hours":
        assert timedelta(hours=5) <= lasts < timedelta(hours=6)
        assert "5 hours" in orders.release_words(before["terms"])
    else:
        assert lasts == timedelta(days=3)


async def test_a_store_may_have_a_policy_of_its_own(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000, stock=4)
    await owner.execute(
        "UPDATE sellers.seller SET release = $2::text::jsonb WHERE id = $1",
        shop.seller_id,
        '{"policy": "confirmed", "version": 1, "days": 20, "hours": null}',
    )
    _, line, _ = await sold(db, settings, shop)
    row = await line_of(db, line)
    assert row["release_at"] - row["delivered_at"] == timedelta(days=20)
    assert orders.release_words(row["terms"]).endswith("20 days after the delivery.")


def test_lines_from_before_have_words_too() -> None:
    assert "3 days" in orders.release_words({"protection_days": 3})
    assert not orders.refund_words({"protection_days": 3})
    assert orders.refund_until({}, None) is None

"""Buying on credit: delivered at once, owed within the caps, paid by the next money, given up by rule."""

from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from fondaco import checks, credit, orders, refunds, wallets
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.credit import NoCreditOwed, NothingToPayWith, clock
from fondaco.credit.clock import sweep, write_off
from fondaco.ledger import platform, wallet_of
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import PriceChanged, PurchaseKeyReused, SoldOut
from fondaco.orders.on_credit import NoCredit, buy_on_credit
from fondaco.settings import Settings
from tests.credit.builders import TERMS, age, allow, events, owed, state_of, take
from tests.support.money import amount_on, give_money, journals, make_buyer, make_staff
from tests.support.shop import Shop, books, make_listing, make_shop, purchase, stock_of, whole


async def refused(db: Database, buyer: Viewer, shop: Shop, quantity: int = 1) -> str:
    """Why the buyer gets no credit for this."""
    with pytest.raises(NoCredit) as error:
        await take(db, buyer, shop.wish(quantity))
    assert "Nothing was charged" in error.value.detail
    because: str = error.value.extra["because"]
    return because


async def lines_of(db: Database, group_id: UUID) -> list[UUID]:
    rows = await db.fetch(
        SYSTEM,
        """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           WHERE o.group_id = $1 ORDER BY l.id""",
        group_id,
    )
    return [r["id"] for r in rows]


async def give_back(db: Database, line: UUID, amount: int | None = None) -> UUID:
    async with db.transaction(SYSTEM) as conn:
        return await refunds.refund_line(conn, line, amount, reason="other", why="because", actor="user:x")


async def open_one(db: Database, group_id: UUID, n: int = 1) -> None:
    """The buyer opens n of the purchase's keys."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT e.id, e.buyer_id FROM delivery.entitlement e JOIN orders.orders o ON o.id = e.order_id
           WHERE o.group_id = $1 AND e.revealed_at IS NULL ORDER BY e.id LIMIT $2""",
        group_id,
        n,
    )
    for row in rows:
        found = await db.fetch(
            SYSTEM, "SELECT * FROM delivery.reveal_unit($1, $2, '', '', 'user:x')", row["id"], row["buyer_id"]
        )
        assert found


async def sound(db: Database, settings: Settings) -> None:
    """The books and every mirror of them say the same."""
    await whole(db)
    await verified(db, settings)


async def verified(db: Database, settings: Settings) -> None:
    assert [str(f) for f in await checks.verify_all(db, settings)] == []


async def test_there_is_no_credit_until_finance_sets_a_policy(db: Database) -> None:
    shop, buyer = await make_shop(db, price=400, stock=2), await make_buyer(db)
    assert await refused(db, buyer, shop) == "off"
    finance = await allow(db)
    assert await credit.offer(db, buyer, "EUR", 400)
    await credit.end_policy(db, finance, "EUR")
    assert await credit.offer(db, buyer, "EUR", 400) is None
    assert await refused(db, buyer, shop) == "off"
    with pytest.raises(NotFound):
        await credit.end_policy(db, finance, "EUR")


async def test_what_is_bought_on_credit_is_delivered_at_once_and_owed(
    db: Database, settings: Settings
) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=2), await make_buyer(db)
    before = await books(db)
    group = await take(db, buyer, shop.wish())
    found = await orders.own_order_group(db, buyer, group)
    assert (found.state, found.pay_with, found.total) == ("DELIVERED", "instant_credit", 400)
    line = found.orders[0].lines[0]
    assert (line.escrow_state, len(line.entitlements)) == ("HELD", 1)
    after = await books(db)
    assert after["escrow"] - before.get("escrow", 0) == 400 and await owed(db, buyer) == 400
    assert (await journals(db, "credit_sale"))[-1] == f"credit:{line.id}"
    owing = await credit.own_credit(db, buyer)
    assert owing.owed == {"EUR": 400} and not owing.overdue and owing.credits[0].group_id == group
    assert (await stock_of(db, shop.listing_id)) == {"SOLD": 1, "AVAILABLE": 1}
    await sound(db, settings)


async def test_what_the_wallet_holds_pays_for_it_at_once(db: Database, settings: Settings) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=1), await make_buyer(db)
    await give_money(db, buyer.user(), 150)
    await take(db, buyer, shop.wish())
    assert await owed(db, buyer) == 250 and await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
    await sound(db, settings)


async def test_the_same_key_again_is_the_same_purchase(db: Database) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=3), await make_buyer(db)
    asked = purchase(buyer, shop.wish(), idem=uuid4().hex)
    first, again = await buy_on_credit(db, asked), await buy_on_credit(db, asked)
    assert again.again and first.group_id == again.group_id and await owed(db, buyer) == 400
    await give_money(db, buyer.user(), 5000)
    with pytest.raises(PurchaseKeyReused):
        await Combiner(db).buy(asked)


async def test_nothing_is_taken_when_it_cannot_be(db: Database, settings: Settings) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=300, stock=1), await make_buyer(db)
    with pytest.raises(PriceChanged):
        await take(db, buyer, shop.wish(price=200))
    await take(db, await make_buyer(db), shop.wish())
    with pytest.raises(SoldOut):
        await take(db, buyer, shop.wish())
    assert await owed(db, buyer) == 0
    await sound(db, settings)


async def test_the_caps_of_an_order_a_buyer_and_all_together(db: Database, settings: Settings) -> None:
    await allow(db, msgspec.structs.replace(TERMS, order_max=400, total_cap=700))
    shop = await make_shop(db, price=200, stock=20)
    one, two = await make_buyer(db), await make_buyer(db)
    assert await refused(db, one, shop, quantity=3) == "too_large"
    await take(db, one, shop.wish(2))
    assert await refused(db, one, shop) == "cap"
    await take(db, two, shop.wish())
    assert await refused(db, two, shop) == "full"
    assert await owed(db, one) == 400 and await owed(db, two) == 200
    assert (await stock_of(db, shop.listing_id)) == {"SOLD": 3, "AVAILABLE": 17}
    await sound(db, settings)


@pytest.mark.parametrize(
    ("tier", "may"), [("WARNING", 200), ("AT_RISK", 0), ("RESTRICTED", 0), ("BANNED", 0)]
)
async def test_the_tier_says_how_much(db: Database, tier: str, may: int) -> None:
    await allow(db)
    buyer = await make_buyer(db)
    await db.execute(
        SYSTEM,
        "INSERT INTO risk.standing (party, tier, rules) VALUES ($1, $2, '1')",
        f"user:{buyer.user_id}",
        tier,
    )
    assert bool(await credit.offer(db, buyer, "EUR", 200)) == bool(may)
    assert await credit.offer(db, buyer, "EUR", 201) is None


async def test_a_blocked_wallet_has_no_credit(db: Database) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=200, stock=5), await make_buyer(db)
    await take(db, buyer, shop.wish())
    async with db.transaction(SYSTEM) as conn:
        await wallets.stand(conn, buyer.user(), "WALLET_AT_RISK")
    assert await credit.offer(db, buyer, "EUR", 100) is None
    with pytest.raises(wallets.WalletAtRisk):
        await take(db, buyer, shop.wish())
    await give_money(db, buyer.user(), 1000)
    await sweep(db)
    assert await owed(db, buyer) == 200, "what a chargeback may need does not pay"


async def test_the_database_itself_keeps_the_caps(db: Database, owner: asyncpg.Connection) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=1), await make_buyer(db)
    await take(db, buyer, shop.wish())
    for sql, name in (
        ("UPDATE credit.buyer SET owed = owed + 200", "credit_cap"),
        ("UPDATE credit.total SET owed = owed + 10000 WHERE currency = 'EUR'", "credit_total_cap"),
    ):
        with pytest.raises(asyncpg.CheckViolationError) as error:
            await owner.execute(
                sql + (" AND true" if "WHERE" in sql else f" WHERE user_id = '{buyer.user_id}'")
            )
        assert error.value.constraint_name == name  # type: ignore[attr-defined]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(SYSTEM, "UPDATE credit.buyer SET owed = 0")


async def test_the_next_money_pays_the_soonest_due_first(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=200, stock=5), await make_buyer(db)
    first, second = await take(db, buyer, shop.wish()), await take(db, buyer, shop.wish())
    await age(owner, first, 1)
    with pytest.raises(NothingToPayWith):
        await credit.pay_now(db, buyer)
    await give_money(db, buyer.user(), 250)
    left = await credit.pay_now(db, buyer)
    assert left.owed == {"EUR": 150}
    assert (await state_of(db, first), await state_of(db, second)) == ("PAID", "OWED")
    await give_money(db, buyer.user(), 1000)
    await sweep(db)
    assert await state_of(db, second) == "PAID" and await owed(db, buyer) == 0
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 850
    with pytest.raises(NoCreditOwed):
        await credit.pay_now(db, buyer)
    await sound(db, settings)


async def test_a_refund_pays_what_is_owed_first(db: Database, settings: Settings) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=5), await make_buyer(db)
    group = await take(db, buyer, shop.wish())
    await give_money(db, buyer.user(), 100)
    await credit.pay_now(db, buyer)
    (line,) = await lines_of(db, group)
    await give_back(db, line, 200)
    assert await owed(db, buyer) == 100 and await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
    await give_back(db, line)
    assert await owed(db, buyer) == 0 and await amount_on(db, wallet_of(buyer.user(), "EUR")) == 100
    assert await state_of(db, group) == "PAID"
    await sound(db, settings)


async def test_a_refund_of_another_purchase_pays_too(db: Database, settings: Settings) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=5), await make_buyer(db)
    await give_money(db, buyer.user(), 400)
    paid = (await Combiner(db).buy(purchase(buyer, shop.wish()))).group_id
    group = await take(db, buyer, shop.wish())
    (line,) = await lines_of(db, paid)
    await give_back(db, line)
    assert await state_of(db, group) == "PAID" and await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
    await sound(db, settings)


async def test_reminders_go_out_once(db: Database, owner: asyncpg.Connection) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=5), await make_buyer(db)
    group = await take(db, buyer, shop.wish())
    before = len(await events(db))
    await sweep(db)
    assert len(await events(db)) == before
    await age(owner, group, 12)
    for _ in range(2):
        await sweep(db)
    assert (await events(db))[before:] == ["credit.due_soon"]
    await age(owner, group, 3)
    for _ in range(2):
        await sweep(db)
    assert (await events(db))[before:] == ["credit.due_soon", "credit.overdue"]
    assert (await credit.own_credit(db, buyer)).overdue and await refused(db, buyer, shop) == "overdue"


async def test_what_is_never_paid_is_written_off_once_and_sellers_keep_their_money(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=200, stock=5), await make_buyer(db)
    group = await take(db, buyer, shop.wish(2))
    await open_one(db, group)
    await age(owner, group, 43)
    assert await write_off(db, group) == 0, "a day too early"
    lost = await amount_on(db, platform("bad_debt", "EUR"))
    await age(owner, group, 1)
    await sweep(db)
    await sweep(db)
    assert await write_off(db, group) == 0 and await state_of(db, group) == "WRITTEN_OFF"
    assert await amount_on(db, platform("bad_debt", "EUR")) == lost + 400 and await owed(db, buyer) == 0
    found = (await orders.own_order_group(db, buyer, group)).orders[0].lines[0]
    assert len(found.entitlements) == 1, "what was opened stays, what was not is opened no more"
    assert (await stock_of(db, shop.listing_id))["AVAILABLE"] == 3, "the seller is paid: it is not sold again"
    await give_money(db, buyer.user(), 1000)
    assert await refused(db, buyer, shop) == "written_off"
    async with db.transaction(SYSTEM) as conn:
        assert await orders.release_lines(conn, await lines_of(db, group), "system") == 1
    await verified(db, settings)


async def test_a_refund_of_what_was_written_off_is_not_the_buyers(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=5), await make_buyer(db)
    await give_money(db, buyer.user(), 100)
    group = await take(db, buyer, shop.wish())
    await age(owner, group, 50)
    lost = await amount_on(db, platform("bad_debt", "EUR"))
    await sweep(db)
    (line,) = await lines_of(db, group)
    await give_back(db, line, 350)
    assert await amount_on(db, platform("bad_debt", "EUR")) == lost
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 50
    await give_back(db, line)
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 100, "what was paid came back, no more"
    await verified(db, settings)


async def test_an_open_case_stops_the_clock(db: Database, owner: asyncpg.Connection) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=5), await make_buyer(db)
    group = await take(db, buyer, shop.wish())
    await age(owner, group, 50)
    async with db.transaction(SYSTEM) as conn:
        await orders.freeze(conn, await lines_of(db, group), "system")
    await sweep(db)
    assert await state_of(db, group) == "OWED"
    async with db.transaction(SYSTEM) as conn:
        await orders.thaw(conn, await lines_of(db, group), "system")
    await sweep(db)
    assert await state_of(db, group) == "WRITTEN_OFF"


async def test_terms_that_cannot_be_are_refused_in_words(db: Database) -> None:
    finance = await make_staff(db, "finance")
    for change, field in (
        ({"order_max": 600}, "order_max"),
        ({"cap_warning": 501}, "cap_warning"),
        ({"total_cap": 400}, "total_cap"),
        ({"remind_days": 15}, "remind_days"),
        ({"reason": " "}, "reason"),
    ):
        with pytest.raises(Invalid) as error:
            await credit.set_policy(db, finance, msgspec.structs.replace(TERMS, **change))
        assert list(error.value.fields) == [field]
    assert not await credit.policies(db, finance)


async def test_another_policy_ends_the_first_and_debts_keep_their_terms(
    db: Database, owner: asyncpg.Connection
) -> None:
    finance = await allow(db)
    shop, buyer = await make_shop(db, price=400, stock=5), await make_buyer(db)
    group = await take(db, buyer, shop.wish())
    await credit.set_policy(
        db, finance, msgspec.structs.replace(TERMS, cap=100, order_max=100, cap_warning=0)
    )
    assert len(await credit.policies(db, finance)) == 1
    assert [p.cap for p in await credit.policies(db, finance, ended=True)] == [500]
    assert await refused(db, buyer, await make_shop(db, price=50, stock=1)) == "cap"
    await give_money(db, buyer.user(), 350)
    await credit.pay_now(db, buyer)
    assert await owed(db, buyer) == 50, "less is always fine"
    policy = await db.fetchval(
        SYSTEM,
        "SELECT write_off_days FROM credit.policy p JOIN credit.credit c "
        "ON c.policy_id = p.id WHERE c.group_id = $1",
        group,
    )
    assert policy == TERMS.write_off_days


async def test_the_desk_sees_who_owes_what_and_how_old_it_is(
    db: Database, owner: asyncpg.Connection, parts: object
) -> None:
    finance = await allow(db)
    shop = await make_shop(db, price=100, stock=9)
    listing = await make_listing(db, shop.seller_id, price=300, stock=1, currency="JPY")
    buyer = await make_buyer(db)
    old, _ = await take(db, buyer, shop.wish()), await take(db, buyer, shop.wish(2))
    await age(owner, old, 20)
    sums = await credit.credit_sums(db, finance)
    (one,) = [s for s in sums if s.currency == "EUR"]
    assert (one.owed, one.overdue, one.buyers, one.total_cap) == (300, 100, 1, TERMS.total_cap)
    assert one.ages == [200, 0, 100, 0, 0] and listing


async def test_one_that_cannot_be_moved_or_given_up_holds_up_no_other(
    db: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "BATCH", 1)
    await allow(db)
    shop = await make_shop(db, price=200, stock=9)
    buyers = [await make_buyer(db) for _ in range(3)]  # in the order of their ids
    groups = [await take(db, buyer, shop.wish()) for buyer in buyers]
    for buyer in buyers[:2]:
        await give_money(db, buyer.user(), 500)
    await owner.execute(
        "UPDATE ledger.account SET frozen = true WHERE kind = 'wallet' AND owner = $1",
        f"user:{buyers[0].user_id}",
    )
    await sweep(db)
    assert [await owed(db, buyer) for buyer in buyers] == [200, 0, 200]
    kept = await take(db, buyers[1], shop.wish())
    assert await owed(db, buyers[1]) == 0, "paid at once"
    for group in (groups[0], groups[2]):
        await age(owner, group, 50)
    await sweep(db)
    states = [await state_of(db, group) for group in (groups[0], kept, groups[2])]
    assert states == ["OWED", "PAID", "WRITTEN_OFF"]

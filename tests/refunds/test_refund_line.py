"""Money of a line goes back: before and after release, in parts, to the cent, and the goods with it."""

from uuid import UUID

import asyncpg
import pytest

from fondaco import audit, checks, orders, refunds
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.money import share
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.ledger import (
    platform,
    seller_available_of,
    seller_pending_of,
    seller_receivable_of,
    wallet_of,
)
from fondaco.orders.combiner import Combiner
from fondaco.orders.jobs import mature_due
from fondaco.refunds import FrozenByCase, NoSource, NotRefundable, RefundAboveRest
from fondaco.settings import Settings
from tests.support.money import amount_on, give_money, journals, make_buyer
from tests.support.shop import Shop, make_shop, purchase, states, stock_of, whole


async def sold(db: Database, shop: Shop, quantity: int = 1) -> tuple[Viewer, UUID, UUID]:
    """Somebody with 100.00 buys; the buyer, the group's id and the line's."""
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    bought = await Combiner(db).buy(purchase(buyer, shop.wish(quantity)))
    line = await db.fetchval(
        SYSTEM,
        """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           WHERE o.group_id = $1""",
        bought.group_id,
    )
    return buyer, bought.group_id, line


async def give_back(db: Database, line: UUID, amount: int | None = None, **changes: object) -> UUID:
    values: dict[str, object] = {"reason": "other", "why": "because", "actor": "user:test"}

    async def work(conn: object) -> UUID:
        return await refunds.refund_line(conn, line, amount, **{**values, **changes})  # type: ignore[arg-type]

    return await db.run(SYSTEM, work)


async def release(db: Database, *lines: UUID) -> None:
    async with db.transaction(SYSTEM) as conn:
        await orders.release_lines(conn, lines, "system")


async def mature(db: Database, parts: Parts, owner: asyncpg.Connection) -> None:
    await owner.execute("UPDATE orders.order_line SET matures_at = now() - interval '1 hour'")
    await mature_due(parts)


async def line_of(db: Database, line: UUID) -> asyncpg.Record:
    row = await db.fetchrow(SYSTEM, "SELECT * FROM orders.order_line WHERE id = $1", line)
    assert row
    return row


async def entitlements(db: Database, line: UUID) -> list[asyncpg.Record]:
    return await db.fetch(SYSTEM, "SELECT * FROM delivery.entitlement WHERE line_id = $1 ORDER BY id", line)


async def reveal(db: Database, buyer: Viewer, entitlement: UUID) -> int:
    rows = await db.fetch(
        buyer.as_user,
        "SELECT * FROM delivery.reveal_unit($1, $2, '127.0.0.1', 'test', 'user:test')",
        entitlement,
        buyer.user(),
    )
    return len(rows)


async def no_faults(db: Database, settings: Settings) -> None:
    assert [str(f) for f in await checks.verify_all(db, settings)] == []
    await whole(db)


async def test_all_of_it_before_release(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    buyer, group, line = await sold(db, shop, 2)
    await give_back(db, line)
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 10_000
    assert await states(db, group) == {("REFUNDED", "REFUNDED", "REFUNDED")}
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 3}  # nobody had opened them
    assert all(e["revoked_at"] and e["back_at"] for e in await entitlements(db, line))
    assert [await reveal(db, buyer, e["id"]) for e in await entitlements(db, line)] == [0, 0]
    assert await amount_on(db, platform("commission", "EUR")) == 0
    with pytest.raises(NotRefundable):
        await give_back(db, line, 1)
    events = await audit.history(db, SYSTEM, [f"order:{(await line_of(db, line))['order_id']}"])
    assert [e.kind for e in events] == ["order.delivered", "line.refunded", "order.refunded"]
    await whole(db)


async def test_what_came_back_unseen_is_sold_again(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=1)
    _, _, line = await sold(db, shop)
    await give_back(db, line)
    other, _, again = await sold(db, shop)
    (one,) = await entitlements(db, again)
    assert one["unit_id"] == (await entitlements(db, line))[0]["unit_id"]
    assert await reveal(db, other, one["id"]) == 1
    await give_back(db, again)
    assert await stock_of(db, shop.listing_id) == {"CONSUMED": 1}
    await whole(db)


async def test_a_part_then_the_rest_is_released(db: Database, parts: Parts, settings: Settings) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    buyer, group, line = await sold(db, shop)
    await give_back(db, line, 700)
    row = await line_of(db, line)
    net = 1999 - 199
    assert (row["refunded"], row["refunded_commission"]) == (700, share(700, [net, 199, 0])[1])
    assert row["escrow_state"] == "HELD" and row["delivery_state"] == "DELIVERED"
    await release(db, line)
    assert await states(db, group) == {("COMPLETED", "DELIVERED", "SPLIT")}
    left = 199 - row["refunded_commission"]
    assert await amount_on(db, platform("commission", "EUR")) == left
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 1299 - left
    await give_back(db, line)  # and the rest, after its release
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 10_000
    assert await amount_on(db, platform("commission", "EUR")) == 0
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 0
    assert await states(db, group) == {("REFUNDED", "REFUNDED", "SPLIT")}
    await no_faults(db, settings)


async def test_after_payout_the_seller_owes_it_and_the_next_sale_pays(
    db: Database, parts: Parts, owner: asyncpg.Connection, settings: Settings
) -> None:
    shop = await make_shop(db, price=1000, stock=9)
    buyer, group, line = await sold(db, shop)
    await release(db, line)
    await mature(db, parts, owner)
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 900
    async with db.transaction(SYSTEM) as conn:  # 600 of the 900 are paid out
        await conn.fetchval(
            """SELECT ledger.post('payout_intent', 'po:test', 'x', 'x', ARRAY[
                 ledger.open_account('seller_available', $1, 'EUR'),
                 ledger.open_account('payout_in_flight', 'payout:test', 'EUR')], ARRAY[600, -600])""",
            f"seller:{shop.seller_id}",
        )
    await give_back(db, line)
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 10_000
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 0
    assert await amount_on(db, seller_receivable_of(shop.seller_id, "EUR")) == 600
    assert await states(db, group) == {("REFUNDED", "REFUNDED", "RELEASED")}
    _, _, second = await sold(db, shop)
    await release(db, second)
    assert await amount_on(db, seller_receivable_of(shop.seller_id, "EUR")) == 0
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 300
    await mature(db, parts, owner)
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 300
    await whole(db)


async def test_a_line_that_matures_pays_with_its_own_money(
    db: Database, parts: Parts, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000, stock=9)
    lines = [(await sold(db, shop))[2] for _ in range(2)]
    await release(db, lines[0])
    await mature(db, parts, owner)
    await release(db, lines[1])
    await give_back(db, lines[1], 500)  # of what is pending
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 450
    await give_back(db, lines[0], 500)  # matured: of what is payable
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 450
    await mature(db, parts, owner)
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 0
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 900
    await whole(db)


async def test_never_more_than_it_cost(db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=3)
    _, _, line = await sold(db, shop)
    for amount in (0, -1, 1001):
        with pytest.raises(RefundAboveRest, match=r"€10\.00"):
            await give_back(db, line, amount)
    await give_back(db, line, 600)
    with pytest.raises(RefundAboveRest, match=r"€4\.00"):
        await give_back(db, line, 401)
    await give_back(db, line, 400)
    assert len(await journals(db, "refund_line")) == 2
    with pytest.raises(NotFound):
        await give_back(db, uuid7())


async def test_a_wallet_purchase_has_no_source(db: Database) -> None:
    shop = await make_shop(db, stock=3)
    _, _, line = await sold(db, shop)
    with pytest.raises(NoSource):
        await give_back(db, line, to="source")
    assert not await journals(db, "refund_line")


async def test_frozen_money_stays_until_the_case_decides(db: Database, parts: Parts) -> None:
    shop = await make_shop(db, price=1000, stock=3)
    buyer, group, line = await sold(db, shop)
    async with db.transaction(SYSTEM) as conn:
        assert await orders.freeze(conn, [line], "user:test") == [line]
        assert await orders.freeze(conn, [line], "user:test") == []
    before = (await line_of(db, line))["release_at"]
    with pytest.raises(FrozenByCase):
        await give_back(db, line)
    await orders.confirm_delivery(db, buyer, group)  # changes nothing now
    assert await states(db, group) == {("DELIVERED", "DELIVERED", "FROZEN")}
    async with db.transaction(SYSTEM) as conn:
        assert await orders.thaw(conn, [line], "user:test") == [line]
    assert (await line_of(db, line))["release_at"] > before
    async with db.transaction(SYSTEM) as conn:
        await orders.freeze(conn, [line], "user:test")
    await give_back(db, line, 250, even_frozen=True)
    async with db.transaction(SYSTEM) as conn:
        assert await orders.release_lines(conn, [line], "user:test") == 1
    assert await states(db, group) == {("COMPLETED", "DELIVERED", "SPLIT")}
    await whole(db)


async def test_seen_keys_stay_seen_and_bad_ones_are_never_sold_again(db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=6)
    buyer, _, line = await sold(db, shop, 3)
    seen = (await entitlements(db, line))[0]
    assert await reveal(db, buyer, seen["id"]) == 1
    await give_back(db, line)
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 5, "CONSUMED": 1}
    other, _, bad = await sold(db, shop, 2)
    await reveal(db, other, (await entitlements(db, bad))[0]["id"])
    await give_back(db, bad, reason="bad_code")
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 3, "CONSUMED": 1, "INVALID": 2}
    await whole(db)


async def test_part_of_the_units_of_a_line(db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=3)
    _, _, line = await sold(db, shop, 3)
    one = (await entitlements(db, line))[1]["id"]
    await give_back(db, line, 1000, entitlements=[one])
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 1, "SOLD": 2}
    assert [bool(e["revoked_at"]) for e in await entitlements(db, line)] == [False, True, False]
    await give_back(db, line, keep=True)  # goodwill: the rest stays theirs
    assert [bool(e["revoked_at"]) for e in await entitlements(db, line)] == [False, True, False]


async def test_the_row_s_constraint_holds_without_the_verb(db: Database, owner: asyncpg.Connection) -> None:
    shop = await make_shop(db, price=1000, stock=3)
    _, _, line = await sold(db, shop)
    for change in ("refunded = 1001", "refunded_commission = 101", "refunded = 950", "refunded_tax = 1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute(f"UPDATE orders.order_line SET {change} WHERE id = $1", line)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(SYSTEM, "UPDATE refunds.refund SET amount = 1")

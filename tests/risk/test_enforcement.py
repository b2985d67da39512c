"""The one table of what each tier forbids, cell by cell: whatever it says is what the product does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fondaco import cases, delivery, orders, refunds
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Problem
from fondaco.core.viewer import Viewer
from fondaco.inventory.quarantine import quarantined, settle_quarantine
from fondaco.orders import Combiner
from fondaco.orders.jobs import mature_due
from fondaco.risk import ENFORCEMENT, Limits, Tier, TierForbids
from fondaco.risk.acting import decide_by_hand
from fondaco.settings import Settings
from tests.support.goods import add_keys
from tests.support.goods import make_listing as make_goods
from tests.support.money import give_money, make_buyer, make_staff
from tests.support.shop import Shop, make_shop, pay, place, purchase


async def put(db: Database, party: str, tier: Tier) -> None:
    """Into a tier, in one step from NORMAL, as two people or the rules could."""
    if tier is Tier.NORMAL:
        return

    async def work(conn: Connection) -> None:
        await decide_by_hand(conn, party, tier, actor="user:test", note="for a test", two=True)

    await db.run(SYSTEM, work)


@dataclass
class World:
    """A store with stock, somebody who buys, and what a probe needs."""

    db: Database
    owner: asyncpg.Connection
    settings: Settings
    parts: Any
    shop: Shop
    buyer: Viewer
    limits: Limits

    async def buys(self, units: int = 1) -> UUID:
        bought = await Combiner(self.db).buy(purchase(self.buyer, self.shop.wish(units)))
        return await self.db.fetchval(
            SYSTEM,
            """SELECT l.id FROM orders.orders o JOIN orders.order_line l ON l.order_id = o.id
               WHERE o.group_id = $1""",
            bought.group_id,
        )


@pytest.fixture
async def world(db: Database, owner: asyncpg.Connection, settings: Settings, parts: Any) -> World:
    shop = await make_shop(db, price=100, stock=40, max_per_order=30)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 100_000)
    return World(db, owner, settings, parts, shop, buyer, Limits())


async def refused(act: Awaitable[object], *codes: str) -> bool:
    try:
        await act
    except Problem as problem:
        if problem.code not in codes:
            raise
        return True
    return False


async def buys(w: World) -> None:
    for act in (w.buys(), place(w.db, w.buyer, w.shop.wish())):
        assert await refused(act, "tier_forbids") is not w.limits.buys


async def units_per_day(w: World) -> None:
    most = w.limits.units_per_day
    if not w.limits.buys:
        return
    if most is None:
        await w.buys(30)
        return
    await w.buys(most - 1)
    assert await refused(w.buys(2), "too_many_today")
    await w.buys(1)
    assert await refused(w.buys(1), "too_many_today")
    assert await refused(place(w.db, w.buyer, w.shop.wish()), "too_many_today")


async def open_cases(w: World) -> None:
    most = w.limits.open_cases
    rows = await w.db.fetch(
        SYSTEM, "SELECT id FROM orders.orders WHERE buyer_id = $1 ORDER BY id", w.buyer.user()
    )
    assert len(rows) == 3
    opened = 0
    for row in rows:
        lines = await w.db.fetch(SYSTEM, "SELECT id FROM orders.order_line WHERE order_id = $1", row["id"])
        act = cases.open_case(
            w.db,
            w.settings,
            w.buyer,
            row["id"],
            line_ids=[r["id"] for r in lines],
            reason="NOT_WORKING",
            text="It does not work.",
        )
        opened += not await refused(act, "tier_forbids")
    assert opened == (3 if most is None else min(3, most))


async def reveal_after_minutes(w: World) -> None:
    """Bought with a card a moment ago; opened before stays open."""
    entitlement = await w.db.fetchval(
        SYSTEM, "SELECT id FROM delivery.entitlement WHERE buyer_id = $1 LIMIT 1", w.buyer.user()
    )
    rows = await w.db.called(
        "SELECT wait, unit_id FROM delivery.reveal_within($1, $2, '::1', 'test', 'test', false, 30, 60)",
        entitlement,
        w.buyer.user(),
    )
    minutes = w.limits.reveal_after_minutes
    if minutes:
        assert -minutes * 60 <= rows[0]["wait"] < -(minutes - 5) * 60 and rows[0]["unit_id"] is None
        with pytest.raises(TierForbids):
            await delivery.reveal(w.db, w.parts.get(_vault()), w.buyer, entitlement)
        await w.owner.execute("UPDATE wallets.funding SET succeeded_at = now() - interval '61 minutes'")
        rows = await w.db.called(
            "SELECT wait FROM delivery.reveal_within($1, $2, '::1', 'test', 'test', false, 30, 60)",
            entitlement,
            w.buyer.user(),
        )
    assert rows[0]["wait"] == 0


async def source_only(w: World) -> None:
    line = await w.db.fetchval(
        SYSTEM,
        """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           JOIN wallets.funding f ON f.group_id = o.group_id WHERE l.buyer_id = $1""",
        w.buyer.user(),
    )

    async def work(conn: Connection) -> None:
        await refunds.refund_line(conn, line, reason="other", why="because", actor="user:test")

    await w.db.run(SYSTEM, work)
    sent = await w.db.fetchval(
        SYSTEM, "SELECT count(*) FROM wallets.refund WHERE user_id = $1", w.buyer.user()
    )
    assert sent == int(w.limits.source_only)


async def hidden(w: World) -> None:
    shown = await w.db.fetchval(
        SYSTEM, "SELECT count(*) FROM catalog.on_sale WHERE id = $1", w.shop.listing_id
    )
    assert shown == int(not w.limits.hidden)
    assert await refused(w.buys(), "not_for_sale") is w.limits.hidden


async def maturity_days(w: World) -> None:
    line = await w.db.fetchval(SYSTEM, "SELECT id FROM orders.order_line LIMIT 1")
    async with w.db.transaction(SYSTEM) as conn:
        await orders.release_lines(conn, [line], "system")
    days = await w.db.fetchval(
        SYSTEM,
        "SELECT extract(day FROM matures_at - released_at)::int FROM orders.order_line WHERE id = $1",
        line,
    )
    usual = await w.db.fetchval(
        SYSTEM, "SELECT (terms->>'maturity_days')::int FROM orders.order_line WHERE id = $1", line
    )
    assert days == max(usual, w.limits.maturity_days)


async def reserve_bps(w: World) -> None:
    line = await w.db.fetchval(SYSTEM, "SELECT id FROM orders.order_line LIMIT 1")
    async with w.db.transaction(SYSTEM) as conn:
        await orders.release_lines(conn, [line], "system")
    await w.owner.execute("UPDATE orders.order_line SET matures_at = now() WHERE id = $1", line)
    await mature_due(w.parts)
    kept = await w.db.fetchval(SYSTEM, "SELECT coalesce(sum(amount), 0)::int FROM payouts.reserve")
    net = await w.owner.fetchval(
        "SELECT orders.seller_part(l)::int FROM orders.order_line l WHERE id = $1",
        line,
    )
    assert kept == net * w.limits.reserve_bps // 10_000


async def payouts(w: World) -> None:
    gates = await w.db.fetchval(SYSTEM, "SELECT payouts.gates($1, 'EUR')", w.shop.owner.seller())
    assert ("risk" in gates) is not w.limits.payouts


async def quarantine(w: World) -> None:
    seller = w.shop.owner
    listing = await make_goods(w.db, seller, state="DRAFT")
    batch = await add_keys(w.db, w.parts.get(_vault()), seller, listing, 3)
    states = await w.db.fetch(
        SYSTEM, "SELECT DISTINCT state FROM inventory.stock_unit WHERE batch_id = $1", batch.id
    )
    assert [r["state"] for r in states] == (["QUARANTINED"] if w.limits.quarantine else ["AVAILABLE"])
    if w.limits.quarantine:
        ops = await make_staff(w.db, "ops")
        assert [q.units for q in await quarantined(w.db, ops)] == [3]
        assert await settle_quarantine(w.db, ops, batch.id, good=True) == 3
        assert not await quarantined(w.db, ops)


def _vault() -> type:
    from fondaco.vault import Vault

    return Vault


PROBES: dict[str, dict[str, Callable[[World], Awaitable[None]]]] = {
    "user": {
        "buys": buys,
        "units_per_day": units_per_day,
        "open_cases": open_cases,
        "reveal_after_minutes": reveal_after_minutes,
        "source_only": source_only,
    },
    "seller": {
        "hidden": hidden,
        "maturity_days": maturity_days,
        "reserve_bps": reserve_bps,
        "payouts": payouts,
        "quarantine": quarantine,
    },
}
CELLS = [(side, tier, name) for side, tier in ENFORCEMENT for name in PROBES[side]]
BY_CARD = ("reveal_after_minutes", "source_only")
BEFORE = {"open_cases": 3, "maturity_days": 1, "reserve_bps": 1}


def test_every_column_has_a_probe() -> None:
    assert {name for probes in PROBES.values() for name in probes} == set(Limits.__slots__)


@pytest.mark.parametrize(("side", "tier", "name"), CELLS)
async def test_each_cell_is_what_the_product_does(world: World, side: str, tier: Tier, name: str) -> None:
    world.limits = ENFORCEMENT[side, tier]
    if name in BY_CARD:
        await pay(world.db, await place(world.db, world.buyer, world.shop.wish()))
    for _ in range(BEFORE.get(name, 0)):
        await world.buys()
    who = world.shop.owner.seller() if side == "seller" else world.buyer.user()
    await put(world.db, f"{side}:{who}", tier)
    await PROBES[side][name](world)

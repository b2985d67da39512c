"""What waits, with clocks, for whom it is; and the figures of the last weeks."""

import asyncio
from datetime import timedelta

from fondaco import audit, console
from fondaco.console.model import Queue
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.ledger import platform, post
from tests.support.money import Till, make_buyer, make_staff
from tests.support.shop import make_shop, place
from tests.support.story import tell


async def waiting(db: Database, viewer: Viewer) -> dict[str, Queue]:
    return {q.key: q for q in await console.queues(db, viewer)}


async def test_an_empty_house_waits_for_nothing(db: Database) -> None:
    found = await waiting(db, await make_staff(db, "admin"))
    assert {q.tone for q in found.values()} == {"good"} and not any(q.count for q in found.values())


async def test_unpaid_orders_have_a_clock_and_late_ones_are_bad(db: Database) -> None:
    shop, support = await make_shop(db, stock=3), await make_staff(db, "support")
    await place(db, await make_buyer(db), shop.wish())
    first = (await waiting(db, support))["unpaid"]
    assert (first.count, first.unit, first.tone) == (1, "order", "wait")
    assert first.due and timedelta(minutes=25) < first.due - now() < timedelta(minutes=35)
    await place(db, await make_buyer(db), shop.wish(), minutes=-10)
    late = (await waiting(db, support))["unpaid"]
    assert (late.count, late.unit, late.tone) == (2, "orders", "bad")


async def test_suspense_is_told_to_those_who_keep_the_books(db: Database) -> None:
    async with db.transaction(SYSTEM) as conn:
        await post(
            conn,
            "suspense",
            idem="suspense:test",
            ref="event:evt_test",
            actor="stripe",
            legs=[(platform("psp_clearing", "EUR"), 700), (platform("suspense", "EUR"), -700)],
        )
    found = (await waiting(db, await make_staff(db, "finance")))["suspense_eur"]
    assert (found.count, found.unit, found.tone) == (700, "EUR", "bad") and found.oldest
    assert "suspense_eur" not in await waiting(db, await make_staff(db, "support"))


async def test_unsealed_events_count_until_they_are_sealed(till: Till) -> None:
    async with till.db.transaction(SYSTEM) as conn:
        await audit.record(conn, "user.verified", "user:x", "system")
    admin = await make_staff(till.db, "admin")
    assert (await waiting(till.db, admin))["unsealed"].count == 1
    await audit.seal(till.db, till.settings)
    assert (await waiting(till.db, admin))["unsealed"].count == 0


async def test_each_desk_sees_its_own_queues(db: Database) -> None:
    seen = {role: set(await waiting(db, await make_staff(db, role))) for role in ("support", "finance")}
    assert "mails_undeliverable" in seen["support"] and "mails_undeliverable" not in seen["finance"]
    assert "events_dead" in seen["finance"] and "events_dead" not in seen["support"]


async def test_figures_come_from_the_orders(till: Till) -> None:
    story = await tell(till)
    admin = await make_staff(till.db, "admin")
    days = await console.paid_per_day(till.db, admin, "EUR")
    assert len(days) == 30 and days[-1].day == now().date()
    assert (days[-1].orders, days[-1].total) == (1, story.group.total)
    assert sum(d.orders for d in days) == 1
    assert sum(d.orders for d in await console.paid_per_day(till.db, admin, "USD")) == 0


async def test_latency_is_from_the_word_arriving_to_the_delivery(till: Till) -> None:
    await tell(till)
    admin = await make_staff(till.db, "admin")
    latency = await console.delivery_latency(till.db, admin)
    assert latency.orders == 1 and 0 <= latency.p50_ms == latency.p95_ms < 60_000
    await till.db.execute(
        SYSTEM, "UPDATE inbox.event SET received_at = received_at - interval '9 seconds' WHERE id > 0"
    )
    slower = await console.delivery_latency(till.db, admin)
    assert slower.p50_ms - latency.p50_ms >= 9000


async def test_a_listing_is_paused_once_for_one_reason(db: Database) -> None:
    shop, ops = await make_shop(db, stock=1), await make_staff(db, "ops")
    await asyncio.gather(
        *(console.pause_listing(db, ops, shop.listing_id, because="Not as described") for _ in range(5))
    )
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM audit.event WHERE kind = 'listing.paused'") == 1

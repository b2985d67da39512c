"""Mails about payouts: paid with what for, failed with what to do, waiting with why; once each."""

import asyncpg

from fondaco import payouts
from fondaco.core.db import SYSTEM, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from fondaco.payouts.batch import run_due
from fondaco.settings import Settings
from tests.support.money import Till, make_staff
from tests.support.payouts import earn, paid_shop, paying, payouts_of
from tests.support.people import make_member
from tests.support.shop import make_shop


async def letters(db: Database, parts: Parts) -> list[Record]:
    """The mails about payouts, oldest first."""
    await read_events(parts)
    return await db.fetch(
        SYSTEM, "SELECT * FROM notifications.mail WHERE template LIKE 'payout%' ORDER BY created_at, template"
    )


async def test_paid_names_what_for(till: Till, parts: Parts, owner: asyncpg.Connection) -> None:
    one = await paying(till, owner)
    await make_member(one.db, one.shop.owner, "finance")
    await make_member(one.db, one.shop.owner, "fulfilment")
    payout = await one.withdraw()
    assert await letters(one.db, parts) == []
    await one.send(payout)
    await one.till.deliver_all()
    found = await letters(one.db, parts)
    assert [m["template"] for m in found] == ["payout_sent"] * 2  # owner and finance
    number = await one.db.fetchval(SYSTEM, "SELECT number FROM orders.orders LIMIT 1")
    assert "€18.00" in found[0]["subject"]
    assert number in found[0]["plain"]
    assert "€9.00" in found[0]["plain"]
    assert len(await letters(one.db, parts)) == 2


async def test_failed_says_what_to_do(till: Till, parts: Parts, owner: asyncpg.Connection) -> None:
    one = await paying(till, owner)
    till.sandbox.post("/sandbox/payout", currency="eur")
    await one.send(await one.withdraw())
    (mail,) = await letters(one.db, parts)
    assert mail["template"] == "payout_failed"
    assert "goes out with the next payout" in mail["plain"]


async def test_waiting_says_why_once(
    db: Database, parts: Parts, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000)
    await earn(db, owner, shop)
    await run_due(db, settings)
    (mail,) = await letters(db, parts)
    assert mail["template"] == "payout_waits"
    assert "You have not set up where the money goes." in mail["plain"]
    await owner.execute("UPDATE payouts.run SET batch_date = batch_date - 1")
    await owner.execute("UPDATE payouts.withheld SET batch_date = batch_date - 1")
    await run_due(db, settings)
    assert len(await letters(db, parts)) == 1


async def test_held_and_cancelled(
    db: Database, parts: Parts, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner)
    await payouts.withdraw(db, settings, shop.owner, uuid7(), amount=None, currency="EUR")
    (payout,) = await payouts_of(db, shop)
    staff = await make_staff(db, "finance")
    await payouts.hold(db, staff, payout["id"], "we look at the last sales")
    await payouts.cancel(db, staff, payout["id"], "the bank account is wrong")
    two, one = await letters(db, parts)  # of one moment, by name
    assert (one["template"], two["template"]) == ("payout_waits", "payout_failed")
    assert "we look at the last sales" in one["plain"]
    assert "the bank account is wrong" in two["plain"] and "cancelled" in two["subject"]

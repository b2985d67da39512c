"""Why money is held: over random histories the parts of each bucket are what the ledger has, to the cent."""

import random
from collections import defaultdict
from uuid import UUID, uuid4

import asyncpg
import pytest

from fondaco import orders, payouts, refunds
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Problem
from fondaco.ledger import AccountRef
from fondaco.orders.combiner import Combiner
from fondaco.settings import Settings
from fondaco.statements import held
from fondaco.statements.held import explained
from tests.support.money import amount_on, give_money, make_buyer
from tests.support.payouts import activate, mature
from tests.support.shop import Shop, make_shop, purchase


async def sums(db: Database, settings: Settings, shop: Shop) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for currency in await explained(db, settings, shop.owner):
        assert currency.currency == "EUR"
        for part in currency.parts:
            assert part.amount != 0 and part.reason in held.WORDS
            found[part.bucket] += part.amount
    return found


async def books(db: Database, shop: Shop) -> dict[str, int]:
    owner = f"seller:{shop.seller_id}"
    told = {
        kind.removeprefix("seller_"): await amount_on(db, AccountRef(kind, owner, "EUR"))
        for kind in ("seller_pending", "seller_available", "seller_reserve")
    }
    told["debt"] = -await amount_on(db, AccountRef("seller_receivable", owner, "EUR"))
    told["held"] = await db.fetchval(
        SYSTEM,
        """SELECT coalesce(sum(total - commission - tax
             - refunded + refunded_commission + refunded_tax), 0)::bigint
           FROM orders.order_line l
           WHERE l.escrow_state IN ('HELD', 'FROZEN')""",
    )
    told["in_flight"] = await db.fetchval(
        SYSTEM,
        "SELECT coalesce(sum(amount), 0)::bigint FROM ledger.account_balance WHERE kind = 'payout_in_flight'",
    )
    return {bucket: amount for bucket, amount in told.items() if amount}


def refused(problem: Problem) -> None:
    """A plain refusal, not a failure."""
    assert problem.status < 500, problem


async def act(
    db: Database, settings: Settings, shop: Shop, owner: asyncpg.Connection, chance: random.Random
) -> None:
    """One thing that happens to a store."""
    lines = [r["id"] for r in await db.fetch(SYSTEM, "SELECT id FROM orders.order_line ORDER BY id")]
    what = chance.choice(("buy", "buy", "release", "mature", "refund", "refund", "freeze", "withdraw"))
    line: UUID | None = chance.choice(lines) if lines else None
    if what == "buy":
        buyer = await make_buyer(db)
        await give_money(db, buyer.user(), 10_000)
        await Combiner(db).buy(purchase(buyer, shop.wish(chance.randint(1, 3))))
    elif what == "mature":
        await owner.execute("UPDATE orders.order_line SET matures_at = now() WHERE id = $1", line)
        await mature(db)
    elif what == "withdraw":
        try:
            await payouts.withdraw(db, settings, shop.owner, uuid4(), amount=None, currency="EUR")
        except Problem as problem:
            refused(problem)
    elif line is not None:

        async def work(conn: Connection) -> None:
            if what == "release":
                await orders.release_lines(conn, [line], "system")
            elif what == "freeze":
                await orders.freeze(conn, [line], "system")
            else:
                how = {"reason": "goodwill", "why": "w", "actor": "system", "even_frozen": True}
                await refunds.refund_line(conn, line, chance.choice((None, 1, 333)), **how)

        try:
            await db.run(SYSTEM, work)
        except Problem as problem:
            refused(problem)


@pytest.mark.parametrize("seed", range(4))
async def test_every_cent_is_explained(
    db: Database, settings: Settings, owner: asyncpg.Connection, seed: int
) -> None:
    shop = await make_shop(db, price=1777, stock=60)
    await activate(db, shop.seller_id)
    chance = random.Random(seed)
    for _ in range(25):
        await act(db, settings, shop, owner, chance)
        assert await sums(db, settings, shop) == await books(db, shop)


async def test_what_is_too_long_to_list_is_one_part(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "SHOWN", 2)
    shop = await make_shop(db, price=1000, stock=5)
    for _ in range(5):
        buyer = await make_buyer(db)
        await give_money(db, buyer.user(), 10_000)
        await Combiner(db).buy(purchase(buyer, shop.wish()))
    [found] = await explained(db, settings, shop.owner)
    told = [(p.reason, p.amount) for p in found.parts]
    assert told == [("protection", 900), ("protection", 900), ("protection", 2700)]
    assert found.parts[-1].what == "All others" and found.total == 4500

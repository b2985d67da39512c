"""Cases and risk: what a case says about its parties, and how many somebody at risk may have open."""

import asyncio

import asyncpg
import pytest

from fondaco import cases, risk
from fondaco.cases import sweep
from fondaco.core.db import SYSTEM, Database
from fondaco.orders import Combiner
from fondaco.settings import Settings
from tests.cases.steps import Sale, bring, make_sale, wind
from tests.support.money import give_money
from tests.support.shop import purchase


async def signals(sale: Sale) -> set[tuple[str, str]]:
    rows = await sale.db.fetch(SYSTEM, "SELECT party, kind FROM risk.signal WHERE kind LIKE 'case.%'")
    return {(r["party"].split(":")[0], r["kind"]) for r in rows}


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("WON", {("user", "case.groundless")}),
        ("LOST", {("seller", "case.lost")}),
        ("withdraw", {("user", "case.withdrawn")}),
        ("silent", {("seller", "case.lost"), ("seller", "case.silent")}),
        ("split", set[tuple[str, str]]()),
    ],
)
async def test_what_a_case_says_of_its_parties(
    sale: Sale, owner: asyncpg.Connection, ending: str, told: set[tuple[str, str]]
) -> None:
    case_id = await sale.open()
    if ending == "withdraw":
        await cases.withdraw(sale.db, sale.buyer, case_id)
    elif ending == "silent":
        await bring(sale, case_id, "NEEDS_RESPONSE", "seller")
        await wind(owner, hours=80)
        await sweep(sale.db)
    elif ending == "split":
        await bring(sale, case_id, "UNDER_REVIEW")
        await cases.decide(
            sale.db, sale.finance, case_id, outcome="SPLIT", text="Shared.", amounts={sale.line_id: 9}
        )
    else:
        await bring(sale, case_id, ending)
    assert await signals(sale) == told


async def test_a_buyer_at_risk_has_one_open_case(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    sale = await make_sale(db, settings)
    await give_money(db, sale.buyer.user(), 10_000)
    await Combiner(db).buy(purchase(sale.buyer, sale.shop.wish()))
    rows = await db.fetch(SYSTEM, "SELECT id FROM orders.orders WHERE buyer_id = $1", sale.buyer.user())
    async with db.transaction(SYSTEM) as conn:
        await risk.signal(conn, f"user:{sale.buyer.user()}", "chargeback.opened", "chargeback:1")
        assert await risk.look(conn, f"user:{sale.buyer.user()}") is risk.Tier.AT_RISK
    barrier = asyncio.Barrier(2)

    async def one(order_id: object) -> int:
        await barrier.wait()
        try:
            await cases.open_case(
                db,
                settings,
                sale.buyer,
                order_id,
                reason="OTHER",
                text="It is wrong.",  # type: ignore[arg-type]
            )
        except risk.TierForbids:
            return 0
        return 1

    assert sum(await asyncio.gather(*(one(r["id"]) for r in rows))) == 1

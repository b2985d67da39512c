"""Builders for tests about cases: a sale, a case about it, people of the staff, and the clock wound on."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from fondaco import cases
from fondaco.cases import Acting
from fondaco.core.db import SYSTEM, Database, Record
from fondaco.core.viewer import Viewer
from fondaco.orders.combiner import Combiner
from fondaco.settings import Settings
from tests.support.money import give_money, make_buyer, make_staff
from tests.support.shop import Shop, make_shop, purchase

PRICE = 1999


@dataclass
class Sale:
    """A delivered order of one line, and everybody there may be in a case about it."""

    db: Database
    settings: Settings
    shop: Shop
    buyer: Viewer
    support: Viewer
    finance: Viewer
    order_id: UUID
    line_id: UUID

    @property
    def as_buyer(self) -> Acting:
        return Acting("buyer", self.buyer)

    @property
    def as_seller(self) -> Acting:
        return Acting("seller", self.shop.owner)

    @property
    def as_staff(self) -> Acting:
        return Acting("staff", self.support)

    async def open(self, **changes: Any) -> UUID:
        """A case about the whole order."""
        values: dict[str, Any] = {"reason": "NOT_WORKING", "text": "It says the key is used.", **changes}
        return await cases.open_case(self.db, self.settings, self.buyer, self.order_id, **values)

    async def line(self) -> Record:
        row = await self.db.fetchrow(SYSTEM, "SELECT * FROM orders.order_line WHERE id = $1", self.line_id)
        assert row
        return row

    async def case(self, case_id: UUID) -> Record:
        row = await self.db.fetchrow(SYSTEM, "SELECT * FROM cases.case WHERE id = $1", case_id)
        assert row
        return row

    async def journals(self) -> dict[str, int]:
        """How many journals of each kind there are about the order."""
        rows = await self.db.fetch(
            SYSTEM,
            "SELECT kind, count(*) AS n FROM ledger.journal WHERE ref = $1 GROUP BY 1",
            f"order:{self.order_id}",
        )
        return {r["kind"]: r["n"] for r in rows}


async def make_sale(db: Database, settings: Settings, *, quantity: int = 1, price: int = PRICE) -> Sale:
    shop = await make_shop(db, price=price, stock=quantity + 3)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), price * quantity + 1000)
    await Combiner(db).buy(purchase(buyer, shop.wish(quantity)))
    row = await db.fetchrow(
        SYSTEM, "SELECT id, order_id FROM orders.order_line WHERE buyer_id = $1", buyer.user()
    )
    assert row
    return Sale(
        db,
        settings,
        shop,
        buyer,
        await make_staff(db, "support"),
        await make_staff(db, "finance"),
        row["order_id"],
        row["id"],
    )


async def bring(sale: Sale, case_id: UUID, state: str, asked: str = "seller") -> None:
    """Take a fresh case to a state, through the verbs."""
    if state == "OPEN":
        return
    await cases.take(sale.db, sale.support, case_id)
    if state == "NEEDS_RESPONSE":
        await cases.ask(sale.db, sale.support, case_id, party=asked, text="What do you say?")
    if state in ("WON", "LOST", "CLOSED"):
        outcome = "BUYER" if state == "LOST" else "SELLER"
        await cases.decide(sale.db, sale.finance, case_id, outcome=outcome, text="We looked at it.")
    if state == "CLOSED":
        await cases.close(sale.db, sale.support, case_id, text="That is all.")


async def wind(owner: asyncpg.Connection, **on: float) -> None:
    """As if the clock of every case had gone on for so long."""
    await owner.execute("ALTER TABLE cases.case DISABLE TRIGGER USER")
    await owner.execute(
        "UPDATE cases.case SET deadline = deadline - $1::interval, opened_at = opened_at - $1::interval",
        timedelta(**on),
    )
    await owner.execute("ALTER TABLE cases.case ENABLE TRIGGER USER")

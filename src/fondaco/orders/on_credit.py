"""Buying on credit: the same purchase, with what it costs owed instead of paid. What may be owed, and how it
is paid, is the business of `credit`; the database decides there."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from fondaco.core.db import Connection, Database
from fondaco.core.money import Money
from fondaco.core.problem import Conflict, Problem
from fondaco.core.viewer import Viewer
from fondaco.orders.combiner import verdict_of
from fondaco.orders.model import Bought, Purchase


class NoCredit(Problem):
    """This cannot be bought on credit. Nothing was charged."""

    status = 409
    code = "no_credit"


async def buy_on_credit(db: Database, purchase: Purchase) -> Bought:
    """Deliver now, owe the total; what the wallet holds pays for it at once. Everything is delivered when
    this returns. Raises NoCredit or what else speaks against it; then nothing was charged. The same purchase
    key again answers the first purchase."""
    buyer = Viewer(user_id=purchase.buyer_id)

    async def work(conn: Connection) -> Bought:
        row = await conn.fetchrow("SELECT * FROM credit.buy($1::jsonb)", purchase.wire("instant_credit"))
        assert row
        if row["verdict"] == "no_credit":
            raise refused(row["data"])
        verdict = verdict_of(row["verdict"], row["group_id"], row["data"])
        if isinstance(verdict, Problem):
            raise verdict
        return verdict

    try:
        return await db.run(buyer.as_user, work)
    except asyncpg.UniqueViolationError:  # the same key at the same moment by card: that one stands
        raise Conflict() from None


def refused(data: Mapping[str, Any]) -> NoCredit:
    """Why there is no credit, in words. `data`: because, owed, left, order_max, total, currency."""
    currency: str = data["currency"]

    def words(name: str) -> str:
        return Money(data[name] or 0, currency).words()

    said = {
        "off": "Buying on credit is not offered here.",
        "written_off": "An earlier purchase on credit was never paid, so there is no more credit.",
        "tier": "Your account's standing allows no credit.",
        "overdue": f"You owe {words('owed')}, and some of it is overdue. Pay that first.",
        "too_large": f"On credit one purchase may cost {words('order_max')}; this costs {words('total')}.",
        "cap": f"You owe {words('owed')}; up to {words('left')} more can be bought on credit.",
        "full": "No more credit is given just now.",
    }
    detail = f"{said[data['because']]} Nothing was charged. Pay by card or from your wallet."
    return NoCredit(detail, because=data["because"], owed=data["owed"], left=data["left"], currency=currency)

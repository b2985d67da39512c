"""Builders for tests about credit: a policy in force, purchases on credit, what is owed."""

from datetime import timedelta
from uuid import UUID

import asyncpg

from fondaco import credit
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.credit import CreditTerms
from fondaco.ledger import credit_out_of
from fondaco.orders.model import Wish
from fondaco.orders.on_credit import buy_on_credit
from tests.support.money import amount_on, make_staff
from tests.support.shop import purchase

TERMS = CreditTerms(
    currency="EUR",
    order_max=500,
    cap=500,
    cap_warning=200,
    total_cap=10_000,
    days_to_pay=14,
    remind_days=3,
    write_off_days=30,
    reason="To try it",
)


async def allow(db: Database, terms: CreditTerms = TERMS) -> Viewer:
    """A policy in force; returns whoever of finance set it."""
    finance = await make_staff(db, "finance")
    await credit.set_policy(db, finance, terms)
    return finance


async def take(db: Database, buyer: Viewer, *wishes: Wish, idem: str | None = None) -> UUID:
    """A purchase on credit; returns its group."""
    return (await buy_on_credit(db, purchase(buyer, *wishes, idem=idem))).group_id


async def owed(db: Database, buyer: Viewer, currency: str = "EUR") -> int:
    """What the buyer owes in the books."""
    return await amount_on(db, credit_out_of(buyer.user(), currency))


async def age(owner: asyncpg.Connection, group_id: UUID, days: int) -> None:
    """As if the purchase had been made so many days earlier. What was told stays told."""
    await owner.execute(
        "UPDATE credit.credit SET taken_at = taken_at - $2::interval, due_at = due_at - $2::interval "
        "WHERE group_id = $1",
        group_id,
        timedelta(days=days),
    )


async def state_of(db: Database, group_id: UUID) -> str:
    """How a purchase on credit stands."""
    state: str = await db.fetchval(SYSTEM, "SELECT state FROM credit.credit WHERE group_id = $1", group_id)
    return state


async def events(db: Database, like: str = "credit.%") -> list[str]:
    """Kinds of the events about credit, in order."""
    rows = await db.fetch(SYSTEM, "SELECT kind FROM audit.event WHERE kind LIKE $1 ORDER BY id", like)
    return [r["kind"] for r in rows]

"""Stories of credit: goods delivered before they are paid."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from fondaco import orders, refunds
from fondaco.core.db import SYSTEM, Connection
from fondaco.credit.clock import sweep
from fondaco.orders.on_credit import buy_on_credit
from tests.credit.builders import TERMS, age, allow
from tests.scenarios.stories import STORIES, Market
from tests.support.shop import purchase

LATE = TERMS.days_to_pay + TERMS.write_off_days


async def _take(m: Market) -> tuple[UUID, UUID]:
    """A key for 20.00 on credit; the purchase and its line."""
    await allow(m.till.db, msgspec.structs.replace(TERMS, order_max=2000, cap=2000, cap_warning=0))
    group = (await buy_on_credit(m.till.db, purchase(m.buyer, m.shop.wish()))).group_id
    await m.book.tell("The buyer buys a key for 20.00 on credit: it is delivered, and owed")
    line = await m.till.db.fetchval(
        SYSTEM,
        """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           WHERE o.group_id = $1""",
        group,
    )
    return group, line


async def _release(m: Market, line: UUID) -> None:
    async def work(conn: Connection) -> None:
        await orders.release_lines(conn, [line], "system")

    await m.run(work)


async def paid_later(m: Market) -> None:
    """A key on credit, paid by the next money that reaches the wallet, in the same moment as it arrives. The
    seller sees a sale like any other."""
    _, line = await _take(m)
    await m.see()
    await m.pay_in(1500)
    await m.pay_in(1500)
    await _release(m, line)
    await m.book.tell("Protection ends")


async def refunded_on_credit(m: Market) -> None:
    """A refund of a key on credit pays what is owed first; only what is left is the buyer's."""
    _, line = await _take(m)
    await m.pay_in(1500)

    async def give_back(conn: Connection, amount: int | None) -> None:
        await refunds.refund_line(conn, line, amount, reason="other", why="because", actor="user:test")

    await m.run(lambda conn: give_back(conn, 800))
    await m.book.tell("8.00 of it are given back: 5.00 pay what is owed, 3.00 are the buyer's")
    await m.run(lambda conn: give_back(conn, None))
    await m.book.tell("The rest is given back: nothing is owed any more")


async def never_paid(m: Market) -> None:
    """A key on credit that is never paid: by rule the marketplace bears it, and the seller is paid all the
    same. Should the money of the line come back later, it makes good the loss and is not the buyer's."""
    group, line = await _take(m)
    await m.see()
    await age(m.owner, group, LATE)
    await sweep(m.till.db)
    await m.book.tell(f"{LATE} days later it is given up")
    await _release(m, line)
    await m.book.tell("Protection ends: the seller gets its part")

    async def give_back(conn: Connection) -> None:
        await refunds.refund_line(conn, line, 500, reason="other", why="because", actor="user:test")

    await m.run(give_back)
    await m.book.tell("The seller gives 5.00 back")


CREDIT: dict[str, tuple[str, Callable[[Market], Awaitable[None]]]] = {
    "credit-paid-later": ("Bought on credit, paid later", paid_later),
    "credit-refunded": ("Bought on credit, given back", refunded_on_credit),
    "credit-never-paid": ("Bought on credit, never paid", never_paid),
}
STORIES.update(CREDIT)

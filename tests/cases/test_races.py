"""What wants to move one case at the same moment, let go together: one of them does, once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import combinations
from uuid import UUID

import asyncpg
import pytest

from fondaco import cases, orders, refunds
from fondaco.cases import sweep
from fondaco.cases.model import CaseOpen
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Problem
from fondaco.settings import Settings
from tests.cases.steps import PRICE, Sale, bring, make_sale, wind
from tests.support.shop import books

Act = Callable[[Sale, UUID], Awaitable[object]]
ACTS: dict[str, Act] = {
    "decide for the buyer": lambda s, c: cases.decide(
        s.db,
        s.finance,
        c,
        outcome="BUYER",
        text="Yes, it is so.",
    ),
    "decide for the seller": lambda s, c: cases.decide(
        s.db,
        s.finance,
        c,
        outcome="SELLER",
        text="No, it is not.",
    ),
    "withdraw": lambda s, c: cases.withdraw(s.db, s.buyer, c),
    "accept": lambda s, c: cases.accept_offer(s.db, s.buyer, c),
    "answer": lambda s, c: cases.answer(s.db, s.as_seller, c, "We say no."),
    "deadline": lambda s, _: sweep(s.db),
    "confirm": lambda s, _: orders.confirm_delivery(s.db, s.buyer, s.order_id),
    "refund": lambda s, _: refunds.refund_by_seller(
        s.db, s.shop.owner, s.line_id, 100, reason="goodwill", why="For you"
    ),
}
ENDS = {"decided", "withdrawn", "accepted"}


async def together(sale: Sale, case_id: UUID, names: tuple[str, ...]) -> None:
    """Let go at one barrier; refusals are answers."""
    barrier = asyncio.Barrier(len(names))

    async def one(act: Act) -> None:
        await barrier.wait()
        with contextlib.suppress(Problem):
            await act(sale, case_id)

    await asyncio.gather(*(one(ACTS[name]) for name in names))


async def whole_after(sale: Sale, case_id: UUID) -> None:
    """The case ended once at most, its money moved once, and nothing of it twice."""
    case = await sale.case(case_id)
    events = await sale.db.fetch(
        SYSTEM, "SELECT version, kind FROM cases.event WHERE case_id = $1 ORDER BY version", case_id
    )
    assert [e["version"] for e in events] == list(range(1, case["version"] + 1))
    ends = [e["kind"] for e in events if e["kind"] in ENDS]
    assert len(ends) <= 1
    line, journals = await sale.line(), await sale.journals()
    moved = journals.get("refund_line", 0) + journals.get("release", 0)
    if case["state"] in ("OPEN", "UNDER_REVIEW", "NEEDS_RESPONSE"):
        assert (line["escrow_state"], moved) == ("FROZEN", 0)
    elif case["outcome"] == "SELLER":
        assert journals.get("release") == 1
        assert line["released_at"]
    elif ends == ["decided"]:
        assert (line["refunded"], journals.get("refund_line")) == (PRICE, 1)
    assert line["refunded"] <= PRICE
    assert journals.get("release", 0) <= 1
    await books(sale.db)


@pytest.mark.parametrize("names", list(combinations(ACTS, 2)), ids=" and ".join)
async def test_two_at_once(
    db: Database, settings: Settings, owner: asyncpg.Connection, names: tuple[str, ...]
) -> None:
    for _ in range(2):
        sale = await make_sale(db, settings)
        case_id = await sale.open()
        await bring(sale, case_id, "NEEDS_RESPONSE", "seller")
        await cases.offer(db, sale.shop.owner, case_id, amount=700, text="Take this.")
        if "deadline" in names:
            await wind(owner, hours=80)
        await together(sale, case_id, names)
        await whole_after(sale, case_id)


async def test_all_at_once(db: Database, settings: Settings, owner: asyncpg.Connection) -> None:
    for _ in range(4):
        sale = await make_sale(db, settings)
        case_id = await sale.open()
        await bring(sale, case_id, "NEEDS_RESPONSE", "seller")
        await cases.offer(db, sale.shop.owner, case_id, amount=700, text="Take this.")
        await wind(owner, hours=80)
        await together(sale, case_id, tuple(ACTS))
        await whole_after(sale, case_id)


async def test_of_many_openings_one_stands(sale: Sale) -> None:
    barrier = asyncio.Barrier(8)

    async def one() -> int:
        await barrier.wait()
        try:
            await sale.open()
        except CaseOpen:
            return 0
        return 1

    assert sum(await asyncio.gather(*(one() for _ in range(8)))) == 1
    assert await sale.db.fetchval(SYSTEM, "SELECT count(*) FROM cases.case") == 1


async def test_opening_and_confirming_at_once(db: Database, settings: Settings) -> None:
    """Whichever is first, the money is in one place and the case knows which."""
    for _ in range(6):
        sale = await make_sale(db, settings)
        barrier = asyncio.Barrier(2)

        async def opened(sale: Sale = sale, barrier: asyncio.Barrier = barrier) -> object:
            await barrier.wait()
            return await sale.open()

        async def confirmed(sale: Sale = sale, barrier: asyncio.Barrier = barrier) -> None:
            await barrier.wait()
            await orders.confirm_delivery(db, sale.buyer, sale.order_id)

        await asyncio.gather(opened(), confirmed())
        line = await sale.line()
        frozen = await db.fetchval(
            SYSTEM, "SELECT frozen FROM cases.case_line WHERE line_id = $1", sale.line_id
        )
        assert line["escrow_state"] == ("FROZEN" if frozen else "RELEASED")
        await books(db)

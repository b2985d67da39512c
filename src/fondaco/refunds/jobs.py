"""What the clock brings: reports about keys that nobody answered, and stores that were banned."""

from collections.abc import Awaitable, Callable

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.refunds.banned import give_back_of_banned
from fondaco.refunds.replacing import answer_for_the_silent


async def answer_reports(parts: Parts) -> None:
    """Give the money back where a seller did not answer in time."""
    await answer_for_the_silent(parts.get(Database))


async def empty_banned(parts: Parts) -> None:
    """Give back what is still held of stores that two people banned."""
    await give_back_of_banned(parts.get(Database))


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("refunds.answer_reports", 300, answer_reports),
    ("refunds.empty_banned", 30, empty_banned),
]

"""What the clock brings: reports about keys that nobody answered."""

from collections.abc import Awaitable, Callable

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.refunds.replacing import answer_for_the_silent


async def answer_reports(parts: Parts) -> None:
    """Give the money back where a seller did not answer in time."""
    await answer_for_the_silent(parts.get(Database))


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("refunds.answer_reports", 300, answer_reports)
]

"""What the clock brings: deadlines of cases."""

from collections.abc import Awaitable, Callable

from fondaco.cases.clocks import sweep
from fondaco.core.db import Database
from fondaco.core.web import Parts


async def sweep_deadlines(parts: Parts) -> None:
    """Let deadlines that are over have their outcome."""
    await sweep(parts.get(Database))


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("cases.sweep_deadlines", 30, sweep_deadlines)
]

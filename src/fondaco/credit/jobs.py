"""What the clock brings."""

from collections.abc import Awaitable, Callable

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.credit import clock


async def sweep(parts: Parts) -> None:
    """Let wallets pay what is owed, remind, and give up what was never paid."""
    await clock.sweep(parts.get(Database))


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [("credit.sweep", 30, sweep)]

"""What the clock brings: requests nobody decided in time are over."""

from collections.abc import Awaitable, Callable

from fondaco.approvals import actions
from fondaco.core.db import Database
from fondaco.core.web import Parts


async def expire(parts: Parts) -> None:
    """Close requests older than seven days."""
    await actions.expire(parts.get(Database))


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [("approvals.expire", 600, expire)]

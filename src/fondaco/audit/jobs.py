"""What the clock brings: sealing."""

from collections.abc import Awaitable, Callable

from fondaco.audit.blocks import seal
from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.settings import Settings


async def seal_events(parts: Parts) -> None:
    """Seal what happened since the last minute."""
    await seal(parts.get(Database), parts.get(Settings))


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [("audit.seal_events", 60, seal_events)]

"""What the queue and the clock bring: reversals asked for and followed."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.destination import reversing
from fondaco.integrations.stripe import StripeGateway


async def send_reversal(parts: Parts, reversal_id: str) -> None:
    """Ask for one reversal."""
    await reversing.send_reversal(parts.get(Database), parts.get(StripeGateway), UUID(reversal_id))


async def sweep_reversals(parts: Parts) -> None:
    """Bring unfinished reversals on."""
    await reversing.sweep_reversals(parts.get(Database), parts.get(StripeGateway))


tasks: dict[str, Callable[..., Awaitable[Any]]] = {"destination.send_reversal": send_reversal}
periodic: list[tuple[str, float, Callable[[Parts], Awaitable[None]]]] = [
    ("destination.sweep_reversals", 30, sweep_reversals),
]

"""Work of the queue and the clock for the inbox, and its own loop."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.inbox import draining, handling, missed
from fondaco.integrations.stripe import StripeGateway
from fondaco.settings import Settings


async def drain(parts: Parts, stop: asyncio.Event) -> None:
    """Handle events as they come, until told to stop."""
    await draining.keep_draining(parts, stop)


async def handle_event(parts: Parts, event: int) -> None:
    """Handle one kept event."""
    await handling.handle_event(parts.get(Database), parts.get(StripeGateway), event)


async def sweep_events(parts: Parts) -> None:
    """Queue again what is due."""
    await handling.sweep_events(parts.get(Database))


async def backfill(parts: Parts) -> None:
    """Find events that never arrived."""
    await missed.backfill(parts.get(Database), parts.get(StripeGateway))


async def sweep_fundings(parts: Parts) -> None:
    """Bring unfinished fundings on."""
    await missed.sweep_fundings(parts.get(Database), parts.get(StripeGateway), parts.get(Settings))


tasks: dict[str, Callable[..., Awaitable[Any]]] = {"inbox.handle": handle_event}
periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("inbox.sweep_events", 15, sweep_events),
    ("inbox.sweep_fundings", 30, sweep_fundings),
    ("inbox.backfill", 600, backfill),
]
loops: list[tuple[str, Callable[[Parts, asyncio.Event], Coroutine[Any, Any, None]]]] = [
    ("inbox.drain", drain)
]

"""What the clock brings: signals from events, decisions about those with new signals, and about those whose
points fade."""

from collections.abc import Awaitable, Callable

from fondaco.audit import consume
from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.risk.actions import look_at_new, look_at_raised
from fondaco.risk.deriving import derive
from fondaco.risk.rates import note_rates
from fondaco.risk.ties import forget_idle, mark_all_tied

CONSUMER = "risk"
BATCH = 100


async def read_events(parts: Parts) -> int:
    """Derive the signals of all events since the last time; returns how many events were read."""
    read = 0
    while count := await consume(parts.get(Database), CONSUMER, BATCH, derive):
        read += count
    return read


async def decide_new(parts: Parts) -> None:
    """Decide about everybody with a new signal."""
    while await look_at_new(parts.get(Database)):
        pass


async def decide_raised(parts: Parts) -> None:
    """Decide again about everybody whose points may have faded."""
    await look_at_raised(parts.get(Database))


async def sweep_ties(parts: Parts) -> None:
    """Whoever was tied to somebody while they were being banned; and browsers nobody uses any more."""
    await mark_all_tied(parts.get(Database))
    await forget_idle(parts.get(Database))


async def rates(parts: Parts) -> None:
    """Stores of whose lines too many ended in a case."""
    await note_rates(parts.get(Database))


periodic: list[tuple[str, float, Callable[[Parts], Awaitable[object]]]] = [
    ("risk.read_events", 1.0, read_events),
    ("risk.decide_new", 2.0, decide_new),
    ("risk.decide_raised", 6 * 3600.0, decide_raised),
    ("risk.sweep_ties", 6 * 3600.0, sweep_ties),
    ("risk.rates", 24 * 3600.0, rates),
]

"""What the clock and the console bring: the runs."""

from collections.abc import Awaitable, Callable
from typing import Any

from fondaco.checks import running
from fondaco.checks.alerts import tell_operator
from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.settings import Settings
from fondaco.vault import Vault


async def every_minute(parts: Parts) -> None:
    """What is cheap, and what is newest; then the operator is told what is new."""
    await running.every_minute(parts.get(Database))
    await tell_operator(parts.get(Database), parts.get(Settings), parts.get(Vault))


async def nightly(parts: Parts) -> None:
    """The full run, once a night."""
    if await running.full_run_is_due(parts.get(Database)):
        await full(parts)


async def full(parts: Parts, asked_by: str = "clock") -> None:
    """Everything; then the operator is told what is new."""
    await running.full_run(parts.get(Database), parts.get(Settings), asked_by)
    await tell_operator(parts.get(Database), parts.get(Settings), parts.get(Vault))


async def forget_old_runs(parts: Parts) -> None:
    """Drop runs nobody asks about any more."""
    await running.forget_old_runs(parts.get(Database))


tasks: dict[str, Callable[..., Awaitable[Any]]] = {"checks.full": full}
periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("checks.minute", 60, every_minute),
    ("checks.nightly", 600, nightly),
    ("checks.forget_old_runs", 3600, forget_old_runs),
]

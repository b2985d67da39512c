"""What the clock and the console bring: the runs."""

from collections.abc import Awaitable, Callable
from typing import Any

from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.reconciliation import running, settling
from fondaco.reconciliation.model import RunUnderWay
from fondaco.settings import Settings


async def reconcile(parts: Parts, run_id: int) -> None:
    """Do one run that was begun."""
    db, gateway, settings = parts.get(Database), parts.get(StripeGateway), parts.get(Settings)
    await running.run(db, gateway, settings, run_id)


async def nightly(parts: Parts) -> None:
    """A run a night, from three in the morning (UTC) by the database's clock; a lost one is taken up."""
    db = parts.get(Database)
    due = await db.fetchval(
        SYSTEM,
        """SELECT EXISTS (SELECT 1 FROM reconciliation.run WHERE state = 'RUNNING')
             OR NOT EXISTS (SELECT 1 FROM reconciliation.run WHERE state = 'DONE' AND started_at >=
               date_trunc('day', now() - interval '3 hours', 'UTC') + interval '3 hours')""",
    )
    if not due:
        return
    try:
        run_id = await running.begin(db, "clock")
    except RunUnderWay:
        return
    await reconcile(parts, run_id)


async def return_suspense(parts: Parts) -> None:
    """Money in suspense that two people send back to its card."""
    await settling.send_back(parts.get(Database), parts.get(StripeGateway))


tasks: dict[str, Callable[..., Awaitable[Any]]] = {"reconciliation.run": reconcile}
periodic: list[tuple[str, float, Callable[[Parts], Awaitable[object]]]] = [
    ("reconciliation.nightly", 600.0, nightly),
    ("reconciliation.return_suspense", 120.0, return_suspense),
]

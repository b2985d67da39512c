"""What the clock and the queue bring for payouts."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.payouts import accounts, batch, sending, taking_back
from fondaco.settings import Settings

_RESERVES = 500


async def send(parts: Parts, payout_id: str) -> None:
    """Send one decided payout."""
    await sending.send_payout(parts.get(Database), parts.get(StripeGateway), UUID(payout_id))


async def take_back(parts: Parts, reversal_id: str) -> None:
    """Ask for one reversal."""
    await taking_back.send_reversal(parts.get(Database), parts.get(StripeGateway), UUID(reversal_id))


async def run_due(parts: Parts) -> None:
    """The daily run, when it is time, and whatever of a run is not finished."""
    await batch.run_due(parts.get(Database), parts.get(Settings))


async def sweep(parts: Parts) -> None:
    """Send what is decided, and bring on what is open."""
    db, gateway = parts.get(Database), parts.get(StripeGateway)
    await sending.sweep_payouts(db, gateway)
    await taking_back.sweep_reversals(db, gateway)


async def free_reserves(parts: Parts) -> None:
    """Kept-back money whose time is over becomes payable."""
    days = parts.get(Settings).reserve_days

    async def work(conn: Connection) -> int:
        return await conn.fetchval("SELECT payouts.free_reserve($1, $2)", days, _RESERVES)

    while await parts.get(Database).run(SYSTEM, work) == _RESERVES:
        pass


async def check_banks(parts: Parts) -> None:
    """Ask about payouts of whose arrival at the bank nobody told us."""
    await taking_back.check_banks(parts.get(Database), parts.get(StripeGateway))


async def check_accounts(parts: Parts) -> None:
    """Ask about payout accounts whose events may have been missed."""
    await accounts.check_accounts(parts.get(Database), parts.get(StripeGateway))


tasks: dict[str, Callable[..., Awaitable[Any]]] = {
    "payouts.send": send,
    "payouts.take_back": take_back,
}
periodic: list[tuple[str, float, Callable[[Parts], Awaitable[None]]]] = [
    ("payouts.run_due", 60, run_due),
    ("payouts.sweep", 5, sweep),
    ("payouts.free_reserves", 3600, free_reserves),
    ("payouts.check_accounts", 300, check_accounts),
    ("payouts.check_banks", 3600, check_banks),
]

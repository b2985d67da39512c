"""Work of the queue and the clock for chargebacks."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fondaco.chargebacks import sending, sweeping, warned
from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.settings import Settings


async def send_evidence(parts: Parts, evidence_id: str) -> None:
    """Send evidence that was confirmed."""
    await sending.send_evidence(parts.get(Database), parts.get(StripeGateway), UUID(evidence_id))


async def answer_warning(parts: Parts, warning_id: str) -> None:
    """Send back what an early warning is about, as far as it is unspent."""
    await warned.answer_warning(parts.get(Database), parts.get(Settings), UUID(warning_id))


async def sweep(parts: Parts) -> None:
    """Let holds grow, debts be paid and evidence go out in time."""
    await sweeping.sweep(parts.get(Database), parts.get(StripeGateway), parts.get(Settings))


async def ask(parts: Parts) -> None:
    """Find chargebacks and warnings that no event told of."""
    await sweeping.ask(parts.get(Database), parts.get(StripeGateway))


tasks: dict[str, Callable[..., Awaitable[Any]]] = {
    "chargebacks.send_evidence": send_evidence,
    "chargebacks.answer_warning": answer_warning,
}
periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("chargebacks.sweep", 20, sweep),
    ("chargebacks.ask", 600, ask),
]

"""What the sandbox is started with."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """How one sandbox runs.

    `data` is the folder of its state and of `truth.jsonl`. `webhook_url` and `webhook_secret` describe one
    endpoint that exists from the start and outlives a reset. `settle_seconds` is how long (on the sandbox's
    clock) late things take: a bank debit, a dispute, a refund that fails or finishes later.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 12111
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    settle_seconds: int = 5
    available_after_seconds: int = 2 * 86_400
    """How long the money of a payment is pending before it can be transferred or paid out."""
    delivery_timeout_seconds: int = 10
    allow_remote: bool = False
    """Take Host headers and webhook addresses that are not this machine's own (needed inside containers)."""

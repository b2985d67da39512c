"""Audit: what an event is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One critical act: when, what kind ('order.placed'), upon what ('order:<uuid>'), by whom
    ('user:<uuid>', 'system', 'stripe'), and its facts. `xid` and `id` give the order of the outbox."""

    id: int
    xid: int
    at: datetime
    kind: str
    ref: str
    actor: str
    data: dict[str, Any]

"""Approvals: what a request is, its machine, and why it cannot be decided."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fondaco.core.db import Connection
from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

EXPIRES_AFTER = timedelta(days=7)
STATES = ("OPEN", "APPROVED", "REFUSED", "WITHDRAWN", "EXPIRED")

APPROVAL = Machine(
    "approval",
    born=("OPEN",),
    ends=("APPROVED", "REFUSED", "WITHDRAWN", "EXPIRED"),
    moves=(
        Move("OPEN", "APPROVED", "another person", "the act happens in the same transaction"),
        Move("OPEN", "REFUSED", "another person", "nothing happens"),
        Move("OPEN", "WITHDRAWN", "who asked", "nothing happens"),
        Move("OPEN", "EXPIRED", "sweeper", "nobody decided within seven days"),
    ),
)


class OwnRequest(Problem):
    """You asked for this yourself, so somebody else must decide."""

    status = 409
    code = "own_request"


class AlreadyAsked(Problem):
    """This was asked for already and waits for a decision."""

    status = 409
    code = "already_asked"


class AlreadyDecided(Problem):
    """This was decided meanwhile, or nobody decided in time."""

    status = 409
    code = "already_decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One act that waits for, or got, a second person. `words`: what happens when it is approved."""

    id: UUID
    kind: str
    ref: str
    payload: dict[str, Any]
    words: str
    reason: str
    permission: str
    state: str
    asked_by: UUID | None
    asked_at: datetime
    expires_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    note: str | None

    @property
    def actor(self) -> str:
        """Whom the audit log and the ledger name: who decided."""
        return f"user:{self.decided_by}" if self.decided_by else "system"


Act = Callable[[Connection, dict[str, Any], Request], Awaitable[None]]
Words = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Verb:
    """An act that needs two people: who may decide, its words for a payload, and the act itself."""

    kind: str
    permission: str
    words: Words
    act: Act

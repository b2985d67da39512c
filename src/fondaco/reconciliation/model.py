"""Reconciliation: runs, breaks, their machines, and what can be refused."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

RUN = Machine(
    "reconciliation_run",
    born=("RUNNING",),
    ends=("DONE", "BROKEN_OFF"),
    moves=(
        Move("RUNNING", "DONE", "worker", "every movement read and compared; the report is signed"),
        Move("RUNNING", "BROKEN_OFF", "worker", "the provider did not answer, or its worker died"),
    ),
)

BREAK = Machine(
    "break",
    born=("OPEN",),
    ends=("RESOLVED",),
    moves=(
        Move("OPEN", "EXPLAINED", "finance", "somebody says why it is all right"),
        Move("EXPLAINED", "OPEN", "finance, worker", "it is another amount now, or it was no explanation"),
        Move("OPEN", "RESOLVED", "worker", "the difference is gone"),
        Move("EXPLAINED", "RESOLVED", "worker", "the difference is gone"),
        Move("RESOLVED", "OPEN", "worker", "it is there again"),
    ),
)
STATES = ("OPEN", "EXPLAINED", "RESOLVED")
CLASSES = {
    "missing_here": "At the provider, not in our books",
    "other_amount": "Another amount than in our books",
    "missing_there": "In our books, not at the provider",
    "balance": "The balances differ",
}
"""The classes of breaks, in words."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of the provider's movements in [since, until) with our journals."""

    id: int
    asked_by: str
    state: str
    since: datetime
    until: datetime
    started_at: datetime
    ended_at: datetime | None
    doing: Annotated[str, Meta(description="What it is at, while it runs; why it broke off, after.")]
    seen: Annotated[int, Meta(description="Movements read.")]
    matched: Annotated[int, Meta(description="Movements whose journals say the same to the cent.")]
    breaks: Annotated[int, Meta(description="Unexplained differences at its end.")]


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """A difference between the provider and our books. `amount`: theirs less ours, minor units."""

    id: int
    class_: str = msgspec.field(name="class")
    place: str
    movement_id: str | None
    journal_id: int | None
    currency: str
    amount: int
    words: str
    state: str
    owner_id: UUID | None
    reason: str | None
    decided_by: UUID | None
    opened_at: datetime
    ended_at: datetime | None
    version: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the comparison with the provider stands. `suspense`: minor units by currency."""

    open: int
    oldest_at: datetime | None
    done_at: datetime | None
    suspense: dict[str, int]


class RunUnderWay(Problem):
    """A reconciliation is running already. Its result will be here in a moment."""

    status = 409
    code = "reconciliation_running"


class NoReport(Problem):
    """This run was not brought to its end, so it has no report. Read that of a run that is done."""

    status = 409
    code = "no_report"


class BreakChanged(Problem):
    """This break changed meanwhile. Look at it again before you decide."""

    status = 409
    code = "break_changed"


class NotBookable(Problem):
    """Only a movement of the provider that our books do not have can be booked."""

    status = 409
    code = "not_bookable"


class BookedAlready(Problem):
    """This movement was booked meanwhile, or with another amount. Run the reconciliation again."""

    status = 409
    code = "booked_already"

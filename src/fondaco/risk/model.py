"""Risk: the machine of tiers, rows, and what can be refused."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

RISK_TIER = Machine(
    "risk_tier",
    born=("NORMAL", "WARNING", "AT_RISK", "RESTRICTED", "BANNED"),
    ends=("NORMAL", "BANNED"),
    moves=(
        Move("NORMAL", "WARNING", "rules, admin", "20 points and more"),
        Move("NORMAL", "AT_RISK", "rules, admin", "40 points and more, or one hard signal"),
        Move("NORMAL", "RESTRICTED", "rules, admin", "70 points and more"),
        Move("NORMAL", "BANNED", "two admins", "never by rules"),
        Move("WARNING", "AT_RISK", "rules, admin", "40 points and more, or one hard signal"),
        Move("WARNING", "RESTRICTED", "rules, admin", "70 points and more"),
        Move("WARNING", "BANNED", "two admins", "never by rules"),
        Move("WARNING", "NORMAL", "rules, admin", "below 10 points for 14 days"),
        Move("AT_RISK", "RESTRICTED", "rules, admin", "70 points and more"),
        Move("AT_RISK", "BANNED", "two admins", "never by rules"),
        Move("AT_RISK", "WARNING", "rules, admin", "below 30 points for 14 days"),
        Move("RESTRICTED", "AT_RISK", "rules, admin", "below 50 points for 30 days"),
        Move("RESTRICTED", "BANNED", "two admins", "never by rules"),
        Move("BANNED", "RESTRICTED", "two admins", "never by rules"),
    ),
)

APPEAL = Machine(
    "risk_appeal",
    born=("OPEN",),
    ends=("GRANTED", "REFUSED"),
    moves=(
        Move("OPEN", "GRANTED", "admin", "the tier was lowered"),
        Move("OPEN", "REFUSED", "ops, admin", "it stays, with a reason"),
    ),
)


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded fact about a buyer or a store. It is never changed."""

    id: int
    party: str
    kind: str
    ref: str
    at: datetime
    data: dict[str, Any]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody stands. `score` in thousandths of a point."""

    party: str
    tier: str
    score: int
    rules: Annotated[str, Meta(description="The version of the rules that decided.")]
    since: datetime
    reasons: list[str]
    decision_id: int | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a tier, with all it was decided on: it can be replayed for ever."""

    id: int
    party: str
    at: datetime
    actor: str
    before: str
    after: str
    score: int
    rules: str
    since: datetime
    signals: list[int]
    reasons: list[str]
    note: str


class AppealWord(msgspec.Struct, frozen=True, kw_only=True):
    """What was said in an appeal after it was made."""

    by_staff: bool
    text: str
    at: datetime


class Appeal(msgspec.Struct, frozen=True, kw_only=True):
    """A case somebody opened against a decision about them: words of both sides, a deadline, a decision."""

    id: UUID
    party: str
    decision_id: int
    text: str
    state: str
    answer: str | None
    made_at: datetime
    decided_at: datetime | None
    due_at: Annotated[datetime, Meta(description="Until then we mean to have answered.")]
    words: Annotated[list[AppealWord], Meta(description="What was said since, the oldest first.")]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A mail domain nobody signs up with, a card whose payer is restricted, or a word about a mail domain.
    `until` None: for ever."""

    kind: str
    value: str
    reason: str
    until: datetime | None
    added_at: datetime
    added_by: str | None


class CountedSignal(msgspec.Struct, frozen=True, kw_only=True):
    """What one signal counts. `milli`: thousandths of a point."""

    id: int
    kind: str
    words: str
    at: datetime
    ref: str
    milli: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is told of where they stand."""

    standing: Standing
    forbids: Annotated[list[str], Meta(description="What the tier forbids, a sentence each.")]
    counted: Annotated[list[CountedSignal], Meta(description="The facts it rests on.")]
    lower_on: Annotated[date | None, Meta(description="When the tier is lowered if nothing new happens.")]
    note: Annotated[str, Meta(description="What the person who decided wrote; empty when the rules did.")]
    appeal: Annotated["Appeal | None", Meta(description="The newest appeal.")]
    may_appeal: bool


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A past decision and what its rules say again from what was known then."""

    decision: Decision
    again: str
    score: int
    same: bool
    counted: list[CountedSignal]


class NeedsTwo(Problem):
    """A ban and its end need two people: ask for it, and somebody else decides."""

    status = 409
    code = "needs_two"


class NothingToAppeal(Problem):
    """There is no decision to appeal against: your standing is normal."""

    status = 409
    code = "nothing_to_appeal"


class AppealDecided(Problem):
    """Somebody has decided this appeal already."""

    status = 409
    code = "appeal_decided"


class AppealOpen(Problem):
    """Your appeal against this decision is being looked at already."""

    status = 409
    code = "appeal_open"


class NoOpenAppeal(Problem):
    """You have no appeal that is being looked at."""

    status = 409
    code = "no_open_appeal"


class EnoughSaid(Problem):
    """There is enough in this appeal to decide it. Please wait for the answer."""

    status = 409
    code = "enough_said"


class TierForbids(Problem):
    """Your account's standing does not allow this now. Your standing page says why and what you can do."""

    status = 403
    code = "tier_forbids"

"""The rules: from recorded signals to a score and a tier. Pure, in integers, versioned; the same signals on
the same day give the same answer for ever, in whatever order they came.

A signal counts its points halved once per half-life, by whole days. What a rules version does not know counts
nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

BAN_AT = 120
"""From so many points on a ban is proposed. No rule bans: two people do."""
MILLI = 1000
"""Scores are kept in thousandths of a point."""
_STEPS = 1 << 32  # the fixed point in which powers of one half are kept


class Tier(StrEnum):
    """How far somebody is trusted, from all to nothing."""

    NORMAL = "NORMAL"
    WARNING = "WARNING"
    AT_RISK = "AT_RISK"
    RESTRICTED = "RESTRICTED"
    BANNED = "BANNED"


ORDER: tuple[Tier, ...] = tuple(Tier)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of signal counts. `half_life` in days, None: it never fades. `least`: the tier the signal
    asks for at least while it still counts half of its points. `words`: what a person is told."""

    points: int
    half_life: int | None
    words: str
    least: Tier = Tier.NORMAL


@dataclass(frozen=True, slots=True)
class Step:
    """When a tier is reached, and when it is left again: below `leave` points for `days` days."""

    reach: int
    leave: int
    days: int


@dataclass(frozen=True)
class Rules:
    """One version of the rules for one side of the market."""

    version: str
    side: str
    signals: Mapping[str, Rule]
    steps: Mapping[Tier, Step]
    """Tiers the rules can give by themselves."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A signal as the rules see it: its id, kind and day (UTC)."""

    id: int
    kind: str
    day: date


@dataclass(frozen=True, slots=True)
class Counted:
    """What one signal counts on the day asked about, in thousandths of a point."""

    fact: Fact
    milli: int
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score in thousandths, the tier it asks for, and the signals that made it, heaviest first."""

    version: str
    day: date
    score: int
    tier: Tier
    counted: tuple[Counted, ...]

    @property
    def points(self) -> int:
        """Whole points, for people."""
        return self.score // MILLI

    @property
    def proposes_ban(self) -> bool:
        """Whether somebody should look at banning; needs two signals at least."""
        return self.score >= BAN_AT * MILLI and sum(c.milli > 0 for c in self.counted) >= 2


BUYER_1 = Rules(
    version="buyer-1",
    side="user",
    signals={
        "chargeback.opened": Rule(40, 365, "A card payment was disputed at the bank", Tier.AT_RISK),
        "chargeback.lost": Rule(30, 365, "A disputed card payment was lost"),
        "chargeback.won": Rule(-40, 365, "A disputed card payment was decided for us"),
        "warning.fraud": Rule(40, 180, "The card network warned of fraud", Tier.AT_RISK),
        "case.groundless": Rule(12, 90, "A case was decided as groundless"),
        "case.withdrawn": Rule(2, 90, "A case was withdrawn"),
        "velocity.cards": Rule(10, 30, "More than three cards within a day"),
        "velocity.refused": Rule(10, 30, "More than five refused payments within an hour"),
        "address.disposable": Rule(10, 90, "The mail address is a throw-away one"),
        "ring.self_purchase": Rule(20, 180, "Bought from a store of their own"),
        "ring.banned": Rule(35, 180, "Shares a card or a device with a banned account"),
        "ring.card": Rule(10, 180, "Shares a card with several accounts"),
        "card.blocked": Rule(70, 180, "Paid with a blocked card"),
    },
    steps={
        Tier.WARNING: Step(20, 10, 14),
        Tier.AT_RISK: Step(40, 30, 14),
        Tier.RESTRICTED: Step(70, 50, 30),
    },
)
SELLER_1 = Rules(
    version="seller-1",
    side="seller",
    signals={
        "code.bad": Rule(8, 90, "A key did not work and was replaced or refunded"),
        "code.duplicate": Rule(25, 180, "A key was handed in that had been handed in before"),
        "case.lost": Rule(12, 120, "A case was decided for the buyer"),
        "delivery.late": Rule(3, 60, "A bad key was not replaced in time"),
        "case.silent": Rule(6, 60, "A case was not answered in time"),
        "rate.cases": Rule(20, 30, "More than 2 % of at least 50 lines of a month ended in a case"),
        "ring.self_purchase": Rule(20, 180, "Somebody of the store bought from it"),
        "ring.banned": Rule(35, 180, "Shares a card or a device with a banned account"),
    },
    steps=BUYER_1.steps,
)
VERSIONS: Mapping[str, Rules] = {rules.version: rules for rules in (BUYER_1, SELLER_1)}
CURRENT: Mapping[str, Rules] = {"user": BUYER_1, "seller": SELLER_1}
"""The version that decides today, by side: 'user' for buyers, 'seller' for stores."""


def faded(points: int, half_life: int | None, age: int) -> int:
    """What `points` count after `age` whole days, in thousandths, rounded towards zero; an age below zero
    counts as none."""
    whole = points * MILLI
    if half_life is None or age <= 0:
        return whole
    halves, rest = divmod(age, half_life)
    if halves >= 40:
        return 0
    weight = _root(half_life)[rest] >> halves
    return -(-whole * weight // _STEPS) if whole < 0 else whole * weight // _STEPS


_ROOTS: dict[int, tuple[int, ...]] = {}


def _root(half_life: int) -> tuple[int, ...]:
    """2 ** (-i / half_life) for whole days i, in fixed point, without a float: each the floor of the root."""
    if half_life not in _ROOTS:
        _ROOTS[half_life] = tuple(_power(i, half_life) for i in range(half_life))
    return _ROOTS[half_life]


def _power(days: int, half_life: int) -> int:
    """The largest w with w ** half_life <= _STEPS ** half_life / 2 ** days."""
    target = _STEPS**half_life >> days
    low, high = 0, _STEPS
    while low < high:
        middle = (low + high + 1) // 2
        if middle**half_life <= target:
            low = middle
        else:
            high = middle - 1
    return low


def judge(rules: Rules, facts: Iterable[Fact], day: date) -> Verdict:
    """Score and tier on that day. Signals of a later day are not known yet and count nothing."""
    counted: list[Counted] = []
    least = Tier.NORMAL
    for fact in facts:
        rule = rules.signals.get(fact.kind)
        if rule is None or fact.day > day:
            continue
        milli = faded(rule.points, rule.half_life, (day - fact.day).days)
        counted.append(Counted(fact, milli, rule.words))
        if milli * 2 >= rule.points * MILLI > 0:
            least = max(least, rule.least, key=ORDER.index)
    score = max(0, sum(c.milli for c in counted))
    tier = least
    for name, step in rules.steps.items():
        if score >= step.reach * MILLI:
            tier = max(tier, name, key=ORDER.index)
    counted.sort(key=lambda c: (-abs(c.milli), c.fact.id))
    return Verdict(rules.version, day, score, tier, tuple(counted))


def decide(rules: Rules, facts: Iterable[Fact], tier: Tier, since: date, day: date) -> tuple[Tier, Verdict]:
    """The tier after that day, of somebody who is in `tier` since the day `since`; and what decided it.

    Up at once, as far as the verdict says; down one step when the score stayed below the step's `leave` for
    its `days` and the verdict asks for less. Nobody leaves BANNED by rules.
    """
    known = [fact for fact in facts if fact.day <= day]
    verdict = judge(rules, known, day)
    if tier is Tier.BANNED or verdict.tier is tier:
        return tier, verdict
    if ORDER.index(verdict.tier) > ORDER.index(tier):
        return verdict.tier, verdict
    step = rules.steps[tier]
    if (day - since).days < step.days:
        return tier, verdict
    past = (judge(rules, known, day - timedelta(days=i)) for i in range(step.days))
    if all(one.score < step.leave * MILLI for one in past):
        return ORDER[ORDER.index(tier) - 1], verdict
    return tier, verdict

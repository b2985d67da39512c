"""What people read about where they stand: what a tier forbids, and the way back."""

from datetime import date, timedelta

from fondaco.risk.enforcement import ENFORCEMENT, Limits, limits
from fondaco.risk.rules import MILLI, ORDER, VERSIONS, Fact, Tier, judge

FORESEEN = 1_500  # days that are looked ahead
MOST_FACTS = 300  # of more signals nobody can say when they will have faded
TIER_WORDS: dict[Tier, str] = {
    Tier.NORMAL: "Normal",
    Tier.WARNING: "Warned",
    Tier.AT_RISK: "At risk",
    Tier.RESTRICTED: "Restricted",
    Tier.BANNED: "Banned",
}


def forbids(side: str, tier: Tier, *, to_staff: bool = False) -> list[str]:
    """What holds in this tier, a sentence each, said to whom it is about or, `to_staff`, about them; nothing
    when nothing is forbidden."""
    held = limits(side, tier)
    return _of_store(held, tier, to_staff) if side == "seller" else _of_buyer(held, to_staff)


def _of_store(held: Limits, tier: Tier, to_staff: bool) -> list[str]:
    your, theirs = ("This store's", "its own") if to_staff else ("Your", "yours")
    told: list[str] = []
    if held.hidden:
        orders = (
            "What is held of open orders goes back to the buyers."
            if tier is Tier.BANNED
            else "Orders already placed go on."
        )
        told.append(f"{your} listings are hidden and cannot be bought. {orders}")
    if held.maturity_days:
        told.append(f"Money of sales is payable {held.maturity_days} days after its release.")
    if held.reserve_bps:
        told.append(
            f"{held.reserve_bps // 100} % of what matures is kept in reserve for a while. It stays {theirs}."
        )
    if not held.payouts:
        told.append(f"Payouts wait. The money stays {theirs}.")
    if held.quarantine:
        told.append("New keys are looked at before they are sold.")
    return told


def _of_buyer(held: Limits, to_staff: bool) -> list[str]:
    who, have, theirs, their = (
        ("This buyer", "they have", "theirs", "their") if to_staff else ("You", "you have", "yours", "your")
    )
    told: list[str] = []
    if not held.buys:
        told.append(f"{who} cannot buy. What {have} paid for stays {theirs}.")
    if held.units_per_day is not None:
        told.append(f"{who} can buy {held.units_per_day} items in 24 hours at most.")
    if held.open_cases == 0:
        told.append(f"{who} cannot open cases.")
    elif held.open_cases is not None:
        cases = "case" if held.open_cases == 1 else "cases"
        told.append(f"{who} can have {held.open_cases} {cases} open at a time.")
    if held.reveal_after_minutes:
        told.append(f"New keys open {held.reveal_after_minutes} minutes after {their} last payment.")
    if held.source_only:
        told.append("Refunds go back to the card that paid, where that is possible.")
    return told


def way_back(version: str, facts: list[Fact], tier: Tier, since: date, day: date) -> date | None:
    """The first day from `day` on when the rules lower this tier if nothing new happens; None when they do
    not (nobody leaves BANNED by rules)."""
    if tier in (Tier.NORMAL, Tier.BANNED) or len(facts) > MOST_FACTS:
        return None
    rules = VERSIONS[version]
    step, below = rules.steps[tier], 0
    for ahead in range(1 - step.days, FORESEEN):
        then = day + timedelta(days=ahead)
        verdict = judge(rules, facts, then)
        below = below + 1 if verdict.score < step.leave * MILLI else 0
        lower = ORDER.index(verdict.tier) < ORDER.index(tier)
        if ahead >= 0 and lower and below >= step.days and (then - since).days >= step.days:
            return then
    return None


def table() -> str:
    """The whole table as Markdown, for the documentation."""
    lines = ["| who | tier | what holds |", "|---|---|---|"]
    for side, tier in ENFORCEMENT:
        words = " ".join(forbids(side, tier, to_staff=True)) or "Nothing is forbidden."
        lines.append(f"| {'store' if side == 'seller' else 'buyer'} | `{tier}` | {words} |")
    return "\n".join(lines)

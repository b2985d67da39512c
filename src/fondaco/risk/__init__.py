"""Risk: recorded signals, rules that explain themselves, tiers, and what each tier forbids."""

from fondaco.risk.actions import look, look_at_new, look_at_raised, replay, signal, standing_of, tier
from fondaco.risk.enforcement import ENFORCEMENT, Limits, limits
from fondaco.risk.model import Appeal, AppealOpen, Decision, Signal, Standing, TierForbids
from fondaco.risk.rules import CURRENT, VERSIONS, Tier, judge

__all__ = [
    "CURRENT",
    "ENFORCEMENT",
    "VERSIONS",
    "Appeal",
    "AppealOpen",
    "Decision",
    "Limits",
    "Signal",
    "Standing",
    "Tier",
    "TierForbids",
    "judge",
    "limits",
    "look",
    "look_at_new",
    "look_at_raised",
    "replay",
    "signal",
    "standing_of",
    "tier",
]

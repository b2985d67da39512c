"""Risk: recorded signals, rules that explain themselves, tiers, and what each tier forbids."""

from fondaco.risk.acting import ask_ban, block, blocks, known, set_tier, unblock
from fondaco.risk.actions import look, look_at_new, look_at_raised, replay, signal, standing_of, tier
from fondaco.risk.appeals import (
    add_to_appeal,
    appeal,
    ask_in_appeal,
    decide_appeal,
    decisions_of,
    explain,
    forecast,
    my_standing,
    open_appeals,
)
from fondaco.risk.enforcement import ENFORCEMENT, Limits, limits
from fondaco.risk.model import (
    Appeal,
    AppealOpen,
    Block,
    Decision,
    Forecast,
    NeedsTwo,
    Replayed,
    Signal,
    Standing,
    TierForbids,
)
from fondaco.risk.rules import CURRENT, VERSIONS, Tier, judge
from fondaco.risk.ties import device_seen

__all__ = [
    "CURRENT",
    "ENFORCEMENT",
    "VERSIONS",
    "Appeal",
    "AppealOpen",
    "Block",
    "Decision",
    "Forecast",
    "Limits",
    "NeedsTwo",
    "Replayed",
    "Signal",
    "Standing",
    "Tier",
    "TierForbids",
    "add_to_appeal",
    "appeal",
    "ask_ban",
    "ask_in_appeal",
    "block",
    "blocks",
    "decide_appeal",
    "decisions_of",
    "device_seen",
    "explain",
    "forecast",
    "judge",
    "known",
    "limits",
    "look",
    "look_at_new",
    "look_at_raised",
    "my_standing",
    "open_appeals",
    "replay",
    "set_tier",
    "signal",
    "standing_of",
    "tier",
    "unblock",
]

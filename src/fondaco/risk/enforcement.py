"""What each tier forbids: ONE table, the same in the code, in the database and in the docs."""

from dataclasses import dataclass

from fondaco.risk.rules import Tier


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for somebody in a tier. For a side that has no such thing the mildest value stands there."""

    hidden: bool = False
    """A store's listings are not shown or sold."""
    maturity_days: int = 0
    """Days from release until a store's money is payable, at least."""
    reserve_bps: int = 0
    """Part of what matures that is kept in reserve, in basis points."""
    payouts: bool = True
    """Whether a store is paid out."""
    quarantine: bool = False
    """New keys of a store are looked at before they are sold."""
    buys: bool = True
    """Whether a buyer may buy."""
    units_per_day: int | None = None
    """How many units a buyer may buy within a day; None: any."""
    open_cases: int | None = None
    """How many cases a buyer may have open; None: any."""
    reveal_after_minutes: int = 0
    """How long after a top-up by a new card keys stay closed."""
    source_only: bool = False
    """A buyer's refunds go back to where the money came from, not to the wallet."""


ENFORCEMENT: dict[tuple[str, Tier], Limits] = {
    ("user", Tier.NORMAL): Limits(),
    ("user", Tier.WARNING): Limits(units_per_day=20),
    ("user", Tier.AT_RISK): Limits(units_per_day=5, open_cases=1, reveal_after_minutes=60),
    ("user", Tier.RESTRICTED): Limits(buys=False, open_cases=1, reveal_after_minutes=60, source_only=True),
    ("user", Tier.BANNED): Limits(buys=False, open_cases=0, reveal_after_minutes=60, source_only=True),
    ("seller", Tier.NORMAL): Limits(),
    ("seller", Tier.WARNING): Limits(maturity_days=7, reserve_bps=500),
    ("seller", Tier.AT_RISK): Limits(maturity_days=14, reserve_bps=2000, quarantine=True),
    ("seller", Tier.RESTRICTED): Limits(
        hidden=True, maturity_days=14, reserve_bps=2000, payouts=False, quarantine=True
    ),
    ("seller", Tier.BANNED): Limits(
        hidden=True, maturity_days=14, reserve_bps=2000, payouts=False, quarantine=True
    ),
}


def limits(side: str, tier: Tier) -> Limits:
    """What holds for a buyer ('user') or a store ('seller') in this tier."""
    return ENFORCEMENT[side, tier]

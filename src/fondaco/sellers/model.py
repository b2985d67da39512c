"""Sellers: rows, errors and the onboarding machine."""

from fondaco.core.machine import Machine, Move

SELLER = Machine(
    "seller",
    born=("OPEN",),
    ends=("CLOSED",),
    moves=(
        Move("OPEN", "SUSPENDED", "admin", "listings hidden, open orders still delivered"),
        Move("SUSPENDED", "OPEN", "admin", "the reason is gone"),
        Move("OPEN", "CLOSED", "owner", "no new sales; only with settled books"),
        Move("SUSPENDED", "CLOSED", "admin", "only with settled books"),
    ),
)

"""Orders: rows, errors and the machines of order, line delivery and escrow."""

from fondaco.core.machine import Machine, Move

ORDER = Machine(
    "order",
    born=("PENDING_PAYMENT", "DELIVERED"),  # a wallet purchase is paid and delivered in one statement
    ends=("COMPLETED", "CANCELLED", "EXPIRED", "REFUNDED"),
    moves=(
        Move(
            "PENDING_PAYMENT",
            "DELIVERED",
            "payment",
            "paid in full; every unit delivered in the same transaction",
        ),
        Move("PENDING_PAYMENT", "EXPIRED", "sweeper", "not paid in time; units go back to stock"),
        Move("PENDING_PAYMENT", "CANCELLED", "buyer, support", "given up before paying"),
        Move("EXPIRED", "DELIVERED", "payment", "late payment, and the units could be taken again"),
        Move("DELIVERED", "COMPLETED", "buyer, sweeper", "every line is released"),
        Move("DELIVERED", "REFUNDED", "finance", "every line is refunded"),
        Move("COMPLETED", "REFUNDED", "finance", "every line is refunded after release"),
    ),
)

LINE_DELIVERY = Machine(
    "line_delivery",
    born=("RESERVED", "DELIVERED"),
    ends=("DELIVERED", "REFUNDED", "CANCELLED"),
    moves=(
        Move("RESERVED", "DELIVERED", "payment", "units sold and entitlements granted"),
        Move("RESERVED", "CANCELLED", "sweeper, buyer", "order expired or cancelled"),
        Move("CANCELLED", "DELIVERED", "payment", "late payment, units taken again"),
        Move("DELIVERED", "REFUNDED", "finance", "goodwill or a lost case"),
    ),
)

ESCROW = Machine(
    "escrow",
    born=("EMPTY", "HELD"),
    ends=("EMPTY", "RELEASED", "REFUNDED"),
    moves=(
        Move("EMPTY", "HELD", "payment", "the line's money is on its escrow account"),
        Move("HELD", "RELEASED", "buyer, sweeper", "to the seller and the marketplace; account is 0"),
        Move("HELD", "REFUNDED", "finance", "back to the buyer; account is 0"),
    ),
)

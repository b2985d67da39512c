"""Stock: rows, errors and the machines of units and batches."""

from fondaco.core.machine import Machine, Move

STOCK_UNIT = Machine(
    "stock_unit",
    born=("AVAILABLE",),
    ends=("CONSUMED", "WITHDRAWN"),
    moves=(
        Move("AVAILABLE", "RESERVED", "checkout", "held for an order that awaits its payment"),
        Move("RESERVED", "AVAILABLE", "sweeper", "the order expired or was cancelled unpaid"),
        Move("RESERVED", "SOLD", "payment", "the order is paid"),
        Move("AVAILABLE", "SOLD", "checkout", "bought from the wallet, or paid late"),
        Move("SOLD", "CONSUMED", "buyer", "revealed: from here it can never be sold again"),
        Move("AVAILABLE", "WITHDRAWN", "seller", "taken out of sale"),
    ),
)

STOCK_BATCH = Machine(
    "stock_batch",
    born=("RECEIVED",),
    ends=("CLOSED", "FAILED"),
    moves=(
        Move("RECEIVED", "IMPORTING", "worker", "lines are being checked"),
        Move("IMPORTING", "CLOSED", "worker", "every good line is in stock, in one transaction"),
        Move("IMPORTING", "FAILED", "worker", "nothing was imported; the reason is kept"),
        Move("RECEIVED", "FAILED", "worker", "nothing was imported; the reason is kept"),
    ),
)

"""Credit: its machine and what can be refused."""

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

CREDIT = Machine(
    "credit",
    born=("OWED",),
    ends=("PAID", "WRITTEN_OFF"),
    moves=(
        Move("OWED", "PAID", "wallet, refund", "money reached the wallet, or came back from the seller"),
        Move("OWED", "WRITTEN_OFF", "clock", "so long overdue that its terms give it up"),
    ),
)


class NoCreditOwed(Problem):
    """You owe nothing."""

    status = 409
    code = "no_credit_owed"


class NothingToPayWith(Problem):
    """Your wallet holds nothing that could pay what you owe. Put money in: it pays by itself."""

    status = 409
    code = "nothing_to_pay_with"

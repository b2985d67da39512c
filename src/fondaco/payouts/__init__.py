"""Payouts: sellers' accounts at the provider, and the money that leaves to them.

Every day one payout per seller and currency, and withdrawals on request, by the same three commits: the
intent (gates looked at, lines chosen oldest first, money set aside, destination pinned), the claim with its
attempt, the outcome. One payout makes one transfer, to the cent. What the seller owes is set against what
is available first. A line is never paid more than its net; a gate that closes holds a payout, a changed
account cancels it, and what certainly did not leave is payable again. What a bank does to a seller's own
account moves no money here.
"""

from fondaco.payouts.accounts import AccountRefused, close_account, connect, my_account, note_account, refresh
from fondaco.payouts.actions import cancel, hold, let_go, withdraw
from fondaco.payouts.batch import finish, next_run, run_date, run_due, runs, start_run
from fondaco.payouts.desk import (
    Attempt,
    DeskDetail,
    DeskPayout,
    Figures,
    Preview,
    Reversal,
    ages,
    figures,
    list_payouts,
    preview,
    read_payout,
    waiting,
    withheld,
)
from fondaco.payouts.events import ask_account, ask_bank_payout, ask_transfer
from fondaco.payouts.model import (
    PAYOUT_STATES,
    Bucket,
    Due,
    Gate,
    NotEnough,
    NotNow,
    Payout,
    PayoutAccount,
    PayoutDetail,
    PayoutItem,
    PayoutPage,
    PayoutsClosed,
    ProviderAway,
    RunState,
    Standing,
    TooLittle,
    gate_words,
    refusal_words,
)
from fondaco.payouts.reads import my_payout, my_payouts, payouts_of_orders, standing
from fondaco.payouts.sending import note_transfer, resolve_payout, send_payout, sweep_payouts
from fondaco.payouts.taking_back import note_bank_payout, send_reversal, sweep_reversals, take_back

__all__ = [
    "PAYOUT_STATES",
    "AccountRefused",
    "Attempt",
    "Bucket",
    "DeskDetail",
    "DeskPayout",
    "Due",
    "Figures",
    "Gate",
    "NotEnough",
    "NotNow",
    "Payout",
    "PayoutAccount",
    "PayoutDetail",
    "PayoutItem",
    "PayoutPage",
    "PayoutsClosed",
    "Preview",
    "ProviderAway",
    "Reversal",
    "RunState",
    "Standing",
    "TooLittle",
    "ages",
    "ask_account",
    "ask_bank_payout",
    "ask_transfer",
    "cancel",
    "close_account",
    "connect",
    "figures",
    "finish",
    "gate_words",
    "hold",
    "let_go",
    "list_payouts",
    "my_account",
    "my_payout",
    "my_payouts",
    "next_run",
    "note_account",
    "note_bank_payout",
    "note_transfer",
    "payouts_of_orders",
    "preview",
    "read_payout",
    "refresh",
    "refusal_words",
    "resolve_payout",
    "run_date",
    "run_due",
    "runs",
    "send_payout",
    "send_reversal",
    "standing",
    "start_run",
    "sweep_payouts",
    "sweep_reversals",
    "take_back",
    "waiting",
    "withdraw",
    "withheld",
]

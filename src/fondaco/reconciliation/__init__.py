"""Reconciliation: every balance transaction of the provider against our journals, both ways, to the cent.

Each movement has exactly one journal that says the same, and each journal upon our account at the provider
has its movement; whatever has not is a break, with a class, an owner and an age. No payout leaves while one
is unexplained. Each run ends with a signed report.
"""

from fondaco.reconciliation.breaks import explain, open_breaks, reopen, take
from fondaco.reconciliation.model import (
    CLASSES,
    STATES,
    BookedAlready,
    Break,
    BreakChanged,
    NoReport,
    NotBookable,
    Run,
    RunUnderWay,
    Standing,
)
from fondaco.reconciliation.reads import (
    break_ages,
    count_open,
    list_breaks,
    list_runs,
    money_by_day,
    read_break,
    read_report,
    read_run,
    standing,
)
from fondaco.reconciliation.report import is_signed, signed_file, told
from fondaco.reconciliation.running import begin, run
from fondaco.reconciliation.settling import (
    AS,
    HOW,
    Suspended,
    ask_to_book,
    ask_to_settle,
    in_suspense,
    note_sent_back,
    send_back,
)
from fondaco.reconciliation.sweeping import note_own_payout

__all__ = [
    "AS",
    "CLASSES",
    "HOW",
    "STATES",
    "BookedAlready",
    "Break",
    "BreakChanged",
    "NoReport",
    "NotBookable",
    "Run",
    "RunUnderWay",
    "Standing",
    "Suspended",
    "ask_to_book",
    "ask_to_settle",
    "begin",
    "break_ages",
    "count_open",
    "explain",
    "in_suspense",
    "is_signed",
    "list_breaks",
    "list_runs",
    "money_by_day",
    "note_own_payout",
    "note_sent_back",
    "open_breaks",
    "read_break",
    "read_report",
    "read_run",
    "reopen",
    "run",
    "send_back",
    "signed_file",
    "standing",
    "take",
    "told",
]

"""Reconciliation: every balance transaction of the provider against our journals, both ways, to the cent.

Each movement has exactly one journal that says the same, and each journal upon our account at the provider
has its movement; whatever has not is a break, with a class, an owner and an age. No payout leaves while one
is unexplained. Each run ends with a signed report.
"""

from fondaco.reconciliation.breaks import explain, open_breaks, reopen, take
from fondaco.reconciliation.model import CLASSES, STATES, Break, BreakChanged, Run, RunUnderWay
from fondaco.reconciliation.reads import list_breaks, list_runs, read_break, read_report, read_run
from fondaco.reconciliation.report import is_signed
from fondaco.reconciliation.running import begin, run

__all__ = [
    "CLASSES",
    "STATES",
    "Break",
    "BreakChanged",
    "Run",
    "RunUnderWay",
    "begin",
    "explain",
    "is_signed",
    "list_breaks",
    "list_runs",
    "open_breaks",
    "read_break",
    "read_report",
    "read_run",
    "reopen",
    "run",
    "take",
]

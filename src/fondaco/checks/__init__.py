"""Checks: whether everything still is as it must be, asked every minute, every night, and on demand.

Each check is a query that must return nothing; each row it returns is told in words. What is found is kept
from when it was first seen until it is gone; the operator is written to once about each. Reads unchanging
views, takes one processor, and gives up what takes too long: it never stands in anybody's way.
"""

from fondaco.checks.ground import plaintext
from fondaco.checks.model import ELSEWHERE, INVARIANTS, OpenFault, Run, Summary
from fondaco.checks.reads import RunUnderWay, ask_for_full_run, list_faults, list_runs, open_faults, summary
from fondaco.checks.running import every_minute, full_run, verify_all
from fondaco.core.checking import Fault

__all__ = [
    "ELSEWHERE",
    "INVARIANTS",
    "Fault",
    "OpenFault",
    "Run",
    "RunUnderWay",
    "Summary",
    "ask_for_full_run",
    "every_minute",
    "full_run",
    "list_faults",
    "list_runs",
    "open_faults",
    "plaintext",
    "summary",
    "verify_all",
]

"""Cases: disagreements between buyer and seller, decided on evidence.

A buyer opens a case about delivered goods. What was so is kept as a snapshot, and the money is frozen. The
parties write, answer and settle; support leads the case, finance decides it, and the decision moves the money
in the same transaction. Every deadline has an outcome. An evidence pack is signed and checked by anybody.
"""

from fondaco.cases.clocks import sweep
from fondaco.cases.desk import ask, close, decide, note, take
from fondaco.cases.evidence import canonical, snapshot
from fondaco.cases.files import File, attach, read_file, sniffed
from fondaco.cases.model import OUTCOMES, REASONS, STATES, WISHES, Acting
from fondaco.cases.opening import open_case
from fondaco.cases.packing import Pack, key_id, pack, pack_for, pack_pdf, public_key, signing_key, verifier
from fondaco.cases.parties import (
    accept_offer,
    answer,
    appeal,
    decline_offer,
    offer,
    take_back_offer,
    withdraw,
    write,
)
from fondaco.cases.reads import (
    Case,
    CaseDetail,
    CasePage,
    Outcomes,
    cases_of_order,
    is_own,
    list_cases,
    outcomes,
    read_case,
    read_snapshot,
)

__all__ = [
    "OUTCOMES",
    "REASONS",
    "STATES",
    "WISHES",
    "Acting",
    "Case",
    "CaseDetail",
    "CasePage",
    "File",
    "Outcomes",
    "Pack",
    "accept_offer",
    "answer",
    "appeal",
    "ask",
    "attach",
    "canonical",
    "cases_of_order",
    "close",
    "decide",
    "decline_offer",
    "is_own",
    "key_id",
    "list_cases",
    "note",
    "offer",
    "open_case",
    "outcomes",
    "pack",
    "pack_for",
    "pack_pdf",
    "public_key",
    "read_case",
    "read_file",
    "read_snapshot",
    "signing_key",
    "snapshot",
    "sniffed",
    "sweep",
    "take",
    "take_back_offer",
    "verifier",
    "withdraw",
    "write",
]

"""Cases: the machine, who may do what when, clocks, errors, and the words of the policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from fondaco.core.db import Record
from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Conflict, Invalid, NotFound, Problem
from fondaco.core.viewer import Viewer

PICK_UP = timedelta(hours=48)  # then a case is under review by itself
REVIEW = timedelta(hours=72)  # the staff's own time; past it the desk is alerted once a day
ANSWER = timedelta(hours=72)  # for the asked party
APPEAL = timedelta(days=7)  # after a decision
REMIND = timedelta(hours=24)

OPEN_STATES = ("OPEN", "UNDER_REVIEW", "NEEDS_RESPONSE")
DECIDED = ("WON", "LOST")
STATES = (*OPEN_STATES, *DECIDED, "CLOSED")
REASONS: Mapping[str, str] = {
    "NOT_WORKING": "It does not work",
    "ALREADY_USED": "It was used before",
    "WRONG_ITEM": "It is something else than I bought",
    "WRONG_REGION": "It does not work in my country",
    "NOT_AS_DESCRIBED": "It is not as described",
    "NOT_RECEIVED": "I did not get it",
    "OTHER": "Something else",
}
WISHES: Mapping[str, str] = {
    "REFUND": "My money back",
    "PART": "A part of my money back",
    "REPLACEMENT": "Another one that works",
}
OUTCOMES: Mapping[str, str] = {
    "SELLER": "For the seller",
    "BUYER": "For the buyer",
    "SPLIT": "Shared",
    "WITHDRAWN": "Withdrawn or settled",
}

POLICY_VERSION = 1
# Kept in each snapshot as it was then.
POLICY = (
    "A buyer may open a case about delivered goods while their money is protected, and for some days "
    "after it was released. While a case is open, money in escrow is frozen and nothing is refunded "
    "beside the case. Support takes a case up within 48 hours. A party that is asked has 72 hours to "
    "answer. A seller who does not answer loses the case; of a buyer who does not answer, it is decided "
    "on what is there. The buyer may withdraw at any time before the decision, and may accept what the "
    "seller offers. Whoever decides is neither buyer nor seller. For seven days after a decision the "
    "party it went against may appeal."
)

Side = Literal["buyer", "seller", "staff"]
Party = Literal["buyer", "seller", "staff", "system"]

CASE = Machine(
    "case",
    born=("OPEN",),
    ends=("CLOSED",),
    moves=(
        Move("OPEN", "UNDER_REVIEW", "support, sweeper (48 h)", "taken up; the evidence was frozen before"),
        Move("OPEN", "CLOSED", "buyer", "withdrawn or settled; the escrow is held again"),
        Move("UNDER_REVIEW", "NEEDS_RESPONSE", "support", "one named party is asked and has 72 h"),
        Move("UNDER_REVIEW", "WON", "finance", "the money goes to the seller in the same transaction"),
        Move("UNDER_REVIEW", "LOST", "finance", "the buyer is refunded in the same transaction"),
        Move("UNDER_REVIEW", "CLOSED", "buyer", "withdrawn or settled"),
        Move("NEEDS_RESPONSE", "UNDER_REVIEW", "asked party, sweeper", "answered, or the buyer was silent"),
        Move("NEEDS_RESPONSE", "WON", "finance", "the money goes to the seller in the same transaction"),
        Move("NEEDS_RESPONSE", "LOST", "finance, sweeper", "decided, or the seller was silent"),
        Move("NEEDS_RESPONSE", "CLOSED", "buyer", "withdrawn or settled"),
        Move("WON", "CLOSED", "sweeper (7 days), support", "the time to appeal is over"),
        Move("LOST", "CLOSED", "sweeper (7 days), support", "the time to appeal is over"),
    ),
)

# What each side may do in which states. Beyond that: `answer` is the asked party's, an offer must be open to
# be accepted, declined or taken back, and an appeal belongs to whom the decision went against.
MAY: Mapping[str, tuple[tuple[Side, ...], tuple[str, ...]]] = {
    "write": (("buyer", "seller", "staff"), OPEN_STATES),
    "attach": (("buyer", "seller", "staff"), (*OPEN_STATES, *DECIDED)),
    "withdraw": (("buyer",), OPEN_STATES),
    "answer": (("buyer", "seller"), ("NEEDS_RESPONSE",)),
    "offer": (("seller",), OPEN_STATES),
    "take_back": (("seller",), OPEN_STATES),
    "accept": (("buyer",), OPEN_STATES),
    "decline": (("buyer",), OPEN_STATES),
    "take": (("staff",), OPEN_STATES),
    "ask": (("staff",), ("UNDER_REVIEW",)),
    "decide": (("staff",), ("UNDER_REVIEW", "NEEDS_RESPONSE")),
    "appeal": (("buyer", "seller"), DECIDED),
    "close": (("staff",), DECIDED),
    "note": (("staff",), STATES),
}


class CaseMoved(Conflict):
    """This case went on since you opened the page. Look at how it stands and decide again."""

    code = "case_moved"


class CaseNotNow(Problem):
    """That cannot be done with this case now."""

    status = 409
    code = "case_not_now"


class CaseOpen(Problem):
    """There is an open case about this already."""

    status = 409
    code = "case_open"


class CaseTooLate(Problem):
    """It is too late to open a case about this."""

    status = 409
    code = "case_too_late"


class OwnCase(Problem):
    """You are a party of this case, so somebody else of the staff has to work on it."""

    status = 403
    code = "own_case"


class BadFile(Invalid):
    """This file cannot be taken."""

    code = "bad_file"


@dataclass(frozen=True, slots=True)
class Acting:
    """Who does something with a case, and on which side of it."""

    side: Side
    viewer: Viewer

    def clause(self) -> tuple[str, UUID | None]:
        """The WHERE clause over `c` with `$2`, and its value. Raises NotFound, SignInNeeded."""
        if self.side == "buyer":
            return "c.buyer_id = $2", self.viewer.user()
        if self.side == "seller":
            return "c.seller_id = $2", self.viewer.seller()
        if self.viewer.staff_role is None:
            raise NotFound()
        return "$2::uuid IS NULL", None


def may(act: str, side: str, state: str, asked: str | None = None) -> bool:
    """Whether that side may do this in that state, as far as the state says."""
    sides, states = MAY[act]
    return side in sides and state in states and (act != "answer" or side == asked)


def may_appeal(side: str, outcome: str | None, appeal_by: str | None) -> bool:
    """Whether the decision went against that side, and nobody has appealed yet."""
    against = {"SELLER": ("buyer",), "BUYER": ("seller",), "SPLIT": ("buyer", "seller")}.get(
        outcome or "", ()
    )
    return appeal_by is None and side in against


def required(act: str, by: Acting, case: Record) -> None:
    """Raises CaseNotNow unless the act is that side's now."""
    if not may(act, by.side, case["state"], case["asked_party"]):
        raise CaseNotNow(f"That cannot be done now: the case is {_WORDS[case['state']]}.")


_WORDS = {
    "OPEN": "open and not taken up yet",
    "UNDER_REVIEW": "under review",
    "NEEDS_RESPONSE": "waiting for an answer",
    "WON": "decided for the seller",
    "LOST": "decided for the buyer",
    "CLOSED": "closed",
}


def said(text: Any, field: str = "text", least: int = 3, most: int = 4000) -> str:
    """What somebody wrote, trimmed. Raises Invalid."""
    found = str(text or "").replace("\r\n", "\n").strip()
    if "\x00" in found or not least <= len(found) <= most:
        raise Invalid(fields={field: f"Write {least} to {most} characters."})
    return found

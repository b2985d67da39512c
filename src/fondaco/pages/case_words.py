"""Cases in words: how one stands for whoever reads it, and what happened in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fondaco.cases import OUTCOMES, REASONS, WISHES, CaseDetail
from fondaco.cases.reads import CaseEvent
from fondaco.pages.render import format_money

PARTIES = {"buyer": "The buyer", "seller": "The seller", "staff": "Support", "system": "The clock"}
MESSAGES = {
    "opening": "What is wrong",
    "message": "Message",
    "answer": "Answer",
    "question": "Question",
    "offer": "Offer",
    "decision": "Decision",
    "appeal": "Appeal",
    "note": "Note for the staff",
}
_EVENTS: dict[str, tuple[str, str, str]] = {  # icon, tone, words
    "opened": ("flag", "new", "Case opened; what was so is kept as evidence"),
    "taken": ("user-round-check", "busy", "Taken up for review"),
    "asked": ("circle-alert", "wait", "Asked for an answer"),
    "answered": ("mail", "busy", "Answered"),
    "unanswered": ("clock", "wait", "No answer in time; it goes on without"),
    "offered": ("tag", "new", "Offered to settle"),
    "offer_taken_back": ("undo-2", "quiet", "Took the offer back"),
    "declined": ("circle-x", "quiet", "Declined the offer"),
    "accepted": ("circle-check", "good", "Accepted the offer"),
    "withdrawn": ("undo-2", "quiet", "Withdrawn"),
    "decided": ("scale", "good", "Decided"),
    "appealed": ("flag", "wait", "Appealed"),
    "overdue": ("clock", "bad", "Past its time; the desk was alerted"),
    "closed": ("circle-check", "quiet", "Closed"),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What to tell first. `until`: the clock that runs now, with what it means in `clock`."""

    tone: str
    heading: str
    words: str
    clock: str = ""
    until: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether more may happen by itself."""
        return self.heading != "Closed"


def standing(found: CaseDetail, side: str) -> Standing:
    """How the case stands for that side."""
    case = found.case
    if case.state == "OPEN":
        return _open(found, side)
    if case.state == "UNDER_REVIEW":
        words = "Both sides may still write and add files, and the seller may offer to settle."
        return Standing("busy", "Under review", words, "A decision or a question is due", case.deadline)
    if case.state == "NEEDS_RESPONSE":
        return _asked(found, side)
    ended = outcome_words(found, side)
    if case.state == "CLOSED":
        return Standing("quiet", "Closed", ended)
    appeal = "There is an appeal; support looks at it again." if case.appeal_by else ""
    if not appeal and "appeal" in found.acts:
        appeal = "If you think this is wrong, you may appeal once."
    clock = "An answer to the appeal is due" if case.appeal_by else "The time to appeal ends"
    return Standing("good", "Decided", f"{ended} {appeal}".strip(), clock, case.deadline)


def _open(found: CaseDetail, side: str) -> Standing:
    case = found.case
    frozen = (
        "The money is frozen meanwhile."
        if any(x.frozen for x in found.lines)
        else "The money had been released."
    )
    words = {
        "buyer": f"{case.seller} sees what you wrote and may answer or offer to settle. {frozen}",
        "seller": f"Write to the buyer, or offer to settle it, before support takes it up. {frozen}",
        "staff": f"Nobody has taken it up yet. {frozen}",
    }[side]
    return Standing("wait", "Open", words, "Support takes it up at the latest", case.deadline)


def _asked(found: CaseDetail, side: str) -> Standing:
    case = found.case
    if case.asked_party == side:
        silent = (
            "Without an answer you lose the case."
            if side == "seller"
            else "Without an answer it is decided on what is there."
        )
        return Standing(
            "bad", "You are asked", f"Support asks you something. {silent}", "You have time", case.deadline
        )
    if case.asked_party == "seller":
        words = "Support has asked the seller. Without an answer the buyer gets the money back."
        return Standing("wait", "The seller is asked", words, "The seller has time", case.deadline)
    words = "Support has asked the buyer. Without an answer it is decided on what is there."
    return Standing("wait", "The buyer is asked", words, "The buyer has time", case.deadline)


def outcome_words(found: CaseDetail, side: str) -> str:
    """How it ended, in a sentence."""
    case = found.case
    back = format_money(case.refunded, case.currency)
    you = side == "buyer"
    if case.outcome == "SELLER":
        return "It was decided for the seller: the money stays with the seller."
    if case.outcome == "BUYER":
        return f"{'You' if you else 'The buyer'} got {back} back."
    if case.outcome == "SPLIT":
        return f"It was shared: {back} went back to {'you' if you else 'the buyer'}, the rest did not."
    return "It was withdrawn or settled without money."


def told(event: CaseEvent, currency: str) -> dict[str, Any]:
    """A step for the timeline."""
    icon, tone, words = _EVENTS.get(
        event.kind, ("circle", "quiet", event.kind.replace("_", " ").capitalize())
    )
    detail: list[str] = []
    if asked := event.data.get("asked"):
        detail.append(PARTIES[str(asked)])
    if outcome := event.data.get("outcome"):
        detail.append(OUTCOMES[str(outcome)])
    if amount := event.data.get("amount"):
        detail.append(format_money(int(amount), currency))
    elif event.data.get("offers") == "replacement":
        detail.append("a replacement")
    return {
        "icon": icon,
        "tone": tone,
        "what": words,
        "when": event.at,
        "who": PARTIES[event.party],
        "detail": ", ".join(detail),
    }


def shown(found: CaseDetail, side: str) -> dict[str, Any]:
    """What the templates of a case show."""
    case = found.case
    return {
        "found": found,
        "case": case,
        "side": side,
        "standing": standing(found, side),
        "steps": [told(e, case.currency) for e in found.events],
        "parties": PARTIES
        | ({"buyer": "You"} if side == "buyer" else {})
        | ({"seller": "You"} if side == "seller" else {}),
        "kinds": MESSAGES,
        "reason": REASONS[case.reason],
        "wish": WISHES[case.wish],
        "files_at": {"buyer": "/cases/files", "seller": "/seller/cases/files"}.get(
            side, "/console/cases/files"
        ),
    }

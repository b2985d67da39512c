"""Refunds: reasons, what a refund is, and why one cannot be."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.machine import Machine, Move
from fondaco.core.money import Money
from fondaco.core.problem import Problem

Destination = Literal["wallet", "source"]

BAD_KEY = Machine(
    "bad_key",
    born=("OPEN",),
    ends=("REPLACED", "REFUNDED", "REFUSED", "WITHDRAWN"),
    moves=(
        Move("OPEN", "REPLACED", "seller, support", "another key of the same listing was delivered"),
        Move(
            "OPEN",
            "REFUNDED",
            "seller, sweeper",
            "its money went back; by itself if the seller is silent",
        ),
        Move("OPEN", "REFUSED", "seller", "the seller says why the key works; the buyer may open a case"),
        Move(
            "OPEN",
            "WITHDRAWN",
            "buyer, refund",
            "it works after all, or its money went back otherwise",
        ),
    ),
)

# Code -> words for people. The first ones a buyer may give, the rest sellers and staff.
REASONS: dict[str, str] = {
    "changed_mind": "Not wanted after all",
    "bad_code": "The key does not work",
    "wrong_goods": "Not what was described",
    "wrong_region": "Does not work in the buyer's country",
    "duplicate": "Bought twice",
    "sold_in_error": "Sold in error",
    "goodwill": "Goodwill",
    "fraud": "Suspected fraud",
    "case": "Decided in a case",
    "chargeback": "Chargeback",
    "store_closed": "The store was closed",
    "other": "Something else",
}


SELLER_REASONS = (
    "bad_code",
    "wrong_goods",
    "wrong_region",
    "duplicate",
    "sold_in_error",
    "goodwill",
    "other",
)
STAFF_REASONS = (*SELLER_REASONS, "changed_mind", "fraud")


BAD_KEY_STATES = ("OPEN", "REPLACED", "REFUNDED", "REFUSED", "WITHDRAWN")


class NotRefundable(Problem):
    """There is no money of this line to give back: it was not paid, or all of it went back already."""

    status = 409
    code = "not_refundable"


class RefundAboveRest(Problem):
    """That is more than is left to give back of this line."""

    status = 409
    code = "refund_above_rest"


class FrozenByCase(Problem):
    """A case about this is open. Its decision says where the money goes."""

    status = 409
    code = "frozen_by_case"


class NoSource(Problem):
    """This was paid from the wallet, so the money can go back to the wallet only, or its payment is
    disputed."""

    status = 409
    code = "no_source"


class RefundWindowOver(Problem):
    """The time in which this can be given back by yourself is over. The seller or support can still help."""

    status = 409
    code = "refund_window_over"


class AlreadyRevealed(Problem):
    """You have opened this, so it cannot be given back by yourself. If it does not work, report it."""

    status = 409
    code = "already_revealed"


class NotRevealed(Problem):
    """You have not opened this key yet. Open it first, or give it back unopened."""

    status = 409
    code = "not_revealed"


class ReportWindowOver(Problem):
    """The time in which a key can be reported is over. Support can still help."""

    status = 409
    code = "report_window_over"


class AlreadyReported(Problem):
    """You have reported this key already."""

    status = 409
    code = "already_reported"


class ReportClosed(Problem):
    """This report was answered meanwhile."""

    status = 409
    code = "report_closed"


class NotReplaceable(Problem):
    """Only a delivered key of a line that was not given back can be replaced."""

    status = 409
    code = "not_replaceable"


class LineRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one line that went back to its buyer."""

    id: UUID
    line_id: UUID
    order_id: UUID
    amount: Annotated[int, Meta(description="What the buyer got, minor units of `currency`.")]
    commission: Annotated[int, Meta(description="Of it: given back by the marketplace.")]
    tax: int
    currency: str
    after_release: bool
    destination: Annotated[str, Meta(description="`wallet`, or `source`: on to where it was paid from.")]
    reason: Annotated[str, Meta(description="A code; see the reasons in the documentation.")]
    why: Annotated[str, Meta(description="In words of whoever gave it back.")]
    created_at: datetime
    source_state: Annotated[
        str | None, Meta(description="Of a refund to the source: how far it is at the provider.")
    ] = None

    @property
    def reason_words(self) -> str:
        return REASONS.get(self.reason, self.reason)


def words_of(amount: int, currency: str) -> str:
    """ "€12.50": for sentences."""
    return Money(amount, currency).words()

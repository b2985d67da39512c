"""Papers: what stands on them, and what can be refused."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.problem import Problem


class Kind(StrEnum):
    """The kinds of papers, each with a series of numbers of its own per year."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    COMMISSION_INVOICE = "commission_invoice"
    COMMISSION_CREDIT_NOTE = "commission_credit_note"
    PAYOUT_STATEMENT = "payout_statement"
    STATEMENT = "statement"


TITLES: dict[Kind, tuple[str, str]] = {
    Kind.INVOICE: ("Invoice", "INV"),
    Kind.CREDIT_NOTE: ("Credit note", "CRN"),
    Kind.COMMISSION_INVOICE: ("Commission invoice", "COM"),
    Kind.COMMISSION_CREDIT_NOTE: ("Commission credit note", "COC"),
    Kind.PAYOUT_STATEMENT: ("Payout statement", "PST"),
    Kind.STATEMENT: ("Statement", "STM"),
}
"""What each kind is called, and what its numbers begin with."""


class PaperLine(msgspec.Struct, frozen=True):
    """One line of a paper: words, and an amount in minor units for each column."""

    text: str
    detail: str
    amounts: list[int]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """All that stands on a paper. Opening lines and lines add up to the last total, column by column."""

    form: int = 1
    """The version of this form, so that old papers stay readable."""
    kind: str
    number: str
    title: str
    issued_at: datetime
    issuer: str
    receiver: str
    currency: str
    facts: list[tuple[str, str]]
    columns: Annotated[list[str], Meta(description="Headings of the columns of amounts.")]
    opening: list[PaperLine]
    lines: list[PaperLine]
    totals: list[PaperLine]
    note: str = ""

    def adds_up(self) -> bool:
        """Whether opening lines and lines add up to the last total in every column."""
        return [
            sum(line.amounts[i] for line in (*self.opening, *self.lines)) for i in range(len(self.columns))
        ] == self.totals[-1].amounts


class PaperRow(msgspec.Struct, frozen=True, kw_only=True):
    """A paper as lists show it. `total` is in minor units."""

    id: UUID
    kind: str
    number: str
    ref: str
    order_id: UUID | None
    currency: str
    total: int
    period: str | None
    issued_at: datetime


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """A paper with all that stands on it. `sha256` is the hash of the kept content, in hex."""

    id: UUID
    kind: str
    number: str
    ref: str
    currency: str
    total: int
    issued_at: datetime
    sha256: str
    content: Content


class DoesNotAddUp(Problem):
    """The amounts of this paper do not add up, so it was not issued. Somebody has been told."""

    status = 500
    code = "paper_does_not_add_up"

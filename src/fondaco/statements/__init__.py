"""Statements: papers about money. Invoices and credit notes of buyers; statements, payout statements and
commission invoices of sellers; the books as text for other programs.

A paper has a number without a gap and never changes. What stands on it is kept as canonical JSON with its
hash; PDF, CSV and API are made of that alone, so they agree to the cent and are the same for ever.
"""

from fondaco.statements.drawing import as_csv, as_pdf
from fondaco.statements.held import BUCKETS, WORDS, Explained, HeldPart, explained, explained_for_staff
from fondaco.statements.issuing import Draft, issue
from fondaco.statements.model import TITLES, Content, DoesNotAddUp, Kind, Paper, PaperLine, PaperRow
from fondaco.statements.reads import (
    all_papers,
    any_paper,
    own_paper,
    own_papers,
    papers_of_order,
    store_paper,
    store_papers,
    wrong_papers,
)
from fondaco.statements.routes import csv_answer, pdf_answer
from fondaco.statements.sellers import Month

__all__ = [
    "BUCKETS",
    "TITLES",
    "WORDS",
    "Content",
    "DoesNotAddUp",
    "Draft",
    "Explained",
    "HeldPart",
    "Kind",
    "Month",
    "Paper",
    "PaperLine",
    "PaperRow",
    "all_papers",
    "any_paper",
    "as_csv",
    "as_pdf",
    "csv_answer",
    "explained",
    "explained_for_staff",
    "issue",
    "own_paper",
    "own_papers",
    "papers_of_order",
    "pdf_answer",
    "store_paper",
    "store_papers",
    "wrong_papers",
]

"""Generated documentation says what the code says now."""

import runpy
from pathlib import Path

import pytest

from fondaco.core.db import Database

DOCS = Path(__file__).resolve().parents[2] / "docs"
MAKE = runpy.run_path(str(DOCS / "make.py"))


@pytest.mark.parametrize("name", sorted(MAKE["PAGES"]))
def test_generated_page_is_fresh(name: str) -> None:
    made = MAKE["HEAD"] + MAKE["PAGES"][name]()
    assert (DOCS / "drawn" / name).read_text() == made, "run: python docs/make.py"


async def test_worked_postings_are_what_the_ledger_does(db: Database) -> None:
    worked = runpy.run_path(str(DOCS / "worked.py"))
    told = await worked["tell"](db)
    assert (DOCS / "money" / "postings.md").read_text() == told, "run: python docs/worked.py"

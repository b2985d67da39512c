"""Whoever verifies is told how far it is: on a terminal by a bar, elsewhere by lines."""

import importlib
import io
import re
from itertools import pairwise

import pytest
from rich.console import Console

from fondaco.checks import verify_all
from fondaco.up.telling import telling
from tests.support.money import Till, give_money, make_buyer


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("fondaco.ledger.verify"), "BATCH", 2)


async def test_the_share_only_grows_and_ends_at_all(till: Till) -> None:
    buyer = await make_buyer(till.db)
    for _ in range(5):
        await give_money(till.db, buyer.user(), 500)
    told: list[float] = []
    words: list[str] = []
    assert await verify_all(till.db, till.settings, words.append, told.append) == []
    assert told[0] < 0.05 and told[-1] > 0.95 and max(told) <= 1.0
    assert all(one <= other for one, other in pairwise(told))
    assert any(0.1 < share < 0.9 for share in told)
    assert any(re.fullmatch(r"I02: [0-9,]+ journals", each) for each in words)


def test_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with telling(Console(file=out), "Looking") as told:
        for n in range(101):
            told.words(f"[{n}]")
            told.share(n / 100)
    lines = out.getvalue().splitlines()
    assert lines == [f"Looking: {n} % ([{n}])" for n in range(10, 101, 10)]


def test_a_bar_on_a_terminal() -> None:
    out = io.StringIO()
    with telling(Console(file=out, force_terminal=True, width=100), "Looking") as told:
        told.words("at [this]")
        told.share(0.5)
    assert "50%" in out.getvalue() and "at [this]" in out.getvalue()

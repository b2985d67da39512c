"""Counts that stop say that they did."""

import pytest

from fondaco.core import counting
from fondaco.core.db import SYSTEM, Database
from fondaco.pages.render import number, plural

_ROWS = """SELECT t.state FROM (SELECT CASE WHEN n % 10 = 0 THEN 'RARE' ELSE 'COMMON' END AS state, n
  FROM generate_series(1, 40) n) t WHERE true"""


async def test_each_state_is_counted_up_to_the_most(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST", 5)
    rows = await db.fetch(SYSTEM, counting.by_state(["RARE", "COMMON", "NONE"], "t.state", _ROWS))
    assert {r["state"]: r["n"] for r in rows} == {"RARE": 4, "COMMON": 5}
    newest = await db.fetch(SYSTEM, counting.among_newest(_ROWS, "n DESC"))
    assert {r["state"]: r["n"] for r in newest} == {"RARE": 1, "COMMON": 4}


def test_a_count_that_stopped_is_shown_with_a_plus() -> None:
    counts = counting.shown({"COMMON": counting.MOST, "RARE": 4})
    assert [number(n) for n in counts.values()] == ["1,000+", "4"]
    assert number(counting.total(counts)) == "1,004+"
    assert plural(counting.total(counts, ["RARE"]), "result") == "4 results"


def test_counts_among_the_newest_are_all_lower_bounds_once_there_are_more() -> None:
    most = counting.shown({"COMMON": counting.MOST - 4, "RARE": 4}, newest=True)
    assert [number(n) for n in most.values()] == ["996+", "4+"]
    few = counting.shown({"COMMON": 7, "RARE": 4}, newest=True)
    assert number(counting.total(few)) == "11"

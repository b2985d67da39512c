"""Law 8. Money is integer minor units plus currency; time is aware UTC from one clock."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fondaco.core.db import SYSTEM, Database
from fondaco.core.money import BadAmount, commission, exponent, parse_amount, share
from tests.laws.source import trees

# Where a float is not money: timeouts, rates of metrics, drawing.
FLOATS_ALLOWED = ("pages/charts.py", "pages/covers.py", "logs.py", "worker.py", "embedded", "up", "doctor.py")


def test_nothing_turns_amounts_into_floats() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in trees().items()
        if not str(path).startswith(FLOATS_ALLOWED)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
    ]
    assert not found


def test_only_the_clock_asks_the_time() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in trees().items()
        if str(path) not in ("core/clock.py",)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("now", "utcnow", "today")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("datetime", "date")
    ]
    assert not found


async def test_columns_hold_whole_numbers_and_aware_times(db: Database) -> None:
    rows = await db.fetch(
        SYSTEM,
        """SELECT table_schema || '.' || table_name || '.' || column_name AS name, data_type
           FROM information_schema.columns
           WHERE table_schema NOT IN ('public', 'pg_catalog', 'information_schema')
             AND data_type IN ('real', 'double precision', 'numeric', 'money',
                               'timestamp without time zone', 'time without time zone')""",
    )
    assert not rows


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=50).filter(any))
def test_parts_always_sum_to_the_whole(total: int, weights: list[int]) -> None:
    parts = share(total, weights)
    assert sum(parts) == total
    assert all(abs(p * sum(weights) - total * w) < sum(weights) for p, w in zip(parts, weights, strict=True))


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 5000))
def test_commission_never_exceeds_its_rate(net: int, tax: int, bps: int) -> None:
    fee = commission(net + tax, tax, bps)
    assert 0 <= fee * 10_000 <= net * bps


@given(st.integers(0, 10**12), st.sampled_from(["EUR", "USD", "JPY", "KWD"]))
def test_what_is_written_out_reads_back(minor: int, currency: str) -> None:
    digits = exponent(currency)
    text = f"{minor // 10**digits}" + (f".{minor % 10**digits:0{digits}d}" if digits else "")
    if len(text.split(".", maxsplit=1)[0]) <= 12:
        assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1e3", "1,50", "1 000", "NaN", "inf", "１２", "٣", "0x10", "1.2.3", "1.005", ".5", "5."],
)
def test_doubtful_amounts_are_refused(text: str) -> None:
    with pytest.raises(BadAmount):
        parse_amount(text, "EUR")

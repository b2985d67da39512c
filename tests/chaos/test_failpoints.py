"""Failpoints: off unless asked for, refused in production, each in the code once."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from fondaco.core import clock, failpoints
from fondaco.core.failpoints import POINTS, FailpointHit
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.laws.source import trees


@pytest.fixture(autouse=True)
def disarmed() -> object:
    yield
    failpoints.arm("")
    clock.set_wrong(0)


def reached_in_code() -> list[str]:
    return [
        node.args[0].value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "reached"
        and isinstance(node.args[0], ast.Constant)
    ]


def test_each_point_stands_in_the_code_once() -> None:
    assert Counter(reached_in_code()) == Counter(list(POINTS))


def test_no_point_costs_more_than_a_look_at_an_empty_dictionary() -> None:
    """Every call stands alone below `if failpoints.armed:`."""
    unguarded = []
    for path, tree in trees().items():
        guarded = {
            id(call)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "failpoints.armed"
            for call in ast.walk(node)
        }
        unguarded += [
            f"{path}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) == "failpoints.reached"
            and id(node) not in guarded
        ]
    assert unguarded == []


def test_nothing_is_armed_by_itself(settings: Settings) -> None:
    assert settings.fondaco_failpoints == ""
    assert failpoints.armed == {}


@pytest.mark.parametrize(
    "text",
    [
        "no.such.point=kill",
        "buy.before_call",
        "buy.before_call=explode",
        "buy.before_call=sleep",
        "buy.before_call=kill:5",
        "buy.before_call=kill@0",
        "buy.before_call=kill@often",
        "buy.before_call=sleep:soon",
        "buy.before_call=sleep:600001",
    ],
)
def test_what_cannot_be_meant_stops_the_start(endpoints: Endpoints, text: str) -> None:
    with pytest.raises(ValidationError, match="fondaco_failpoints"):
        make_settings(endpoints, fondaco_test_faults=True, fondaco_failpoints=text)


def test_without_the_test_flag_or_in_production_the_start_is_refused(endpoints: Endpoints) -> None:
    point = "buy.before_call=kill"
    with pytest.raises(ValidationError, match="needs fondaco_test_faults"):
        make_settings(endpoints, fondaco_failpoints=point)
    with pytest.raises(ValidationError, match="needs fondaco_test_faults"):
        make_settings(endpoints, fondaco_test_clock_offset=60)
    for asked in ({"fondaco_failpoints": point}, {"fondaco_test_clock_offset": 60}, {}):
        with pytest.raises(ValidationError, match="production: fondaco_test_faults"):
            make_settings(endpoints, fondaco_mode="production", fondaco_test_faults=True, **asked)
    assert make_settings(endpoints, fondaco_test_faults=True, fondaco_failpoints=point)


async def test_a_point_acts_at_its_turn_and_once() -> None:
    failpoints.arm("buy.before_call=raise@3, buy.after_call=sleep:1")
    for _ in range(2):
        await failpoints.reached("buy.before_call")
    with pytest.raises(FailpointHit):
        await failpoints.reached("buy.before_call")
    await failpoints.reached("buy.before_call")
    await failpoints.reached("buy.after_call")
    assert failpoints.armed == {}


async def test_what_acted_stays_off_in_the_next_process(tmp_path: Path) -> None:
    log, text = tmp_path / "log", "buy.before_call=raise,buy.after_call=raise"
    failpoints.arm(text, str(log))
    with pytest.raises(FailpointHit):
        await failpoints.reached("buy.before_call")
    failpoints.arm(text, str(log))
    assert set(failpoints.armed) == {"buy.after_call"}


def test_the_clock_is_wrong_when_told_so() -> None:
    right = clock.now()
    clock.set_wrong(420)
    assert 419 < (clock.now() - right).total_seconds() < 480

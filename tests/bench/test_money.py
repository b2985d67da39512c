"""The measurements of money once each, very small: each starts by its name, and what it did was right."""

import inspect
import json
from pathlib import Path
from typing import get_args

import pytest

from fondaco import cli
from fondaco.bench.bench import Options
from fondaco.bench.run import What, main, measurement

SMALL = Options(seconds=1, rounds=1, clients=(2,), percent=0)


@pytest.mark.parametrize("name", ["posts", "payouts", "reconcile", "verify"])
def test_each_measures(name: What, tmp_path: Path) -> None:
    file, tables = tmp_path / "figures.json", tmp_path / "tables.md"
    assert main(name, SMALL, json_file=file, markdown_file=tables) == 0
    result = json.loads(file.read_text())["results"][0]
    assert result["name"] == name and result["faults"] == [] and result["raw"]
    assert all(f"### {table['title']}" in tables.read_text() for table in result["tables"])


@pytest.mark.parametrize("name", [name for name in get_args(What) if name not in ("all", "soak")])
def test_each_name_has_its_measurement(name: What) -> None:
    assert list(inspect.signature(measurement(name)).parameters) == ["console", "options"]


def test_the_command_knows_every_name() -> None:
    told = inspect.signature(cli.bench).parameters["what"].annotation
    assert get_args(get_args(told)[0]) == get_args(What)

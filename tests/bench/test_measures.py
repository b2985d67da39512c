"""Each measurement once, very short: it runs, its tables are whole, and what it did was right."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from fondaco.bench.bench import Options
from fondaco.bench.flow import flow
from fondaco.bench.purchases import purchases
from fondaco.bench.report import Result, as_json, markdown
from fondaco.bench.soak import soak

SHORT = Options(seconds=0.5, rounds=1, clients=(4,), minutes=0.05, spread=20)


def whole(result: Result) -> None:
    assert result.faults == []
    assert result.tables
    for table in result.tables:
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert json.loads(as_json([result]))["results"][0]["name"] == result.name
    assert all(table.title in markdown([result]) for table in result.tables)


async def test_purchases_beside_pgbench_and_the_naive_control() -> None:
    result = await purchases(Console(quiet=True), SHORT)
    whole(result)
    for kind in ("stocked_secret", "article"):
        for spread in (1, SHORT.spread):
            cell = result.raw[f"{kind} {spread} 4"]
            assert all(cell[who][0] > 0 for who in ("http", "pgbench", "naive"))


async def test_whole_flows() -> None:
    result = await flow(Console(quiet=True), SHORT)
    whole(result)
    assert int(result.tables[0].rows[0][1]) > 0


@pytest.mark.slow
async def test_a_soak_writes_its_file_and_chart(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    result = await soak(Console(quiet=True), SHORT, file)
    whole(result)
    kept = json.loads(file.read_text())["results"][0]["raw"]
    for kind in ("own_mib", "pss_mib"):
        assert set(kept[kind]) == {"web", "worker", "sandbox", "postgres"}
        assert all(value > 1 for samples in kept[kind].values() for _, value in samples)
    assert set(kept["slopes_mib_per_hour"]) == set(kept["own_mib"])
    assert file.with_suffix(".svg").read_text().count("<path stroke") == 4

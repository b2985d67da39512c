"""The plan: drawn from the seed alone; a minute of it survived by real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fondaco.chaos.plan import KILLS, PROVIDER, WEB_POINTS, WORKER_POINTS, draw
from fondaco.chaos.run import length
from fondaco.core.failpoints import POINTS, parse


def test_the_same_seed_gives_the_same_plan() -> None:
    assert draw(7, 200) == draw(7, 200)
    assert draw(7, 200)[:50] == draw(7, 50)
    assert draw(7, 50) != draw(8, 50)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_kind_of_kill_comes_soon_and_every_strike_can_be_done(seed: int) -> None:
    plan = draw(seed, 400)
    assert {s.kind for s in plan[:12]} >= set(KILLS)
    for strike in plan:
        if strike.kind == "failpoint":
            assert parse(strike.detail)
        elif strike.kind == "provider":
            assert strike.detail == str(PROVIDER[strike.value[0]])
    struck = {s.detail.partition("=")[0] for s in draw(seed, 3000) if s.kind == "failpoint"}
    assert struck == {*WEB_POINTS, *WORKER_POINTS} <= POINTS.keys()


@pytest.mark.parametrize(
    ("text", "seconds"), [("1.5", 90), ("0.2", 12), ("600", 36000), ("0.1", None), ("x", None), ("1e9", None)]
)
def test_minutes_are_a_number_within_reason(text: str, seconds: int | None) -> None:
    assert length(text) == seconds


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SKIPPED: finds processes through /proc")
def test_a_short_storm_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Real processes, a fixed seed. Leases of dead processes are dated back at the end, not waited for."""
    program = (
        "import sys; from pathlib import Path; from fondaco.chaos.run import run_chaos; "
        "sys.exit(run_chaos(4, 40, Path(sys.argv[1]) / 'report.md', hurry=True, serving_within=60))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "TMPDIR": "/tmp"},
        timeout=300,
    )
    told = (done.stdout + done.stderr)[-6000:]
    assert done.returncode == 0, told
    assert "effects lost or doubled: none" in done.stdout, told
    assert "<svg" in (tmp_path / "report.svg").read_text()
    assert "Nothing." in (tmp_path / "report.md").read_text()

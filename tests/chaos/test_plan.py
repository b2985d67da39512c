"""The plan: drawn from the seed alone; a minute of it survived by real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fondaco.chaos.plan import KILLS, PROVIDER, WEB_POINTS, WORKER_POINTS, draw
from fondaco.chaos.run import broken_in, length
from fondaco.core.failpoints import POINTS, parse
from tests.support.postgres import DEBIAN15, chosen


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


def test_what_breaks_on_our_side_is_found_in_the_log_and_a_failpoints_doing_is_not() -> None:
    program = (
        "from types import SimpleNamespace; from fondaco.logs import setup_logs; "
        "from fondaco.core.web import log; "
        "setup_logs(SimpleNamespace(production=False)); log.info('fine', path='/x'); "
        "[log.error('unhandled', path='/x', method='GET', error=e, where='core/db.py:7 > a.py:9') "
        "for e in ('FailpointHit', 'KeyError')]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stderr.count("unhandled") == 2
    assert broken_in(done.stderr) == ["web broke: KeyError at core/db.py:7 > a.py:9"]


@pytest.mark.slow
@pytest.mark.both
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SKIPPED: finds processes through /proc")
def test_a_short_storm_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Real processes, a fixed seed, the database of this run. Leases of dead processes are dated back at the
    end, not waited for."""
    server, pooled = chosen()
    program = (
        "import sys; from pathlib import Path; from fondaco.chaos.run import run_chaos; "
        "told, programs, pooled = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == 'True'; "
        "sys.exit(run_chaos(4, 40, told / 'report.md', hurry=True, serving_within=60, "
        "programs=Path(programs) if programs else None, pooled=pooled))"
    )
    programs = str(DEBIAN15) if server == "debian15" else ""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), programs, str(pooled)],
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
    told = (tmp_path / "report.md").read_text()
    assert "Nothing." in told
    assert ("behind PgBouncer" in told) == pooled

"""Child processes: probed, revived, stopped, and never left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fondaco.embedded import ClusterError
from fondaco.up.children import Child
from tests.embedded.helpers import alive, linux_only, tree_of, wait_until

pytestmark = linux_only

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "600"])
print("up", flush=True)
while True:
    time.sleep(1)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Child]:
    """Python's own file server as the child."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    child = Child("files", "http.server", arguments, {}, tmp_path / "files.log", f"http://127.0.0.1:{port}/")
    yield child
    child.kill()


def stubborn(tmp_path: Path) -> Child:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    return Child("stubborn", "stubborn", [], {"PYTHONPATH": str(tmp_path)}, tmp_path / "stubborn.log")


def pid(child: Child) -> int:
    assert child.process
    return child.process.pid


def test_it_starts_answers_and_stops(server: Child) -> None:
    server.start()
    server.wait_until_ready()
    number = pid(server)
    server.stop(time.monotonic() + 10)
    assert not alive(number)
    assert not server.ready()
    server.stop(time.monotonic())


def test_one_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child("broken", "no_such_module", [], {}, tmp_path / "broken.log", "http://127.0.0.1:9/")
    child.start()
    with pytest.raises(ClusterError, match=r"(?s)broken ended at once.*no_such_module"):
        child.wait_until_ready()


def test_a_killed_one_is_started_again_with_growing_pauses(server: Child) -> None:
    words: list[str] = []
    server.start()
    server.wait_until_ready()
    for _ in range(2):
        before = pid(server)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: not server.alive, "its death is noticed")

        def revived(before: int = before) -> bool:
            server.revive(words.append)
            return server.process is not None and server.process.pid != before

        wait_until(revived, "it runs again")
        server.wait_until_ready()
    pauses = [float(re.findall(r"in ([\d.]+) s", line)[0]) for line in words]
    assert "SIGKILL" in words[0]
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 2


def test_one_that_ignores_the_end_is_killed_with_its_own_children(tmp_path: Path) -> None:
    child = stubborn(tmp_path)
    child.start()
    wait_until(lambda: "up" in child.last_words(), "it runs")
    everything = tree_of(pid(child))
    assert len(everything) == 2
    child.stop(time.monotonic() + 0.2)
    wait_until(lambda: not any(alive(number) for number in everything), "all are gone")


@pytest.mark.parametrize("module", ["http.server", "stubborn"])
def test_the_leash_ends_it_when_the_parent_is_killed(module: str, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    arguments = ["0", "--bind", "127.0.0.1"] if module == "http.server" else []
    parent_code = (
        "import sys, time; from pathlib import Path; from fondaco.up.children import Child\n"
        f"environment = {{'PYTHONPATH': {str(tmp_path)!r}}}\n"
        f"child = Child('it', {module!r}, {arguments!r}, environment, Path('it.log'))\n"
        "child.start(); print(child.process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    wait_until(lambda: bool((tmp_path / "it.log").read_text()), "the child is at work")
    everything = tree_of(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not any(alive(number) for number in everything), "nothing is left behind")


def test_only_alarming_lines_are_shown_and_each_once(tmp_path: Path) -> None:
    child = Child("quiet", "this", [], {}, tmp_path / "quiet.log")
    child.start()
    assert child.process
    child.process.wait()
    with open(child.log, "a") as log:
        log.write(
            "all is well\n2026 [error] something broke\nTraceback (most recent call last):\nhalf an err"
        )
    assert child.alarming_lines() == ["2026 [error] something broke", "Traceback (most recent call last):"]
    assert child.alarming_lines() == []
    with open(child.log, "a") as log:
        log.write("or: ERROR\n")
    assert child.alarming_lines() == ["half an error: ERROR"]
    child.kill()


def test_the_log_is_private_and_an_older_one_is_kept(tmp_path: Path) -> None:
    child = Child("quiet", "this", [], {}, tmp_path / "quiet.log")
    child.log.write_bytes(b"x" * 10_000_001)
    child.start()
    assert child.process
    child.process.wait()
    assert child.log.stat().st_mode & 0o077 == 0
    assert child.log.stat().st_size < 10_000
    assert (tmp_path / "quiet.1.log").stat().st_size == 10_000_001
    child.kill()

"""`fondaco up` whole: opens, answers, heals, stops, and leaves nothing behind however it ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.embedded.helpers import alive, linux_only, tree_of, wait_until
from tests.support.postgres import new_root

pytestmark = [linux_only, pytest.mark.slow]


class Running:
    """One `fondaco up` without the demo, on a port of its own."""

    def __init__(self, data: Path, *more: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.said = data.parent / "said.txt"
        with open(self.said, "w") as said:
            self.process = subprocess.Popen(
                command(data, "--port", str(self.port), *more),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
            )
        wait_until(lambda: "is open" in self.words or self.process.poll() is not None, "the shop opens")
        assert self.process.poll() is None, self.words

    @property
    def words(self) -> str:
        return self.said.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tree(self) -> list[int]:
        return tree_of(self.process.pid)


def command(data: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "fondaco", "up", "--no-demo", "--data", str(data), *more]


def find(tree: list[int], words: str) -> int:
    """The first process of the tree whose command line has these words."""
    for pid in tree:
        if words in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
            return pid
    raise AssertionError(f"no process with {words}")


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data folder shared by these tests: only the first start is a first start."""
    root = new_root()
    yield root / "data"
    shutil.rmtree(root)


@pytest.fixture
def up(data: Path) -> Iterator[Running]:
    running = Running(data)
    tree = running.tree()
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(60)
    wait_until(lambda: not any(alive(pid) for pid in tree), "everything has ended")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_opens_and_stops_at_once_when_told(up: Running, data: Path) -> None:
    assert answers(up.url)
    assert answers(up.url + "/health/ready")
    tree = up.tree()
    assert len(tree) > 8
    for pid in tree:  # no secret can be read off the process list
        line = Path(f"/proc/{pid}/cmdline").read_text()
        assert "whsec_" not in line
        assert "postgresql://" not in line
    began = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0
    assert time.monotonic() - began < 20
    assert not any(alive(pid) for pid in tree)
    assert (data / "secrets.json").exists()


def test_told_twice_it_stops_without_waiting(up: Running) -> None:
    tree = up.tree()
    os.kill(find(tree, "fondaco web"), signal.SIGSTOP)  # it cannot stop in order
    up.process.send_signal(signal.SIGINT)
    wait_until(lambda: "Once more" in up.words, "the first is heard")
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 130
    wait_until(lambda: not any(alive(pid) for pid in tree), "everything has ended")


def test_a_second_one_on_the_same_data_is_refused(up: Running, data: Path) -> None:
    second = subprocess.run(command(data), capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert f"process {up.process.pid}" in second.stderr.replace("\n", " ")
    assert answers(up.url)


def test_a_taken_port_is_named(up: Running, data: Path) -> None:
    other = data.parent / "other"
    second = subprocess.run(
        command(other, "--port", str(up.port)), capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert f"Port {up.port}" in second.stderr
    assert "--port" in second.stderr


@pytest.mark.parametrize("victim", ["fondaco web", "fondaco worker", "fondaco_sandbox", "bin/postgres -D"])
def test_a_killed_part_comes_back(up: Running, victim: str) -> None:
    before = find(up.tree(), victim)
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        try:
            return find(up.tree(), victim) != before
        except (AssertionError, OSError):
            return False

    wait_until(back, f"{victim} runs again")
    wait_until(lambda: answers(up.url + "/health/ready"), "the shop answers again")
    assert "starting it again" in up.words


def test_nothing_is_left_when_it_is_killed_and_the_next_start_works(up: Running, data: Path) -> None:
    tree = up.tree()
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in tree), "everything has ended")
    again = Running(data)
    assert answers(again.url)
    again.process.terminate()
    assert again.process.wait(60) == 0


def test_fresh_starts_over(data: Path) -> None:
    before = (data / "secrets.json").read_text()
    fresh = Running(data, "--fresh", "--yes")
    assert answers(fresh.url)
    assert (data / "secrets.json").read_text() != before
    fresh.process.terminate()
    assert fresh.process.wait(60) == 0

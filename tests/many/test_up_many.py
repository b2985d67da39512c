"""`fondaco up --web 4 --workers 2`: one port, whoever serves; killed processes come back; all of it ends."""

import os
import re
import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.cli.test_up import Running, answers, find
from tests.embedded.helpers import alive, linux_only, tree_of, wait_until
from tests.support.postgres import new_root

pytestmark = [linux_only, pytest.mark.slow]


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    root = new_root()
    running = Running(root / "data", "--web", "4", "--workers", "2")
    tree = running.tree()
    yield running
    running.process.terminate()
    assert running.process.wait(60) == 0
    wait_until(lambda: not any(alive(pid) for pid in tree), "everything has ended")


def serving(up: Running) -> set[int]:
    """The web processes that have counted something, as /metrics tells."""
    text = httpx.get(up.url + "/metrics", timeout=20).text
    return {int(pid) for pid in re.findall(r'^fondaco_web_memory_bytes\{pid="(\d+)"\}', text, re.MULTILINE)}


def counted(up: Running, route: str) -> int:
    """How many requests of a route the whole server has answered."""
    text = httpx.get(up.url + "/metrics", timeout=20).text
    found = re.findall(rf'^fondaco_requests_total\{{[^}}]*route="{route}"[^}}]*\}} (\d+)', text, re.MULTILINE)
    return sum(map(int, found))


def knock_until_all_serve(up: Running) -> set[int]:
    wait_until(lambda: answers(up.url + "/health/live") and len(serving(up)) == 4, "four processes serve")
    return serving(up)


def test_four_web_processes_count_together_and_a_killed_one_comes_back(up: Running) -> None:
    web = find(up.tree(), "fondaco web")
    pids = knock_until_all_serve(up)
    assert pids <= set(tree_of(web))
    before = counted(up, "/health/live")
    for _ in range(40):  # each on a connection of its own: whichever process takes it
        assert answers(up.url + "/health/live")
    assert counted(up, "/health/live") == before + 40

    victim = sorted(pids)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not alive(victim), "it is dead")
    wait_until(lambda: answers(up.url + "/health/ready"), "the others answer")
    after = knock_until_all_serve(up)
    assert victim not in after
    assert len(after) == 4
    assert counted(up, "/health/live") >= before + 40  # what the killed one had counted is not lost


def test_a_killed_server_of_all_web_processes_comes_back(up: Running) -> None:
    web = find(up.tree(), "fondaco web")
    old = set(tree_of(web))
    os.kill(web, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in old), "its processes end with it")
    wait_until(lambda: answers(up.url + "/health/ready"), "the shop answers again")
    assert knock_until_all_serve(up).isdisjoint(old)


def test_two_workers_with_logs_of_their_own(up: Running) -> None:
    logs = sorted(up.said.parent.glob("data/logs/worker*.log"))
    assert [log.name for log in logs] == ["worker-1.log", "worker-2.log"]
    assert all("worker ready" in log.read_text() for log in logs)
    before = find(up.tree(), "fondaco worker")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: sum(log.read_text().count("worker ready") for log in logs) == 3, "it is back")
    assert answers(up.url)

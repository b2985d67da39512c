"""Kills, leftovers, second starts: the data stay, the next start works, nothing stays behind."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from fondaco.embedded import Cluster, ClusterError
from fondaco.embedded.account import choose_account

from .helpers import (
    alive,
    answer_of,
    finish,
    linux_only,
    parent_of,
    postmaster,
    start_holder,
    tree_of,
    wait_until,
)

pytestmark = linux_only


def write_rows(dsn: str, count: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table if not exists row (n serial)")
        for _ in range(count):
            connection.execute("insert into row default values")


def count_rows(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("select count(*) from row").fetchone()
        assert found
        return int(found[0])


def test_start_again_is_the_same_server_and_stop_can_be_repeated(root: Path) -> None:
    cluster = Cluster(root)
    first = cluster.start()
    pid = postmaster(root)
    assert cluster.start() == first
    assert postmaster(root) == pid
    write_rows(first.owner_dsn, 3)
    cluster.stop()
    cluster.stop()
    assert not alive(pid)
    assert not cluster.running()
    assert count_rows(cluster.start().owner_dsn) == 3
    cluster.stop()


def test_a_killed_server_is_noticed_and_started_again_with_all_rows(root: Path) -> None:
    cluster = Cluster(root)
    dsn = cluster.start().owner_dsn
    write_rows(dsn, 200)
    pid = postmaster(root)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not cluster.running(), "the death is noticed")
    assert count_rows(cluster.start().owner_dsn) == 200
    assert postmaster(root) != pid
    cluster.stop()


def test_start_right_after_killing_everything_at_once(root: Path) -> None:
    holder = start_holder(root)
    dsn = answer_of(holder)["owner_dsn"]
    write_rows(dsn, 200)
    for pid in tree_of(holder.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster = Cluster(root)  # the holder is still an unreaped zombie here, as in a container without init
    assert count_rows(cluster.start().owner_dsn) == 200
    cluster.stop()
    finish(holder)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_when_its_user_is_killed(root: Path, sent: signal.Signals) -> None:
    holder = start_holder(root)
    answer_of(holder)
    server = postmaster(root)
    keeper = parent_of(server)
    assert parent_of(keeper) == holder.pid
    everything = tree_of(holder.pid)
    assert len(everything) > 5
    holder.send_signal(sent)
    wait_until(lambda: not any(alive(pid) for pid in everything), "the whole tree has ended")
    assert not (root / "data" / "postmaster.pid").exists()  # a clean shutdown, nothing to recover
    finish(holder)


def test_the_server_ends_when_its_keeper_is_killed_and_stop_waits_for_it(root: Path) -> None:
    cluster = Cluster(root)
    cluster.start()
    server = postmaster(root)
    os.kill(parent_of(server), signal.SIGKILL)
    cluster.stop()
    assert not alive(server)
    assert Cluster(root).running() is False


def test_keeper_and_user_killed_at_once_leave_no_server(root: Path) -> None:
    holder = start_holder(root)
    answer_of(holder)
    server = postmaster(root)
    os.kill(parent_of(server), signal.SIGKILL)
    holder.kill()
    wait_until(lambda: not alive(server), "the server has ended")
    finish(holder)


def test_a_number_given_to_another_process_does_not_stop_the_start(root: Path) -> None:
    cluster = Cluster(root)
    cluster.start()
    cluster.stop()
    account = choose_account()
    stranger = subprocess.Popen(["sleep", "600"], cwd="/", **account.popen_options())
    try:
        forge_lock_file(root, stranger.pid)
        cluster.start()
        assert stranger.poll() is None, "a process that only has the number must be left alone"
        cluster.stop()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_zombie_in_the_lock_file_does_not_stop_the_start(root: Path) -> None:
    cluster = Cluster(root)
    cluster.start()
    cluster.stop()
    zombie = subprocess.Popen(["true"])
    wait_until(lambda: not alive(zombie.pid), "the process has ended, unreaped")
    forge_lock_file(root, zombie.pid)
    cluster.start()
    cluster.stop()
    zombie.wait()


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"not a number\n"])
def test_a_damaged_lock_file_does_not_stop_the_start(root: Path, content: bytes) -> None:
    cluster = Cluster(root)
    cluster.start()
    cluster.stop()
    (root / "data" / "postmaster.pid").write_bytes(content)
    cluster.start()
    cluster.stop()


def forge_lock_file(root: Path, pid: int) -> None:
    file = root / "data" / "postmaster.pid"
    file.write_text(f"{pid}\n{root / 'data'}\n1700000000\n5432\n{root / 'socket'}\n\n0 0\nready\n")
    account = choose_account()
    if account.switch:
        os.chown(file, account.uid, account.gid)
    file.chmod(0o600)


def test_a_half_made_cluster_is_made_again(root: Path) -> None:
    account = choose_account()
    half = root / "data.new"
    half.mkdir(mode=0o700)
    (half / "PG_VERSION").write_text("18\n")
    if account.switch:
        os.chown(half, account.uid, account.gid)
    cluster = Cluster(root)
    cluster.start()
    assert not half.exists()
    cluster.stop()


def test_the_second_user_of_a_folder_is_told_who_has_it(root: Path) -> None:
    cluster = Cluster(root)
    cluster.start()
    server = postmaster(root)
    holder = start_holder(root)
    words = answer_of(holder)["error"]
    finish(holder)
    assert f"process {os.getpid()}" in words
    assert "--data" in words
    with pytest.raises(ClusterError, match="already runs"):
        Cluster(root).start()
    assert alive(server)
    assert cluster.running()
    cluster.stop()


def test_the_lock_is_not_inherited_by_the_server(root: Path) -> None:
    cluster = Cluster(root)
    cluster.start()
    for pid in tree_of(parent_of(postmaster(root))):
        held = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        assert str(root / "lock") not in held
    cluster.stop()


def test_a_server_that_cannot_start_says_why(root: Path) -> None:
    cluster = Cluster(root, settings={"shared_buffers": "far too much"})
    with pytest.raises(ClusterError, match="shared_buffers"):
        cluster.start()
    assert not cluster.running()
    sane = Cluster(root)
    sane.start()
    assert sane.running()
    sane.stop()


def test_destroy_leaves_nothing(root: Path) -> None:
    cluster = Cluster(root)
    cluster.start()
    server = postmaster(root)
    cluster.destroy()
    assert not alive(server)
    assert not root.exists()


def test_the_environment_does_not_reach_the_server(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_CANARY")
    cluster = Cluster(root)
    cluster.start()
    assert b"CANARY" not in Path(f"/proc/{postmaster(root)}/environ").read_bytes()
    cluster.stop()

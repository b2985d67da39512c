"""Who may do what: roles, passwords, folders, log."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psycopg
import pytest

from fondaco.embedded import Cluster, ClusterError
from fondaco.embedded.account import choose_account, private_folder

from .helpers import root_only


async def test_both_drivers_understand_the_endpoints(cluster: Cluster) -> None:
    dsn = cluster.endpoints().app_dsn
    connection = await asyncpg.connect(dsn)
    assert (
        await connection.fetchval("select current_user || '@' || current_database()") == "fondaco_app@fondaco"
    )
    await connection.close()
    with psycopg.connect(dsn) as other:
        assert other.execute("select current_user").fetchone() == ("fondaco_app",)


@pytest.mark.parametrize(
    "statement",
    [
        "create table public.mine ()",
        "create temporary table mine ()",
        "create schema mine",
        "create database mine",
        "create role mine",
        "create function public.mine() returns int language sql return 1",
        "set role fondaco_owner",
        "set role fondaco_admin",
        "alter system set fsync = off",
        "copy (select 1) to program 'true'",
        "select pg_read_file('/etc/passwd')",
    ],
)
def test_the_application_can_make_nothing(cluster: Cluster, statement: str) -> None:
    application = psycopg.connect(cluster.endpoints().app_dsn, autocommit=True)
    with application as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[arg-type]


def test_the_application_owns_nothing_and_the_owner_is_no_superuser(cluster: Cluster) -> None:
    with psycopg.connect(cluster.endpoints().admin_dsn) as connection:
        powers = connection.execute(
            "select rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
            "from pg_roles where rolname in ('fondaco_owner', 'fondaco_app') order by rolname"
        ).fetchall()
        assert powers == [("fondaco_app", *[False] * 5), ("fondaco_owner", *[False] * 5)]
        owned = connection.execute(
            "select count(*) from pg_shdepend where refobjid = 'fondaco_app'::regrole and deptype = 'o'"
        ).fetchone()
        assert owned == (0,)
        owner = connection.execute(
            "select datdba::regrole::text from pg_database where datname = 'fondaco'"
        ).fetchone()
        assert owner == ("fondaco_owner",)


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_the_application_sees_only_its_database(cluster: Cluster, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(cluster.endpoints(database).app_dsn)


@pytest.mark.parametrize("role", ["fondaco_admin", "fondaco_owner", "fondaco_app"])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_nobody_enters_without_the_password(cluster: Cluster, role: str, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(cluster.endpoints().app_dsn, user=role, password=password)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no private sockets: loopback there")
def test_the_server_listens_on_the_private_socket_only(cluster: Cluster) -> None:
    with psycopg.connect(cluster.endpoints().admin_dsn) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
        rules = connection.execute("select type, auth_method from pg_hba_file_rules").fetchall()
        assert rules == [("local", "scram-sha-256")]


def test_what_is_written_is_durable_and_checked(cluster: Cluster) -> None:
    with psycopg.connect(cluster.endpoints().admin_dsn) as connection:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "TimeZone": "UTC",
            "server_encoding": "UTF8",
        }.items():
            assert connection.execute("select current_setting(%s)", (name,)).fetchone() == (value,)
        locale = connection.execute(
            "select datlocprovider::text, datlocale from pg_database where datname = 'fondaco'"
        ).fetchone()
        assert locale == ("b", "C.UTF-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_folders_and_passwords_are_private(cluster: Cluster) -> None:
    server = choose_account().uid
    for folder in ("data", "log", "socket"):
        about = (cluster.root / folder).stat()
        assert (stat.S_IMODE(about.st_mode), about.st_uid) == (0o700, server), folder
    secret = (cluster.root / "passwords.json").stat()
    assert (stat.S_IMODE(secret.st_mode), secret.st_uid) == (0o600, os.geteuid())
    assert not (cluster.root / "log" / "first-password").exists()


def test_statements_and_their_values_stay_out_of_the_log(cluster: Cluster) -> None:
    with psycopg.connect(cluster.endpoints().owner_dsn, autocommit=True) as connection:
        connection.execute("create table kept (code text primary key)")
        connection.execute("insert into kept values (%s)", ("CANARY-PARAMETER",))
        with pytest.raises(
            psycopg.errors.UniqueViolation, match="CANARY"
        ):  # the client is told, the log is not
            connection.execute("insert into kept values (%s)", ("CANARY-PARAMETER",))
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("insert into nowhere values ('CANARY-LITERAL')")
        connection.execute("drop table kept")
    for _ in range(200):  # a process of its own writes the log, some time after
        written = "".join(log.read_text() for log in (cluster.root / "log").glob("*.log"))
        if "kept_pkey" in written and 'relation "nowhere"' in written:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(written)
    assert "CANARY" not in written
    passwords = (cluster.root / "passwords.json").read_text()
    assert not any(word in written for word in passwords.split('"') if len(word) == 48)


def test_a_clone_has_the_templates_objects_and_the_same_rights(cluster: Cluster) -> None:
    template = cluster.create_database("pattern")
    with psycopg.connect(template.owner_dsn, autocommit=True) as connection:
        connection.execute("create table thing (n int)")
        connection.execute("insert into thing values (7)")
    copy = cluster.create_database("copy_1", "pattern")
    with psycopg.connect(copy.owner_dsn) as connection:
        assert connection.execute("select n from thing").fetchone() == (7,)
    with psycopg.connect(copy.app_dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select n from thing")
    left_open = psycopg.connect(copy.owner_dsn)
    cluster.drop_database("copy_1")
    cluster.drop_database("copy_1")
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(copy.owner_dsn)


@pytest.mark.parametrize("name", ["", "Upper", "a b", 'x"; drop database fondaco; --', "a" * 64])
def test_a_name_that_would_need_quoting_is_refused(cluster: Cluster, name: str) -> None:
    with pytest.raises(ClusterError, match="database name"):
        cluster.create_database(name)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_an_open_folder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "mine", choose_account())
    folder.chmod(0o755)
    with pytest.raises(ClusterError, match="open to other users"):
        private_folder(folder, choose_account())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such links")
def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match="file or a link"):
        private_folder(tmp_path / "link", choose_account())


@root_only
def test_another_user_of_the_machine_cannot_reach_the_socket(cluster: Cluster) -> None:
    socket = cluster.root / "socket" / ".s.PGSQL.5432"
    assert socket.exists()
    seen = subprocess.run(["test", "-e", str(socket)], user=12345, group=12345, extra_groups=[], check=False)
    assert seen.returncode == 1
    read = subprocess.run(
        ["cat", str(cluster.root / "passwords.json")],
        user=12345,
        group=12345,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    assert read.returncode != 0
    assert read.stdout == b""

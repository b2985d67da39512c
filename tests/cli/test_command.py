"""The command: quick help, clear words, right exit codes."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLEAN = {"PATH": os.environ["PATH"], "TERM": "dumb"}


def fondaco(*arguments: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fondaco", *arguments],
        cwd=cwd,
        env={**CLEAN, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    done = fondaco("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("up", "web", "worker", "sandbox", "migrate", "doctor", "verify"):
        assert f" {command} " in done.stdout


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, fondaco.cli\n"
        "heavy = {'litestar', 'asyncpg', 'psycopg', 'stripe', 'granian', 'sqlalchemy', 'pydantic', 'httpx'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_version_is_the_packages(tmp_path: Path) -> None:
    assert (
        fondaco("--version", cwd=tmp_path).stdout.strip()
        == f"fondaco {importlib.metadata.version('fondaco')}"
    )


def test_an_unknown_command_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = fondaco("upp", cwd=tmp_path)
    assert done.returncode != 0
    assert "worker" in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["web", "worker", "verify"])
def test_missing_settings_are_all_named_at_once(command: str, tmp_path: Path) -> None:
    done = fondaco(command, cwd=tmp_path)
    assert done.returncode == 1
    for name in ("DATABASE_URL", "SECRET_KEY", "VAULT_KEYS", "STRIPE_WEBHOOK_SECRETS"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_says_whom_it_needs(tmp_path: Path) -> None:
    done = fondaco("migrate", cwd=tmp_path)
    assert done.returncode == 1
    assert "DATABASE_OWNER_URL" in done.stderr


@pytest.mark.parametrize("setting", [{"DATABASE_URL": "postgresql://x"}, {"FONDACO_MODE": "production"}])
def test_up_refuses_a_configured_machine(setting: dict[str, str], tmp_path: Path) -> None:
    done = fondaco("up", cwd=tmp_path, **setting)
    assert done.returncode == 1
    assert "fondaco web" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("--port", "0"), ("--port", "70000"), ("--web", "0"), ("--workers", "-1")]
)
def test_up_refuses_impossible_numbers(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = fondaco("up", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "between 1 and 65535" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_up_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for more in ((), ("--fresh", "--yes")):
        done = fondaco("up", "--data", str(tmp_path), *more, cwd=tmp_path)
        assert done.returncode == 1
        assert "other files" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_fresh_deletes_nothing_unasked(tmp_path: Path) -> None:
    data = tmp_path / ".fondaco"
    data.mkdir()
    (data / "this-is-fondaco-data").touch()
    (data / "secrets.json").write_text("{}")
    done = fondaco("up", "--fresh", cwd=tmp_path)
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert (data / "secrets.json").exists()

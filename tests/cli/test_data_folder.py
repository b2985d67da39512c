"""The data folder: private, made once, deleted only when it is ours."""

import os
import stat
from pathlib import Path

import pytest

from fondaco.embedded import ClusterError, Endpoints
from fondaco.settings import Settings
from fondaco.up.data import DataFolder, migrations_digest
from fondaco.up.ports import PortTaken, choose, is_free

ENDPOINTS = Endpoints("postgresql://owner@/x", "postgresql://app@/x", "postgresql://admin@/x")


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.make()
    return made


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
def test_only_its_owner_reads_it(folder: DataFolder) -> None:
    folder.secrets()
    assert stat.S_IMODE(folder.path.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE((folder.path / "secrets.json").stat().st_mode) == 0o600
    for name in ("sandbox", "blobs", "logs"):
        assert stat.S_IMODE((folder.path / name).stat().st_mode) == 0o700


def test_secrets_stay_the_same_and_differ_between_folders(folder: DataFolder, tmp_path: Path) -> None:
    other = DataFolder(tmp_path / "other")
    other.make()
    assert folder.secrets() == DataFolder(folder.path).secrets()
    for name, value in folder.secrets().items():
        assert other.secrets()[name] != value


def test_the_environment_is_a_whole_configuration(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = folder.environment(ENDPOINTS, "http://127.0.0.1:8000", "http://127.0.0.1:12111")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert settings.stripe_api_base == "http://127.0.0.1:12111"
    assert not settings.production
    assert "owner" not in str(environment), "web and worker never learn the owner's password"


def test_damaged_secrets_are_never_replaced(folder: DataFolder) -> None:
    (folder.path / "secrets.json").write_text("{")
    with pytest.raises(ClusterError, match="cannot be opened"):
        folder.secrets()
    assert (folder.path / "secrets.json").read_text() == "{"


def test_what_is_remembered_survives(folder: DataFolder) -> None:
    folder.remember(migrated="a")
    folder.remember(seeded="yes")
    assert DataFolder(folder.path).state() == {"migrated": "a", "seeded": "yes"}


def test_delete_takes_ours_and_leaves_the_rest(folder: DataFolder) -> None:
    folder.secrets()
    (folder.path / "mine.txt").write_text("keep")
    folder.delete()
    assert [entry.name for entry in folder.path.iterdir()] == ["mine.txt"]
    with pytest.raises(ClusterError, match="not a data folder"):
        folder.delete()
    (folder.path / "mine.txt").unlink()
    folder.make()
    folder.delete()
    assert not folder.path.exists()


def test_delete_does_not_follow_links(folder: DataFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keep.txt").touch()
    (folder.path / "blobs").rmdir()
    (folder.path / "blobs").symlink_to(elsewhere)
    folder.delete()
    assert (elsewhere / "keep.txt").exists()


def test_the_digest_of_the_migrations_is_stable() -> None:
    assert migrations_digest() == migrations_digest()


def test_a_taken_port_is_passed_over_or_named() -> None:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert choose("127.0.0.1", port, exactly=False) > port
        with pytest.raises(PortTaken, match=str(port)):
            choose("127.0.0.1", port, exactly=True)
    assert choose("127.0.0.1", port, exactly=True) == port
    assert choose("127.0.0.1", port, exactly=False, taken=frozenset({port})) != port

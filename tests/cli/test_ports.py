"""A port belongs to one server: the web server itself would share it without a word."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fondaco.up.ports import PortTaken, claim, is_free, spare
from fondaco_sandbox.cli import comes_free, free_port
from fondaco_sandbox.cli import main as sandbox


@pytest.fixture
def shared() -> Iterator[socket.socket]:
    """A listener that lets others listen on its port too, as the web server's does."""
    with socket.socket() as found:
        if hasattr(socket, "SO_REUSEPORT"):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind(("127.0.0.1", 0))
        found.listen()
        yield found


def test_a_port_somebody_listens_on_is_refused_in_words(shared: socket.socket) -> None:
    port = shared.getsockname()[1]
    with pytest.raises(PortTaken, match=f"Port {port} on 127.0.0.1 cannot be used"):
        claim("127.0.0.1", port, patience_s=0.3)


def test_a_port_somebody_has_just_left_is_taken(shared: socket.socket) -> None:
    port = shared.getsockname()[1]
    shared.close()
    claim("127.0.0.1", port, patience_s=0.3)


def test_the_sandbox_refuses_it_too(
    shared: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = shared.getsockname()[1]
    monkeypatch.setattr("fondaco_sandbox.cli.comes_free", lambda host, port: comes_free(host, port, 0.3))
    assert sandbox(["--data", str(tmp_path / "data"), "--port", str(port)]) == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    shared.close()
    assert comes_free("127.0.0.1", port, 0.3)


def test_a_spare_port_is_free_and_never_one_the_system_hands_out() -> None:
    found = {spare() for _ in range(20)} | {free_port("127.0.0.1") for _ in range(20)}
    assert all(10_000 <= port < 30_000 and is_free("127.0.0.1", port) for port in found)
    assert len(found) > 30

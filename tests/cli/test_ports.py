"""A port belongs to one server: the web server itself would share it without a word."""

import socket
from collections.abc import Iterator

import pytest

from fondaco.up.ports import PortTaken, claim


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

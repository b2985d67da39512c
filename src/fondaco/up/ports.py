"""Finding a port nobody uses."""

import secrets
import socket
import time

from fondaco.embedded import ClusterError


class PortTaken(ClusterError):
    """The port that was asked for is in use."""


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def spare(host: str = "127.0.0.1") -> int:
    """A port nobody listens on, below those the system hands out: no other program is given it meanwhile."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        if is_free(host, port):
            return port


def claim(host: str, port: int, *, patience_s: float = 10) -> None:
    """Returns once nobody listens there; PortTaken when somebody still does after `patience_s`.

    The web server would share a port with another one without a word, and each would get half of the calls.
    The processes of a server that was killed need a moment to go.
    """
    until = time.monotonic() + patience_s
    while not is_free(host, port):
        if time.monotonic() > until:
            choose(host, port, exactly=True)
        time.sleep(0.1)


def choose(host: str, wanted: int, *, exactly: bool, taken: frozenset[int] = frozenset()) -> int:
    """`wanted`, or the next free port within twenty; PortTaken when there is none or `exactly` is asked."""
    if exactly:
        if not is_free(host, wanted):
            raise PortTaken(
                f"Port {wanted} on {host} cannot be used: another program has it, or it needs more rights. "
                "Choose another with --port."
            )
        return wanted
    for port in range(wanted, wanted + 20):
        if port not in taken and is_free(host, port):
            return port
    raise PortTaken(f"Ports {wanted} to {wanted + 19} on {host} are all in use. Choose one with --port.")

"""Stands between fondaco and PostgreSQL: starts the server and ends it when fondaco is gone.

Run as a script with one JSON argument. Standard input is a pipe whose other end only fondaco holds: when it
closes, by a stop or because fondaco was killed, the server is shut down. Should this process be killed
itself, Linux signals the server directly. The server's process id is the one line written to standard output.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Runs the server until it ends or fondaco does; the exit code is the server's."""
    order = json.loads(sys.argv[1])
    parent = os.getppid()
    ending = threading.Event()

    def end(_signal: int, _frame: Any) -> None:
        ending.set()

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    with open(order["errors"], "wb") as errors:
        server = subprocess.Popen(  # before any thread: the death signal belongs to the thread that forks
            order["command"],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env=order["environment"],
            cwd=order["folder"],
            **_options(order["account"]),
        )
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=_wait_for_end_of_input, args=(ending,), daemon=True).start()
    while server.poll() is None:
        if ending.wait(0.2) or (hasattr(signal, "SIGHUP") and os.getppid() != parent):
            return _shut_down(server, order["command"][0], order["data"])
    return server.returncode


def _options(account: dict[str, Any]) -> dict[str, Any]:
    if sys.platform.startswith("linux"):
        return {**account, "preexec_fn": _end_with_parent}
    return account


def _end_with_parent() -> None:
    """Asks Linux to send a fast-shutdown signal to the server when this process dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _wait_for_end_of_input(ending: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    ending.set()


def _shut_down(server: "subprocess.Popen[Any]", program: str, data: str) -> int:
    """Fast shutdown (rolls back, writes a checkpoint), then immediate, then kill."""
    if sys.platform == "win32":
        control = os.path.join(os.path.dirname(program), "pg_ctl.exe")
        subprocess.run([control, "stop", "-D", data, "-m", "fast", "-t", "10"], check=False)
        return server.wait()
    for sent, seconds in ((signal.SIGINT, 10), (signal.SIGQUIT, 10), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return server.wait(seconds)
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())

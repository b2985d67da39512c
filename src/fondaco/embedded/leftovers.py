"""What an earlier run may have left: a server still ending, or a lock file naming a process that is gone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fondaco.embedded.account import ClusterError


@dataclass(frozen=True, slots=True)
class LockFile:
    """The lines of `postmaster.pid` we use."""

    pid: int
    ready: bool


def read_lock_file(data: Path) -> LockFile | None:
    """The server's lock file, or None when there is none or it is half written."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        return LockFile(pid=abs(int(lines[0])), ready=len(lines) > 7 and lines[7].strip() == "ready")
    except (OSError, ValueError, IndexError):
        return None


def is_server(pid: int, data: Path) -> bool:
    """Whether the process is alive (no zombie) and really the server of this data folder."""
    if sys.platform == "win32":
        listed = subprocess.run(
            ["tasklist", "/FI", f"PID eq {pid}"], capture_output=True, text=True, check=False
        )
        return "postgres.exe" in listed.stdout
    process = Path(f"/proc/{pid}")
    if Path("/proc/self").exists():
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            return state not in "ZX" and Path(os.readlink(process / "cwd")) == data.resolve()
        except OSError:
            return False
    listed = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat=,command="], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(listed) and not listed.startswith("Z") and str(data) in listed


def clear(data: Path, socket_folder: Path, say: Callable[[str], None]) -> None:
    """Ends a server nobody keeps any more and removes lock files of processes that are gone.

    Call only while holding the data folder's lock: no other keeper can exist then.
    """
    lock = read_lock_file(data)
    if lock and is_server(lock.pid, data):
        say("An earlier PostgreSQL is still ending; waiting for it.")
        end(lock.pid, data)
    # The server itself clears a lock file whose process is gone, but not one whose number is a zombie's or
    # was given to another process. It still checks the shared memory of its data folder afterwards.
    (data / "postmaster.pid").unlink(missing_ok=True)
    for left in socket_folder.glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def end(pid: int, data: Path) -> None:
    """Waits for a server to end, asking it ever less kindly; ClusterError when it does not."""
    steps = [(None, 5.0)] if sys.platform == "win32" else [
        (None, 2.0), (signal.SIGINT, 10.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0),
    ]  # fmt: skip
    for sent, seconds in steps:
        if sent is not None:
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                return
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not is_server(pid, data):
                return
            time.sleep(0.05)
    raise ClusterError(
        f"An earlier PostgreSQL (process {pid}) does not end. End it by hand, then start again."
    )

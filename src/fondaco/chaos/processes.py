"""Finding processes and killing them without a warning. Linux: it reads /proc."""

import contextlib
import os
import signal
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes this one started that are still there."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(int(entry.name)) == pid:
            found.append(int(entry.name))
    return sorted(found)


def tree_of(pid: int) -> list[int]:
    """The process and all below it."""
    return [pid, *(each for child in children_of(pid) for each in tree_of(child))]


def title_of(pid: int) -> str:
    """Its command line."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def waited(pid: int) -> float:
    """Seconds in which its first thread could have run and had to wait for a core; 0 when it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def kill(*pids: int) -> int:
    """SIGKILL to each; how many were there to be killed."""
    done = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            done += 1
    return done


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0

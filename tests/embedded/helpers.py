"""Looking at processes from outside, and clusters in folders of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOLDER = Path(__file__).with_name("holder.py")
linux_only = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes through /proc")
root_only = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="SKIPPED: only root can change users"
)


def start_holder(root: Path, python: str = sys.executable, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [python, str(HOLDER), str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )


def answer_of(holder: "subprocess.Popen[str]") -> dict[str, Any]:
    assert holder.stdout
    return json.loads(holder.stdout.readline())


def finish(holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    for pipe in (holder.stdin, holder.stdout):
        if pipe:
            pipe.close()


def postmaster(root: Path) -> int:
    return int((root / "data" / "postmaster.pid").read_text().splitlines()[0])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def tree_of(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if parent_of(int(entry.name)) == pid:
                    found += tree_of(int(entry.name))
            except OSError:
                continue
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Waits generously: only a hang fails here, never a slow machine."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, f"never happened: {what}"
        time.sleep(0.02)

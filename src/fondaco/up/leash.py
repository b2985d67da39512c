"""Ends a process when the one that started it is gone. Kept small: every child loads it.

`python -m fondaco.up.leash MODULE ARGUMENTS` runs a module on a leash: when standard input, a pipe held by
the parent, closes, the module gets SIGTERM, and after a while it and its own children are killed.
"""

import os
import runpy
import select
import signal
import sys
import threading
import time

GRACE_SECONDS = 4.0


def hold() -> None:
    """Watches standard input from a thread and ends this process, politely first, when it closes."""
    threading.Thread(target=_until_input_ends, args=(os.getppid(),), daemon=True).start()


def follow_parent() -> None:
    """Ends this process when its parent is gone; for processes forked by a server that may be killed."""
    if sys.platform != "win32":
        threading.Thread(target=_until_parent_ends, args=(os.getppid(),), daemon=True).start()


def _until_input_ends(parent: int) -> None:
    if sys.platform == "win32":
        while os.read(0, 1):
            pass
        os._exit(1)
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 0.5)
        if readable and not os.read(0, 1):
            break
    _end()


def _until_parent_ends(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    _end()


def _end() -> None:
    if sys.platform == "win32":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # what we started, and ourselves
    os._exit(1)


if __name__ == "__main__":
    hold()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""One data folder, one user at a time: a lock the operating system lets go of when its holder dies."""

import contextlib
import os
import sys
import time
from pathlib import Path

from fondaco.embedded.account import ClusterError

PATIENCE_SECONDS = 2


class FolderLock:
    """An exclusive lock on a file, held by this process and not passed on to its children."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Takes the lock or raises ClusterError naming the process that holds it.

        A killed holder keeps it for a moment while the system clears up: that is waited for.
        """
        if self._file is not None:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        until = time.monotonic() + PATIENCE_SECONDS
        while not (free := _lock(file)) and time.monotonic() < until:
            time.sleep(0.05)
        if not free:
            holder = os.read(file, 20).decode(errors="replace").strip()
            os.close(file)
            raise ClusterError(
                f"fondaco already runs with the data in {self._path.parent} (process {holder or 'unknown'}). "
                "Stop that one first, or choose another folder with --data."
            )
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Lets go of the lock; the file stays, as deleting it would let two holders in."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


def _lock(file: int) -> bool:
    """Whether the lock could be taken."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 100, os.SEEK_SET)  # beyond the text, which others must be able to read
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True

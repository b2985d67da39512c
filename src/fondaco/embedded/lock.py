"""One data folder, one user at a time: a lock the operating system lets go of when its holder dies."""

import contextlib
import os
import sys
from pathlib import Path

from fondaco.embedded.account import ClusterError


class FolderLock:
    """An exclusive lock on a file, held by this process and not passed on to its children."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Takes the lock at once or raises ClusterError naming the process that holds it."""
        if self._file is not None:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            _lock(file)
        except OSError as error:
            holder = os.read(file, 20).decode(errors="replace").strip()
            os.close(file)
            raise ClusterError(
                f"fondaco already runs with the data in {self._path.parent} (process {holder or 'unknown'}). "
                "Stop that one first, or choose another folder with --data."
            ) from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Lets go of the lock; the file stays, as deleting it would let two holders in."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 100, os.SEEK_SET)  # beyond the text, which others must be able to read
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

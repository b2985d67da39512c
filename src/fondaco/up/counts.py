"""A folder where the web processes of one server count together, so that any of them can tell all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

SHARED = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "fondaco-counts-"


@contextlib.contextmanager
def shared_counts(processes: int) -> Generator[None]:
    """For the length of the block, processes started here keep their counters in one folder. A process that
    is killed leaves what it had counted. One process alone counts in its own memory, which is quicker."""
    if processes < 2 or SHARED in os.environ:
        yield
        return
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        os.environ[SHARED] = folder
        try:
            yield
        finally:
            del os.environ[SHARED]


def _sweep(place: Path) -> None:
    """Deletes what killed servers left behind."""
    for left in place.glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

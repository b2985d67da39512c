"""A folder for the processes that is short enough for sockets, and the stack over a clone."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fondaco.embedded import Endpoints
from tests.faults.stack import Processes, processes
from tests.inbox.conftest import running, till

__all__ = ["folder", "running", "stack", "till"]


@pytest.fixture
def folder() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="fondaco-faults-"))
    yield found
    shutil.rmtree(found, ignore_errors=True)


@pytest.fixture
def stack(folder: Path, endpoints: Endpoints) -> Iterator[Processes]:
    """Web and worker can be started over this test's database."""
    with processes(folder, endpoints) as found:
        yield found

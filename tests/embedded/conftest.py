import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fondaco.embedded import Cluster
from tests.support.postgres import new_root


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder for one cluster, emptied of servers and files afterwards."""
    path = new_root()
    yield path
    Cluster(path).destroy()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A running cluster with the settings a user gets."""
    made = Cluster(new_root())
    made.start()
    yield made
    made.destroy()

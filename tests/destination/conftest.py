"""One sandbox for the tests of this folder, empty at the start of each; a till connected to it."""

from collections.abc import Iterator

import pytest

from fondaco.core.db import Database
from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import StripeGateway
from tests.conftest import make_settings
from tests.support.money import Till
from tests.support.sandbox import RunningSandbox, run_sandbox


@pytest.fixture(scope="session")
def direct_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def till(direct_sandbox: RunningSandbox, db: Database, endpoints: Endpoints) -> Till:
    direct_sandbox.reset()
    settings = make_settings(endpoints, stripe_api_base=direct_sandbox.url)
    return Till(db, settings, StripeGateway(settings), direct_sandbox)

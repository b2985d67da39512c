"""Browsers at the shop and its desk, with a payment provider's sandbox behind them."""

from collections.abc import Iterator

import pytest

from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.pages.account.conftest import doors
from tests.support.sandbox import RunningSandbox, run_sandbox

__all__ = ["doors"]


@pytest.fixture(scope="package")
def credit_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def paying(settings: Settings, credit_sandbox: RunningSandbox) -> RunningSandbox:
    """The sandbox, empty; the site sends its payments there."""
    credit_sandbox.reset()
    return credit_sandbox


@pytest.fixture
def settings(request: pytest.FixtureRequest, endpoints: Endpoints) -> Settings:
    if "paying" not in request.fixturenames:
        return make_settings(endpoints)
    return make_settings(endpoints, stripe_api_base=request.getfixturevalue("credit_sandbox").url)

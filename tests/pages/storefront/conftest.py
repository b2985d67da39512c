"""Browsers at the shop, with a payment provider's sandbox behind it."""

from collections.abc import Iterator

import pytest

from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.pages.account.conftest import doors
from tests.support.sandbox import RunningSandbox, run_sandbox

__all__ = ["doors"]


@pytest.fixture(scope="package")
def shop_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def paying(settings: Settings, shop_sandbox: RunningSandbox) -> RunningSandbox:
    """The sandbox, empty; the site sends its payments there."""
    shop_sandbox.reset()
    return shop_sandbox


@pytest.fixture
def settings(endpoints: Endpoints, shop_sandbox: RunningSandbox) -> Settings:
    return make_settings(endpoints, stripe_api_base=shop_sandbox.url)

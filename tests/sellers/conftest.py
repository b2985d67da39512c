"""The store routes, called without a socket."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fondaco.core.db import Database
from fondaco.settings import Settings
from tests.support.accounts_app import calling


@pytest.fixture
async def api(settings: Settings, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(settings, db) as found:
        yield found

"""A sale for each test."""

import pytest

from fondaco.core.db import Database
from fondaco.settings import Settings
from tests.cases.steps import Sale, make_sale


@pytest.fixture
async def sale(db: Database, settings: Settings) -> Sale:
    return await make_sale(db, settings)

"""What catalogue tests share."""

import pytest

from fondaco.core.pagination import Cursors
from fondaco.settings import Settings


@pytest.fixture
def cursors(settings: Settings) -> Cursors:
    return Cursors(settings.key)

"""What stock tests share."""

import pytest

from fondaco.core.pagination import Cursors
from fondaco.settings import Settings
from fondaco.vault import Vault


@pytest.fixture
def cursors(settings: Settings) -> Cursors:
    return Cursors(settings.key)


@pytest.fixture
def vault(settings: Settings) -> Vault:
    return Vault(settings)

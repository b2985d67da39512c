"""The measurements of money once each, very small: each runs, and what it did was right."""

import pytest
from rich.console import Console

from fondaco.bench import money
from fondaco.bench.bench import Options
from tests.bench.test_measures import whole

SMALL = Options(seconds=1, rounds=1, clients=(2,), percent=0)


@pytest.mark.parametrize("name", ["posts", "payouts", "reconcile", "verify"])
async def test_each_measures(name: str) -> None:
    result = await getattr(money, name)(Console(quiet=True), SMALL)
    whole(result)
    assert result.raw

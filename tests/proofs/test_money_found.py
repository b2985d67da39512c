"""What histories and races of money brought to light, each as small as it can be."""

from collections.abc import Iterator

import asyncpg
import pytest

from fondaco import payouts
from fondaco.core.db import SYSTEM, Database
from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import StripeGateway
from fondaco.payouts import sending
from tests.conftest import make_settings
from tests.support.money import Till
from tests.support.payouts import Paying, connected, earn, owe, paying
from tests.support.sandbox import RunningSandbox, run_sandbox
from tests.support.shop import make_shop


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def till(provider: RunningSandbox, db: Database, endpoints: Endpoints) -> Till:
    provider.reset()
    known = make_settings(endpoints, stripe_api_base=provider.url)
    return Till(db, known, StripeGateway(known), provider)


async def test_a_gate_that_closes_while_a_payout_is_claimed_is_no_fault(
    till: Till, owner: asyncpg.Connection
) -> None:
    """A refund after the look at the gates, before the attempt is written: nothing leaves."""
    one = await paying(till, owner)
    payout = await one.withdraw()
    row = await one.row(payout)
    await owe(till.db, one.shop, 100)

    async with till.db.transaction(SYSTEM) as conn:
        assert await sending._begin(conn, row, fresh=True) is None  # pyright: ignore[reportPrivateUsage]
    assert (await one.row(payout))["state"] == "CREATED"
    await one.sweep()
    assert (await one.row(payout))["state"] == "CANCELLED"
    assert one.transfers == []
    await one.whole()


async def test_a_payout_that_cannot_be_followed_holds_up_no_other(
    till: Till, owner: asyncpg.Connection
) -> None:
    """A transfer at the provider that is not the one decided: somebody must look; all others go on."""
    one = await paying(till, owner)
    bad = await one.withdraw()
    till.sandbox.post("/sandbox/faults", fail_before={"count": 1, "path": "/v1/transfers"})
    await one.send(bad)
    assert await one.state(bad) == "UNKNOWN"
    await till.gateway.create_transfer(bad, attempt=7, amount=5, currency="EUR", destination=one.account)
    shop = await make_shop(till.db, price=1000)
    other = Paying(till, shop, await connected(till, shop))
    await earn(till.db, owner, shop)
    good = await other.withdraw()
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/transfers"})
    await other.send(good)
    assert await other.state(good) == "UNKNOWN"
    await one.later("1 hour")
    assert await payouts.sweep_payouts(till.db, till.gateway) == 2
    assert (await one.state(bad), await other.state(good)) == ("UNKNOWN", "SENT")

"""The gateway against one sandbox for this folder, empty at the start of each test."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import CheckoutLine, StripeGateway
from fondaco.integrations.stripe_facts import PaymentFacts
from tests.conftest import make_settings
from tests.support.sandbox import RunningSandbox, run_sandbox

AT_ONCE = "4000000000000077"


@dataclass
class Desk:
    """A gateway and the sandbox it talks to."""

    gateway: StripeGateway
    sandbox: RunningSandbox

    async def pay(
        self,
        amount: int = 10_000,
        *,
        card: str = AT_ONCE,
        destination: str | None = None,
        fee: int | None = None,
    ) -> PaymentFacts:
        """A card payment, with money that can be used at once."""
        made = await self.gateway.create_checkout_session(
            funding_id=uuid4(),
            user_id=uuid4(),
            email="buyer@example.test",
            currency="EUR",
            lines=[CheckoutLine("Key", 1, amount)],
            success_url="http://127.0.0.1/paid",
            cancel_url="http://127.0.0.1/cart",
            expires_at=self.sandbox.control.get("/sandbox/health").json()["now"] + 3600,
            destination=destination,
            application_fee=fee,
        )
        assert made.session_id
        self.sandbox.pay(made.session_id, card)
        return await self.gateway.retrieve_session(made.session_id)

    async def seller(self, choice: str = "verified", seller_id: UUID | None = None) -> str:
        """A seller's account, its questions answered."""
        made = await self.gateway.create_account(
            seller_id or uuid4(), country="DE", email="seller@example.test", key=f"account:{uuid4()}"
        )
        self.sandbox.post(f"/sandbox/accounts/{made.id}", choice=choice)
        return made.id


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def desk(running: RunningSandbox, endpoints: Endpoints) -> Desk:
    running.reset()
    return Desk(StripeGateway(make_settings(endpoints, stripe_api_base=running.url), retries=0), running)

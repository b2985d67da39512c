"""Buyers, sellers, staff, the provider and the clock act in any order, as Hypothesis likes: after every
step the books are whole, and in the end they are the provider's, to the cent, in currencies with none,
two and three digits. FONDACO_MONEY_MACHINE=big looks much longer."""

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from fondaco.integrations.stripe import StripeGateway
from tests.conftest import make_settings
from tests.proofs.money_world import World
from tests.support.bouncer import database
from tests.support.money import Till
from tests.support.postgres import Databases
from tests.support.sandbox import RunningSandbox, run_sandbox

BIG = os.environ.get("FONDACO_MONEY_MACHINE") == "big"
HISTORIES = {"EUR": 4, "JPY": 2, "KWD": 2}
PROFILE = settings(
    stateful_step_count=50 if BIG else 25,
    derandomize=not BIG,
    phases=(Phase.generate,),  # shrinking a history would take hours
    suppress_health_check=list(HealthCheck),
    deadline=None,
    database=None,
)
PICK = st.integers(0, 7)
AMOUNT = st.sampled_from((10, 120, 330, 900, 1970, 4000))  # the provider takes no odd thousandths
ODD = st.sampled_from((1, 77, 333, 777, 1970, None))  # wallets do
FAULTS = ("lose_answer", "fail_before", "fail_after", "refund_pends", "refund_fails")
DID: Counter[str] = Counter()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


class Money(RuleBasedStateMachine):
    """One marketplace, from its first day to its last."""

    databases: Databases
    sandbox: RunningSandbox
    currency: str

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.fell = asyncio.new_event_loop(), False
        self.clone = self.databases.cloned()
        endpoints = self.clone.__enter__()
        self.sandbox.reset()
        self.sandbox.post("/sandbox/faults", refund_pends=0, refund_fails=0)
        known = make_settings(endpoints, stripe_api_base=self.sandbox.url, currency=self.currency)

        async def opened() -> World:
            db = await database(endpoints, size=4).open()
            till = Till(db, known, StripeGateway(known), self.sandbox)
            return World(till, await asyncpg.connect(endpoints.owner_dsn))

        self.world = self.run(opened())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self.loop.run_until_complete(work)
        except BaseException:
            self.fell = True
            raise

    def act(self, name: str, *with_: Any) -> None:
        self.run(self.world.act(name, *with_))

    @initialize(amounts=st.lists(AMOUNT, min_size=2, max_size=2), n=PICK)
    def open_up(self, amounts: list[int], n: int) -> None:
        self.run(self.world.begin())
        for k in range(2):
            self.act("pay_in", k + 2, 3000 + amounts[k], n)
            self.act("buy", n + k, 1)
            self.act("connect", k)

    @rule(n=PICK, amount=AMOUNT, card=PICK)
    def pay_in(self, n: int, amount: int, card: int) -> None:
        self.act("pay_in", n, amount, card)

    @rule(n=PICK, quantity=st.integers(1, 3))
    def buy(self, n: int, quantity: int) -> None:
        self.act("buy", n, quantity)

    @rule(n=PICK, quantity=st.integers(1, 2), card=PICK)
    def buy_by_card(self, n: int, quantity: int, card: int) -> None:
        self.act("buy_by_card", n, quantity, card)

    @rule(n=PICK, what=st.sampled_from(("look", "give_back", "confirm", "open_case", "withdraw_case")))
    def buyers(self, n: int, what: str) -> None:
        self.act(what, n)

    @rule(n=PICK)
    def connect(self, n: int) -> None:
        self.act("connect", n)

    @rule(n=PICK, amount=ODD)
    def withdraw(self, n: int, amount: int | None) -> None:
        self.act("withdraw", n, amount)

    @rule(n=PICK, amount=ODD)
    def refund_by_seller(self, n: int, amount: int | None) -> None:
        self.act("refund_by_seller", n, amount)

    @rule(n=PICK, amount=AMOUNT)
    def offer(self, n: int, amount: int) -> None:
        self.act("offer", n, amount)

    @rule(
        n=PICK,
        outcome=st.sampled_from(("BUYER", "SELLER", "SPLIT")),
        amount=AMOUNT,
        to=st.sampled_from(("wallet", "source")),
    )
    def decide(self, n: int, outcome: str, amount: int, to: str) -> None:
        self.act("decide", n, outcome, amount, to)

    @rule(n=PICK, amount=ODD)
    def refund_to_the_wallet(self, n: int, amount: int | None) -> None:
        self.act("refund_by_staff", n, amount, "wallet")

    @rule(n=PICK, amount=st.one_of(st.none(), AMOUNT))
    def refund_to_the_source(self, n: int, amount: int | None) -> None:
        self.act("refund_by_staff", n, amount, "source")

    @rule(n=PICK, amount=AMOUNT)
    def send_back(self, n: int, amount: int) -> None:
        self.act("send_back", n, amount)

    @rule(n=PICK, amount=st.sampled_from((1, 99, 500)))
    def goodwill(self, n: int, amount: int) -> None:
        self.act("goodwill", n, amount)

    @rule(n=PICK, what=st.sampled_from(("hold_payout", "let_payout_go", "cancel_payout")))
    def payout_desk(self, n: int, what: str) -> None:
        self.act(what, n)

    @rule(n=PICK, amount=st.one_of(st.none(), AMOUNT))
    def take_payout_back(self, n: int, amount: int | None) -> None:
        self.act("take_payout_back", n, amount)

    @rule(n=PICK, inquiry=st.sampled_from((False, False, False, True)))
    def dispute(self, n: int, inquiry: bool) -> None:
        self.act("dispute", n, inquiry)

    @rule(n=PICK, outcome=st.sampled_from(("won", "lost", "won", "lost", "prevented", "escalated")))
    def resolve(self, n: int, outcome: str) -> None:
        self.act("resolve", n, outcome)

    @rule(n=PICK)
    def warn(self, n: int) -> None:
        self.act("warn", n)

    @rule(n=PICK, status=st.sampled_from(("failed", "failed", "canceled", "succeeded")))
    def bounce_refund(self, n: int, status: str) -> None:
        self.act("bounce_refund", n, status)

    @rule(n=PICK, what=st.sampled_from(("restrict", "reject", "again", "allow", "again")))
    def change_account(self, n: int, what: str) -> None:
        self.act("change_account", n, what)

    @rule(
        n=PICK,
        kind=st.sampled_from(FAULTS),
    )
    def fault(self, n: int, kind: str) -> None:
        self.act("fault", n, kind)

    @rule(n=PICK, order=st.sampled_from(("all", "back", "some", "disputes")))
    def deliver(self, n: int, order: str) -> None:
        self.act("deliver", n, order)

    @rule(n=PICK, what=st.sampled_from(("release", "mature")))
    def clock(self, n: int, what: str) -> None:
        self.act(what, n)

    @rule(n=PICK)
    def release_and_mature(self, n: int) -> None:
        self.act("release", n)
        self.act("mature", n)

    @rule(what=st.sampled_from(("daily_run", "case_deadlines", "usable", "later", "work")))
    def workers(self, what: str) -> None:
        self.act(what)

    @invariant()
    def true(self) -> None:
        if self.world.buyers:
            self.run(self.world.true_now())

    def teardown(self) -> None:
        try:
            if self.world.buyers and not self.fell:
                self.run(self.world.true_at_the_end())
        finally:
            DID.update(self.world.did)
            self.run(self.world.db.close())
            self.run(self.world.owner.close())
            self.loop.close()
            self.clone.__exit__(None, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("currency", HISTORIES)
def test_any_order_ends_in_the_providers_books(
    databases: Databases, provider: RunningSandbox, currency: str
) -> None:
    many = HISTORIES[currency] * (10 if BIG else 1)
    known = {"databases": databases, "sandbox": provider, "currency": currency}
    run_state_machine_as_test(
        type(f"Money{currency}", (Money,), known), settings=settings(PROFILE, max_examples=many)
    )
    if os.environ.get("FONDACO_MONEY_MACHINE"):
        print(*sorted(DID.items()), sep="\n")

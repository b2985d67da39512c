"""Whatever is done in whatever order, also with kill -9 in between: the sandbox's money adds up."""

import random
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import CheckedClient, connect, intent_params
from tests.sandbox.test_connect import open_account
from tests.support.sandbox import RunningSandbox, run_sandbox

CHOICES = ("verified", "verified", "bank_fails")
CARDS = ("pm_card_visa", "pm_card_bypassPending", "pm_card_bypassPending", "pm_card_createDispute")


class Market:
    """Random business at a sandbox; what is refused is part of it."""

    def __init__(self, sandbox: RunningSandbox, api: stripe.StripeClient, seed: int) -> None:
        self.sandbox, self.api, self.random = sandbox, api, random.Random(seed)
        self.accounts = [open_account(api).id for _ in CHOICES]
        for account, choice in zip(self.accounts, CHOICES, strict=True):
            sandbox.post(f"/sandbox/accounts/{account}", choice=choice)
        self.done: Counter[str] = Counter()

    def step(self) -> None:
        kinds = (self.pay, self.pay, self.pay_seller, self.refund, self.send, self.send, self.reverse)
        act = self.random.choice((*kinds, self.dispute, self.resolve, self.withdraw, self.wait))
        try:
            act()
        except stripe.InvalidRequestError as error:
            self.done[f"refused: {error.code}"] += 1
        else:
            self.done[act.__name__] += 1

    def pay(self, **more: Any) -> None:
        amount = self.random.randint(500, 9000)
        params = intent_params(self.random.choice(CARDS), amount=amount, currency="eur", **more)
        self.api.v1.payment_intents.create(params)  # type: ignore[arg-type]

    def pay_seller(self) -> None:
        fee = self.random.randint(1, 400)
        data = {"destination": self.random.choice(self.accounts)}
        self.pay(transfer_data=data, application_fee_amount=fee)

    def refund(self) -> None:
        charge = self.random.choice(self.api.v1.charges.list({"limit": 100}).data or [None])
        if charge is None:
            return
        params: dict[str, Any] = {"charge": charge.id, "amount": self.random.randint(1, charge.amount)}
        if "transfer" in charge:
            params |= {"reverse_transfer": True, "refund_application_fee": True}
        self.api.v1.refunds.create(params)  # type: ignore[arg-type]

    def send(self) -> None:
        self.api.v1.transfers.create(
            {
                "amount": self.random.randint(1, 4000),
                "currency": "eur",
                "destination": self.random.choice(self.accounts),
            }
        )

    def reverse(self) -> None:
        transfers = self.api.v1.transfers.list({"limit": 100}).data
        if transfers:
            chosen = self.random.choice(transfers)
            self.api.v1.transfers.reversals.create(chosen.id, {"amount": self.random.randint(1, 1000)})

    def dispute(self) -> None:
        charges = self.api.v1.charges.list({"limit": 100}).data
        if charges:
            path = f"/sandbox/charges/{self.random.choice(charges).id}/dispute"
            self.sandbox.control.post(path, json={"inquiry": self.random.random() < 0.3})

    def resolve(self) -> None:
        disputes = self.api.v1.disputes.list({"limit": 100}).data
        if disputes:
            path = f"/sandbox/disputes/{self.random.choice(disputes).id}/resolve"
            outcome = self.random.choice(("won", "lost", "escalated", "prevented"))
            self.sandbox.control.post(path, json={"outcome": outcome})

    def withdraw(self) -> None:
        self.api.v1.payouts.create({"amount": self.random.randint(1, 3000), "currency": "eur"})

    def wait(self) -> None:
        self.sandbox.advance(self.random.choice((60, 86_400, 3 * 86_400)))

    def check(self, data: Path) -> None:
        """The sums are those of the movements, everywhere; nobody but the platform owes; all was told."""
        for account in (None, *self.accounts):
            options: Any = {"stripe_account": account} if account else {}
            shown = self.api.v1.balance.retrieve(options=options)
            movements = list(
                self.api.v1.balance_transactions.list({"limit": 100}, options).auto_paging_iter()
            )
            for state, funds in (("available", shown.available), ("pending", shown.pending)):
                known = {each.currency: each.amount for each in funds}.get("eur", 0)
                assert known == sum(each.net for each in movements if each.status == state)
            if account:
                assert sum(each.net for each in movements) >= 0
        self._check_parts()
        database = sqlite3.connect(data / "state.sqlite3")
        rows = database.execute("select sum(amount) from funds").fetchone()[0]
        told = [line for line in self.sandbox.truth() if line["fact"].endswith("balance_transaction")]
        database.close()
        assert sum(line["net"] for line in told) == rows

    def _check_parts(self) -> None:
        """Refunded and disputed parts never exceed a charge, reversed parts never their transfer."""
        gone: Counter[str] = Counter()
        for dispute in self.api.v1.disputes.list({"limit": 100}).auto_paging_iter():
            gone[str(dispute.charge)] -= sum(each.amount for each in dispute.balance_transactions)
        for charge in self.api.v1.charges.list({"limit": 100}).auto_paging_iter():
            assert 0 <= charge.amount_refunded + gone[charge.id] <= charge.amount
        for transfer in self.api.v1.transfers.list({"limit": 100}).auto_paging_iter():
            back = self.api.v1.transfers.reversals.list(transfer.id, {"limit": 100})
            assert sum(each.amount for each in back) == transfer.amount_reversed <= transfer.amount


@pytest.mark.parametrize("seed", [1])
def test_random_business_adds_up(tmp_path: Path, checked: CheckedClient, seed: int) -> None:
    with run_sandbox(tmp_path) as sandbox:
        market = Market(sandbox, connect(sandbox.url, checked), seed)
        for step in range(90):
            market.step()
            if step % 45 == 44:
                sandbox.kill()
                sandbox.start()
                market.check(tmp_path)
        done = market.done
        assert done["send"] and done["refund"] and done["reverse"] and done["refused: balance_insufficient"]


def test_a_state_from_before_the_sums_gets_them(tmp_path: Path, checked: CheckedClient) -> None:
    with run_sandbox(tmp_path) as sandbox:
        api = connect(sandbox.url, checked)
        for currency in ("eur", "jpy"):
            api.v1.payment_intents.create(intent_params(currency=currency))  # type: ignore[arg-type]
        before = api.v1.balance.retrieve().to_dict()
        sandbox.stop()
        database = sqlite3.connect(tmp_path / "state.sqlite3")
        database.executescript(
            "drop table funds; drop index objects_of_source; create index objects_source on"
            " objects (kind, json_extract(body, '$.source'));"
        )
        database.close()
        sandbox.start()
        assert connect(sandbox.url, checked).v1.balance.retrieve().to_dict() == before

"""Transfers, reversals, and payouts to banks."""

import threading

import pytest
import stripe

from tests.sandbox.conftest import connect, intent_params
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_connect import open_account
from tests.support.sandbox import RunningSandbox

DAY = 86_400


def seller(api: stripe.StripeClient, sandbox: RunningSandbox, choice: str = "verified") -> str:
    account = open_account(api)
    sandbox.post(f"/sandbox/accounts/{account.id}", choice=choice)
    return account.id


def fund(api: stripe.StripeClient, amount: int = 10_000, currency: str = "eur") -> stripe.PaymentIntent:
    """Money that can be used at once."""
    params = intent_params("pm_card_bypassPending", amount=amount, currency=currency)
    return api.v1.payment_intents.create(params)  # type: ignore[arg-type]


def send(api: stripe.StripeClient, account: str, amount: int = 1000, **more: object) -> stripe.Transfer:
    return api.v1.transfers.create(
        {"amount": amount, "currency": "eur", "destination": account, **more}  # type: ignore[arg-type]
    )


def usable(api: stripe.StripeClient, account: str | None = None) -> int:
    options = {"stripe_account": account} if account else {}
    found = api.v1.balance.retrieve(options=options)  # type: ignore[arg-type]
    return {each.currency: each.amount for each in found.available}.get("eur", 0)


def test_a_transfer_moves_money_and_is_found_by_its_group(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    account = seller(api, sandbox)
    fund(api)
    before = usable(api)
    transfer = send(api, account, transfer_group="payout:1", metadata={"payout_id": "1"})
    assert (transfer.amount, transfer.destination, transfer.reversed) == (1000, account, False)
    assert (usable(api), usable(api, account)) == (before - 1000, 1000)
    assert [each.id for each in api.v1.transfers.list({"transfer_group": "payout:1"})] == [transfer.id]
    assert api.v1.transfers.list({"transfer_group": "payout:2"}).data == []
    known = api.v1.transfers.retrieve(transfer.id, {"expand": ["balance_transaction", "destination_payment"]})
    entry, payment = known.balance_transaction, known.destination_payment
    assert isinstance(entry, stripe.BalanceTransaction) and isinstance(payment, stripe.Charge)
    assert (entry.type, entry.amount, entry.reporting_category) == ("transfer", -1000, "transfer")
    assert (payment.amount, payment.source_transfer) == (1000, transfer.id)
    theirs = api.v1.balance_transactions.list(options={"stripe_account": account}).data
    assert [(each.type, each.net) for each in theirs] == [("payment", 1000)]
    assert entry.id in {each.id for each in api.v1.balance_transactions.list()}
    sandbox.settle()
    assert "transfer.created" in receiver.types
    told = [line for line in sandbox.truth() if line["fact"] == "transfer.created"]
    assert [(line["amount"], line["metadata"]) for line in told] == [(1000, {"payout_id": "1"})]


def test_the_same_key_transfers_once(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    fund(api)
    sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/transfers"})
    params: dict[str, object] = {"amount": 700, "currency": "eur", "destination": account}
    with pytest.raises(stripe.APIConnectionError):
        api.v1.transfers.create(params, {"idempotency_key": "payout:1:1"})  # type: ignore[arg-type]
    again = api.v1.transfers.create(params, {"idempotency_key": "payout:1:1"})  # type: ignore[arg-type]
    assert [each.id for each in api.v1.transfers.list()] == [again.id]
    sandbox.advance(DAY + 1)  # keys are forgotten: only looking first helps
    late = api.v1.transfers.create(params, {"idempotency_key": "payout:1:1"})  # type: ignore[arg-type]
    assert late.id != again.id


def test_a_stored_failure_is_given_again(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    fund(api)
    sandbox.post("/sandbox/faults", fail_before={"count": 1, "path": "/v1/transfers"})
    params: dict[str, object] = {"amount": 700, "currency": "eur", "destination": account}
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            api.v1.transfers.create(params, {"idempotency_key": "a"})  # type: ignore[arg-type]
    assert api.v1.transfers.list().data == []
    assert api.v1.transfers.create(params, {"idempotency_key": "b"}).amount == 700  # type: ignore[arg-type]


def test_not_enough_money(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    api.v1.payment_intents.create(intent_params(currency="eur"))  # type: ignore[arg-type]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        send(api, account)
    assert (caught.value.http_status, caught.value.code) == (400, "balance_insufficient")
    assert api.v1.transfers.list().data == []
    sandbox.post("/sandbox/available")
    assert send(api, account).amount == 1000
    with pytest.raises(stripe.InvalidRequestError):
        send(api, account, 942)


def test_racing_transfers_never_overdraw(
    api: stripe.StripeClient, sandbox: RunningSandbox, checked: object
) -> None:
    account = seller(api, sandbox)
    fund(api, 3126)  # 3126 less the fee is 3005
    assert usable(api) == 3005
    refused: list[str] = []

    def one() -> None:
        mine = connect(sandbox.url, checked)  # type: ignore[arg-type]
        try:
            send(mine, account, 1000)
        except stripe.InvalidRequestError as error:
            refused.append(str(error.code))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["balance_insufficient"] * 3
    assert (usable(api), usable(api, account)) == (5, 3000)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"destination": "acct_nobody"}, "resource_missing", "destination"),
        ({"amount": 0}, "parameter_invalid_integer", "amount"),
        ({"currency": "xyz"}, None, "currency"),
        ({"source_transaction": "ch_nobody"}, "resource_missing", "source_transaction"),
    ],
)
def test_transfers_that_are_refused(
    api: stripe.StripeClient, sandbox: RunningSandbox, change: dict[str, object], code: str, param: str
) -> None:
    account = seller(api, sandbox)
    fund(api)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        send(api, account, **change)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.param) == (code, param)


def test_an_account_that_cannot_take_money(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    fund(api)
    fresh = open_account(api).id
    with pytest.raises(stripe.InvalidRequestError) as caught:
        send(api, fresh)
    assert caught.value.code == "insufficient_capabilities_for_transfer"
    account = seller(api, sandbox)
    send(api, account)
    sandbox.post(f"/sandbox/accounts/{account}", reject="fraud")
    with pytest.raises(stripe.InvalidRequestError):
        send(api, account)


def test_a_source_transaction_need_not_have_matured(
    api: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    account = seller(api, sandbox)
    intent = api.v1.payment_intents.create(intent_params(currency="eur", transfer_group="order:1"))  # type: ignore[arg-type]
    charge = str(intent.latest_charge)
    transfer = send(api, account, 1500, source_transaction=charge)
    assert (transfer.source_transaction, transfer.transfer_group) == (charge, "order:1")
    with pytest.raises(stripe.InvalidRequestError):
        send(api, account, 501, source_transaction=charge)


def test_reversals(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    account = seller(api, sandbox)
    fund(api)
    transfer = send(api, account)
    before = usable(api)
    part = api.v1.transfers.reversals.create(transfer.id, {"amount": 400, "metadata": {"why": "refund"}})
    assert (part.amount, part.transfer) == (400, transfer.id)
    assert (usable(api), usable(api, account)) == (before + 400, 600)
    known = api.v1.transfers.retrieve(transfer.id)
    assert (known.amount_reversed, known.reversed) == (400, False)
    assert [each.id for each in known.reversals.data] == [part.id]
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed"):
        api.v1.transfers.reversals.create(transfer.id, {"amount": 601})
    rest = api.v1.transfers.reversals.create(transfer.id)
    assert rest.amount == 600 and api.v1.transfers.retrieve(transfer.id).reversed is True
    assert [each.id for each in api.v1.transfers.reversals.list(transfer.id)] == [rest.id, part.id]
    with pytest.raises(stripe.InvalidRequestError, match="already fully reversed"):
        api.v1.transfers.reversals.create(transfer.id)
    entries = api.v1.balance_transactions.list({"type": "transfer_refund"}).data
    assert [(each.amount, each.source) for each in entries] == [(600, rest.id), (400, part.id)]
    sandbox.settle()
    assert receiver.types.count("transfer.reversed") == 2


def test_what_was_paid_out_cannot_be_reversed(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    fund(api)
    transfer = send(api, account)
    sandbox.advance(DAY)
    assert usable(api, account) == 0
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.transfers.reversals.create(transfer.id)
    assert caught.value.code == "balance_insufficient"
    assert api.v1.transfers.retrieve(transfer.id).amount_reversed == 0


def test_daily_payout_of_an_account(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    fund(api)
    send(api, account, 1000)
    send(api, account, 500)
    sandbox.advance(DAY)
    options: dict[str, str] = {"stripe_account": account}
    made = api.v1.payouts.list(options=options).data  # type: ignore[arg-type]
    assert [(each.amount, each.status, each.automatic) for each in made] == [(1500, "pending", True)]
    assert api.v1.payouts.list().data == []
    paid_out = api.v1.balance_transactions.list({"payout": made[0].id}, options=options)  # type: ignore[arg-type]
    assert sorted(each.amount for each in paid_out) == [-1500, 500, 1000]
    sandbox.advance(DAY)
    assert api.v1.payouts.retrieve(made[0].id, options=options).status == "paid"  # type: ignore[arg-type]
    facts = [line["fact"] for line in sandbox.truth() if line["fact"].startswith("payout.")]
    assert facts == ["payout.created", "payout.paid"]


def test_a_payout_that_comes_back_days_later(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox, "bank_fails")
    fund(api)
    transfer = send(api, account)
    sandbox.advance(2 * DAY)
    options: dict[str, str] = {"stripe_account": account}
    assert api.v1.payouts.list(options=options).data[0].status == "paid"  # type: ignore[arg-type]
    sandbox.advance(2 * DAY)
    back = api.v1.payouts.list({"expand": ["data.failure_balance_transaction"]}, options=options).data[0]  # type: ignore[arg-type]
    assert (back.status, back.failure_code) == ("failed", "no_account")
    entry = back.failure_balance_transaction
    assert isinstance(entry, stripe.BalanceTransaction)
    assert (entry.type, entry.amount, entry.reporting_category) == ("payout_failure", 1000, "payout_reversal")
    known = api.v1.accounts.retrieve(account)
    assert known.payouts_enabled is False
    assert known.requirements and known.requirements.currently_due == ["external_account"]
    assert usable(api, account) == 1000
    told = [event.type for event in api.v1.events.list({"type": "payout.*"}, options=options)]  # type: ignore[arg-type]
    assert told == ["payout.failed", "payout.paid", "payout.created"]
    assert api.v1.transfers.reversals.create(transfer.id).amount == 1000
    sandbox.post(f"/sandbox/accounts/{account}", choice="verified")
    assert api.v1.accounts.retrieve(account).payouts_enabled is True


def test_the_platforms_own_payouts(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    fund(api)
    before = usable(api)
    made = api.v1.payouts.create({"amount": 2000, "currency": "eur", "metadata": {"sweep": "1"}})
    assert (made.status, made.automatic, usable(api)) == ("pending", False, before - 2000)
    with pytest.raises(stripe.InvalidRequestError, match="only be filtered on automatic"):
        api.v1.balance_transactions.list({"payout": made.id})
    assert api.v1.payouts.cancel(made.id).status == "canceled"
    assert usable(api) == before
    with pytest.raises(stripe.InvalidRequestError):
        api.v1.payouts.cancel(made.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.payouts.create({"amount": before + 1, "currency": "eur"})
    assert caught.value.code == "balance_insufficient"
    whole = sandbox.post("/sandbox/payout", currency="eur")
    assert (whole["amount"], whole["automatic"], usable(api)) == (before, True, 0)
    assert len(api.v1.balance_transactions.list({"payout": whole["id"]}).data) == 4
    sandbox.post(f"/sandbox/payouts/{whole['id']}/fail", code="account_closed")
    assert api.v1.payouts.retrieve(whole["id"]).failure_code == "account_closed"
    assert usable(api) == before
    assert [each.id for each in api.v1.payouts.list({"status": "failed"})] == [whole["id"]]
    sandbox.settle()
    assert {"payout.created", "payout.canceled", "payout.failed"} <= set(receiver.types)


def test_a_manual_schedule_waits(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = open_account(api, settings={"payouts": {"schedule": {"interval": "manual"}}}).id
    sandbox.post(f"/sandbox/accounts/{account}", choice="verified")
    fund(api)
    send(api, account)
    sandbox.advance(2 * DAY)
    assert usable(api, account) == 1000
    made = api.v1.payouts.create({"amount": 600, "currency": "eur"}, {"stripe_account": account})
    assert (made.amount, usable(api, account)) == (600, 400)
    other = api.v1.payouts.create({"amount": 300, "currency": "eur"}, {"idempotency_key": "p"})
    mine = api.v1.payouts.create(
        {"amount": 300, "currency": "eur"}, {"stripe_account": account, "idempotency_key": "p"}
    )
    assert other.id != mine.id, "keys of one account are nothing to another"

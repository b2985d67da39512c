"""What the sandbox can be told to do wrong."""

import time

import pytest
import stripe

from tests.sandbox.conftest import CheckedClient, connect
from tests.sandbox.receiver import Receiver
from tests.support.sandbox import RunningSandbox


def customers(api: stripe.StripeClient, count: int) -> None:
    for n in range(count):
        api.v1.customers.create({"email": f"buyer{n}@example.com"})


def test_lost_answer_is_found_by_the_sdks_own_retry(sandbox: RunningSandbox, checked: CheckedClient) -> None:
    client = connect(sandbox.url, checked, max_network_retries=2)
    sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/customers"})
    made = client.v1.customers.create({"email": "buyer@example.com"})
    assert made.last_response and made.last_response.headers["Idempotent-Replayed"] == "true"  # type: ignore[index]
    assert [each.id for each in client.v1.customers.list()] == [made.id]


def test_lost_answer_without_retry(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    sandbox.post("/sandbox/faults", lose_answer=1)
    with pytest.raises(stripe.APIConnectionError):
        api.v1.customers.create({"email": "buyer@example.com"})
    assert len(api.v1.customers.list().data) == 1


def test_faults_strike_only_their_path(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    sandbox.post("/sandbox/faults", fail_before={"count": 1, "path": "/v1/refunds"})
    customers(api, 1)
    with pytest.raises(stripe.APIError):
        api.v1.refunds.create({"charge": "ch_x"})
    assert sandbox.control.get("/sandbox/faults").json()["fail_before"]["count"] == 0


def test_rate_limit(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    sandbox.post("/sandbox/faults", rate_limit=1)
    with pytest.raises(stripe.RateLimitError) as caught:
        api.v1.customers.create({"email": "buyer@example.com"}, {"idempotency_key": "key"})
    assert caught.value.headers and caught.value.headers["Retry-After"] == "1"
    api.v1.customers.create({"email": "buyer@example.com"}, {"idempotency_key": "key"})
    assert len(api.v1.customers.list().data) == 1


def test_duplicates(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    sandbox.post("/sandbox/faults", duplicate=100)
    customers(api, 2)
    sandbox.settle()
    assert len(receiver.events) == 4
    assert len({event["id"] for event in receiver.events}) == 2


def test_twins(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    sandbox.post("/sandbox/faults", twin=100)
    customers(api, 1)
    sandbox.settle()
    assert len({event["id"] for event in receiver.events}) == 2
    assert len({event["data"]["object"]["id"] for event in receiver.events}) == 1


def test_drops_are_found_in_the_list(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    sandbox.post("/sandbox/faults", drop=100)
    customers(api, 2)
    sandbox.advance(86_400)
    assert receiver.events == []
    missed = api.v1.events.list({"delivery_success": False}).data
    assert len(missed) == 2
    sandbox.post("/sandbox/faults", clear=True)
    sandbox.post(f"/sandbox/events/{missed[0].id}/resend")
    sandbox.settle()
    assert [event["id"] for event in receiver.events] == [missed[0].id]
    assert len(api.v1.events.list({"delivery_success": False}).data) == 1


def test_forgeries_are_refused_by_the_sdk(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    sandbox.post("/sandbox/faults", forge=100)
    api.v1.payment_intents.create({"amount": 1000, "currency": "eur"})
    sandbox.settle()
    assert [event["data"]["object"]["amount"] for event in receiver.events] == [1000]
    assert [event["data"]["object"]["amount"] for event in receiver.refused] == [10_000]
    assert api.v1.events.list().data[0].pending_webhooks == 0


def test_delay_and_reorder_use_the_sandbox_clock(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    sandbox.post("/sandbox/faults", delay_ms=3_600_000)
    customers(api, 1)
    sandbox.settle()
    assert receiver.events == []
    sandbox.post("/sandbox/faults", delay_ms=0)
    customers(api, 1)
    sandbox.settle()
    sandbox.advance(3600)
    created = [event["data"]["object"]["email"] for event in receiver.events]
    assert len(created) == 2
    sandbox.post("/sandbox/faults", reorder=100)
    customers(api, 3)
    sandbox.advance(2)
    assert len(receiver.events) == 5


def test_same_seed_same_faults(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    def dropped(seed: int) -> list[int]:
        sandbox.post("/sandbox/faults", clear=True)
        sandbox.post("/sandbox/faults", drop=50, seed=seed)
        customers(api, 12)
        sandbox.settle()
        rows = sandbox.control.get("/sandbox/deliveries").json()["data"][:12][::-1]
        return [n for n, row in enumerate(rows) if row["state"] == "dropped"]

    first, second, other = dropped(7), dropped(7), dropped(8)
    assert first == second != other
    assert 0 < len(first) < 12


def test_slow_answers(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    sandbox.post("/sandbox/faults", latency_ms=300)
    start = time.monotonic()
    customers(api, 1)
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize(
    "wanted",
    [{"drop": 101}, {"drop": -1}, {"drop": "many"}, {"drop": True}, {"explode": 1}, {"lose_answer": -1}],
)
def test_what_is_no_fault_is_refused(sandbox: RunningSandbox, wanted: dict[str, object]) -> None:
    before = sandbox.control.get("/sandbox/faults").json()
    answer = sandbox.control.post("/sandbox/faults", json=wanted)
    assert answer.status_code == 400 and answer.json()["error"]["param"] in wanted
    assert sandbox.control.get("/sandbox/faults").json() == before


def test_away_for_reading_and_writing(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    sandbox.post("/sandbox/faults", down=100)
    with pytest.raises(stripe.APIError) as caught:
        api.v1.balance.retrieve()
    assert caught.value.http_status == 503
    with pytest.raises(stripe.APIError):
        api.v1.customers.create({"email": "buyer@example.com"}, {"idempotency_key": "k"})
    sandbox.post("/sandbox/faults", down=0)
    assert api.v1.customers.list().data == []
    assert api.v1.customers.create({"email": "buyer@example.com"}, {"idempotency_key": "k"}).id

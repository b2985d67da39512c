"""Idempotency keys as Stripe keeps them."""

import threading

import httpx
import pytest
import stripe

from tests.sandbox.conftest import KEY, CheckedClient, connect, intent_params
from tests.support.sandbox import RunningSandbox


def replayed(made: stripe.StripeObject) -> bool:
    assert made.last_response
    return made.last_response.headers.get("Idempotent-Replayed") == "true"  # type: ignore[union-attr]


def test_same_key_same_answer(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    params, key = intent_params(), {"idempotency_key": "pay-1"}
    first = api.v1.payment_intents.create(params, key)  # type: ignore[arg-type]
    second = api.v1.payment_intents.create(params, key)  # type: ignore[arg-type]
    assert second.id == first.id
    assert (replayed(first), replayed(second)) == (False, True)
    assert first.last_response and second.last_response
    assert second.last_response.headers["Original-Request"] == first.last_response.request_id  # type: ignore[index]
    assert [line["fact"] for line in sandbox.truth()].count("charge.succeeded") == 1


def test_other_parameters_are_refused(api: stripe.StripeClient) -> None:
    key = {"idempotency_key": "key"}
    api.v1.customers.create({"email": "one@example.com"}, key)  # type: ignore[arg-type]
    with pytest.raises(stripe.IdempotencyError) as caught:
        api.v1.customers.create({"email": "two@example.com"}, key)  # type: ignore[arg-type]
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        api.v1.payment_intents.create({"amount": 1000, "currency": "eur"}, key)  # type: ignore[arg-type]
    assert len(api.v1.customers.list().data) == 1


def test_refusals_before_the_work_are_not_kept(api: stripe.StripeClient) -> None:
    key = {"idempotency_key": "key"}
    with pytest.raises(stripe.InvalidRequestError):
        api.v1.customers.create({"emial": "one@example.com"}, key)  # type: ignore[arg-type]
    assert api.v1.customers.create({"email": "one@example.com"}, key).email == "one@example.com"  # type: ignore[arg-type]


def test_a_decline_is_kept(api: stripe.StripeClient) -> None:
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            api.v1.payment_intents.create(
                intent_params("pm_card_chargeDeclined"),  # type: ignore[arg-type]
                {"idempotency_key": "key"},
            )
    assert len(api.v1.charges.list().data) == 1


@pytest.mark.parametrize(("fault", "made"), [("fail_before", 0), ("fail_after", 1)])
def test_a_500_is_kept(api: stripe.StripeClient, sandbox: RunningSandbox, fault: str, made: int) -> None:
    sandbox.post("/sandbox/faults", **{fault: 1})
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            api.v1.customers.create({"email": "buyer@example.com"}, {"idempotency_key": "key"})
        assert caught.value.http_status == 500
    assert len(api.v1.customers.list().data) == made
    api.v1.customers.create({"email": "buyer@example.com"}, {"idempotency_key": "other"})
    assert len(api.v1.customers.list().data) == made + 1


def test_forgotten_after_24_hours(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    key = {"idempotency_key": "key"}
    first = api.v1.customers.create({"email": "one@example.com"}, key)  # type: ignore[arg-type]
    sandbox.advance(86_400 - 60)
    assert api.v1.customers.create({"email": "one@example.com"}, key).id == first.id  # type: ignore[arg-type]
    sandbox.advance(120)
    assert api.v1.customers.create({"email": "one@example.com"}, key).id != first.id  # type: ignore[arg-type]


def test_in_use(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    """While one request is at work, a second one with its key is refused with 409."""
    sandbox.post("/sandbox/faults", latency_ms=3000)
    made: list[stripe.Customer] = []
    slow = connect(sandbox.url, CheckedClient())
    thread = threading.Thread(
        target=lambda: made.append(
            slow.v1.customers.create({"email": "one@example.com"}, {"idempotency_key": "key"})
        )
    )
    thread.start()
    while not sandbox.control.get("/sandbox/health").json()["requests_with_key_running"]:
        assert thread.is_alive()
    with pytest.raises(stripe.APIError) as caught:  # the SDK's class for 409
        api.v1.customers.create({"email": "one@example.com"}, {"idempotency_key": "key"})
    assert caught.value.error
    assert (caught.value.http_status, caught.value.error.code) == (409, "idempotency_key_in_use")
    thread.join()
    again = api.v1.customers.create({"email": "one@example.com"}, {"idempotency_key": "key"})
    assert again.id == made[0].id and replayed(again)


def test_keys_are_at_most_255_long(sandbox: RunningSandbox) -> None:
    headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "k" * 256}
    answer = httpx.post(sandbox.url + "/v1/customers", headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "idempotency_error")

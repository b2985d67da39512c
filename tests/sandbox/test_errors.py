"""Errors as Stripe answers them."""

import httpx
import pytest
import stripe

from tests.sandbox.conftest import CheckedClient, session_params
from tests.support.sandbox import RunningSandbox


@pytest.mark.parametrize(
    ("key", "words"), [("sk_live_real_key_never_1234", "Invalid API Key provided"), ("x", "****")]
)
def test_wrong_key(sandbox: RunningSandbox, checked: CheckedClient, key: str, words: str) -> None:
    client = stripe.StripeClient(key, base_addresses={"api": sandbox.url}, http_client=checked)
    with pytest.raises(stripe.AuthenticationError) as caught:
        client.v1.balance.retrieve()
    assert words in str(caught.value)
    assert key not in str(caught.value) or key == "x"


def test_no_key_and_basic_key(sandbox: RunningSandbox) -> None:
    answer = httpx.get(sandbox.url + "/v1/balance")
    assert answer.status_code == 401 and "did not provide an API key" in answer.json()["error"]["message"]
    assert answer.headers["request-id"].startswith("req_")
    assert httpx.get(sandbox.url + "/v1/balance", auth=("sk_test_1", "")).status_code == 200


def test_other_accounts(api: stripe.StripeClient) -> None:
    with pytest.raises(stripe.PermissionError) as caught:
        api.v1.customers.list(options={"stripe_account": "acct_other"})
    assert caught.value.error and caught.value.error.code == "account_invalid"


@pytest.mark.parametrize(
    "resource", ["customers", "payment_intents", "charges", "refunds", "disputes", "events"]
)
def test_missing_objects(api: stripe.StripeClient, resource: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        getattr(api.v1, resource).retrieve("nobody")
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (
        404,
        "resource_missing",
        "id",
    )


def test_ids_of_another_kind_are_missing(api: stripe.StripeClient) -> None:
    customer = api.v1.customers.create({"email": "buyer@example.com"})
    with pytest.raises(stripe.InvalidRequestError, match="No such charge"):
        api.v1.charges.retrieve(customer.id)


def test_unknown_addresses(api: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.coupons.list()
    assert caught.value.http_status == 404
    assert "Unrecognized request URL (GET: /v1/coupons)" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"colour": "red"}, "colour"),
        ({"payment_intent_data": {"colour": "red"}}, "payment_intent_data[colour]"),
        (
            {"line_items": [{"quantity": 1, "price_data": {"currency": "eur", "colour": "red"}}]},
            "line_items[0][price_data][colour]",
        ),
    ],
)
def test_unknown_parameters(api: stripe.StripeClient, change: dict[str, object], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.checkout.sessions.create(session_params(**change))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.param) == ("parameter_unknown", param)
    assert f"Received unknown parameter: {param}" in str(caught.value)


def test_a_near_miss_is_named(api: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Did you mean email"):
        api.v1.customers.create({"emial": "x"})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"currency": "eur"}, "amount", "parameter_missing"),
        ({"amount": "ten", "currency": "eur"}, "amount", "parameter_invalid_integer"),
        ({"amount": 1000, "currency": ""}, "currency", "parameter_invalid_empty"),
        ({"amount": 1000, "currency": "eur", "confirm": "maybe"}, "confirm", None),
        ({"amount": {"a": 1}, "currency": "eur"}, "amount", None),
        ({"amount": 1000, "currency": "eur", "metadata": {"k" * 41: "v"}}, "metadata", None),
        ({"amount": 1000, "currency": "eur", "metadata": {"k": "v" * 501}}, "metadata[k]", None),
        ({"amount": 1000, "currency": "eur", "metadata": "plain"}, "metadata", None),
        ({"amount": 1000, "currency": "eur", "allowed_payment_method_types": "card"},
         "allowed_payment_method_types", None),
        ({"amount": 1000, "currency": "eur", "expand": ["amount"]}, "expand", None),
        ({"amount": 1000, "currency": "eur", "expand": ["a.b.c.d.e"]}, "expand", None),
    ],
)  # fmt: skip
def test_wrong_values(
    api: stripe.StripeClient, params: dict[str, object], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.payment_intents.create(params)  # type: ignore[arg-type]
    assert (caught.value.http_status, caught.value.param, caught.value.code) == (400, param, code)
    assert api.v1.payment_intents.list().data == []


def test_a_refused_request_leaves_nothing(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    item = session_params()["line_items"][0]
    bad = {"price_data": {**item["price_data"], "currency": "usd"}, "quantity": 1}
    with pytest.raises(stripe.InvalidRequestError, match="same currency"):
        api.v1.checkout.sessions.create(session_params(line_items=[item, bad]))
    assert sandbox.truth() == []


def test_body_too_large(sandbox: RunningSandbox) -> None:
    answer = httpx.post(sandbox.url + "/v1/customers", content=b"x" * (2 << 20))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body", [b"%ff%fe=1", b"a[b=1", b"a]b=1", b"[a]=1", b"a[0]=1&a=2", b"email=a@b.c&email=d@e.f"]
)
def test_garbage_is_refused_in_words(sandbox: RunningSandbox, body: bytes) -> None:
    headers = {"authorization": "Bearer sk_test_1", "content-type": "application/x-www-form-urlencoded"}
    answer = httpx.post(sandbox.url + "/v1/customers", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")

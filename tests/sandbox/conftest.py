"""One sandbox for all tests of this folder, empty at the start of each; the official SDK as its client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.receiver import Receiver, run_receiver
from tests.sandbox.sdk_types import faults
from tests.support.sandbox import RunningSandbox, run_sandbox

KEY = "sk_test_sandbox"
FIELDS: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "data" / "stripe_fixture_fields.json").read_text()
)["fields"]
ONLY_WHEN_EXPANDED = {"charge": {"refunds"}}


def shape_faults(body: dict[str, Any]) -> list[str]:
    """What an answer or event has that Stripe's do not, or lacks: by the SDK's types and Stripe's example."""
    found = faults(body)
    for each in objects_in(body):
        kind = each["object"]
        if kind in FIELDS and not each.get("deleted"):
            lacking = set(FIELDS[kind]) - set(each) - ONLY_WHEN_EXPANDED.get(kind, set())
            if kind == "payment_method" and each["type"] != "card":
                lacking = lacking - {"card"} | {each["type"]} - set(each)
            found += [f"{kind} lacks {name}" for name in sorted(lacking)]
    return found


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every API object inside a value, itself included."""
    if isinstance(value, dict):
        if isinstance(value.get("object"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from objects_in(each)


class CheckedClient(stripe.RequestsClient):
    """The SDK's own HTTP client; it notes every answer whose shape is not Stripe's."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.seen = 0

    def request(self, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        body, status, answered = super().request(method, url, headers, post_data)
        content = json.loads(body)
        if status == 200:
            self.found += shape_faults(content)
        else:
            known = {"type", "message", "code", "param", "doc_url", "decline_code", "charge"}
            known |= {"payment_intent", "payment_method"}
            self.found += [f"error has {name}" for name in set(content["error"]) - known]
        if not answered.get("request-id", "").startswith("req_"):
            self.found.append("no Request-Id")
        self.seen += 1
        return body, status, answered


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox) -> RunningSandbox:
    """The sandbox, empty."""
    running.reset()
    return running


def connect(url: str, http: CheckedClient, **options: Any) -> stripe.StripeClient:
    return stripe.StripeClient(
        KEY, base_addresses={"api": url}, http_client=http, **{"max_network_retries": 0, **options}
    )


@pytest.fixture
def checked() -> Iterator[CheckedClient]:
    """Fails the test when an answer did not have Stripe's shape."""
    http = CheckedClient()
    yield http
    assert http.found == []


@pytest.fixture
def api(sandbox: RunningSandbox, checked: CheckedClient) -> stripe.StripeClient:
    """The SDK, without its own retries."""
    return connect(sandbox.url, checked)


@pytest.fixture
def receiver(api: stripe.StripeClient) -> Iterator[Receiver]:
    """A webhook endpoint that takes all events; fails the test when one does not have Stripe's shape."""
    with run_receiver() as server:
        endpoint = api.v1.webhook_endpoints.create({"url": server.url, "enabled_events": ["*"]})
        assert endpoint.secret
        server.secret, server.endpoint = endpoint.secret, endpoint.id
        yield server
    assert [fault for event in server.events for fault in shape_faults(event)] == []


def session_params(**more: Any) -> dict[str, Any]:
    """A Checkout Session for two keys of 12.50 EUR each."""
    return {
        "mode": "payment",
        "success_url": "http://127.0.0.1/paid?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1/cart",
        "line_items": [
            {
                "price_data": {
                    "currency": "eur",
                    "unit_amount": 1250,
                    "product_data": {"name": "Harbour Lights, Steam key", "description": "World"},
                },
                "quantity": 2,
            }
        ],
        **more,
    }


def intent_params(card: str = "pm_card_visa", **more: Any) -> dict[str, Any]:
    """A PaymentIntent of 20.00 USD that is paid at once."""
    return {
        "amount": 2000,
        "currency": "usd",
        "confirm": True,
        "payment_method": card,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        **more,
    }

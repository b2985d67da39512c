"""Events: listed for 30 days, delivered signed until taken."""

import hashlib
import hmac

import pytest
import stripe

from tests.sandbox.conftest import intent_params, session_params
from tests.sandbox.receiver import Receiver, run_receiver
from tests.support.sandbox import RunningSandbox


def test_events_say_who_asked(api: stripe.StripeClient) -> None:
    made = api.v1.customers.create({"email": "buyer@example.com"}, {"idempotency_key": "key-1"})
    event = api.v1.events.list().data[0]
    assert event.request and event.request.idempotency_key == "key-1"
    assert made.last_response and event.request.id == made.last_response.request_id
    assert api.v1.events.retrieve(event.id).api_version == stripe.api_version


def test_list_filters(api: stripe.StripeClient) -> None:
    api.v1.customers.create({"email": "buyer@example.com"})
    api.v1.payment_intents.create(intent_params())  # type: ignore[arg-type]
    list_ = api.v1.events.list
    assert [each.type for each in list_({"type": "charge.succeeded"})] == ["charge.succeeded"]
    both = list_({"types": ["customer.created", "payment_intent.succeeded"]})
    assert [each.type for each in both] == ["payment_intent.succeeded", "customer.created"]
    assert [each.type for each in list_({"type": "payment_intent.*", "limit": 1})] == [
        "payment_intent.succeeded"
    ]
    newest = list_({"limit": 1}).data[0]
    assert list_({"created": {"gt": newest.created + 60}}).data == []
    assert len(list_({"created": {"gte": newest.created - 60}}).data) == 4
    with pytest.raises(stripe.InvalidRequestError):
        list_({"type": "charge.succeeded", "types": ["charge.failed"]})


def test_events_are_listed_for_30_days(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.advance(30 * 86_400 - 60)
    assert len(api.v1.events.list().data) == 1
    sandbox.advance(120)
    assert api.v1.events.list().data == []


def test_only_enabled_events_are_delivered(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    with run_receiver() as some, run_receiver() as off:
        endpoint = api.v1.webhook_endpoints.create({"url": some.url, "enabled_events": ["customer.deleted"]})
        assert endpoint.secret and endpoint.secret.startswith("whsec_")
        some.secret = endpoint.secret
        disabled = api.v1.webhook_endpoints.create({"url": off.url, "enabled_events": ["*"]})
        api.v1.webhook_endpoints.update(disabled.id, {"disabled": True})
        customer = api.v1.customers.create({"email": "buyer@example.com"})
        api.v1.customers.delete(customer.id)
        sandbox.settle()
        assert some.types == ["customer.deleted"]
        assert off.signatures == []


def test_life_of_an_endpoint(api: stripe.StripeClient) -> None:
    made = api.v1.webhook_endpoints.create(
        {
            "url": "http://127.0.0.1:1/hook",
            "enabled_events": ["*"],
            "description": "ours",
            "metadata": {"a": "1"},
        }
    )
    assert api.v1.webhook_endpoints.retrieve(made.id).to_dict().get("secret") is None
    changed = api.v1.webhook_endpoints.update(made.id, {"enabled_events": ["charge.failed"]})
    assert changed.enabled_events == ["charge.failed"]
    assert [each.id for each in api.v1.webhook_endpoints.list()] == [made.id]
    assert api.v1.webhook_endpoints.delete(made.id).deleted is True
    assert api.v1.webhook_endpoints.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.webhook_endpoints.create({"url": "http://example.com/hook", "enabled_events": ["*"]})
    assert caught.value.param == "url"
    with pytest.raises(stripe.InvalidRequestError, match="Invalid enabled_events"):
        api.v1.webhook_endpoints.create({"url": "http://127.0.0.1/", "enabled_events": ["no.such.event"]})  # type: ignore[list-item]


def test_tried_again_until_taken(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    receiver.answers = [500, 302, 404]
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.settle()
    event = api.v1.events.list({"delivery_success": False}).data[0]
    assert event.pending_webhooks == 1
    for pause in (1, 5, 30):
        sandbox.advance(pause)
    assert [each["id"] for each in receiver.events] == [event.id] * 4
    assert len(set(receiver.signatures)) >= 1
    assert api.v1.events.retrieve(event.id).pending_webhooks == 0
    assert api.v1.events.list({"delivery_success": False}).data == []
    assert [each.id for each in api.v1.events.list({"delivery_success": True})] == [event.id]
    told = [line for line in sandbox.truth() if line["fact"] == "event.delivered"]
    assert [(line["event"], line["answer"]) for line in told] == [(event.id, "200")]


def test_given_up_after_three_days(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    receiver.answers = [500] * 50
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.settle()
    for _ in range(12):
        sandbox.advance(86_400)
    assert len(receiver.events) == 11
    assert api.v1.events.list({"delivery_success": False}).data[0].pending_webhooks == 1
    event = api.v1.events.list().data[0]
    receiver.answers = []
    sandbox.post(f"/sandbox/events/{event.id}/resend")
    sandbox.settle()
    assert api.v1.events.retrieve(event.id).pending_webhooks == 0


def test_a_receiver_that_is_not_up_yet(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    with run_receiver() as gone:
        url = gone.url
    api.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    api.v1.customers.create({"email": "buyer@example.com"})
    for _ in range(3):
        sandbox.advance(3)
    delivery = sandbox.control.get("/sandbox/deliveries").json()["data"][0]
    assert (delivery["state"], delivery["attempts"], delivery["last_answer"]) == (
        "pending",
        0,
        "connection refused",
    )


def test_resend(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.settle()
    event = api.v1.events.list().data[0]
    sandbox.post(f"/sandbox/events/{event.id}/resend")
    sandbox.settle()
    assert [each["id"] for each in receiver.events] == [event.id, event.id]
    assert sandbox.control.post("/sandbox/events/evt_nobody/resend").status_code == 404


def test_two_signatures_while_a_secret_is_rolled(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    old = receiver.secret
    new = sandbox.post(f"/sandbox/webhook_endpoints/{receiver.endpoint}/roll", keep_seconds=600)["secret"]
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.settle()
    assert receiver.signatures[-1].count("v1=") == 2
    receiver.secret = new
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.settle()
    assert receiver.refused == [] and len(receiver.events) == 2
    sandbox.advance(601)
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.settle()
    assert receiver.signatures[-1].count("v1=") == 1
    receiver.secret = old
    api.v1.customers.create({"email": "buyer@example.com"})
    sandbox.settle()
    assert len(receiver.refused) == 1


def test_signature_is_what_the_documentation_says() -> None:
    from fondaco_sandbox.delivery import signature

    header = signature(b'{"id": 1}', ["whsec_a"], 1700000000)
    mark = hmac.new(b"whsec_a", b'1700000000.{"id": 1}', hashlib.sha256).hexdigest()
    assert header == f"t=1700000000,v1={mark}"


def test_bodies_are_what_the_api_shows(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    sandbox.pay(session.id)
    sandbox.settle()
    for got in receiver.events:
        shown = api.v1.events.retrieve(got["id"]).to_dict(recursive=True)
        assert {**got, "pending_webhooks": 0} == {**shown, "pending_webhooks": 0}

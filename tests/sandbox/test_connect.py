"""Connected accounts: opened, onboarded on the hosted page, restricted; their events carry `account`."""

import re

import httpx
import pytest
import stripe

from tests.sandbox.conftest import CheckedClient, connect
from tests.sandbox.receiver import Receiver, run_receiver
from tests.support.sandbox import RunningSandbox, run_sandbox

EXPRESS = {
    "controller": {
        "fees": {"payer": "application"},
        "losses": {"payments": "application"},
        "requirement_collection": "stripe",
        "stripe_dashboard": {"type": "express"},
    },
    "capabilities": {"transfers": {"requested": True}},
}
BACK = "http://127.0.0.1/store/payouts"


def open_account(api: stripe.StripeClient, **more: object) -> stripe.Account:
    return api.v1.accounts.create({**EXPRESS, "country": "DE", "email": "seller@example.com", **more})  # type: ignore[arg-type]


def link_to(api: stripe.StripeClient, account: str, back: str = BACK) -> str:
    return api.v1.account_links.create(
        {"account": account, "type": "account_onboarding", "return_url": back, "refresh_url": back + "/again"}
    ).url


def fill(url: str, **form: str) -> httpx.Response:
    """Open the page of a link and send its form."""
    page = httpx.get(url)
    assert page.status_code == 200
    session = re.search(r'name="session" value="(\w+)"', page.text)
    assert session
    return httpx.post(url, data={"session": session[1], **form})


def test_a_new_account_must_give_everything_first(api: stripe.StripeClient) -> None:
    account = open_account(api, metadata={"seller_id": "7"})
    assert (account.type, account.country, account.default_currency) == ("express", "DE", "eur")
    assert (account.details_submitted, account.payouts_enabled, account.charges_enabled) == (False,) * 3
    assert account.capabilities and account.capabilities.transfers == "inactive"
    assert account.requirements and account.requirements.disabled_reason == "requirements.past_due"
    assert {"external_account", "individual.first_name"} <= set(account.requirements.currently_due or [])
    known = api.v1.accounts.retrieve(account.id)
    assert known.metadata and known.metadata.to_dict() == {"seller_id": "7"}
    assert [each.id for each in api.v1.accounts.list()] == [account.id]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"country": "Germany"}, "country"),
        ({"type": "express"}, "controller"),
        ({"controller": {"stripe_dashboard": {"type": "full"}}}, "controller[stripe_dashboard]"),
        ({"capabilities": {"card_issuing": {"requested": True}}}, "capabilities[card_issuing]"),
    ],
)
def test_accounts_that_are_refused(api: stripe.StripeClient, change: dict[str, object], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        open_account(api, **change)
    assert caught.value.param == param
    assert api.v1.accounts.list().data == []


def test_onboarding_by_hand(api: stripe.StripeClient) -> None:
    account = open_account(api)
    form = {"first_name": "Ada", "last_name": "Test", "born": "1990-01-31", "terms": "on"}
    answer = fill(link_to(api, account.id), **form, bank="000123456789")
    assert (answer.status_code, answer.headers["location"]) == (303, BACK)
    known = api.v1.accounts.retrieve(account.id)
    assert (known.details_submitted, known.payouts_enabled, known.charges_enabled) == (True,) * 3
    assert known.capabilities and known.capabilities.transfers == "active"
    assert known.requirements and known.requirements.currently_due == []
    assert known.external_accounts and known.external_accounts.data[0].last4 == "6789"
    assert [each.status for each in api.v1.accounts.capabilities.list(account.id)] == ["active"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"first_name": ""}, "first and last name"),
        ({"born": "31.1.1990"}, "year-month-day"),
        ({"bank": "DE89370400440532013000"}, "Only test bank accounts"),
        ({"terms": ""}, "Accept the terms"),
    ],
)
def test_what_the_page_refuses_changes_nothing(
    api: stripe.StripeClient, wrong: dict[str, str], words: str
) -> None:
    account = open_account(api)
    form = {"first_name": "Ada", "last_name": "Test", "born": "1990-01-31", "terms": "on"}
    answer = fill(link_to(api, account.id), **{**form, "bank": "000123456789", **wrong})
    assert answer.status_code == 402 and words in answer.text
    assert api.v1.accounts.retrieve(account.id).details_submitted is False


def test_a_link_opens_once_and_only_for_minutes(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = open_account(api)
    url = link_to(api, account.id)
    assert fill(url, choice="skip").headers["location"] == BACK
    again = httpx.get(url)
    assert (again.status_code, again.headers["location"]) == (303, BACK + "/again")
    assert api.v1.accounts.retrieve(account.id).details_submitted is False
    late = link_to(api, account.id)
    sandbox.advance(301)
    assert httpx.get(late).headers["location"] == BACK + "/again"
    assert httpx.get(sandbox.url + "/c/connect/nobody").status_code == 404


def test_verified_later_and_refused(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = open_account(api)
    fill(link_to(api, account.id), choice="pending")
    known = api.v1.accounts.retrieve(account.id)
    assert known.requirements and known.requirements.disabled_reason == "requirements.pending_verification"
    assert known.details_submitted is True and known.payouts_enabled is False
    sandbox.advance(5)
    assert api.v1.accounts.retrieve(account.id).payouts_enabled is True
    other = open_account(api)
    fill(link_to(api, other.id), choice="refused")
    known = api.v1.accounts.retrieve(other.id)
    assert known.requirements and known.requirements.currently_due == ["individual.verification.document"]
    assert known.requirements.errors and known.requirements.errors[0].code
    assert known.payouts_enabled is False


def test_control_restricts_and_rejects(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = open_account(api)
    sandbox.post(f"/sandbox/accounts/{account.id}", choice="verified")
    sandbox.post(f"/sandbox/accounts/{account.id}", require=["individual.verification.document"])
    known = api.v1.accounts.retrieve(account.id)
    assert known.requirements and known.requirements.currently_due == ["individual.verification.document"]
    assert known.payouts_enabled is True
    sandbox.post(
        f"/sandbox/accounts/{account.id}", require=["individual.verification.document"], past_due=True
    )
    known = api.v1.accounts.retrieve(account.id)
    assert known.requirements and known.requirements.past_due and known.payouts_enabled is False
    sandbox.post(f"/sandbox/accounts/{account.id}", choice="verified", reject="fraud")
    known = api.v1.accounts.retrieve(account.id)
    assert known.requirements and known.requirements.disabled_reason == "rejected.fraud"
    bad = sandbox.control.post(f"/sandbox/accounts/{account.id}", json={"reject": "boredom"})
    assert bad.status_code == 400 and "one of" in bad.text


def test_events_of_accounts_go_to_endpoints_made_for_them(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    with run_receiver() as accounts:
        endpoint = api.v1.webhook_endpoints.create(
            {"url": accounts.url, "enabled_events": ["*"], "connect": True}
        )
        assert endpoint.secret
        accounts.secret = endpoint.secret
        account = open_account(api)
        sandbox.post(f"/sandbox/accounts/{account.id}", choice="verified")
        sandbox.settle()
        assert accounts.types == ["account.updated", "account.updated", "capability.updated"]
        assert {event["account"] for event in accounts.events} == {account.id}
    assert receiver.types == []
    assert api.v1.events.list().data == []
    told = api.v1.events.list(options={"stripe_account": account.id}).data
    assert {event.type for event in told} == {"account.updated", "capability.updated"}
    assert [line["account"] for line in sandbox.truth() if line["fact"] == "account.created"] == [account.id]


def test_the_configured_endpoint_hears_of_accounts_too(tmp_path: object, checked: CheckedClient) -> None:
    secret = "whsec_a_secret_for_this_test"
    with run_receiver() as receiver, run_sandbox(tmp_path, receiver.url, secret) as sandbox:  # type: ignore[arg-type]
        receiver.secret = secret
        account = open_account(connect(sandbox.url, checked))
        sandbox.settle()
        assert [event["account"] for event in receiver.events] == [account.id]


def test_delete(api: stripe.StripeClient) -> None:
    account = open_account(api)
    assert api.v1.accounts.delete(account.id).deleted is True
    with pytest.raises(stripe.PermissionError) as caught:
        api.v1.accounts.retrieve(account.id)
    assert caught.value.error and caught.value.error.code == "account_invalid"


def test_links_are_refused_in_words(api: stripe.StripeClient) -> None:
    account = open_account(api)
    for change, param in (({"account": "acct_nobody"}, "account"), ({"return_url": "here"}, "return_url")):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            api.v1.account_links.create(
                {
                    "account": account.id,
                    "type": "account_onboarding",
                    "return_url": BACK,
                    "refresh_url": BACK,
                    **change,
                }
            )
        assert caught.value.param == param

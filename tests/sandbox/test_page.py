"""The hosted payment page and the panel, as a browser without scripts uses them."""

import re
from html.parser import HTMLParser

import httpx
import pytest
import stripe

from tests.sandbox.conftest import session_params
from tests.support.sandbox import RunningSandbox

GOOD = {"email": "buyer@example.com", "number": "4242 4242 4242 4242", "expiry": "12/34", "cvc": "123"}


class Page(HTMLParser):
    """Labels, fields and buttons of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, dict[str, str | None]] = {}
        self.labels: set[str | None] = set()
        self.buttons: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and found.get("type") != "hidden":
            self.fields[str(found["id"])] = found
        elif tag == "label":
            self.labels.add(found["for"])
        elif tag == "button" and "value" in found:
            self.buttons.append(found["value"])


@pytest.fixture
def browser(sandbox: RunningSandbox) -> httpx.Client:
    return sandbox.control


def open_page(api: stripe.StripeClient, **more: object) -> str:
    url = api.v1.checkout.sessions.create(session_params(**more)).url  # type: ignore[arg-type]
    assert url
    return url


def test_page_shows_what_is_paid(api: stripe.StripeClient, browser: httpx.Client) -> None:
    answer = browser.get(open_page(api, customer_email="buyer@example.com"))
    assert answer.status_code == 200
    for words in (
        "Sandbox: no real money",
        "25.00 EUR",
        "12.50 EUR",
        "Harbour Lights, Steam key",
        "Cancel and go back",
    ):
        assert words in answer.text
    page = Page(answer.text)
    assert set(page.fields) == {"email", "number", "expiry", "cvc", "name"} == page.labels
    assert page.fields["email"]["value"] == "buyer@example.com"
    assert {"4242424242424242", "4000000000000002", "4000002500003155", "bank_debit_failure"} <= set(
        page.buttons
    )


def test_page_allows_nothing_foreign(api: stripe.StripeClient, browser: httpx.Client) -> None:
    answer = browser.get(open_page(api))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "style-src 'self'" in policy and "unsafe" not in policy
    assert "http://127.0.0.1" in policy.split("form-action")[1]
    assert "<script" not in answer.text and "style=" not in answer.text
    assert (
        answer.headers["referrer-policy"] == "same-origin"
    )  # else browsers send "Origin: null" with the form
    assert browser.get("/sandbox/sandbox.css").headers["content-type"].startswith("text/css")


def test_names_are_text_not_markup(api: stripe.StripeClient, browser: httpx.Client) -> None:
    price = {"currency": "eur", "unit_amount": 1000, "product_data": {"name": "<script>alert(1)</script>"}}
    answer = browser.get(open_page(api, line_items=[{"price_data": price, "quantity": 1}]))
    assert "<script" not in answer.text and "&lt;script&gt;" in answer.text


def test_paid_by_typing(api: stripe.StripeClient, browser: httpx.Client) -> None:
    url = open_page(api)
    answer = browser.post(url, data=GOOD)
    session_id = url.rpartition("/")[2]
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"http://127.0.0.1/paid?session={session_id}",
    )
    session = api.v1.checkout.sessions.retrieve(session_id)
    assert session.customer_details and session.customer_details.email == "buyer@example.com"


def test_sent_twice_pays_once(api: stripe.StripeClient, browser: httpx.Client) -> None:
    url = open_page(api)
    first, second, seen = browser.post(url, data=GOOD), browser.post(url, data=GOOD), browser.get(url)
    assert [each.status_code for each in (first, second, seen)] == [303, 303, 303]
    assert first.headers["location"] == second.headers["location"] == seen.headers["location"]
    assert len(api.v1.charges.list().data) == 1


@pytest.mark.parametrize(
    ("change", "words", "wrong"),
    [
        ({"email": "nobody"}, "e-mail address is incomplete", "email"),
        ({"number": "4242 4242 4242 4241"}, "card number is invalid", "number"),
        ({"number": ""}, "card number is invalid", "number"),
        ({"expiry": "12/20"}, "in the past", "expiry"),
        ({"expiry": "13/34"}, "expiry month is invalid", "expiry"),
        ({"expiry": "soon"}, "month/year", "expiry"),
        ({"cvc": "1"}, "security code is incomplete", "cvc"),
        ({"card": "1234"}, "no such test card", "number"),
    ],
)
def test_mistakes_are_shown_and_nothing_is_lost(
    api: stripe.StripeClient, browser: httpx.Client, change: dict[str, str], words: str, wrong: str
) -> None:
    url = open_page(api)
    answer = browser.post(url, data=GOOD | {"name": "B"} | change)
    assert answer.status_code == 402 and words in answer.text
    page = Page(answer.text)
    assert page.fields[wrong]["aria-invalid"] == "true"
    assert page.fields["name"]["value"] == "B"
    assert api.v1.payment_intents.list().data == []


def test_declined_says_why_and_lets_try_again(api: stripe.StripeClient, browser: httpx.Client) -> None:
    url = open_page(api)
    answer = browser.post(url, data=GOOD | {"number": "4000000000009995"})
    assert (answer.status_code, answer.headers["location"]) == (303, httpx.URL(url).path)
    page = browser.get(url).text
    assert re.search(r'role="alert"[^>]*>Your card has insufficient funds', page)
    assert browser.post(url, data=GOOD).headers["location"].startswith("http://127.0.0.1/paid")


def test_a_real_card_is_refused(api: stripe.StripeClient, browser: httpx.Client) -> None:
    url = open_page(api)
    browser.post(url, data=GOOD | {"number": "4111111111111111"})
    assert "non test card" in browser.get(url).text


@pytest.mark.parametrize(
    ("action", "goes_to"), [("complete", "http://127.0.0.1/paid"), ("fail", "/c/pay/cs_test_")]
)
def test_3d_secure(api: stripe.StripeClient, browser: httpx.Client, action: str, goes_to: str) -> None:
    url = open_page(api)
    asked = browser.post(url, data={"email": "buyer@example.com", "card": "4000002500003155"})
    bank = asked.headers["location"]
    assert "is it you" in browser.get(bank).text
    assert "Choose one" in browser.post(bank, data={}).text
    answer = browser.post(bank, data={"action": action})
    assert answer.headers["location"].startswith(goes_to)
    if action == "fail":
        assert "unable to authenticate" in browser.get(url).text
    else:
        session = api.v1.checkout.sessions.list().data[0]
        assert session.customer_details and session.customer_details.email == "buyer@example.com"


def test_bank_debit_button(api: stripe.StripeClient, browser: httpx.Client) -> None:
    url = open_page(api)
    answer = browser.post(url, data={"email": "buyer@example.com", "card": "bank_debit_success"})
    assert answer.headers["location"].startswith("http://127.0.0.1/paid")
    assert api.v1.checkout.sessions.list().data[0].payment_status == "unpaid"


def test_expired_page(api: stripe.StripeClient, browser: httpx.Client) -> None:
    url = open_page(api)
    api.v1.checkout.sessions.expire(url.rpartition("/")[2])
    for answer in (browser.get(url), browser.post(url, data=GOOD)):
        assert answer.status_code == 410 and "Nothing was paid" in answer.text
    assert "http://127.0.0.1/cart" in browser.get(url).text
    assert api.v1.charges.list().data == []


def test_unknown_pages(browser: httpx.Client) -> None:
    for path in ("/c/pay/cs_test_nobody", "/c/authenticate/pi_nobody", "/c/other/x", "/c/", "/nothing"):
        assert browser.get(path).status_code == 404


def test_panel(api: stripe.StripeClient, sandbox: RunningSandbox, browser: httpx.Client) -> None:
    empty = browser.get("/")
    assert "The shop makes one when a buyer pays" in empty.text
    session = api.v1.checkout.sessions.create(session_params(client_reference_id="<order>"))
    sandbox.pay(session.id)
    api.v1.refunds.create(
        {"payment_intent": str(api.v1.checkout.sessions.retrieve(session.id).payment_intent)}
    )
    page = browser.get("/").text
    for words in (
        "25.00 EUR",
        "checkout.session.completed",
        "&lt;order&gt;",
        "charge.refunded",
        "Send again",
    ):
        assert words in page
    assert Page(page).labels == set(Page(page).fields)


def test_panel_buttons_lead_back_to_it(api: stripe.StripeClient, browser: httpx.Client) -> None:
    before = browser.get("/sandbox/clock").json()["now"]
    answer = browser.post("/sandbox/clock", data={"advance": "3600"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/sandbox/clock").json()["now"] - before >= 3600
    browser.post("/sandbox/faults", data={"drop": "20", "seed": "7", "lose_answer": "2"})
    faults = browser.get("/sandbox/faults").json()
    assert (faults["drop"], faults["lose_answer"]["count"]) == (20, 2)
    browser.post("/sandbox/faults", data={"clear": "1"})
    assert browser.get("/sandbox/faults").json()["drop"] == 0
    api.v1.customers.create({"email": "buyer@example.com"})
    browser.post("/sandbox/reset", data={"sure": "1"})
    assert api.v1.customers.list().data == []


def test_strangers_are_refused(sandbox: RunningSandbox) -> None:
    """Names that are not this machine's (DNS rebinding) and forms that another site sends."""
    other = httpx.get(sandbox.url + "/sandbox/truth", headers={"host": "evil.example"})
    assert other.status_code == 403
    same = httpx.get(sandbox.url + "/sandbox/health", headers={"host": "localhost:12111"})
    assert same.status_code == 200
    forged = httpx.post(
        sandbox.url + "/sandbox/reset", data={"sure": "1"}, headers={"origin": "http://evil.example"}
    )
    assert forged.status_code == 403
    own = httpx.post(sandbox.url + "/sandbox/reset", data={"sure": "1"}, headers={"origin": sandbox.url})
    assert own.status_code == 303

"""The payment page and the panel in real Chromium, with scripts off."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.sandbox.conftest import session_params
from tests.sandbox.test_connect import link_to, open_account
from tests.sandbox.test_transfers import seller
from tests.support.sandbox import RunningSandbox

CHROMIUM = os.environ.get("FONDACO_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(params=[375, 1280])
def page(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Page]:
    """A page without scripts; fails the test when the browser complains (a CSP report, say)."""
    size = {"width": request.param, "height": 900}
    context = chromium.new_context(viewport=size, java_script_enabled=False)  # type: ignore[arg-type]
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    yield page
    context.close()
    assert said == []


@pytest.fixture
def shop() -> Iterator[str]:
    """A shop on another origin, to which buyers return."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<!doctype html><link rel=icon href=data:,><title>Shop</title>Welcome back"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def open_session(api: stripe.StripeClient, shop: str) -> stripe.checkout.Session:
    addresses = {"success_url": f"{shop}/thanks?s={{CHECKOUT_SESSION_ID}}", "cancel_url": f"{shop}/cart"}
    return api.v1.checkout.sessions.create(session_params(**addresses))  # type: ignore[arg-type]


def test_paid_by_typing_with_the_keyboard(api: stripe.StripeClient, page: Page, shop: str) -> None:
    session = open_session(api, shop)
    page.goto(str(session.url))
    page.get_by_label("E-mail").fill("buyer@example.com")
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("CVC").press("Enter")
    page.wait_for_url(f"{shop}/thanks?s={session.id}")
    assert api.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_3d_secure_failed_declined_then_paid(api: stripe.StripeClient, page: Page, shop: str) -> None:
    session = open_session(api, shop)
    page.goto(str(session.url))
    page.get_by_label("E-mail").fill("buyer@example.com")
    page.get_by_role("button", name="3-D Secure").click()
    page.get_by_role("button", name="Fail authentication").click()
    assert "unable to authenticate" in page.get_by_role("alert").inner_text()
    page.get_by_label("E-mail").fill("buyer@example.com")
    page.get_by_role("button", name="Card is declined").click()
    assert page.get_by_role("alert").inner_text() == "Your card was declined."
    page.get_by_label("E-mail").fill("buyer@example.com")
    page.get_by_role("button", name="3-D Secure").click()
    page.get_by_role("button", name="Complete authentication").click()
    page.wait_for_url(f"{shop}/thanks?s={session.id}")


def test_cancel_leads_back(api: stripe.StripeClient, page: Page, shop: str) -> None:
    page.goto(str(open_session(api, shop).url))
    page.get_by_role("link", name="Cancel and go back").click()
    page.wait_for_url(f"{shop}/cart")


def test_a_seller_is_onboarded(api: stripe.StripeClient, page: Page, shop: str) -> None:
    account = open_account(api)
    page.goto(link_to(api, account.id, shop + "/back"))
    page.get_by_label("First name").fill("Ada")
    page.get_by_label("Last name").fill("Test")
    page.get_by_label("Date of birth").fill("1990-01-31")
    page.get_by_label("Bank account").fill("000123456789")
    page.get_by_label("I accept the terms").check()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(shop + "/back")
    assert api.v1.accounts.retrieve(account.id).payouts_enabled is True


def test_panel_plays_the_bank(
    api: stripe.StripeClient, sandbox: RunningSandbox, page: Page, shop: str
) -> None:
    account = open_account(api)
    sandbox.pay(open_session(api, shop).id)
    page.goto(sandbox.url)
    page.get_by_role("button", name="Everything in order").click()
    assert api.v1.accounts.retrieve(account.id).payouts_enabled is True
    page.get_by_role("button", name="Dispute pi_").click()
    dispute = api.v1.disputes.list().data[0]
    assert dispute.status == "needs_response"
    page.get_by_role("button", name=f"won: {dispute.id}").click()
    assert api.v1.disputes.retrieve(dispute.id).status == "won"
    page.get_by_role("button", name="Make all pending money").click()
    assert api.v1.balance.retrieve().pending[0].amount == 0


def test_panel_moves_the_clock_and_resets(
    api: stripe.StripeClient, sandbox: RunningSandbox, page: Page, shop: str
) -> None:
    open_session(api, shop)
    page.goto(sandbox.url)
    page.get_by_role("button", name="+1 day").click()
    assert "86,4" in page.get_by_text("ahead of real time").inner_text()
    assert api.v1.checkout.sessions.list().data[0].status == "expired"
    page.get_by_text("Forget all customers").click()
    page.get_by_role("button", name="Forget everything").click()
    assert api.v1.checkout.sessions.list().data == []


def test_pages_are_accessible_and_fit_a_phone(
    api: stripe.StripeClient, sandbox: RunningSandbox, chromium: Browser, shop: str
) -> None:
    session = open_session(api, shop)
    sandbox.pay(session.id, "4000000000000002")
    waiting = open_session(api, shop)
    bank = sandbox.url + "/c/authenticate/" + sandbox.pay(waiting.id, "4000002500003155")["payment_intent"]
    page = chromium.new_page(viewport={"width": 375, "height": 800})
    account = seller(api, sandbox)
    paid = sandbox.pay(open_session(api, shop).id)["payment_intent"]
    sandbox.post(f"/sandbox/charges/{paid}/warn")
    sandbox.post(f"/sandbox/charges/{paid}/dispute", amount=100)
    desk = link_to(api, account)
    for address in (str(session.url), bank, desk, sandbox.url + "/", sandbox.url + "/c/pay/none"):
        page.goto(address)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.close()

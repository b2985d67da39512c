"""The main pages pass axe at phone and desktop width, light and dark, without a complaint of the policy."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import DESKTOP, PHONE, Stack, Visitor
from tests.browser.steps import buy_now, pay_by_card, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = {
    "": (
        "/",
        "/browse",
        "/browse?view=table&platform=Steam",
        "/c/software",
        "/s/rialto-keys",
        "/cart",
        "/sign-in",
        "/sign-up",
        "/forgot",
        "/nothing-here",
        "/api/docs",
    ),
    "buyer": (
        "/orders",
        "/library",
        "/wallet",
        "/cases",
        "/account",
        "/account/security",
        "/account/papers",
        "/account/standing",
        "/checkout",
    ),
    "rialto-keys": (
        "/seller",
        "/seller/listings",
        "/seller/listings/new",
        "/seller/orders",
        "/seller/balance",
        "/seller/balance/why",
        "/seller/payouts",
        "/seller/payouts/withdraw",
        "/seller/payout-account",
        "/seller/papers",
        "/seller/cases",
        "/seller/reports",
        "/seller/chargebacks",
        "/seller/standing",
        "/seller/batches",
        "/seller/team",
        "/seller/api-keys",
        "/seller/settings",
    ),
    "finance": (
        "/console",
        "/console/orders",
        "/console/ledger",
        "/console/ledger/trial-balance",
        "/console/inbox",
        "/console/fundings",
        "/console/people",
        "/console/find",
        "/console/approvals",
        "/console/cases",
        "/console/refunds",
        "/console/chargebacks",
        "/console/payouts",
        "/console/payouts/run",
        "/console/reconciliation",
        "/console/papers",
        "/console/commission",
        "/console/risk",
        "/console/risk/rings",
        "/console/risk/appeals",
        "/console/risk/blocks",
    ),
}
# From a list to the first of it, and on: each step a part of an address.
FIRSTS = {
    "buyer": (
        ("/account/papers", "/account/papers/"),
        ("/orders", "/orders/", "/return"),
        ("/orders", "/orders/", "/case"),
    ),
    "buyer2": (("/cases", "/cases/"),),
    "buyer6": (("/wallet",),),
    "rialto-keys": (
        ("/seller/cases", "/seller/cases/", "/seller/orders/"),
        ("/seller/orders?state=DELIVERED", "/seller/orders/", "/refund"),
    ),
    "finance": (
        ("/console/approvals", "/console/approvals/"),
        ("/console/cases", "/console/cases/"),
        ("/console/chargebacks", "/console/chargebacks/"),
        ("/console/papers", "/console/papers/"),
        ("/console/risk", "/console/risk/user/"),
    ),
}
NOT_OURS = {"/api/docs": "the reference page's own library draws its content"}


def faults_of(page: Page, path: str) -> list[str]:
    """What is wrong with the page as it is shown now."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    faults: list[str] = []
    if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
        faults.append(f"{path} scrolls sideways at {width} px")
    if path in NOT_OURS:
        return faults
    for found in Axe().run(page).response["violations"]:
        faults.append(f"{path} {width} px: {found['id']} at {found['nodes'][0]['target']}")
    return faults


@pytest.mark.parametrize("who", PAGES, ids=lambda who: who or "guest")
def test_pages_are_accessible(visitor: Visitor, stack: Stack, who: str) -> None:
    first = visitor(DESKTOP)
    if who:
        sign_in(first.page, stack, who)
    cookies = first.context.cookies()
    faults: list[str] = []
    for size, dark in ((DESKTOP, False), (PHONE, True)):
        visit = visitor(size, dark=dark)
        visit.context.add_cookies(cookies)  # type: ignore[arg-type]
        for path in PAGES[who]:
            answer = visit.page.goto(path)
            assert answer is not None
            assert answer.status == (404 if path == "/nothing-here" else 200), path
            faults += faults_of(visit.page, path)
        visit.complaints[:] = [c for c in visit.complaints if "404" not in c]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("who", FIRSTS)
def test_what_lists_lead_to_is_accessible(visitor: Visitor, stack: Stack, who: str) -> None:
    page = visitor(DESKTOP, dark=True).page
    sign_in(page, stack, who)
    faults: list[str] = []
    for first, *steps in FIRSTS[who]:
        page.goto(first)
        for step in steps:
            page.goto(str(page.locator(f"main a[href*='{step}']").first.get_attribute("href")))
        for size in (PHONE, DESKTOP):
            page.set_viewport_size(size)
            faults += faults_of(page, page.url.removeprefix(stack.url))
    assert not faults, "\n".join(faults)


def test_an_articles_pages_are_accessible(visitor: Visitor, stack: Stack) -> None:
    writer, reader = visitor(DESKTOP).page, visitor(DESKTOP).page
    faults: list[str] = []

    def look(page: Page) -> None:
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            faults.extend(faults_of(page, page.url.removeprefix(stack.url)))

    sign_in(writer, stack, "atelier-software")
    writer.goto("/seller/listings?q=backups")
    listing = writer.get_by_role("link", name="Backups You Can Restore").get_attribute("href")
    for part in ("", "/content", "/stock"):
        writer.goto(f"{listing}{part}")
        look(writer)
    sign_in(reader, stack, "buyer5")
    buy_now(reader, "backups")
    pay_by_card(reader)
    reader.get_by_role("link", name="Open your article").click()
    reader.locator("main a[href^='/library/']").first.click()
    reader.get_by_role("button", name="Open the article").wait_for()
    look(reader)
    reader.get_by_role("button", name="Open the article").click()
    reader.get_by_role("link", name="Done").wait_for()
    look(reader)
    assert not faults, "\n".join(faults)

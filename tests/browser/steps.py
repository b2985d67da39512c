"""What people do, step by step, as the tests of the browser share it."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Stack

GOOD_CARD = "4242424242424242"


def sign_in(page: Page, stack: Stack, who: str) -> None:
    """Signs in with the demo's password, and with the second factor where there is one."""
    page.goto("/sign-in")
    account = stack.accounts.get(who, {})
    page.fill("input[name=email]", f"{who}@fondaco.test")
    page.fill("input[name=password]", next(iter(stack.accounts.values()))["password"])
    page.locator("main").get_by_role("button", name="Sign in").click()
    if account.get("totp"):
        for _ in range(4):  # the half minute may have ended meanwhile
            page.fill("input[name=code]", stack.code(who))
            page.locator("main form").filter(has=page.locator("input[name=code]")).get_by_role(
                "button"
            ).first.click()
            if "/second-factor" not in page.url:
                return
    expect(page).not_to_have_url(re.compile("sign-in|second-factor"))


def buy_now(page: Page, search: str) -> None:
    """From the shop's search to the checkout of the first listing found."""
    page.goto(f"/browse?q={search}")
    page.locator("main a[href^='/l/']").first.click()
    page.get_by_role("button", name="Buy now").click()


def pay_by_card(page: Page, card: str = GOOD_CARD) -> None:
    """From the checkout through the payment page and back to the order."""
    page.get_by_role("button", name=re.compile("by card")).click()
    page.wait_for_url("**/c/pay/**")
    page.locator(f"button[value='{card}']").first.click()
    page.wait_for_url("**/orders/**")

"""Staff in a real browser: the second factor, an order's whole story, a mail that was captured."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Stack, Visitor
from tests.browser.steps import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_an_orders_whole_story(visitor: Visitor, stack: Stack) -> None:
    page = visitor().page
    sign_in(page, stack, "admin")
    page.goto("/console/orders")
    page.locator("main a[href*='/console/orders/']").first.click()
    story = page.locator("main")
    for words in (re.compile("order", re.IGNORECASE), re.compile("journal|purchase", re.IGNORECASE)):
        expect(story).to_contain_text(words)


def test_signing_up_by_the_link_in_the_mail(visitor: Visitor, stack: Stack) -> None:
    guest = visitor().page
    guest.goto("/sign-up")
    guest.fill("input[name=name]", "New customer")
    guest.fill("input[name=email]", "new.customer@fondaco.test")
    guest.fill("input[name=password]", "a quiet harbour at dusk")
    guest.locator("main").get_by_role("button").first.click()
    expect(guest.locator("main")).to_contain_text(re.compile("mail", re.IGNORECASE))
    staff = visitor().page
    sign_in(staff, stack, "support")
    for _ in range(20):
        staff.goto("/console/mails?q=new.customer@fondaco.test")
        if staff.locator("main a[href*='/console/mails/']").count():
            break
        staff.wait_for_timeout(500)
    staff.locator("main a[href*='/console/mails/']").first.click()
    text = staff.frame_locator("iframe").first.locator("body")
    expect(text).to_contain_text(re.compile("confirm|verify", re.IGNORECASE))
    link = text.locator("a[href*='/verify']").first.get_attribute("href")
    assert link
    guest.goto(link)
    guest.locator("main").get_by_role("button").first.click()
    expect(guest.locator("body")).to_contain_text(re.compile("confirmed|verified|proved", re.IGNORECASE))

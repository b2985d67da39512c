"""A case in real browsers: the buyer's and the store's at once, then the desk's; every page passes axe."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, Stack, Visitor
from tests.browser.steps import pay_by_card, sign_in
from tests.browser.test_accessibility import faults_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_case_from_all_sides(visitor: Visitor, stack: Stack, tmp_path: Path) -> None:
    faults: list[str] = []

    def look(page: Page) -> None:
        for size in (PHONE, DESKTOP):
            page.set_viewport_size(size)
            faults.extend(faults_of(page, page.url.removeprefix(stack.url)))

    note = tmp_path / "note.txt"
    note.write_text("What I saw.")
    visits = [visitor(DESKTOP) for _ in range(3)]
    buyer, seller, desk = (visit.page for visit in visits)
    sign_in(buyer, stack, "buyer5")
    buyer.goto("/s/rialto-keys")
    buyer.locator("main a[href^='/l/']").first.click()
    buyer.get_by_role("button", name="Buy now").click()
    pay_by_card(buyer)
    buyer.get_by_role("link", name="Something is wrong").click()
    look(buyer)
    buyer.select_option("select[name=reason]", "NOT_WORKING")
    buyer.fill("textarea[name=text]", "It says it was used before.")
    buyer.set_input_files("input[name=file]", str(note))
    buyer.get_by_role("button", name="Open the case").click()
    expect(buyer.locator("#case")).to_contain_text("It says it was used before.")
    expect(buyer.locator("#case")).to_contain_text("note.txt")
    look(buyer)

    sign_in(seller, stack, "rialto-keys")
    seller.goto("/seller/cases")
    look(seller)
    opened = urlsplit(buyer.url).path.rpartition("/")[2]  # the demo has a case of its own
    seller.locator(f"main a[href='/seller/cases/{opened}']").first.click()
    look(seller)
    seller.fill("input[name=amount]", "1.00")
    seller.fill("textarea[name=offer]", "One euro back, and peace.")
    seller.get_by_role("button", name="Offer", exact=True).click()
    expect(seller.locator("#offer")).to_contain_text("has not answered")
    expect(buyer.locator("#case")).to_contain_text("One euro back")  # by itself

    sign_in(desk, stack, "finance")
    desk.goto("/console/cases")
    look(desk)
    desk.locator(f"main a[href='/console/cases/{opened}']").first.click()
    look(desk)

    buyer.reload()
    look(buyer)
    buyer.get_by_role("link", name="Accept the offer").click()
    buyer.locator("dialog[open] button[type=submit]").click()
    expect(buyer.locator("#case")).to_contain_text("Closed")
    expect(seller.locator("#case")).to_contain_text("Accepted the offer")  # by itself
    buyer.goto("/cases")
    look(buyer)
    assert not faults, "\n".join(faults)
    assert not [c for visit in visits for c in visit.complaints]

"""The main job in a real browser: from the shop to the key, on a phone and on a desk, with and without
scripts; and a seller's first listing."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, Stack, Visitor
from tests.browser.steps import buy_now, pay_by_card, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(("size", "who"), [(PHONE, "buyer3"), (DESKTOP, "buyer4")], ids=["phone", "desktop"])
def test_from_the_shop_to_the_key(visitor: Visitor, stack: Stack, size: dict[str, int], who: str) -> None:
    page = visitor(size).page
    sign_in(page, stack, who)
    buy_now(page, "margin+writer")
    expect(page.get_by_role("heading", name="Checkout")).to_be_visible()
    pay_by_card(page)
    page.get_by_role("link", name="Open your keys").click()  # appears by itself when it is delivered
    page.locator("main a[href^='/library/']").first.click()
    page.locator("main form[action$='/reveal'] button").click()
    expect(page.locator("main")).to_contain_text(re.compile(r"\b[A-Z0-9]{6}-[A-Z0-9]{6}-[A-Z0-9]{6}\b"))
    page.goto("/orders")
    page.locator("main a[href^='/orders/']").first.click()
    page.get_by_role("link", name="Confirm delivery").click()
    page.locator("dialog[open] button[type=submit]").click()
    expect(page.locator("main")).to_contain_text("Completed")


def test_a_declined_card_charges_nothing_and_can_be_tried_again(visitor: Visitor, stack: Stack) -> None:
    page = visitor().page
    sign_in(page, stack, "buyer5")
    buy_now(page, "deep+freeze")
    page.get_by_role("button", name=re.compile("by card")).click()
    page.wait_for_url("**/c/pay/**")
    page.locator("button[value='4000000000000002']").click()
    expect(page.locator("body")).to_contain_text("declined")
    visits = page.locator("button[value='4242424242424242']")
    visits.first.click()
    page.wait_for_url("**/orders/**")
    expect(page.get_by_role("link", name="Open your keys")).to_be_visible()


def test_without_scripts_up_to_paying(visitor: Visitor, stack: Stack) -> None:
    page = visitor(PHONE, scripts=False).page
    page.goto("/browse?q=plumbline")
    page.locator("main a[href^='/l/']").first.click()
    page.get_by_role("button", name="Add to cart").first.click()
    page.goto("/cart")
    expect(page.locator("main")).to_contain_text("Plumbline CAD")
    sign_in(page, stack, "buyer5")
    page.goto("/cart")
    expect(page.locator("main")).to_contain_text("Plumbline CAD")  # the guest's cart came along
    page.goto("/checkout")
    pay_by_card(page)
    page.reload()
    expect(page.locator("main")).to_contain_text("Delivered")


def test_a_seller_lists_and_stocks(visitor: Visitor, stack: Stack) -> None:
    page = visitor().page
    sign_in(page, stack, "northlight-games")
    page.goto("/seller/listings/new")
    page.fill("input[name=title]", "Tideglass")
    page.select_option("select[name=category]", "games")
    page.locator("[name=platform]").fill("Steam")
    page.locator("[name=price]").fill("12.50")
    page.locator("[name=summary]").fill("A puzzle of tides.")
    page.locator("[name=description]").fill("Turn the moon, move the sea.")
    page.locator("[name=activation]").fill("Enter it in Steam.")
    page.locator("main form").filter(has=page.locator("input[name=title]")).get_by_role("button").last.click()
    expect(page.locator("h1")).to_contain_text("Tideglass")
    made = re.search(r"/seller/listings/[0-9a-f-]{36}", page.url)
    assert made, page.url
    listing = made.group()
    page.goto(f"{listing}/stock")
    page.locator("textarea").first.fill("TIDE1-AAAAA-00001\nTIDE1-AAAAA-00002\nTIDE1-AAAAA-00002")
    page.get_by_role("button", name=re.compile("import", re.IGNORECASE)).first.click()
    expect(page.locator("main")).to_contain_text(
        re.compile(r"\b2\b.*(imported|in stock)", re.IGNORECASE | re.DOTALL)
    )
    page.goto(listing)
    page.locator("main a[href$='/do/publish']").click()
    page.locator("dialog[open] button[type=submit]").click()
    shopper = visitor(PHONE).page
    shopper.goto("/browse?q=tideglass")
    expect(shopper.locator("main")).to_contain_text("Tideglass")
    expect(shopper.locator("main")).to_contain_text("12.50")


def test_an_article_from_its_writing_to_its_reading(visitor: Visitor, stack: Stack) -> None:
    page = visitor().page
    sign_in(page, stack, "atelier-software")
    page.goto("/seller/listings/new")
    page.get_by_role("radio", name=re.compile("An article")).check()
    for name, text in (
        ("title", "Knots for Beginners"),
        ("platform", "Web"),
        ("price", "4.00"),
        ("summary", "Five knots."),
        ("description", "Bowline, hitch and friends."),
    ):
        page.locator(f"[name={name}]").fill(text)
    page.select_option("select[name=category]", "learning")
    page.get_by_role("button", name="Keep as a draft").click()
    page.locator("[name=content]").fill("## Bowline\n\nThe **rabbit** comes out of its hole.")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview strong")).to_have_text("rabbit")
    page.get_by_role("button", name="Save content").click()
    page.locator("[name=copies]").fill("2")
    page.get_by_role("button", name="Set the number").click()
    expect(page.locator("main")).to_contain_text("2 copies are for sale now.")
    page.get_by_role("link", name="Listing", exact=True).click()
    page.locator("main a[href$='/do/publish']").click()
    page.locator("dialog[open] button[type=submit]").click()
    expect(page.locator("main")).to_contain_text("On sale")

    reader = visitor(PHONE).page
    sign_in(reader, stack, "buyer2")
    buy_now(reader, "knots")
    pay_by_card(reader)
    reader.get_by_role("link", name="Open your article").click()
    reader.locator("main a[href^='/library/']").first.click()
    reader.get_by_role("button", name="Open the article").click()
    expect(reader.locator("#article strong")).to_have_text("rabbit")
    expect(reader.get_by_role("button", name="Print")).to_be_visible()
    reader.get_by_role("link", name="Done").click()
    expect(reader.locator("main")).to_contain_text("Article opened")

"""The gallery in real Chromium: accessible, quiet under the strict policy, whole at phone width."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.pages.design_gallery import CHROMIUM, CHROMIUM_ARGS, serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def gallery() -> Iterator[str]:
    with serving() as base:
        yield base


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(params=[(360, "dark"), (1280, "light"), (1280, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def view(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[tuple[Page, str]]:
    width, theme = request.param
    page = chromium.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    yield page, theme
    page.close()


@pytest.mark.parametrize("name", ["shop", "desk", "signin", "confirm", "error"])
def test_pages_are_accessible_quiet_and_fit(view: tuple[Page, str], gallery: str, name: str) -> None:
    page, theme = view
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{gallery}/{name}?theme={theme}", wait_until="networkidle")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert said == []
    size = page.viewport_size
    assert size is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    yield page
    page.close()


def test_the_first_page_is_light(page: Page, gallery: str) -> None:
    bodies: list[int] = []
    page.on("requestfinished", lambda request: bodies.append(request.sizes()["responseBodySize"]))
    page.goto(f"{gallery}/shop", wait_until="networkidle")
    assert 4 <= len(bodies) < 15
    assert 10_000 < sum(bodies) < 300_000


def test_the_theme_is_kept_in_a_cookie(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}/shop")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Account of Ada").click()
    page.get_by_role("button", name="Change theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert "theme=dark" in page.evaluate("document.cookie")
    page.keyboard.press("Escape")
    assert page.get_by_role("button", name="Change theme").is_hidden()


def test_the_palette_opens_by_key_and_goes_where_chosen(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}/desk", wait_until="networkidle")
    page.keyboard.press("Control+k")
    page.get_by_role("option", name="Order #1042").wait_for()
    assert Axe().run(page).violations_count == 0
    page.keyboard.press("ArrowDown")
    assert page.locator("#palette [role=option]").first.get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    assert page.locator("#palette").is_hidden()


def test_a_confirmation_opens_in_place_and_goes_back(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}/desk", wait_until="networkidle")
    page.get_by_role("link", name="Archive").click()
    dialog = page.get_by_role("dialog", name="Cancel this order?")
    dialog.wait_for()
    assert Axe().run(page).violations_count == 0
    dialog.get_by_role("button", name="Go back").click()
    assert dialog.is_hidden()
    assert page.url.endswith("/desk")


def test_filters_are_a_drawer_on_a_phone_even_without_scripts(chromium: Browser, gallery: str) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 800}, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{gallery}/shop")
    facet = page.locator("#facets").get_by_role("link", name="Epic Games")
    assert facet.is_hidden()
    page.get_by_role("button", name="Filters").click()
    assert facet.is_visible()
    page.goto(f"{gallery}/desk")
    assert page.locator("#desk-nav").is_hidden()
    page.get_by_role("button", name="Menu").click()
    assert page.locator("#desk-nav").get_by_role("link", name="Listings").is_visible()
    context.close()


def test_the_copy_button_copies_the_key(chromium: Browser, gallery: str) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{gallery}/shop", wait_until="networkidle")
    page.get_by_role("button", name="Copy key").click()
    page.get_by_text("Key copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "7QF2K-M9XPA-4TLRZ"
    context.close()


def test_a_live_fragment_follows_its_stream_to_the_end(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}/live")
    page.locator("#order", has_text="Delivered").wait_for()
    assert page.locator("#order").get_attribute("data-live-final") is not None


def test_without_a_stream_the_page_itself_is_asked(page: Page, gallery: str) -> None:
    asked: list[str] = []
    page.clock.install()

    def answer(route: Route) -> None:
        asked.append(route.request.resource_type)
        route.continue_(url=f"{gallery}/polled-done") if len(asked) > 2 else route.continue_()

    page.route("**/polled", answer)
    page.goto(f"{gallery}/polled", wait_until="networkidle")
    for _ in range(4):
        page.clock.run_for(3000)
        page.wait_for_load_state("networkidle")
    page.locator("#order", has_text="Delivered").wait_for()
    assert asked[1:3] == ["fetch", "fetch"]


def test_an_upload_shows_what_the_server_says(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}/upload", wait_until="networkidle")
    page.get_by_label("Key file").set_input_files(
        {"name": "k.txt", "mimeType": "text/plain", "buffer": b"none"}
    )
    page.get_by_role("button", name="Import").click()
    page.get_by_role("heading", name="No keys in this file").wait_for()
    page.goto(f"{gallery}/upload", wait_until="networkidle")
    page.get_by_label("Key file").set_input_files(
        {"name": "k.txt", "mimeType": "text/plain", "buffer": b"KEY-1"}
    )
    with page.expect_request(lambda r: r.method == "POST") as sent:
        page.get_by_role("button", name="Import").click()
    assert sent.value.url.endswith("/upload")


def test_a_filter_swaps_only_the_list_and_keeps_the_url(page: Page, gallery: str) -> None:
    page.route("**/browse?*", lambda route: route.continue_(url=f"{gallery}/shop"))
    page.goto(f"{gallery}/shop", wait_until="networkidle")
    page.evaluate("window.stayed = true")
    page.locator("#facets").get_by_role("link", name="Epic Games").click()
    page.wait_for_url("**/browse?*platform=epic*")
    assert page.evaluate("window.stayed") is True
    assert page.locator("#list").count() == 1

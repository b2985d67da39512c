"""The main pages pass axe at phone and desktop width, light and dark, without a complaint of the policy."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import DESKTOP, PHONE, Stack, Visitor
from tests.browser.steps import sign_in

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
    "buyer": ("/orders", "/library", "/wallet", "/account", "/account/security", "/checkout"),
    "rialto-keys": (
        "/seller",
        "/seller/listings",
        "/seller/listings/new",
        "/seller/orders",
        "/seller/balance",
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
    ),
}
NOT_OURS = {"/api/docs": "the reference page's own library draws its content"}


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
            wide = visit.page.evaluate("document.documentElement.scrollWidth > innerWidth + 1")
            if wide:
                faults.append(f"{path} scrolls sideways at {size['width']} px")
            if path in NOT_OURS:
                continue
            for found in Axe().run(visit.page).response["violations"]:
                where = found["nodes"][0]["target"]
                faults.append(f"{path} {size['width']} px: {found['id']} at {where}")
        visit.complaints[:] = [c for c in visit.complaints if "404" not in c]
    assert not faults, "\n".join(faults)

"""A browser is recognised at sign-in and at the checkout, where that is switched on, by a keyed hash."""

from typing import Any

import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.risk.jobs import read_events
from fondaco.settings import Mode, Settings
from tests.support.app import calling
from tests.support.people import PASSWORD, make_user, sign_in
from tests.support.shop import make_shop

ORIGIN = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def knowing(settings: Settings, parts: Parts) -> Settings:
    """Settings, put into the parts, with which browsers are recognised."""
    known = settings.model_copy(update={"recognise_browsers": True})
    parts._parts[Settings] = known  # pyright: ignore[reportPrivateUsage]
    return known


async def enter(browser: httpx.AsyncClient, viewer: Viewer) -> httpx.Response:
    """Sign in on the page."""
    await browser.get("/sign-in")
    fields = {"email": viewer.email, "password": PASSWORD, "_csrf_token": browser.cookies.get("csrf") or ""}
    return await browser.post("/sign-in", data=fields, headers=ORIGIN)


async def devices(db: Database, viewer: Viewer) -> list[str]:
    rows = await db.fetch(
        SYSTEM, "SELECT mark FROM risk.device WHERE user_id = $1 ORDER BY mark", viewer.user()
    )
    return [r["mark"] for r in rows]


async def test_two_accounts_of_one_browser_are_tied(db: Database, knowing: Settings, parts: Parts) -> None:
    one, other, stranger = [await make_user(db) for _ in range(3)]
    async with calling(knowing, parts) as browser:
        for viewer in (one, other, one):
            answer = await enter(browser, viewer)
            assert answer.status_code == 303 and "device=" in answer.headers["set-cookie"]
            browser.cookies.delete("session")
        cookie = browser.cookies["device"]
    async with calling(knowing, parts) as browser:
        await enter(browser, stranger)
        assert browser.cookies["device"] != cookie
    await read_events(parts)
    assert await devices(db, one) == await devices(db, other) != await devices(db, stranger)
    [mark] = await devices(db, one)
    assert mark.startswith("device_") and cookie.partition(".")[0] not in mark
    kept = await db.fetch(SYSTEM, "SELECT data::text FROM audit.event WHERE kind = 'device.seen'")
    assert len(kept) == 4 and not any(cookie.partition(".")[0] in r["data"] for r in kept)


async def test_a_made_up_cookie_is_nobodys(db: Database, knowing: Settings, parts: Parts) -> None:
    one, other = await make_user(db), await make_user(db)
    async with calling(knowing, parts) as browser:
        await enter(browser, one)
        real = browser.cookies["device"]
    for made_up in (real.partition(".")[0] + ".0000", "x" * 5000, "%C3%BC.%C3%BC", ".", ""):
        async with calling(knowing, parts) as browser:
            browser.cookies.set("device", made_up)
            assert (await enter(browser, other)).status_code == 303
    await read_events(parts)
    assert not set(await devices(db, one)) & set(await devices(db, other))


async def test_going_to_the_checkout_is_being_seen(db: Database, knowing: Settings, parts: Parts) -> None:
    buyer, shop = await make_user(db), await make_shop(db)
    async with calling(knowing, parts) as browser:
        browser.cookies.set("session", await sign_in(db, buyer))  # a session older than the cookie
        page = await browser.get(f"/checkout?listing_id={shop.listing_id}")
        assert page.status_code == 200 and browser.cookies["device"]
        await browser.get(f"/checkout?listing_id={shop.listing_id}")
    await read_events(parts)
    assert len(await devices(db, buyer)) == 1


@pytest.mark.parametrize(
    ("mode", "said", "known"),
    [
        (Mode.DEMO, None, False),
        (Mode.DEMO, True, True),
        (Mode.PRODUCTION, None, True),
        (Mode.PRODUCTION, False, False),
    ],
)
def test_where_browsers_are_recognised(settings: Settings, mode: Mode, said: Any, known: bool) -> None:
    asked = settings.model_copy(update={"fondaco_mode": mode, "recognise_browsers": said})
    assert asked.knows_browsers is known


async def test_switched_off_no_cookie_is_given_and_nothing_is_kept(
    db: Database, client: httpx.AsyncClient, parts: Parts
) -> None:
    buyer = await make_user(db)
    assert (await enter(client, buyer)).status_code == 303 and "device" not in client.cookies
    await read_events(parts)
    assert await devices(db, buyer) == []

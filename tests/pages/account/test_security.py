"""Profile, password, second factor and sessions through the pages."""

import re
from html import unescape

import httpx
from pyotp.totp import TOTP

from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from tests.pages.account.browser import send, submit, text_of
from tests.pages.account.conftest import Doors
from tests.support.people import PASSWORD, make_user, sign_in

HERE = "/account/security"
XSS = '"><img src=x onerror=alert(1)>'


async def enrol(client: httpx.AsyncClient) -> tuple[TOTP, list[str]]:
    """Set the second factor up through the pages: the app, and the recovery codes shown."""
    seen = await submit(client, f"{HERE}/second-factor", f"{HERE}/second-factor")
    assert seen.status_code == 200
    assert "<svg" in seen.text and "no-store" in seen.headers["cache-control"]
    found = re.search(r'id="totp-key"[^>]*>([^<]+)<', seen.text)
    assert found
    app = TOTP(found[1].replace(" ", ""))
    done = await send(client, seen, f"{HERE}/second-factor/confirm", code=app.now())
    assert done.status_code == 200
    codes = re.search(r'id="recovery-codes"[^>]*>([^<]+)<', done.text)
    assert codes
    return app, unescape(codes[1]).split()


async def test_the_profile_is_kept(client: httpx.AsyncClient, doors: Doors) -> None:
    await doors.enter()
    bad = await submit(client, "/account", "/account", name="", country="DE", theme="neon")
    assert bad.status_code == 422
    assert "f-name-error" in bad.text and "f-theme-error" in bad.text
    done = await submit(client, "/account", "/account", name=XSS, country="FR", theme="dark")
    assert done.status_code == 303
    seen = await client.get("/account")
    assert "Saved." in seen.text
    assert XSS not in seen.text
    assert unescape(re.findall(r'name="name"[^>]* value="([^"]*)"', seen.text)[0]) == XSS
    assert '<option value="FR" selected>' in seen.text
    assert 'data-theme="dark"' in seen.text


async def test_the_colours_follow_to_another_browser(client: httpx.AsyncClient, doors: Doors) -> None:
    viewer = await doors.enter()
    await submit(client, "/account", "/account", name="N", country="", theme="dark")
    client.cookies.clear()
    await submit(client, "/sign-in", "/sign-in", email=viewer.email, password=PASSWORD)
    assert 'data-theme="dark"' in (await client.get("/account")).text


async def test_an_unconfirmed_address_is_told_what_to_do(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await doors.enter(await make_user(db, verified=False))
    seen = await client.get("/account")
    assert "Your address is not confirmed yet" in seen.text
    assert 'href="/verify/again"' in seen.text


async def test_a_new_password_ends_other_sessions(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    viewer = await doors.enter()
    mine, other = client.cookies["session"], await sign_in(db, viewer)
    wrong = await submit(client, HERE, f"{HERE}/password", current="no", password="quite another thing")
    assert wrong.status_code == 422
    assert "This is not your password." in wrong.text
    done = await send(client, wrong, f"{HERE}/password", current=PASSWORD, password="quite another thing")
    assert done.status_code == 303
    assert "Your password is changed." in (await client.get(HERE)).text
    for old in (mine, other):
        client.cookies.clear()
        doors.keep("session", old)
        assert (await client.get(HERE)).status_code == 303


async def test_the_second_factor_from_set_up_to_off(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    viewer = await doors.enter()
    assert "Your password alone signs you in." in (await client.get(HERE)).text
    app, codes = await enrol(client)
    assert len(codes) == 10
    assert "10 recovery codes" in text_of((await client.get(HERE)).text)
    assert codes[0] not in (await client.get(HERE)).text

    client.cookies.clear()
    seen = await client.get("/sign-in?next=/library")
    done = await send(client, seen, "/sign-in", email=viewer.email, password=PASSWORD)
    assert done.headers["location"] == "/second-factor?next=/library"
    led = await client.get("/account")  # nobody yet
    assert led.headers["location"] == "/second-factor?next=/account"
    seen = await client.get("/second-factor?next=/library")
    wrong = await send(client, seen, "/second-factor", code="000000" if app.now() != "000000" else "1")
    assert wrong.status_code == 422
    assert "This code is not right" in wrong.text
    done = await send(client, wrong, "/second-factor", code=codes[0].lower())
    assert (done.status_code, done.headers["location"]) == (303, "/library")
    assert "9 recovery codes" in text_of((await client.get(HERE)).text)

    off = await submit(client, f"{HERE}/second-factor/off", f"{HERE}/second-factor/off", code=codes[0])
    assert off.status_code == 422  # used already
    off = await send(client, off, f"{HERE}/second-factor/off", code=codes[1])
    assert off.headers["location"] == HERE
    assert "The second factor is off." in (await client.get(HERE)).text


async def test_a_wrong_first_code_can_be_tried_again(client: httpx.AsyncClient, doors: Doors) -> None:
    await doors.enter()
    seen = await submit(client, f"{HERE}/second-factor", f"{HERE}/second-factor")
    key = re.findall(r'id="totp-key"[^>]*>([^<]+)<', seen.text)[0]
    app = TOTP(key.replace(" ", ""))
    wrong = await send(client, seen, f"{HERE}/second-factor/confirm", code="12")
    assert wrong.status_code == 422
    assert key not in wrong.text
    done = await send(client, wrong, f"{HERE}/second-factor/confirm", code=app.now())
    assert "Your second factor is on" in done.text


async def test_staff_without_one_are_led_to_set_it_up(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await doors.enter(await make_user(db, staff_role="support", mfa=False))
    led = await client.get("/second-factor?next=/console")
    assert led.headers["location"] == f"{HERE}/second-factor?next=/console"
    seen = await client.get(led.headers["location"])
    assert "Staff sign in with a second factor." in seen.text
    seen = await send(client, seen, f"{HERE}/second-factor")
    app = TOTP(re.findall(r'id="totp-key"[^>]*>([^<]+)<', seen.text)[0].replace(" ", ""))
    done = await send(client, seen, f"{HERE}/second-factor/confirm", code=app.now())
    assert 'href="/console"' in done.text  # the way on
    assert (await client.get("/second-factor?next=/console")).headers["location"] == "/console"


async def test_only_a_demo_speaks_of_the_demo_code(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    viewer = await doors.enter()
    await enrol(client)
    client.cookies.clear()
    await submit(client, "/sign-in", "/sign-in", email=viewer.email, password=PASSWORD)
    assert "fondaco demo-code" in (await client.get("/second-factor")).text


async def sessions(db: Database, viewer: Viewer) -> int:
    count: int = await db.fetchval(
        SYSTEM, "SELECT count(*) FROM identity.sessions WHERE user_id = $1", viewer.user()
    )
    return count


async def test_sessions_are_listed_and_ended(client: httpx.AsyncClient, db: Database, doors: Doors) -> None:
    viewer = await doors.enter()
    before = await sessions(db, viewer)
    for _ in range(3):
        await sign_in(db, viewer)
    seen = await client.get(HERE)
    ends = re.findall(rf'action="({HERE}/sessions/[0-9a-f-]{{36}}/end)"', seen.text)
    assert len(ends) == before + 2  # all but this one
    assert (await send(client, seen, ends[0])).headers["location"] == HERE
    assert await sessions(db, viewer) == before + 2
    assert (await send(client, seen, f"{HERE}/sessions/end-others")).headers["location"] == HERE
    assert await sessions(db, viewer) == 1
    assert (await client.get(HERE)).status_code == 200


async def test_a_strangers_session_does_not_exist(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    stranger = await make_user(db)
    await doors.enter()
    seen = await client.get(HERE)
    token = re.findall(r'name="_csrf_token" value="([^"]+)"', seen.text)[0]
    for session in (stranger.session_id, "0190a5b0-0000-7000-8000-000000000000"):
        answer = await client.post(f"{HERE}/sessions/{session}/end", data={"_csrf_token": token})
        assert answer.status_code == 404
    assert await sessions(db, stranger) == 1

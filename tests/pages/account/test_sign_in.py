"""Signing up, in and out through the pages."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fondaco import identity, orders
from fondaco.core.db import SYSTEM, Database
from fondaco.identity.accounts import Purpose
from tests.pages.account.browser import send, submit, text_of
from tests.pages.account.conftest import Doors
from tests.support.people import GUEST, PASSWORD, make_user, make_user_and_token
from tests.support.shop import make_shop

XSS = '<script>alert("x")</script>'


async def mail_link(db: Database, email: str, purpose: Purpose) -> str:
    user_id = await db.fetchval(SYSTEM, "SELECT id FROM identity.users WHERE email = $1", email)
    async with db.transaction(SYSTEM) as conn:
        return await identity.new_mail_token(conn, user_id, purpose)


async def test_from_nothing_to_signed_in(client: httpx.AsyncClient, db: Database) -> None:
    done = await submit(
        client,
        "/sign-up",
        "/sign-up",
        name="Ada",
        email="ada@example.com",
        password="a long and good one",
        country="DE",
    )
    assert (done.status_code, done.headers["location"]) == (303, "/verify")
    assert "Check your mail" in (await client.get("/verify")).text

    secret = await mail_link(db, "ada@example.com", "verify")
    seen = await client.get(f"/verify?token={secret}")
    for _ in range(3):  # scanners open links
        seen = await client.get(f"/verify?token={secret}")
    assert "no-store" in seen.headers["cache-control"]
    verified = await db.fetchval(SYSTEM, "SELECT email_verified_at FROM identity.users")
    assert verified is None
    done = await send(client, seen, "/verify")
    assert done.headers["location"] == "/sign-in"
    seen = await client.get("/sign-in")
    assert "Your address is confirmed." in seen.text
    assert "Your address is confirmed." not in (await client.get("/sign-in")).text  # said once

    again = await client.get(f"/verify?token={secret}")
    dead = await send(client, again, "/verify")
    assert dead.status_code == 410
    assert "/verify/again" in dead.text

    done = await send(client, seen, "/sign-in", email="ADA@example.com", password="a long and good one")
    assert (done.status_code, done.headers["location"]) == (303, "/")
    cookie = next(c for c in done.headers.get_list("set-cookie") if c.startswith("session="))
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    account = await client.get("/account")
    assert account.status_code == 200
    assert "Confirmed" in account.text and "ada@example.com" in account.text
    assert account.headers["cache-control"] == "no-store"


async def test_faults_of_signing_up_are_said_beside_the_field(client: httpx.AsyncClient) -> None:
    seen = await submit(
        client, "/sign-up", "/sign-up", name=XSS, email="nobody", password="short", country="DE"
    )
    assert seen.status_code == 422
    assert "Give a mail address" in seen.text
    assert "f-password-error" in seen.text and "short" not in seen.text
    assert XSS not in seen.text and "&lt;script&gt;" in seen.text  # kept, and harmless
    assert '<option value="DE" selected>' in seen.text


async def test_a_known_address_gets_the_same_answer(client: httpx.AsyncClient, db: Database) -> None:
    await make_user(db, "known@example.com")
    for email in ("known@example.com", "unknown@example.com"):
        done = await submit(
            client, "/sign-up", "/sign-up", name="N", email=email, password="a long and good one"
        )
        assert (done.status_code, done.headers["location"]) == (303, "/verify")


async def test_wrong_credentials_keep_the_address_only(client: httpx.AsyncClient, db: Database) -> None:
    await make_user(db, "eve@example.com")
    answers = [
        await submit(client, "/sign-in", "/sign-in", email=email, password="not this one")
        for email in ("eve@example.com", "nobody@example.com")
    ]
    for answer in answers:
        assert answer.status_code == 422
        assert "The address or the password is not right." in answer.text
        assert "not this one" not in answer.text
    assert 'value="eve@example.com"' in answers[0].text


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("/wallet?after=x", "/wallet?after=x"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
async def test_next_leads_only_to_our_own_pages(
    client: httpx.AsyncClient, db: Database, asked: str, got: str
) -> None:
    await make_user(db, "next@example.com")
    seen = await client.get("/sign-in", params={"next": asked})
    done = await send(client, seen, "/sign-in", email="next@example.com", password=PASSWORD)
    assert done.headers["location"] == got
    assert (await client.get("/sign-in", params={"next": asked})).headers["location"] == got


async def test_a_guest_is_led_through_sign_in_and_back(client: httpx.AsyncClient, db: Database) -> None:
    for page in ("/account", "/account/security", "/wallet", "/library"):
        led = await client.get(page)
        assert led.status_code == 303
        target = urlsplit(led.headers["location"])
        assert (target.path, parse_qs(target.query)["next"]) == ("/sign-in", [page])


async def test_the_form_needs_its_token_and_our_origin(client: httpx.AsyncClient, db: Database) -> None:
    await make_user(db, "csrf@example.com")
    seen = await client.get("/sign-in")
    filled = {"email": "csrf@example.com", "password": PASSWORD}
    bare = await client.post("/sign-in", data=filled)
    assert bare.status_code == 403
    strange = await client.post(
        "/sign-in",
        data={**filled, "_csrf_token": client.cookies["csrf"]},
        headers={"Origin": "https://evil.example"},
    )
    assert strange.status_code == 403
    assert (await send(client, seen, "/sign-in", **filled)).status_code == 303


async def test_what_was_in_the_cart_comes_along(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    shop = await make_shop(db, stock=3)
    cart = await orders.add_to_cart(db, GUEST, None, listing_id=shop.listing_id, quantity=2)
    viewer = await make_user(db, "cart@example.com")
    doors.keep("cart", cart.token or "")
    done = await submit(client, "/sign-in", "/sign-in", email="cart@example.com", password=PASSWORD)
    assert done.status_code == 303
    assert "cart" not in client.cookies
    assert await orders.count_in_cart(db, viewer) == 2
    assert "Cart, 2 items" in (await client.get("/account")).text


async def test_signing_out_ends_the_session(client: httpx.AsyncClient, db: Database, doors: Doors) -> None:
    await doors.enter()
    kept = client.cookies["session"]
    done = await submit(client, "/account", "/sign-out")
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert "session" not in client.cookies
    doors.keep("session", kept)
    assert (await client.get("/account")).status_code == 303


async def test_a_new_password_by_mail(client: httpx.AsyncClient, db: Database, doors: Doors) -> None:
    viewer, old = await make_user_and_token(db, "lost@example.com")
    said = []
    for email in ("lost@example.com", "unknown@example.com"):
        done = await submit(client, "/forgot", "/forgot", email=email)
        assert done.headers["location"] == "/sign-in"
        said.append(text_of((await client.get("/sign-in")).text))
    assert said[0] == said[1] and "works for 30 minutes" in said[0]

    secret = await mail_link(db, "lost@example.com", "reset")
    page = f"/reset?token={secret}"
    weak = await submit(client, page, "/reset", password="short")
    assert weak.status_code == 422
    done = await send(client, weak, "/reset", password="quite another thing")
    assert done.headers["location"] == "/sign-in"
    doors.keep("session", old)
    assert (await client.get("/account")).status_code == 303  # every session ended
    client.cookies.clear()
    gone = await submit(client, page, "/reset", password="yet another thing")
    assert gone.status_code == 410
    done = await submit(client, "/sign-in", "/sign-in", email=viewer.email, password="quite another thing")
    assert done.status_code == 303


async def test_asking_for_the_link_again(client: httpx.AsyncClient) -> None:
    bad = await submit(client, "/verify/again", "/verify/again", email="?")
    assert bad.status_code == 422
    done = await send(client, bad, "/verify/again", email="unknown@example.com")
    assert done.headers["location"] == "/verify"
    assert "not confirmed yet" in (await client.get("/verify")).text


async def test_too_many_tries_are_said_in_words(client: httpx.AsyncClient, db: Database) -> None:
    seen = await client.get("/sign-in")
    for _ in range(16):
        seen = await send(client, seen, "/sign-in", email="slow@example.com", password="wrong wrong")
    assert seen.status_code == 429
    assert "Too many tries." in seen.text

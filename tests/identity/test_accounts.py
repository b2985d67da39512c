"""Signing up, proving the address, resetting: links work once, and answers tell nothing."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest
import time_machine

from fondaco.audit import history
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, TooMany
from fondaco.core.viewer import GUEST as NOBODY
from fondaco.identity import (
    ask_reset,
    ask_verification,
    change_password,
    new_mail_token,
    reset_password,
    sign_in,
    sign_up,
    verify_email,
)
from fondaco.identity.model import DeadLink, WrongCredentials
from fondaco.identity.passwords import fault
from tests.support.people import GUEST, PASSWORD, again, make_user

GOOD = "seven green kettles"


async def link(db: Database, user_id: UUID, purpose: str) -> str:
    async with db.transaction(SYSTEM) as conn:
        return await new_mail_token(conn, user_id, purpose)  # type: ignore[arg-type]


async def user_id_of(db: Database, email: str) -> UUID:
    return await db.fetchval(SYSTEM, "SELECT id FROM identity.users WHERE email = $1", email)


async def test_sign_up_then_prove_the_address(db: Database) -> None:
    await sign_up(db, GUEST, email=" Ada@Example.COM ", password=GOOD, name="  Ada  L ", country="de")
    row = await db.fetchrow(SYSTEM, "SELECT * FROM identity.users")
    assert row
    assert (row["email"], row["name"], row["country"]) == ("ada@example.com", "Ada L", "DE")
    assert row["password_hash"].startswith("$argon2id$")
    assert row["email_verified_at"] is None
    secret = await link(db, row["id"], "verify")
    assert await verify_email(db, secret) == row["id"]
    events = await history(db, SYSTEM, f"user:{row['id']}")
    assert [e.kind for e in events] == ["user.signed_up", "user.verified"]
    assert not any("ada" in str(e) for e in events)
    with pytest.raises(DeadLink):
        await verify_email(db, secret)


async def test_a_known_address_answers_alike_and_changes_nothing(
    db: Database, api: httpx.AsyncClient
) -> None:
    known = await make_user(db, "known@example.com")
    unproved = await make_user(db, "unproved@example.com", verified=False)
    before = await db.fetch(SYSTEM, "SELECT * FROM identity.users ORDER BY id")
    answers = [
        await api.post("/api/v1/users", json={"email": email, "password": GOOD, "name": "X"})
        for email in ("known@example.com", "unproved@example.com", "fresh@example.com")
    ]
    assert {(a.status_code, a.content) for a in answers} == {(202, answers[0].content)}
    assert await db.fetch(SYSTEM, "SELECT * FROM identity.users WHERE email <> 'fresh@example.com' "
                                  "ORDER BY id") == before  # fmt: skip
    assert [e.kind for e in await history(db, SYSTEM, f"user:{known.user()}")] == ["user.sign_up_repeated"]
    assert [e.kind for e in await history(db, SYSTEM, f"user:{unproved.user()}")] == ["user.reset_asked"]


async def test_asking_for_mails_answers_alike(db: Database, api: httpx.AsyncClient) -> None:
    user = await make_user(db, "known@example.com")
    for path in ("/api/v1/users/reset", "/api/v1/users/verification"):
        answers = [
            await api.post(path, json={"email": email}) for email in ("known@example.com", "none@example.com")
        ]
        assert answers[0].status_code == answers[1].status_code == 202
        assert answers[0].content == answers[1].content
    assert [e.kind for e in await history(db, SYSTEM, f"user:{user.user()}")] == ["user.reset_asked"]


async def test_two_sign_ups_at_once_make_one_account(db: Database) -> None:
    await asyncio.gather(
        *(sign_up(db, GUEST, email="ada@example.com", password=GOOD, name="Ada") for _ in range(5))
    )
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM identity.users") == 1
    kinds = [e.kind for e in await history(db, SYSTEM, f"user:{await user_id_of(db, 'ada@example.com')}")]
    assert kinds.count("user.signed_up") == 1


async def test_two_verifications_at_once_let_one_through(db: Database) -> None:
    user = await make_user(db, verified=False)
    secret = await link(db, user.user(), "verify")
    done = await asyncio.gather(*(verify_email(db, secret) for _ in range(5)), return_exceptions=True)
    assert sum(d == user.user() for d in done) == 1
    assert sum(isinstance(d, DeadLink) for d in done) == 4
    kinds = [e.kind for e in await history(db, SYSTEM, f"user:{user.user()}")]
    assert kinds == ["user.verified"]


async def test_links_are_for_one_purpose_one_address_one_time(db: Database) -> None:
    user = await make_user(db, verified=False)
    verify, reset = await link(db, user.user(), "verify"), await link(db, user.user(), "reset")
    with pytest.raises(DeadLink):
        await verify_email(db, reset)
    with pytest.raises(DeadLink):
        await reset_password(db, verify, password=GOOD)
    with pytest.raises(DeadLink):
        await verify_email(db, "x" * 43)
    await db.execute(
        SYSTEM, "UPDATE identity.users SET email = 'moved@example.com' WHERE id = $1", user.user()
    )
    for attempt in (verify_email(db, verify), reset_password(db, reset, password=GOOD)):
        with pytest.raises(DeadLink):
            await attempt
    stored = await db.fetch(SYSTEM, "SELECT token_hash FROM identity.mail_token")
    assert all(verify.encode() not in r["token_hash"] and len(r["token_hash"]) == 32 for r in stored)


@pytest.mark.parametrize(("purpose", "minutes"), [("verify", 24 * 60), ("reset", 30)])
async def test_links_grow_old(db: Database, purpose: str, minutes: int) -> None:
    user = await make_user(db, verified=False)
    early, late = await link(db, user.user(), purpose), await link(db, user.user(), purpose)

    async def use(secret: str) -> UUID:
        if purpose == "verify":
            return await verify_email(db, secret)
        return await reset_password(db, secret, password=GOOD)

    with time_machine.travel(now() + timedelta(minutes=minutes, seconds=1), tick=True):
        with pytest.raises(DeadLink):
            await use(late)
    with time_machine.travel(now() + timedelta(minutes=minutes - 1), tick=True):
        assert await use(early) == user.user()


async def test_a_reset_ends_every_session_and_every_other_link(db: Database) -> None:
    user = await make_user(db, "ada@example.com")
    other = await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    first, second = await link(db, user.user(), "reset"), await link(db, user.user(), "reset")
    with pytest.raises(Invalid) as refused:
        await reset_password(db, first, password="short")
    assert "password" in refused.value.fields
    await reset_password(db, first, password=GOOD)
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM identity.sessions") == 0
    for secret in (first, second):
        with pytest.raises(DeadLink):
            await reset_password(db, secret, password=GOOD)
    with pytest.raises(WrongCredentials):
        await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    assert (await sign_in(db, GUEST, email="ada@example.com", password=GOOD)).session_id != other.session_id


async def test_a_reset_works_for_nobody_shut_out(db: Database) -> None:
    user = await make_user(db)
    secret = await link(db, user.user(), "reset")
    await db.execute(SYSTEM, "UPDATE identity.users SET banned_at = now()")
    with pytest.raises(DeadLink):
        await reset_password(db, secret, password=GOOD)


async def test_changing_the_password_keeps_this_session_only(db: Database) -> None:
    user = await make_user(db, "ada@example.com")
    await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    with pytest.raises(Invalid) as refused:
        await change_password(db, user, current="not it at all", password=GOOD)
    assert "current" in refused.value.fields
    changed = await change_password(db, user, current=PASSWORD, password=GOOD)
    rows = await db.fetch(SYSTEM, "SELECT id FROM identity.sessions")
    assert [r["id"] for r in rows] == [changed.session_id] == [user.session_id]
    assert (await again(db, user)).user_id == user.user_id
    await sign_in(db, GUEST, email="ada@example.com", password=GOOD)


async def test_mails_cannot_be_asked_for_without_end(db: Database) -> None:
    user = await make_user(db, "ada@example.com", verified=False)
    for ask in (ask_verification, ask_reset):
        for _ in range(5):
            await ask(db, GUEST, email="ada@example.com")
        with pytest.raises(TooMany) as slowed:
            await ask(db, GUEST, email="ada@example.com")
        assert 0 < slowed.value.retry_after <= 3600
    assert len(await history(db, SYSTEM, f"user:{user.user()}")) == 10


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"),
        ("email", "a@b"),
        ("email", "a b@example.com"),
        ("email", "a\x00@example.com"),
        ("email", "ä@example.com"),
        ("email", "x" * 250 + "@example.com"),
        ("email", ""),
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 121),
        ("name", "a\x00b"),
        ("name", "a\nb"),
        ("name", "a\ud800b"),
        ("country", "Germany"),
        ("country", "ДЕ"),
        ("password", "short"),
        ("password", "x" * 201),
        ("password", "password123"),
        ("password", "ada@example.com"),
    ],
)
async def test_what_cannot_be_used_is_said_per_field(db: Database, field: str, value: str) -> None:
    values = {"email": "ada@example.com", "password": GOOD, "name": "Ada", "country": "DE", field: value}
    with pytest.raises(Invalid) as refused:
        await sign_up(db, NOBODY, **values)
    assert list(refused.value.fields) == [field]
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM identity.users") == 0


@pytest.mark.parametrize(
    "password",
    [
        "P@ssw0rd123",
        "qwertyuiop12",
        "aaaaaaaaaaaa",
        "1234567890",
        "0987654321",
        "Welcome2024!",
        "letmein12345",
        "testtest1234",
        "greenkettle1",
        "iloveyou!!!!!",
    ],
)
def test_first_guesses_are_refused(password: str) -> None:
    assert fault(password, "greenkettle@example.com")


@pytest.mark.parametrize(
    "password", [GOOD, PASSWORD, "корова на лугу", "7f3kq-99xAz!", "password of my aunt"]
)
def test_good_passwords_are_taken(password: str) -> None:
    assert fault(password, "ada@example.com") is None


async def test_a_link_cannot_be_made_for_another_scope(db: Database) -> None:
    mine, other = await make_user(db), await make_user(db)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction(mine.as_user) as conn:
            await new_mail_token(conn, other.user(), "reset")

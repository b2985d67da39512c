"""Sessions: hashed, fresh at every sign-in, dead at once when they should be; guessing is slowed down."""

import asyncio
import statistics
import time
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import time_machine

from fondaco.audit import history
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import token_hash
from fondaco.core.problem import NotFound, TooMany
from fondaco.core.viewer import Viewer
from fondaco.identity import (
    close_account,
    give_staff_role,
    list_sessions,
    open_account,
    revoke_other_sessions,
    revoke_session,
    sign_in,
    sign_out,
    switch_store,
)
from fondaco.identity.jobs import tidy
from fondaco.identity.model import AccountClosed, LastAdmin, WrongCredentials
from fondaco.identity.sessions import clear_cookie, session_cookie, viewer_of
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.support.accounts_app import calling
from tests.support.people import GUEST, PASSWORD, again, make_member, make_seller, make_user
from tests.support.people import sign_in as quick_sign_in


def at(ip: str) -> Viewer:
    return Viewer(ip=ip, user_agent="test")


async def me(api: httpx.AsyncClient, token: str) -> int:
    return (await api.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})).status_code


async def page_user(api: httpx.AsyncClient, token: str) -> str | None:
    return (await api.get("/whoami", headers={"Cookie": f"session={token}"})).json()["user_id"]


async def test_only_the_hash_of_a_token_is_stored(db: Database, api: httpx.AsyncClient) -> None:
    await make_user(db, "ada@example.com")
    answer = await api.post("/api/v1/session", json={"email": "ada@example.com", "password": PASSWORD})
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert await me(api, token) == 200
    everything = await db.fetch(
        SYSTEM,
        "SELECT s::text AS row FROM identity.sessions s UNION ALL SELECT e::text FROM audit.event e "
        "UNION ALL SELECT t::text FROM core.throttle t",
    )
    assert not any(token in r["row"] for r in everything)
    assert await db.fetchval(
        SYSTEM, "SELECT count(*) FROM identity.sessions WHERE token_hash = $1", token_hash(token)
    ) == 1  # fmt: skip


async def test_a_session_planted_before_signing_in_is_dead_after(
    db: Database, api: httpx.AsyncClient
) -> None:
    thief = await make_user(db)
    await make_user(db, "ada@example.com")
    planted = await quick_sign_in(db, thief)
    before = await viewer_of(db, planted, GUEST)
    signed = await sign_in(db, before, email="ada@example.com", password=PASSWORD)
    assert signed.token != planted
    assert await me(api, planted) == 401
    assert await me(api, signed.token) == 200
    made_up = "attacker-chosen-value"
    assert await page_user(api, made_up) is None


async def test_pages_go_by_cookie_and_the_api_by_bearer_only(db: Database, api: httpx.AsyncClient) -> None:
    user = await make_user(db)
    token = await quick_sign_in(db, user)
    assert await page_user(api, token) == str(user.user())
    assert (await api.get("/api/v1/me", headers={"Cookie": f"session={token}"})).status_code == 401
    whoami = await api.get("/whoami", headers={"Authorization": f"Bearer {token}"})
    assert whoami.json()["user_id"] is None
    for header in ("", "Bearer", "Bearer ", f"Basic {token}", f"Bearer {token}x", "Bearer " + "x" * 5000):
        assert (await api.get("/api/v1/me", headers={"Authorization": header})).status_code == 401


async def test_ending_a_session_counts_at_once(db: Database, api: httpx.AsyncClient) -> None:
    user = await make_user(db)
    tokens = [await quick_sign_in(db, user) for _ in range(4)]
    viewers = [await viewer_of(db, t, GUEST) for t in tokens]
    await sign_out(db, viewers[0])
    assert [await me(api, t) for t in tokens] == [401, 200, 200, 200]
    assert viewers[2].session_id
    await revoke_session(db, viewers[1], viewers[2].session_id)
    assert [await me(api, t) for t in tokens] == [401, 200, 401, 200]
    listed = await list_sessions(db, viewers[1])
    assert [s.id for s in listed if s.current] == [viewers[1].session_id]
    assert len(listed) == 3
    assert await revoke_other_sessions(db, viewers[1]) == 2
    assert [await me(api, t) for t in tokens] == [401, 200, 401, 401]


async def test_foreign_sessions_do_not_exist(db: Database, api: httpx.AsyncClient) -> None:
    mine, other = await make_user(db), await make_user(db)
    assert other.session_id
    for session_id in (other.session_id, uuid4()):
        with pytest.raises(NotFound):
            await revoke_session(db, mine, session_id)
    assert (await again(db, other)).user_id == other.user_id
    assert all(s.id != other.session_id for s in await list_sessions(db, mine))


async def test_shutting_out_counts_at_once(db: Database, api: httpx.AsyncClient) -> None:
    admin = await make_user(db, staff_role="admin")
    user = await make_user(db, "ada@example.com")
    token = await quick_sign_in(db, user)
    await close_account(db, admin, user.user())
    assert await me(api, token) == 401
    with pytest.raises(AccountClosed):
        await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    with pytest.raises(WrongCredentials):
        await sign_in(db, GUEST, email="ada@example.com", password="another password")
    await open_account(db, admin, user.user())
    await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    with pytest.raises(LastAdmin):
        await close_account(db, admin, admin.user())


async def test_a_ban_written_by_hand_counts_too(db: Database, api: httpx.AsyncClient) -> None:
    token = await quick_sign_in(db, await make_user(db))
    await db.execute(SYSTEM, "UPDATE identity.users SET banned_at = now()")
    assert await me(api, token) == 401


async def test_sessions_end_by_age_and_by_idleness(db: Database) -> None:
    user = await make_user(db)
    used, idle = await quick_sign_in(db, user), await quick_sign_in(db, user)
    start = now()
    for hours in range(20, 7 * 24, 20):
        with time_machine.travel(start + timedelta(hours=hours), tick=False):
            assert (await viewer_of(db, used, GUEST)).user_id == user.user_id
    with time_machine.travel(start + timedelta(hours=24, minutes=1), tick=False):
        assert (await viewer_of(db, idle, GUEST)).user_id is None
    with time_machine.travel(start + timedelta(days=7, minutes=1), tick=False):
        assert (await viewer_of(db, used, GUEST)).user_id is None


async def test_being_seen_is_written_every_five_minutes_at_most(db: Database) -> None:
    token = await quick_sign_in(db, await make_user(db))
    seen = "SELECT last_seen_at FROM identity.sessions WHERE token_hash = $1"
    start = await db.fetchval(SYSTEM, seen, token_hash(token))
    for minutes, moved in ((4, False), (6, True)):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=False):
            await viewer_of(db, token, GUEST)
        assert (await db.fetchval(SYSTEM, seen, token_hash(token)) > start) is moved


async def test_ten_requests_at_once_all_stay_signed_in(db: Database, api: httpx.AsyncClient) -> None:
    token = await quick_sign_in(db, await make_user(db))
    await db.execute(SYSTEM, "UPDATE identity.sessions SET last_seen_at = now() - interval '23 hours'")
    assert await asyncio.gather(*(me(api, token) for _ in range(10))) == [200] * 10


async def test_unknown_address_and_wrong_password_answer_alike(db: Database, api: httpx.AsyncClient) -> None:
    user = await make_user(db, "ada@example.com")
    bodies = [
        {"email": "ada@example.com", "password": "wrong password"},
        {"email": "none@example.com", "password": "wrong password"},
        {"email": "\x00 nonsense", "password": "\ud83d"},
        {"email": "none@example.com", "password": ""},
    ]
    answers = [await api.post("/api/v1/session", json=b) for b in bodies[:2]]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].content == answers[1].content
    for body in bodies[2:]:
        with pytest.raises(WrongCredentials):
            await sign_in(db, GUEST, **body)
    assert [e.kind for e in await history(db, SYSTEM, f"user:{user.user()}")] == ["session.failed"]
    unknown = await history(db, SYSTEM, "user:unknown")
    assert {e.kind for e in unknown} == {"session.failed"}
    assert not any("example" in str(e.data) for e in unknown)


async def test_unknown_addresses_cost_as_much_as_wrong_passwords(db: Database) -> None:
    from fondaco.identity.passwords import hash_password, matches

    stored = await hash_password(PASSWORD)
    spent: dict[bool, list[int]] = {True: [], False: []}
    for _ in range(15):
        for known in (True, False):
            begun = time.thread_time_ns() + time.process_time_ns()
            assert not await matches(stored if known else None, "wrong password")
            spent[known].append(time.thread_time_ns() + time.process_time_ns() - begun)
    medians = [statistics.median(v) for v in spent.values()]
    assert max(medians) < 4 * min(medians), "one of the two does not hash"


async def test_guessing_one_account_from_many_places_is_slowed_down(db: Database) -> None:
    await make_user(db, "ada@example.com")
    await sign_in(db, at("203.0.113.7"), email="ada@example.com", password=PASSWORD)
    checked = 0
    for n in range(60):
        with pytest.raises((WrongCredentials, TooMany)) as refused:
            await sign_in(db, at(f"10.{n}.1.1"), email="ada@example.com", password="wrong password")
        checked += refused.type is WrongCredentials
    assert isinstance(refused.value, TooMany)
    assert 0 < refused.value.retry_after <= 3600
    assert checked < 20
    with pytest.raises(TooMany):
        await sign_in(db, at("10.99.1.1"), email="ada@example.com", password=PASSWORD)
    await sign_in(db, at("203.0.113.9"), email="ada@example.com", password=PASSWORD)


async def test_unknown_accounts_are_slowed_down_alike(db: Database) -> None:
    outcomes: dict[str, list[type]] = {}
    await make_user(db, "ada@example.com")
    for email in ("ada@example.com", "none@example.com"):
        for n in range(18):
            with pytest.raises((WrongCredentials, TooMany)) as refused:
                await sign_in(db, at(f"10.{n}.1.1"), email=email, password="wrong password")
            outcomes.setdefault(email, []).append(refused.type)
    assert outcomes["ada@example.com"] == outcomes["none@example.com"]
    assert outcomes["none@example.com"] == [WrongCredentials] * 15 + [TooMany] * 3


async def test_guessing_many_accounts_from_one_place_is_slowed_down(db: Database) -> None:
    await make_user(db, "ada@example.com")
    await db.execute(
        SYSTEM, "SELECT core.hit('sign_in:ip:192.0.2.1/32', 100, 900) FROM generate_series(1, 100)"
    )
    with pytest.raises(TooMany):
        await sign_in(db, at("192.0.2.1"), email="ada@example.com", password=PASSWORD)
    await db.execute(
        SYSTEM, "SELECT core.hit('sign_in:net:192.0.2.0/24', 400, 900) FROM generate_series(1, 400)"
    )
    with pytest.raises(TooMany):
        await sign_in(db, at("192.0.2.200"), email="ada@example.com", password=PASSWORD)
    await sign_in(db, at("192.0.3.1"), email="ada@example.com", password=PASSWORD)


async def test_right_passwords_are_not_counted_against_the_account(db: Database) -> None:
    await make_user(db, "ada@example.com")
    for _ in range(20):
        await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)


async def test_weak_hashes_are_made_anew(db: Database) -> None:
    await make_user(db, "ada@example.com")
    before = await db.fetchval(SYSTEM, "SELECT password_hash FROM identity.users")
    await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    after = await db.fetchval(SYSTEM, "SELECT password_hash FROM identity.users")
    assert "m=8," in before
    assert "m=19456," in after
    await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    assert await db.fetchval(SYSTEM, "SELECT password_hash FROM identity.users") == after


async def test_roles_and_memberships_count_from_the_next_request(
    db: Database, api: httpx.AsyncClient
) -> None:
    seller = await make_seller(db)
    member = await make_member(db, seller, "finance")
    assert member.roles == {"customer", "seller.finance"}
    await db.execute(SYSTEM, "DELETE FROM identity.membership WHERE user_id = $1", member.user())
    assert (await again(db, member)).roles == {"customer"}
    assert (await again(db, member)).seller_id is None


async def test_switching_stores(db: Database) -> None:
    first, second, foreign = await make_seller(db), await make_seller(db), await make_seller(db)
    user = await make_member(db, first, "manager")
    await db.execute(
        SYSTEM,
        "INSERT INTO identity.membership (user_id, seller_id, role) VALUES ($1, $2, 'finance')",
        user.user(),
        second.seller(),
    )
    await switch_store(db, user, second.seller())
    now_there = await again(db, user)
    assert (now_there.seller_id, now_there.seller_role) == (second.seller_id, "finance")
    for seller_id in (foreign.seller(), uuid4()):
        with pytest.raises(NotFound):
            await switch_store(db, user, seller_id)
    assert (await again(db, user)).seller_id == second.seller_id


async def test_staff_roles_are_given_by_admins_with_second_factor(
    db: Database, api: httpx.AsyncClient
) -> None:
    from fondaco.core.problem import Forbidden, Invalid

    admin, user = await make_user(db, staff_role="admin"), await make_user(db)
    weak = await make_user(db, staff_role="admin", mfa=False)
    for stranger in (user, weak, await make_user(db, staff_role="ops")):
        with pytest.raises(Forbidden):
            await give_staff_role(db, stranger, user.user(), "admin")
    with pytest.raises(Invalid):
        await give_staff_role(db, admin, user.user(), "king")
    await give_staff_role(db, admin, user.user(), "ops")
    assert (await again(db, user)).staff_role == "ops"
    events = await history(db, SYSTEM, f"user:{user.user()}")
    assert [(e.kind, e.actor, e.data) for e in events] == [("staff.role_given", admin.actor, {"role": "ops"})]
    await give_staff_role(db, admin, weak.user(), None)
    with pytest.raises(LastAdmin):
        await give_staff_role(db, admin, admin.user(), "ops")


async def test_two_admins_cannot_step_down_at_once(db: Database) -> None:
    admins = [await make_user(db, staff_role="admin") for _ in range(2)]
    done = await asyncio.gather(
        *(give_staff_role(db, a, a.user(), None) for a in admins), return_exceptions=True
    )
    assert sorted(type(d).__name__ for d in done) == ["LastAdmin", "NoneType"]


async def test_the_address_of_a_caller(db: Database, endpoints: object, settings: Settings) -> None:
    behind = make_settings(endpoints, trusted_proxies="10.0.0.0/8")  # type: ignore[arg-type]
    told = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.1.1"}
    for used, peer, seen in (
        (settings, "10.0.0.5", "10.0.0.5"),
        (behind, "10.0.0.5", "203.0.113.9"),
        (behind, "192.0.2.1", "192.0.2.1"),
    ):
        async with calling(used, db, peer) as api:
            assert (await api.get("/whoami", headers=told)).json()["ip"] == seen


def test_cookies_are_hard_to_take(endpoints: object) -> None:
    secure = make_settings(endpoints, base_url="https://shop.example.com")  # type: ignore[arg-type]
    for cookie in (session_cookie(secure, "t"), clear_cookie(secure)):
        assert cookie.key == "__Host-session"
        assert (cookie.secure, cookie.httponly, cookie.samesite) == (True, True, "lax")
        assert (cookie.path, cookie.domain) == ("/", None)
    assert session_cookie(make_settings(endpoints), "t").key == "session"  # type: ignore[arg-type]


async def test_tidying_deletes_only_what_is_over(db: Database, settings: Settings) -> None:
    from fondaco.core.web import Parts

    kept, over = await make_user(db), await make_user(db)
    await db.execute(
        SYSTEM,
        "UPDATE identity.sessions SET expires_at = now() - interval '2 days' WHERE user_id = $1",
        over.user(),
    )
    await tidy(Parts(db, settings))
    rows = await db.fetch(SYSTEM, "SELECT user_id FROM identity.sessions")
    assert [r["user_id"] for r in rows] == [kept.user()]

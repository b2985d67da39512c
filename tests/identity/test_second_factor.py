"""The second factor: every code once, nothing before it, secrets sealed."""

import asyncio
from datetime import timedelta

import asyncpg
import httpx
import pytest
import time_machine
from pyotp.totp import TOTP

from fondaco.audit import history
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import SignInNeeded, TooMany
from fondaco.core.viewer import Viewer
from fondaco.identity import (
    confirm_second_factor,
    recovery_codes_left,
    sign_in,
    start_second_factor,
    stop_second_factor,
    verify_second_factor,
)
from fondaco.identity.model import AlreadyProtected, SignedIn, WrongCode
from fondaco.identity.sessions import viewer_of
from fondaco.settings import Settings
from fondaco.vault import Vault, VaultSealBroken
from tests.support.people import GUEST, PASSWORD, again, make_user


def code_at(secret: str, seconds: int = 0) -> str:
    return TOTP(secret).at(int(now().timestamp()) + seconds)


@pytest.fixture
def vault(settings: Settings) -> Vault:
    return Vault(settings)


async def enrolled(
    db: Database, vault: Vault, settings: Settings, staff_role: str | None = None
) -> tuple[Viewer, str, tuple[str, ...]]:
    """A user with a second factor whose first code was the one of the step before this."""
    user = await make_user(db, "ada@example.com", staff_role=staff_role, mfa=False)
    setup = await start_second_factor(db, vault, settings, user)
    on = await confirm_second_factor(db, vault, user, code_at(setup.secret, -30))
    return await viewer_of(db, on.token, GUEST), setup.secret, on.recovery_codes


async def pending(db: Database) -> tuple[Viewer, SignedIn]:
    signed = await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    return await viewer_of(db, signed.token, GUEST), signed


async def test_setting_up(db: Database, vault: Vault, settings: Settings) -> None:
    user = await make_user(db, "ada@example.com")
    first = await start_second_factor(db, vault, settings, user)
    setup = await start_second_factor(db, vault, settings, user)
    assert setup.svg.startswith("<svg")
    assert setup.uri == f"otpauth://totp/fondaco%3Aada%40example.com?secret={setup.secret}&issuer=fondaco"
    assert setup.secret not in repr(setup)
    with pytest.raises(WrongCode):
        await confirm_second_factor(db, vault, user, code_at(first.secret))
    assert not (await again(db, user)).mfa_enrolled
    on = await confirm_second_factor(db, vault, user, code_at(setup.secret))
    assert (await viewer_of(db, on.token, GUEST)).mfa
    assert len(set(on.recovery_codes)) == 10
    with pytest.raises(AlreadyProtected):
        await start_second_factor(db, vault, settings, user)
    with pytest.raises(AlreadyProtected):
        await confirm_second_factor(db, vault, user, code_at(setup.secret, 30))
    stored = await db.fetch(
        SYSTEM,
        "SELECT u::text AS row FROM identity.users u UNION ALL SELECT c::text FROM identity.recovery_code c",
    )
    for secret in (setup.secret, setup.secret.encode().hex(), *on.recovery_codes):
        assert not any(secret in r["row"] for r in stored)


async def test_the_token_changes_when_more_may_be_done(
    db: Database, vault: Vault, settings: Settings
) -> None:
    _, secret, _ = await enrolled(db, vault, settings)
    viewer, signed = await pending(db)
    passed = await verify_second_factor(db, vault, viewer, code_at(secret))
    assert passed.token != signed.token
    assert passed.session_id == signed.session_id
    assert (await viewer_of(db, signed.token, GUEST)).session_id is None
    assert (await viewer_of(db, passed.token, GUEST)).mfa


async def test_a_password_alone_is_nobody(
    db: Database, vault: Vault, settings: Settings, api: httpx.AsyncClient
) -> None:
    _, secret, _ = await enrolled(db, vault, settings)
    answer = await api.post("/api/v1/session", json={"email": "ada@example.com", "password": PASSWORD})
    assert answer.json()["second_factor_needed"] is True
    half = {"Authorization": f"Bearer {answer.json()['token']}"}
    refused = await api.get("/api/v1/me", headers=half)
    assert (refused.status_code, refused.json()["code"]) == (401, "second_factor_needed")
    assert (await api.get("/api/v1/me/sessions", headers=half)).status_code == 401
    wrong = await api.post("/api/v1/session/second-factor", headers=half, json={"code": "000000"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_code")
    passed = await api.post("/api/v1/session/second-factor", headers=half, json={"code": code_at(secret)})
    assert passed.status_code == 200
    whole = {"Authorization": f"Bearer {passed.json()['token']}"}
    assert (await api.get("/api/v1/me", headers=whole)).json()["second_factor"] is True
    assert (await api.get("/api/v1/me", headers=half)).status_code == 401


async def test_without_a_session_there_is_nothing_to_pass(db: Database, vault: Vault) -> None:
    with pytest.raises(SignInNeeded):
        await verify_second_factor(db, vault, GUEST, "123456")
    with pytest.raises(SignInNeeded):
        await verify_second_factor(db, vault, await make_user(db), "123456")


async def test_a_code_works_once(db: Database, vault: Vault, settings: Settings) -> None:
    _, secret, _ = await enrolled(db, vault, settings)
    code = code_at(secret)
    viewers = [(await pending(db))[0] for _ in range(4)]
    done = await asyncio.gather(
        *(verify_second_factor(db, vault, v, code) for v in viewers), return_exceptions=True
    )
    assert sorted(type(d).__name__ for d in done) == ["SignedIn", *["WrongCode"] * 3]


async def test_codes_of_an_earlier_step_are_dead_after_a_later_one(
    db: Database, vault: Vault, settings: Settings
) -> None:
    _, secret, _ = await enrolled(db, vault, settings)
    viewer, _ = await pending(db)
    await verify_second_factor(db, vault, viewer, code_at(secret, 30))
    viewer, _ = await pending(db)
    with pytest.raises(WrongCode):
        await verify_second_factor(db, vault, viewer, code_at(secret))


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "\x00" * 6, "-" * 40])
async def test_nonsense_is_a_wrong_code(db: Database, vault: Vault, settings: Settings, code: str) -> None:
    await enrolled(db, vault, settings)
    viewer, _ = await pending(db)
    with pytest.raises(WrongCode):
        await verify_second_factor(db, vault, viewer, code)


async def test_recovery_codes_work_once_each_and_for_their_user(
    db: Database, vault: Vault, settings: Settings
) -> None:
    user, _, codes = await enrolled(db, vault, settings)
    viewer, _ = await pending(db)
    await verify_second_factor(db, vault, viewer, f" {codes[0].lower().replace('-', ' ')} ")
    assert await recovery_codes_left(db, user) == 9
    viewer, _ = await pending(db)
    with pytest.raises(WrongCode):
        await verify_second_factor(db, vault, viewer, codes[0])
    other = await make_user(db, "eve@example.com")
    setup = await start_second_factor(db, vault, settings, other)
    await confirm_second_factor(db, vault, other, code_at(setup.secret))
    signed = await sign_in(db, GUEST, email="eve@example.com", password=PASSWORD)
    with pytest.raises(WrongCode):
        await verify_second_factor(db, vault, await viewer_of(db, signed.token, GUEST), codes[1])


async def test_guessing_codes_is_slowed_down_and_ends(db: Database, vault: Vault, settings: Settings) -> None:
    _, secret, _ = await enrolled(db, vault, settings)  # one try of the ten
    viewer, _ = await pending(db)
    for _ in range(9):
        with pytest.raises(WrongCode):
            await verify_second_factor(db, vault, viewer, "000 00")
    with pytest.raises(TooMany):
        await verify_second_factor(db, vault, viewer, code_at(secret))
    await db.execute(SYSTEM, "DELETE FROM core.throttle")
    await verify_second_factor(db, vault, viewer, code_at(secret))


async def test_switching_it_off(db: Database, vault: Vault, settings: Settings) -> None:
    user, secret, codes = await enrolled(db, vault, settings)
    with pytest.raises(WrongCode):
        await stop_second_factor(db, vault, user, "000000")
    await stop_second_factor(db, vault, user, code_at(secret))
    after = await again(db, user)
    assert (after.mfa, after.mfa_enrolled) == (False, False)
    assert await recovery_codes_left(db, user) == 0
    signed = await sign_in(db, GUEST, email="ada@example.com", password=PASSWORD)
    assert not signed.second_factor_needed
    with pytest.raises(WrongCode):
        await stop_second_factor(db, vault, user, codes[0])
    kinds = [e.kind for e in await history(db, SYSTEM, f"user:{user.user()}")]
    assert {"user.second_factor_on", "user.second_factor_off"} <= set(kinds)


async def test_staff_need_it_before_any_desk(
    db: Database, vault: Vault, settings: Settings, api: httpx.AsyncClient
) -> None:
    staff = await make_user(db, "ops@example.com", staff_role="ops", mfa=False)
    body = {"email": "ops@example.com", "password": PASSWORD}
    token = (await api.post("/api/v1/session", json=body)).json()["token"]
    bare = {"Authorization": f"Bearer {token}"}
    refused = await api.get("/api/v1/desk", headers=bare)
    assert (refused.status_code, refused.json()["code"]) == (401, "second_factor_needed")
    assert (await api.get("/api/v1/me", headers=bare)).status_code == 200
    setup = (await api.post("/api/v1/me/second-factor", headers=bare)).json()
    on = await api.post(
        "/api/v1/me/second-factor/confirm", headers=bare, json={"code": code_at(setup["secret"])}
    )
    assert on.status_code == 200
    whole = {"Authorization": f"Bearer {on.json()['token']}"}
    assert (await api.get("/api/v1/desk", headers=whole)).status_code == 200
    assert (await api.get("/api/v1/desk", headers=bare)).status_code == 401
    # The other session, from before, owes it now too.
    assert (await again(db, staff)).user_id is None


async def test_a_secret_of_another_user_does_not_open(
    db: Database, vault: Vault, settings: Settings, owner: asyncpg.Connection
) -> None:
    await enrolled(db, vault, settings)
    thief = await make_user(db, "eve@example.com")
    setup = await start_second_factor(db, vault, settings, thief)
    await owner.execute(
        "UPDATE identity.users SET (totp_key, totp_sealed) = (SELECT totp_key, totp_sealed "
        "FROM identity.users WHERE email = 'eve@example.com') WHERE email = 'ada@example.com'"
    )
    viewer, _ = await pending(db)
    with pytest.raises(VaultSealBroken):
        await verify_second_factor(db, vault, viewer, code_at(setup.secret))


async def test_codes_far_off_in_time_are_wrong(db: Database, vault: Vault, settings: Settings) -> None:
    _, secret, _ = await enrolled(db, vault, settings)
    viewer, _ = await pending(db)
    with time_machine.travel(now() + timedelta(minutes=10), tick=False):
        for seconds in (-60, 60):
            with pytest.raises(WrongCode):
                await verify_second_factor(db, vault, viewer, code_at(secret, seconds))
        await verify_second_factor(db, vault, viewer, code_at(secret, -30))

"""The second factor: time-based codes from an app (RFC 6238), each good once, and recovery codes."""

import hashlib
import hmac
import secrets
from typing import cast
from urllib.parse import quote, urlencode
from uuid import UUID

import segno
from pyotp import random_base32
from pyotp.totp import TOTP

from fondaco.audit import record
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import token, token_hash
from fondaco.core.problem import SignInNeeded
from fondaco.core.viewer import Viewer
from fondaco.identity.limits import by_user, slow_down
from fondaco.identity.model import AlreadyProtected, SecondFactorOn, SecondFactorSetup, SignedIn, WrongCode
from fondaco.settings import Settings
from fondaco.vault import Vault

_STEP = 30  # seconds a code lives; the one before and the one after are taken too
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RECOVERY_CODES = 10
_USER = "SELECT id, totp_key, totp_sealed, totp_confirmed_at FROM identity.users "


async def start_second_factor(
    db: Database, vault: Vault, settings: Settings, viewer: Viewer
) -> SecondFactorSetup:
    """A new secret for the user's app. It counts only after `confirm_second_factor`; asking again
    makes another.

    Raises AlreadyProtected.
    """
    user_id = viewer.user()
    secret = random_base32()
    async with db.transaction(viewer.as_user) as conn:
        key = await vault.new_key(conn, "totp")
        kept = await conn.fetchval(
            "UPDATE identity.users SET totp_key = $2, totp_sealed = $3 "
            "WHERE id = $1 AND totp_confirmed_at IS NULL RETURNING id",
            user_id,
            key.id,
            vault.seal(key, secret.encode(), _bound(user_id)),
        )
        if kept is None:
            raise AlreadyProtected()
    label = quote(f"{settings.marketplace_name}:{viewer.email}", safe="")
    uri = f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': settings.marketplace_name})}"
    svg = segno.make(uri, error="m", micro=False).svg_inline(
        scale=4, border=4, light="#fff", title="QR code for your authenticator app"
    )
    return SecondFactorSetup(secret, uri, svg)


async def confirm_second_factor(db: Database, vault: Vault, viewer: Viewer, code: str) -> SecondFactorOn:
    """Switch the second factor on with a first code from the app; this session has then passed it.

    Raises WrongCode, AlreadyProtected, TooMany.
    """
    user_id = viewer.user()
    await slow_down(db, by_user("second_factor", user_id, 10))
    codes = tuple(_new_recovery_code() for _ in range(_RECOVERY_CODES))
    async with db.transaction(viewer.as_user) as conn:
        user = await conn.fetchrow(f"{_USER} WHERE id = $1 FOR UPDATE", user_id)
        if user is None or user["totp_confirmed_at"]:
            raise AlreadyProtected()
        if not await _take_code(conn, vault, user, code):
            raise WrongCode()
        await conn.execute("UPDATE identity.users SET totp_confirmed_at = $2 WHERE id = $1", user_id, now())
        await conn.execute("DELETE FROM identity.recovery_code WHERE user_id = $1", user_id)
        await conn.executemany(
            "INSERT INTO identity.recovery_code (user_id, code_hash) VALUES ($1, $2)",
            [(user_id, _recovery_hash(user_id, c)) for c in codes],
        )
        fresh = await _pass(conn, viewer)
        await record(conn, "user.second_factor_on", f"user:{user_id}", viewer.actor)
    return SecondFactorOn(fresh, codes)


async def verify_second_factor(db: Database, vault: Vault, viewer: Viewer, code: str) -> SignedIn:
    """Pass the second factor in this session, with an app's code or a recovery code; either works once.

    The session gets a new token. Raises WrongCode, SignInNeeded, TooMany.
    """
    user = await db.fetchrow(
        SYSTEM,
        "SELECT u.id, totp_key, totp_sealed, totp_confirmed_at FROM identity.users u "
        "JOIN identity.sessions s ON s.user_id = u.id WHERE s.id = $1 AND totp_confirmed_at IS NOT NULL",
        viewer.session_id,
    )
    if user is None:
        raise SignInNeeded()
    await slow_down(db, by_user("second_factor", user["id"], 10))
    async with db.transaction(SYSTEM) as conn:
        if not await _take_code(conn, vault, user, code) and not await _take_recovery(conn, user["id"], code):
            raise WrongCode()
        fresh = await _pass(conn, viewer)
        await record(conn, "session.second_factor_passed", f"user:{user['id']}", f"user:{user['id']}")
    return SignedIn(fresh, cast(UUID, viewer.session_id), user["id"], False)


async def stop_second_factor(db: Database, vault: Vault, viewer: Viewer, code: str) -> None:
    """Switch the second factor off, with a code. Raises WrongCode, TooMany."""
    user_id = viewer.user()
    await slow_down(db, by_user("second_factor", user_id, 10))
    async with db.transaction(viewer.as_user) as conn:
        user = await conn.fetchrow(f"{_USER} WHERE id = $1 FOR UPDATE", user_id)
        if user is None or user["totp_confirmed_at"] is None:
            raise WrongCode()
        if not await _take_code(conn, vault, user, code) and not await _take_recovery(conn, user_id, code):
            raise WrongCode()
        await conn.execute(
            "UPDATE identity.users SET totp_key = NULL, totp_sealed = NULL, totp_confirmed_at = NULL "
            "WHERE id = $1",
            user_id,
        )
        await conn.execute("DELETE FROM identity.recovery_code WHERE user_id = $1", user_id)
        await conn.execute("UPDATE identity.sessions SET mfa_at = NULL WHERE user_id = $1", user_id)
        await record(conn, "user.second_factor_off", f"user:{user_id}", viewer.actor)


async def recovery_codes_left(db: Database, viewer: Viewer) -> int:
    """How many recovery codes are still unused."""
    count: int = await db.fetchval(
        viewer.as_user,
        "SELECT count(*) FROM identity.recovery_code WHERE user_id = $1 AND used_at IS NULL",
        viewer.user(),
    )
    return count


async def _take_code(conn: Connection, vault: Vault, user: Record, code: str) -> bool:
    """Use an app's code up; the row remembers the latest step, so no code works a second time."""
    digits = code.replace(" ", "")
    if user["totp_key"] is None or len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return False
    secret = await vault.open(conn, user["totp_key"], user["totp_sealed"], _bound(user["id"]))
    app = TOTP(secret.reveal().decode())
    current = int(now().timestamp()) // _STEP
    for step in (current, current - 1, current + 1):
        if hmac.compare_digest(app.generate_otp(step), digits):
            taken = await conn.fetchval(
                "UPDATE identity.users SET totp_last_step = $2 "
                "WHERE id = $1 AND totp_last_step < $2 RETURNING id",
                user["id"],
                step,
            )
            return taken is not None
    return False


async def _take_recovery(conn: Connection, user_id: UUID, code: str) -> bool:
    taken = await conn.fetchval(
        "UPDATE identity.recovery_code SET used_at = $3 "
        "WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL RETURNING user_id",
        user_id,
        _recovery_hash(user_id, code),
        now(),
    )
    return taken is not None


async def _pass(conn: Connection, viewer: Viewer) -> str:
    """Mark this session as having passed; more may be done with it now, so its token changes."""
    fresh = token()
    passed = await conn.fetchval(
        "UPDATE identity.sessions SET token_hash = $2, mfa_at = $3 WHERE id = $1 RETURNING id",
        viewer.session_id,
        token_hash(fresh),
        now(),
    )
    if passed is None:
        raise SignInNeeded()
    return fresh


def _new_recovery_code() -> str:
    chars = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return "-".join(chars[i : i + 4] for i in range(0, 16, 4))


def _recovery_hash(user_id: UUID, code: str) -> bytes:
    plain = "".join(c for c in code.upper() if c in _ALPHABET)
    return hashlib.sha256(f"{user_id}|{plain}".encode()).digest()


def _bound(user_id: UUID) -> str:
    return f"user:{user_id}"

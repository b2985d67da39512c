"""A user's account: signing up, proving the address, passwords, own details.

What these verbs answer never tells whether an address is known. Mails are not sent here: an event says what
is wanted, and whoever renders the mail asks `new_mail_token` for the link's secret.
"""

from datetime import timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from fondaco.audit import record
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import token, token_hash, uuid7
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity import passwords
from fondaco.identity.fields import plain_email, read_country, read_email, read_line
from fondaco.identity.limits import by_address, by_place, by_user, slow_down
from fondaco.identity.model import DeadLink, SignedIn

Purpose = Literal["verify", "reset"]
THEMES = ("auto", "light", "dark")
_LIVES: dict[str, timedelta] = {"verify": timedelta(hours=24), "reset": timedelta(minutes=30)}


async def sign_up(
    db: Database, viewer: Viewer, *, email: str, password: str, name: str, country: str | None = None
) -> None:
    """Make an account whose address is still to be proved.

    A known address gets the same answer: its owner gets a mail, the account stays as it is.
    Raises Invalid (fields email, password, name, country), TooMany.
    """
    faults: dict[str, str] = {}
    address = read_email(faults, email)
    clean_name = read_line(faults, "name", name, 1, 120)
    land = read_country(faults, country)
    if found := passwords.fault(password, address):
        faults["password"] = found
    if faults:
        raise Invalid(fields=faults)
    await slow_down(db, by_address("sign_up", address, 10), *by_place("sign_up", viewer.ip, 60))
    hashed = await passwords.hash_password(password)
    async with db.transaction(SYSTEM) as conn:
        made = await create_user(conn, email=address, password_hash=hashed, name=clean_name, country=land)
        if made:
            await record(conn, "user.signed_up", f"user:{made}", f"user:{made}")
            return
        known = await conn.fetchrow(
            "SELECT id, email_verified_at FROM identity.users WHERE email = $1", address
        )
        if known:
            # Never proved: somebody else may have typed this address first. A link to a new password proves
            # it and ends whatever password and sessions there are.
            kind = "user.sign_up_repeated" if known["email_verified_at"] else "user.reset_asked"
            await record(conn, kind, f"user:{known['id']}", "guest")


async def create_user(
    conn: Connection,
    *,
    email: str,
    password_hash: str,
    name: str,
    country: str | None = None,
    verified: bool = False,
) -> UUID | None:
    """Insert the account's row; None when the address is taken. Writes no event. Raises Invalid for an
    address whose domain is blocked; then the transaction is over."""
    try:
        made: UUID | None = await conn.fetchval(
            "INSERT INTO identity.users "
            "(id, email, name, password_hash, country, email_verified_at, created_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email) DO NOTHING RETURNING id",
            uuid7(),
            email,
            name,
            password_hash,
            country,
            now() if verified else None,
            now(),
        )
    except asyncpg.CheckViolationError as error:
        if "mail domain is blocked" not in str(error):
            raise
        raise Invalid(fields={"email": "Addresses of this provider are not accepted here."}) from error
    return made


async def new_mail_token(conn: Connection, user_id: UUID, purpose: Purpose) -> str:
    """The secret of a link to be mailed now, bound to its purpose and the user's present address.

    'verify' lives 24 hours, 'reset' 30 minutes. Needs scope system. Raises NotFound for no such user.
    """
    secret = token()
    made = await conn.fetchval(
        "INSERT INTO identity.mail_token (token_hash, purpose, user_id, email, expires_at) "
        "SELECT $1, $2, id, email, $4 FROM identity.users WHERE id = $3 RETURNING user_id",
        token_hash(secret),
        purpose,
        user_id,
        now() + _LIVES[purpose],
    )
    if made is None:
        raise NotFound()
    return secret


async def verify_email(db: Database, secret: str) -> UUID:
    """Prove the address a mailed link was sent to; returns the user's id. Raises DeadLink."""
    async with db.transaction(SYSTEM) as conn:
        user_id = await _use_token(conn, secret, "verify")
        await conn.execute(
            "UPDATE identity.users SET email_verified_at = coalesce(email_verified_at, $2) WHERE id = $1",
            user_id,
            now(),
        )
        await record(conn, "user.verified", f"user:{user_id}", f"user:{user_id}")
    return user_id


async def ask_verification(db: Database, viewer: Viewer, *, email: str) -> None:
    """Ask for the verification mail again. The answer is the same for unknown and proved addresses."""
    await _ask(db, viewer, email, "user.verification_asked", "AND email_verified_at IS NULL")


async def ask_reset(db: Database, viewer: Viewer, *, email: str) -> None:
    """Ask for a mail with a link to a new password. The answer is the same for unknown addresses."""
    await _ask(db, viewer, email, "user.reset_asked", "")


async def _ask(db: Database, viewer: Viewer, email: str, kind: str, only: str) -> None:
    faults: dict[str, str] = {}
    address = read_email(faults, email)
    if faults:
        raise Invalid(fields=faults)
    await slow_down(db, by_address(kind, address, 5), *by_place(kind, viewer.ip, 60))
    async with db.transaction(SYSTEM) as conn:
        user_id = await conn.fetchval(
            f"SELECT id FROM identity.users WHERE email = $1 AND banned_at IS NULL {only}", address
        )
        if user_id:
            await record(conn, kind, f"user:{user_id}", viewer.actor)


async def reset_password(db: Database, secret: str, *, password: str) -> UUID:
    """Set a new password with a mailed link; every session ends, and the address counts as proved.

    Raises Invalid (field password; the link stays good), DeadLink.
    """
    found = await db.fetchrow(
        SYSTEM,
        "SELECT email FROM identity.mail_token "
        "WHERE token_hash = $1 AND purpose = 'reset' AND used_at IS NULL AND expires_at > $2",
        token_hash(secret),
        now(),
    )
    if found is None:
        raise DeadLink()
    if fault := passwords.fault(password, found["email"]):
        raise Invalid(fields={"password": fault})
    hashed = await passwords.hash_password(password)
    async with db.transaction(SYSTEM) as conn:
        user_id = await _use_token(conn, secret, "reset")
        await conn.execute(
            "UPDATE identity.users SET password_hash = $2, "
            "email_verified_at = coalesce(email_verified_at, $3) WHERE id = $1",
            user_id,
            hashed,
            now(),
        )
        await conn.execute("DELETE FROM identity.sessions WHERE user_id = $1", user_id)
        await record(conn, "user.password_changed", f"user:{user_id}", f"user:{user_id}", {"by": "mail"})
    return user_id


async def _use_token(conn: Connection, secret: str, purpose: Purpose) -> UUID:
    """Use a link up, with all others of its purpose. The row's lock lets one of two at once through."""
    row = await conn.fetchrow(
        "UPDATE identity.mail_token SET used_at = $3 "
        "WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 "
        "RETURNING user_id, email",
        token_hash(secret),
        purpose,
        now(),
    )
    user_id: UUID | None = row and await conn.fetchval(
        "SELECT id FROM identity.users WHERE id = $1 AND email = $2 AND banned_at IS NULL FOR UPDATE",
        row["user_id"],
        row["email"],
    )
    if user_id is None:
        raise DeadLink()
    await conn.execute(
        "UPDATE identity.mail_token SET used_at = $3 WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL",
        user_id,
        purpose,
        now(),
    )
    return user_id


async def change_password(db: Database, viewer: Viewer, *, current: str, password: str) -> SignedIn:
    """Set a new password; all other sessions end and this one gets a new token.

    Raises Invalid (fields current, password), TooMany.
    """
    user_id = viewer.user()
    if fault := passwords.fault(password, viewer.email):
        raise Invalid(fields={"password": fault})
    await slow_down(db, by_user("change_password", user_id, 10))
    stored: str = await db.fetchval(
        viewer.as_user, "SELECT password_hash FROM identity.users WHERE id = $1", user_id
    )
    if not await passwords.matches(stored, current):
        raise Invalid(fields={"current": "This is not your password."})
    hashed = await passwords.hash_password(password)
    fresh = token()
    async with db.transaction(viewer.as_user) as conn:
        changed = await conn.fetchval(
            "UPDATE identity.users SET password_hash = $2 WHERE id = $1 AND password_hash = $3 RETURNING id",
            user_id,
            hashed,
            stored,
        )
        if changed is None:
            raise Invalid(fields={"current": "Your password was changed meanwhile."})
        await conn.execute(
            "DELETE FROM identity.sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2",
            user_id,
            viewer.session_id,
        )
        session_id = await conn.fetchval(
            "UPDATE identity.sessions SET token_hash = $3 WHERE user_id = $1 AND id = $2 RETURNING id",
            user_id,
            viewer.session_id,
            token_hash(fresh),
        )
        if session_id is None:
            raise NotFound()
        await record(conn, "user.password_changed", f"user:{user_id}", viewer.actor, {"by": "self"})
    return SignedIn(fresh, session_id, user_id, False)


async def change_details(
    db: Database, viewer: Viewer, *, name: str, country: str | None, theme: str = "auto"
) -> None:
    """Change one's own name, country and colours. Raises Invalid (fields name, country, theme)."""
    faults: dict[str, str] = {}
    clean_name = read_line(faults, "name", name, 1, 120)
    land = read_country(faults, country)
    if theme not in THEMES:
        faults["theme"] = f"Choose one of {', '.join(THEMES)}."
    if faults:
        raise Invalid(fields=faults)
    await db.execute(
        viewer.as_user,
        "UPDATE identity.users SET name = $2, country = $3, theme = $4 WHERE id = $1",
        viewer.user(),
        clean_name,
        land,
        theme,
    )


async def theme_of(db: Database, user_id: UUID) -> str:
    """The colours this user chose: auto, light or dark."""
    found: str | None = await db.fetchval(SYSTEM, "SELECT theme FROM identity.users WHERE id = $1", user_id)
    return found or "auto"


async def user_by_email(db: Database, email: str) -> UUID | None:
    """The account of a proved address, for desks that may know (never for the public)."""
    found: UUID | None = await db.fetchval(
        SYSTEM,
        "SELECT id FROM identity.users WHERE email = $1 AND email_verified_at IS NOT NULL "
        "AND banned_at IS NULL",
        plain_email(email),
    )
    return found

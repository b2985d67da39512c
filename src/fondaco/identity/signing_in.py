"""Sessions: beginning, listing, ending them, and choosing the store one works in."""

from uuid import UUID

from fondaco.audit import record
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import token, token_hash, uuid7
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity import passwords
from fondaco.identity.fields import plain_email
from fondaco.identity.limits import Hit, by_address, by_place, by_user, place_hash, slow_down
from fondaco.identity.model import AccountClosed, SessionRow, SignedIn, WrongCredentials
from fondaco.identity.sessions import LIFETIME

_TRIES_PER_HOUR = 15
_NOBODY = UUID(int=0)


async def sign_in(db: Database, viewer: Viewer, *, email: str, password: str) -> SignedIn:
    """Begin a session. `viewer` is whoever asks: its address and browser are noted, its session ends.

    Unknown addresses and wrong passwords get the same answer at the same cost. When the account has a second
    factor, the session is good for nothing until `verify_second_factor`.
    Raises WrongCredentials, AccountClosed, TooMany.
    """
    address = plain_email(email)
    user = await db.fetchrow(
        SYSTEM,
        "SELECT id, password_hash, banned_at, totp_confirmed_at FROM identity.users WHERE email = $1",
        address,
    )
    user_id: UUID = user["id"] if user else _NOBODY
    account = await _account_limit(db, address, user_id, viewer.ip)
    await slow_down(db, account, *by_place("sign_in", viewer.ip, 100))
    if not await passwords.matches(user["password_hash"] if user else None, password) or user is None:
        async with db.transaction(SYSTEM) as conn:
            await record(conn, "session.failed", f"user:{user['id'] if user else 'unknown'}", "guest")
        raise WrongCredentials()
    if user["banned_at"]:
        raise AccountClosed()
    fresh = await passwords.hash_password(password) if passwords.stale(user["password_hash"]) else None
    async with db.transaction(SYSTEM) as conn:
        # Who changes the password or closes the account waits for this, and then ends this session too.
        present = await conn.fetchval(
            "SELECT password_hash FROM identity.users WHERE id = $1 AND banned_at IS NULL FOR NO KEY UPDATE",
            user_id,
        )
        if present == user["password_hash"]:
            if fresh:
                await conn.execute(
                    "UPDATE identity.users SET password_hash = $2 WHERE id = $1", user_id, fresh
                )
            await conn.execute("DELETE FROM core.throttle WHERE key = $1", account[0])
            secret, session_id = await _let_in(conn, viewer, user_id)
            return SignedIn(secret, session_id, user_id, user["totp_confirmed_at"] is not None)
    return await sign_in(db, viewer, email=email, password=password)  # changed meanwhile: look again


async def _let_in(conn: Connection, viewer: Viewer, user_id: UUID) -> tuple[str, UUID]:
    """The new session in place of the one before; the network is known from now on."""
    await conn.execute(
        "INSERT INTO identity.known_place (user_id, place_hash, seen_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (user_id, place_hash) DO UPDATE SET seen_at = excluded.seen_at",
        user_id,
        place_hash(user_id, viewer.ip),
        now(),
    )
    if viewer.session_id:
        await conn.execute("DELETE FROM identity.sessions WHERE id = $1", viewer.session_id)
    secret, session_id = await begin_session(conn, user_id, viewer.ip, viewer.user_agent)
    await record(conn, "session.started", f"user:{user_id}", f"user:{user_id}")
    return secret, session_id


async def _account_limit(db: Database, address: str, user_id: UUID, ip: str) -> Hit:
    """The limit that counts tries on this account. The owner's own networks count apart from all others, so
    that a stranger's guessing does not keep the owner out."""
    place = place_hash(user_id, ip)
    known = await db.fetchval(
        SYSTEM,
        "SELECT EXISTS (SELECT FROM identity.known_place WHERE user_id = $1 AND place_hash = $2)",
        user_id,
        place,
    )
    if known:
        return by_user(f"sign_in:{place.hex()[:16]}", user_id, _TRIES_PER_HOUR, 3600)
    return by_address("sign_in", address, _TRIES_PER_HOUR)


async def begin_session(
    conn: Connection, user_id: UUID, ip: str, user_agent: str, *, second_factor: bool = False
) -> tuple[str, UUID]:
    """A new session's token and id. It works in the user's oldest store, if there is one. Writes no event."""
    secret, session_id, at = token(), uuid7(), now()
    await conn.execute(
        "INSERT INTO identity.sessions (token_hash, id, user_id, seller_id, created_at, last_seen_at, "
        "expires_at, mfa_at, ip, user_agent) VALUES ($1, $2, $3, (SELECT seller_id FROM identity.membership "
        "WHERE user_id = $3 ORDER BY created_at, seller_id LIMIT 1), $4, $4, $5, $6, $7, $8)",
        token_hash(secret),
        session_id,
        user_id,
        at,
        at + LIFETIME,
        at if second_factor else None,
        ip,
        "".join(c for c in user_agent if c.isprintable())[:300],
    )
    return secret, session_id


async def sign_out(db: Database, viewer: Viewer) -> None:
    """End this session (also one that still owes its second factor). Nothing to end is fine."""
    if viewer.session_id:
        await db.execute(SYSTEM, "DELETE FROM identity.sessions WHERE id = $1", viewer.session_id)


async def list_sessions(db: Database, viewer: Viewer) -> list[SessionRow]:
    """Where this user is signed in, latest first."""
    rows = await db.fetch(
        viewer.as_user,
        "SELECT id, created_at, last_seen_at, expires_at, ip, user_agent, "
        "mfa_at IS NOT NULL AS second_factor, id IS NOT DISTINCT FROM $2 AS current FROM identity.sessions "
        "WHERE user_id = $1 AND expires_at > $3 AND last_seen_at > $3 - interval '24 hours' "
        "ORDER BY last_seen_at DESC, id DESC",
        viewer.user(),
        viewer.session_id,
        now(),
    )
    return [SessionRow(**dict(row)) for row in rows]


async def revoke_session(db: Database, viewer: Viewer, session_id: UUID) -> None:
    """End one of this user's sessions at once. Raises NotFound."""
    gone = await db.fetchval(
        viewer.as_user,
        "DELETE FROM identity.sessions WHERE id = $1 AND user_id = $2 RETURNING id",
        session_id,
        viewer.user(),
    )
    if gone is None:
        raise NotFound()


async def revoke_other_sessions(db: Database, viewer: Viewer) -> int:
    """End all of this user's sessions but this one; returns how many."""
    rows = await db.fetch(
        viewer.as_user,
        "DELETE FROM identity.sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2 RETURNING id",
        viewer.user(),
        viewer.session_id,
    )
    return len(rows)


async def switch_store(db: Database, viewer: Viewer, seller_id: UUID) -> None:
    """Work in another of this user's stores from now on. Raises NotFound when it is not one of them."""
    changed = await db.fetchval(
        viewer.as_user,
        "UPDATE identity.sessions s SET seller_id = m.seller_id FROM identity.membership m "
        "WHERE s.id = $1 AND s.user_id = $2 AND m.user_id = $2 AND m.seller_id = $3 RETURNING s.id",
        viewer.session_id,
        viewer.user(),
        seller_id,
    )
    if changed is None:
        raise NotFound()

"""Builders of people: users, staff, sellers, and their sessions, straight into the database."""

import itertools

from argon2 import PasswordHasher

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import token as new_token
from fondaco.core.ids import token_hash
from fondaco.core.viewer import Viewer
from fondaco.identity import begin_session, create_api_key, create_user
from fondaco.identity.sessions import viewer_of
from fondaco.sellers import open_store

PASSWORD = "correct horse battery"
_QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
_numbers = itertools.count(1)
GUEST = Viewer(ip="127.0.0.1", user_agent="test")


async def make_user(
    db: Database,
    email: str | None = None,
    *,
    verified: bool = True,
    staff_role: str | None = None,
    mfa: bool | None = None,
    name: str | None = None,
    country: str | None = "DE",
) -> Viewer:
    """A signed-in user whose password is PASSWORD. Staff have passed a second factor unless `mfa` is False
    (no authenticator app is set up for them: `mfa` only marks the session)."""
    number = next(_numbers)
    viewer, _ = await make_user_and_token(
        db,
        email or f"user{number}@example.com",
        verified=verified,
        staff_role=staff_role,
        mfa=staff_role is not None if mfa is None else mfa,
        name=name or f"User {number}",
        country=country,
    )
    return viewer


async def make_user_and_token(
    db: Database,
    email: str,
    *,
    verified: bool = True,
    staff_role: str | None = None,
    mfa: bool = False,
    name: str = "User",
    country: str | None = "DE",
) -> tuple[Viewer, str]:
    """The same, with the session's token."""
    async with db.transaction(SYSTEM) as conn:
        user_id = await create_user(
            conn, email=email, password_hash=_QUICK, name=name, country=country, verified=verified
        )
        assert user_id, f"{email} is taken"
        await conn.execute("UPDATE identity.users SET staff_role = $2 WHERE id = $1", user_id, staff_role)
        token, _ = await begin_session(conn, user_id, GUEST.ip, GUEST.user_agent, second_factor=mfa)
    return await viewer_of(db, token, GUEST), token


async def make_seller(
    db: Database, name: str | None = None, *, email: str | None = None, country: str = "DE"
) -> Viewer:
    """The owner of a fresh open store, working in it."""
    owner = await make_user(db, email)
    await open_store(db, owner, name=name or f"Store {next(_numbers)}", country=country)
    return await again(db, owner)


async def make_member(db: Database, seller: Viewer, role: str, *, email: str | None = None) -> Viewer:
    """Another user, with `role` in the team of `seller`'s store, working in it."""
    member = await make_user(db, email)
    await db.execute(
        SYSTEM,
        "INSERT INTO identity.membership (user_id, seller_id, role) VALUES ($1, $2, $3)",
        member.user(),
        seller.seller(),
        role,
    )
    await db.execute(
        SYSTEM,
        "UPDATE identity.sessions SET seller_id = $2 WHERE user_id = $1",
        member.user(),
        seller.seller(),
    )
    return await again(db, member)


async def sign_in(db: Database, viewer: Viewer) -> str:
    """A bearer token (or cookie value) of a new session of this user, as far as the viewer's has come:
    the same store, and the second factor passed when it has."""
    async with db.transaction(SYSTEM) as conn:
        token, session_id = await begin_session(
            conn, viewer.user(), GUEST.ip, GUEST.user_agent, second_factor=viewer.mfa
        )
        await conn.execute(
            "UPDATE identity.sessions SET seller_id = $2 WHERE id = $1", session_id, viewer.seller_id
        )
    return token


async def bearer(db: Database, viewer: Viewer) -> dict[str, str]:
    """The header that calls the API as this viewer."""
    return {"Authorization": f"Bearer {await sign_in(db, viewer)}"}


async def again(db: Database, viewer: Viewer) -> Viewer:
    """The viewer as the next request would see them."""
    return await viewer_of(db, await sign_in_same(db, viewer), GUEST)


async def sign_in_same(db: Database, viewer: Viewer) -> str:
    """A token of this very session of the viewer, replacing the one it had."""
    fresh = new_token()
    await db.execute(
        SYSTEM,
        "UPDATE identity.sessions SET token_hash = $2 WHERE id = $1",
        viewer.session_id,
        token_hash(fresh),
    )
    return fresh


async def make_api_key(db: Database, seller: Viewer, *scopes: str) -> dict[str, str]:
    """The header that calls the API with a new key of the seller's store."""
    made = await create_api_key(db, seller, name="test", scopes=scopes or ("catalog.read",))
    return {"Authorization": f"Bearer {made.key}"}

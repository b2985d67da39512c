"""A store's team: who is in it, in which role."""

from uuid import UUID

from fondaco.audit import record
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity import user_by_email
from fondaco.identity.limits import by_user, slow_down
from fondaco.identity.permissions import PERMISSIONS
from fondaco.sellers.model import TEAM_ROLES, LastOwner, Member

_NOBODY_THERE = "No proved account has this address. Ask the person to sign up first, then add them."


async def list_team(db: Database, viewer: Viewer) -> list[Member]:
    """The team of the viewer's store, oldest member first."""
    rows = await db.fetch(
        viewer.as_seller,
        "SELECT m.user_id, u.name, u.email, m.role, m.created_at FROM identity.membership m "
        "JOIN identity.users u ON u.id = m.user_id WHERE m.seller_id = $1 ORDER BY m.created_at, m.user_id",
        viewer.seller(),
    )
    return [Member(**dict(row)) for row in rows]


async def add_member(db: Database, viewer: Viewer, *, email: str, role: str) -> UUID:
    """Add the person with this proved address to the team; returns the user's id.

    Raises Invalid (fields email, role), TooMany (asking around for addresses is slowed down).
    """
    seller_id, user_id = viewer.seller(), viewer.user()
    _check_role(role)
    await slow_down(db, by_user("add_member", user_id, 30, 3600))
    member = await user_by_email(db, email)
    if member is None:
        raise Invalid(fields={"email": _NOBODY_THERE})
    async with db.transaction(SYSTEM) as conn:
        await _lock(conn, seller_id)
        added = await conn.fetchval(
            "INSERT INTO identity.membership (user_id, seller_id, role, created_at) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT DO NOTHING RETURNING user_id",
            member,
            seller_id,
            role,
            now(),
        )
        if added is None:
            raise Invalid(fields={"email": "This person is in the team already. Change the role instead."})
        # Where the person is signed in and works in no store yet, it is this one.
        await conn.execute(
            "UPDATE identity.sessions SET seller_id = $2 WHERE user_id = $1 AND seller_id IS NULL",
            member,
            seller_id,
        )
        await record(
            conn,
            "team.member_added",
            f"seller:{seller_id}",
            viewer.actor,
            {"user_id": str(member), "role": role},
        )
    return member


async def change_role(db: Database, viewer: Viewer, *, user_id: UUID, role: str) -> None:
    """Give a member another role; it counts from the next request on. API keys that the person made are
    revoked when the new role may not make any.

    Raises Invalid (field role), NotFound, LastOwner.
    """
    seller_id = viewer.seller()
    _check_role(role)
    async with db.transaction(SYSTEM) as conn:
        await _lock(conn, seller_id)
        await _keep_an_owner(conn, seller_id, user_id, role)
        changed = await conn.fetchval(
            "UPDATE identity.membership SET role = $3 "
            "WHERE seller_id = $1 AND user_id = $2 RETURNING user_id",
            seller_id,
            user_id,
            role,
        )
        if changed is None:
            raise NotFound()
        if f"seller.{role}" not in PERMISSIONS["api_keys.edit"]:
            await _revoke_keys(conn, seller_id, user_id)
        await record(
            conn,
            "team.role_changed",
            f"seller:{seller_id}",
            viewer.actor,
            {"user_id": str(user_id), "role": role},
        )


async def remove_member(db: Database, viewer: Viewer, *, user_id: UUID) -> None:
    """Take a person out of the team at once; API keys that person made for the store are revoked.

    Raises NotFound, LastOwner.
    """
    seller_id = viewer.seller()
    async with db.transaction(SYSTEM) as conn:
        await _lock(conn, seller_id)
        await _keep_an_owner(conn, seller_id, user_id, None)
        gone = await conn.fetchval(
            "DELETE FROM identity.membership WHERE seller_id = $1 AND user_id = $2 RETURNING user_id",
            seller_id,
            user_id,
        )
        if gone is None:
            raise NotFound()
        await conn.execute(
            "UPDATE identity.sessions SET seller_id = NULL WHERE user_id = $1 AND seller_id = $2",
            user_id,
            seller_id,
        )
        await _revoke_keys(conn, seller_id, user_id)
        await record(
            conn, "team.member_removed", f"seller:{seller_id}", viewer.actor, {"user_id": str(user_id)}
        )


async def _revoke_keys(conn: Connection, seller_id: UUID, user_id: UUID) -> None:
    await conn.execute(
        "UPDATE identity.api_key SET revoked_at = $3 "
        "WHERE created_by = $1 AND seller_id = $2 AND revoked_at IS NULL",
        user_id,
        seller_id,
        now(),
    )


async def _lock(conn: Connection, seller_id: UUID) -> None:
    """One change of a team at a time, so that two owners cannot remove each other."""
    await conn.execute("SELECT FROM sellers.seller WHERE id = $1 FOR NO KEY UPDATE", seller_id)


async def _keep_an_owner(conn: Connection, seller_id: UUID, user_id: UUID, role: str | None) -> None:
    owners = await conn.fetch(
        "SELECT user_id FROM identity.membership WHERE seller_id = $1 AND role = 'owner'", seller_id
    )
    if role != "owner" and [row["user_id"] for row in owners] == [user_id]:
        raise LastOwner()


def _check_role(role: str) -> None:
    if role not in TEAM_ROLES:
        raise Invalid(fields={"role": f"Choose one of {', '.join(TEAM_ROLES)}."})

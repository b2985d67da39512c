"""What admins do to accounts: staff roles, closing and opening."""

from uuid import UUID

from fondaco.audit import record
from fondaco.core.clock import now
from fondaco.core.db import Connection, Database
from fondaco.core.problem import Forbidden, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.model import LastAdmin

STAFF_ROLES = ("support", "ops", "finance", "admin", "auditor")


async def give_staff_role(db: Database, viewer: Viewer, user_id: UUID, role: str | None) -> None:
    """Make a user staff with `role` (one of STAFF_ROLES), or no longer staff (None). Counts at once.

    Raises Forbidden unless the viewer is an admin who passed the second factor, Invalid (field role),
    NotFound, LastAdmin.
    """
    _admin(viewer)
    if role is not None and role not in STAFF_ROLES:
        raise Invalid(fields={"role": f"Choose one of {', '.join(STAFF_ROLES)}."})
    async with db.transaction(viewer.as_staff) as conn:
        await set_staff_role(conn, user_id, role, viewer.actor)


async def set_staff_role(conn: Connection, user_id: UUID, role: str | None, actor: str) -> None:
    """The same in the caller's transaction (scope system), for the command line and first set-up."""
    # All admins are locked in one order, so that two of them cannot step down at once.
    admins = await conn.fetch(
        "SELECT id FROM identity.users WHERE staff_role = 'admin' ORDER BY id FOR UPDATE"
    )
    if role != "admin" and [row["id"] for row in admins] == [user_id]:
        raise LastAdmin()
    changed = await conn.fetchval(
        "UPDATE identity.users SET staff_role = $2 WHERE id = $1 RETURNING id", user_id, role
    )
    if changed is None:
        raise NotFound()
    await record(conn, "staff.role_given", f"user:{user_id}", actor, {"role": role})


async def close_account(db: Database, viewer: Viewer, user_id: UUID) -> None:
    """Shut a user out at once: sessions end, keys they made stop. What they bought stays theirs.

    Raises Forbidden, NotFound; LastAdmin when an admin would shut out the last one.
    """
    _admin(viewer)
    async with db.transaction(viewer.as_staff) as conn:
        admins = await conn.fetch(
            "SELECT id FROM identity.users WHERE staff_role = 'admin' AND banned_at IS NULL "
            "ORDER BY id FOR UPDATE"
        )
        if [row["id"] for row in admins] == [user_id]:
            raise LastAdmin()
        closed = await conn.fetchval(
            "UPDATE identity.users SET banned_at = $2 WHERE id = $1 AND banned_at IS NULL RETURNING id",
            user_id,
            now(),
        )
        if closed is None:
            raise NotFound()
        await conn.execute("DELETE FROM identity.sessions WHERE user_id = $1", user_id)
        await record(conn, "user.closed", f"user:{user_id}", viewer.actor)


async def open_account(db: Database, viewer: Viewer, user_id: UUID) -> None:
    """Let a shut-out user in again. Raises Forbidden, NotFound."""
    _admin(viewer)
    async with db.transaction(viewer.as_staff) as conn:
        opened = await conn.fetchval(
            "UPDATE identity.users SET banned_at = NULL WHERE id = $1 AND banned_at IS NOT NULL RETURNING id",
            user_id,
        )
        if opened is None:
            raise NotFound()
        await record(conn, "user.opened", f"user:{user_id}", viewer.actor)


def _admin(viewer: Viewer) -> None:
    if viewer.staff_role != "admin" or not viewer.mfa:
        raise Forbidden()

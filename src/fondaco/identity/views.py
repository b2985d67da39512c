"""Saved views: a list's filter somebody wants to come back to."""

from uuid import UUID

from fondaco.core.clock import now
from fondaco.core.db import Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.fields import read_line
from fondaco.identity.model import SavedView

_MOST_VIEWS = 50


async def save_view(db: Database, viewer: Viewer, *, list_name: str, name: str, query: str) -> SavedView:
    """Keep a filter of list `list_name` under `name`; the same name again replaces it.

    Raises Invalid (fields list, name, query).
    """
    faults: dict[str, str] = {}
    clean_list = read_line(faults, "list", list_name, 1, 60)
    clean_name = read_line(faults, "name", name, 1, 60)
    clean_query = query.removeprefix("?")
    if len(clean_query) > 2000 or not clean_query.isprintable():
        faults["query"] = "This filter is too long to keep."
    if faults:
        raise Invalid(fields=faults)
    if len(await list_views(db, viewer, list_name=clean_list)) >= _MOST_VIEWS:
        raise Invalid(fields={"name": f"A list keeps at most {_MOST_VIEWS} views. Delete one first."})
    row = await db.fetchrow(
        viewer.as_user,
        "INSERT INTO identity.saved_view (id, user_id, list, name, query, created_at) "
        "VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (user_id, list, name) DO UPDATE SET query = excluded.query "
        "RETURNING id, list, name, query",
        uuid7(),
        viewer.user(),
        clean_list,
        clean_name,
        clean_query,
        now(),
    )
    assert row
    return SavedView(**dict(row))


async def list_views(db: Database, viewer: Viewer, *, list_name: str) -> list[SavedView]:
    """This user's saved views of one list, by name."""
    rows = await db.fetch(
        viewer.as_user,
        "SELECT id, list, name, query FROM identity.saved_view "
        "WHERE user_id = $1 AND list = $2 ORDER BY lower(name), id",
        viewer.user(),
        list_name,
    )
    return [SavedView(**dict(row)) for row in rows]


async def delete_view(db: Database, viewer: Viewer, view_id: UUID) -> None:
    """Forget one of this user's saved views. Raises NotFound."""
    gone = await db.fetchval(
        viewer.as_user,
        "DELETE FROM identity.saved_view WHERE id = $1 AND user_id = $2 RETURNING id",
        view_id,
        viewer.user(),
    )
    if gone is None:
        raise NotFound()

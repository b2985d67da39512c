"""A store's API keys: shown once, kept as hashes, limited to the permissions they were given."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from fondaco.audit import record
from fondaco.core.clock import now
from fondaco.core.db import Database
from fondaco.core.ids import token, token_hash, uuid7
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.fields import read_line
from fondaco.identity.model import ApiKey, NewApiKey
from fondaco.identity.permissions import KEY_SCOPES
from fondaco.identity.sessions import KEY_MARK

_MOST_KEYS = 50


async def create_api_key(
    db: Database, viewer: Viewer, *, name: str, scopes: Sequence[str], days: int | None = None
) -> NewApiKey:
    """A new key for the viewer's store with these permissions (a part of KEY_SCOPES), good for `days`
    (None: until revoked). Raises Invalid (fields name, scopes, days)."""
    seller_id, user_id = viewer.seller(), viewer.user()
    faults: dict[str, str] = {}
    clean_name = read_line(faults, "name", name, 1, 80)
    wanted = sorted(set(scopes))
    if not wanted or set(wanted) - set(KEY_SCOPES):
        faults["scopes"] = f"Choose at least one of {', '.join(KEY_SCOPES)}."
    if days is not None and not 1 <= days <= 3650:
        faults["days"] = "Choose 1 to 3650 days, or leave it empty."
    if faults:
        raise Invalid(fields=faults)
    key_id, key = uuid7(), KEY_MARK + token()
    async with db.transaction(viewer.as_seller) as conn:
        count = await conn.fetchval(
            "SELECT count(*) FROM identity.api_key WHERE seller_id = $1 AND revoked_at IS NULL", seller_id
        )
        if count >= _MOST_KEYS:
            raise Invalid(f"A store has at most {_MOST_KEYS} keys. Revoke one you no longer need.")
        await conn.execute(
            "INSERT INTO identity.api_key (id, seller_id, name, prefix, key_hash, scopes, created_by, "
            "created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            key_id,
            seller_id,
            clean_name,
            key[:9],
            token_hash(key),
            wanted,
            user_id,
            now(),
            now() + timedelta(days=days) if days else None,
        )
        await record(
            conn,
            "api_key.created",
            f"seller:{seller_id}",
            viewer.actor,
            {"api_key_id": str(key_id), "scopes": wanted},
        )
    return NewApiKey(key_id, key, key[:9])


async def list_api_keys(db: Database, viewer: Viewer) -> list[ApiKey]:
    """The store's keys that were not revoked, newest first."""
    rows = await db.fetch(
        viewer.as_seller,
        "SELECT id, name, prefix, scopes, created_at, expires_at, last_used_at FROM identity.api_key "
        "WHERE seller_id = $1 AND revoked_at IS NULL ORDER BY id DESC",
        viewer.seller(),
    )
    return [
        ApiKey(
            row["id"],
            row["name"],
            row["prefix"],
            tuple(row["scopes"]),
            row["created_at"],
            row["expires_at"],
            row["last_used_at"],
        )
        for row in rows
    ]


async def revoke_api_key(db: Database, viewer: Viewer, key_id: UUID) -> None:
    """End a key of the viewer's store at once. Raises NotFound."""
    async with db.transaction(viewer.as_seller) as conn:
        gone = await conn.fetchval(
            "UPDATE identity.api_key SET revoked_at = $3 "
            "WHERE id = $1 AND seller_id = $2 AND revoked_at IS NULL RETURNING id",
            key_id,
            viewer.seller(),
            now(),
        )
        if gone is None:
            raise NotFound()
        await record(
            conn,
            "api_key.revoked",
            f"seller:{viewer.seller()}",
            viewer.actor,
            {"api_key_id": str(key_id)},
        )

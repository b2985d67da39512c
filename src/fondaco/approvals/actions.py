"""Asking for an act, and deciding: the act happens in the transaction of the decision."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from fondaco import audit
from fondaco.approvals.model import (
    EXPIRES_AFTER,
    Act,
    AlreadyAsked,
    AlreadyDecided,
    OwnRequest,
    Request,
    Verb,
    Words,
)
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.problem import Forbidden, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.permissions import PERMISSIONS

_VERBS: dict[str, Verb] = {}


def verb(kind: str, *, permission: str, words: Words) -> Callable[[Act], Act]:
    """Registers an act that needs two people.

    `permission`: who may decide. `words(payload)`: one or two sentences of what will happen, kept with the
    request. The act runs in the deciding transaction; when it raises, nothing was decided.
    """
    if kind in _VERBS or permission not in PERMISSIONS:
        raise ValueError(f"{kind}: registered twice, or {permission} is no permission")

    def register(act: Act) -> Act:
        _VERBS[kind] = Verb(kind, permission, words, act)
        return act

    return register


async def ask(  # noqa: PLR0917 - in the order they are read
    conn: Connection, kind: str, ref: str, payload: Mapping[str, Any], reason: str, by: Viewer | None
) -> UUID:
    """Ask for an act; returns the request's id. `by` is None when the marketplace itself asks.

    One transaction with the caller. Raises Invalid for a missing reason, AlreadyAsked when the same kind
    waits for the same thing.
    """
    why = said(reason, "reason", least=3)
    found = _VERBS[kind]
    request_id = uuid7()
    made = await conn.execute(
        """INSERT INTO approvals.request (id, kind, ref, payload, words, reason, permission, state, asked_by,
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'OPEN', $8, now() + $9::interval)
           ON CONFLICT (kind, ref) WHERE state = 'OPEN' DO NOTHING""",
        request_id,
        kind,
        ref,
        dict(payload),
        found.words(payload),
        why,
        found.permission,
        by.user() if by else None,
        EXPIRES_AFTER,
    )
    if made == "INSERT 0 0":
        raise AlreadyAsked()
    data = {"approval_id": str(request_id), "kind": kind, "reason": why}
    await audit.record(conn, "approval.asked", ref, by.actor if by else "system", data)
    return request_id


async def decide(db: Database, viewer: Viewer, request_id: UUID, approve: bool, note: str = "") -> Request:
    """Approve, and do it in the same transaction; or refuse, with a note that says why.

    Raises NotFound, Forbidden, OwnRequest, AlreadyDecided, Invalid, and whatever keeps the act from being
    done: then the request stays open.
    """
    words = said(note, "note", least=0 if approve else 3)

    async def work(conn: Connection) -> Request:
        row = await _open(conn, request_id)
        if not viewer.roles & PERMISSIONS[row["permission"]]:
            raise Forbidden("Your role may see this request, not decide it.")
        if row["asked_by"] == viewer.user():
            raise OwnRequest()
        done = await _close(conn, request_id, "APPROVED" if approve else "REFUSED", viewer, words)
        if approve:
            await _VERBS[done.kind].act(conn, done.payload, done)
        return done

    return await db.run(viewer.as_staff, work)


async def withdraw(db: Database, viewer: Viewer, request_id: UUID) -> Request:
    """Who asked takes it back. Raises NotFound, AlreadyDecided, Forbidden for anybody else."""

    async def work(conn: Connection) -> Request:
        row = await _open(conn, request_id)
        if row["asked_by"] != viewer.user():
            raise Forbidden("Only who asked can take the request back. You can refuse it.")
        return await _close(conn, request_id, "WITHDRAWN", viewer, "")

    return await db.run(viewer.as_staff, work)


async def expire(db: Database) -> int:
    """Close what nobody decided in time; returns how many."""

    async def work(conn: Connection) -> int:
        rows = await conn.fetch(
            """UPDATE approvals.request SET state = 'EXPIRED', decided_at = now() WHERE id IN (
                 SELECT id FROM approvals.request WHERE state = 'OPEN' AND expires_at <= now()
                 ORDER BY asked_at LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id, kind, ref"""
        )
        for row in rows:
            data = {"approval_id": str(row["id"]), "kind": row["kind"]}
            await audit.record(conn, "approval.expired", row["ref"], "system", data)
        return len(rows)

    return await db.run(SYSTEM, work)


async def read(db: Database, viewer: Viewer, request_id: UUID) -> Request:
    """One request, for staff. Raises NotFound."""
    row = await db.fetchrow(viewer.as_staff, "SELECT * FROM approvals.request WHERE id = $1", request_id)
    if row is None:
        raise NotFound()
    return Request(**dict(row))


async def waiting(conn: Connection, ref: str) -> list[Request]:
    """Open requests about a thing, oldest first."""
    rows = await conn.fetch(
        "SELECT * FROM approvals.request WHERE ref = $1 AND state = 'OPEN' ORDER BY asked_at, id", ref
    )
    return [Request(**dict(row)) for row in rows]


def may_decide(viewer: Viewer, request: Request) -> bool:
    """Whether this viewer could decide it: for the page's buttons."""
    return request.asked_by != viewer.user_id and bool(viewer.roles & PERMISSIONS[request.permission])


def said(text: str, field: str, *, least: int) -> str:
    """Words a person wrote, trimmed; Invalid when there are too few, too many, or what is no text."""
    words = text.strip()
    if not least <= len(words) <= 500 or "\x00" in words:
        raise Invalid(
            fields={field: f"Write {least} to 500 characters." if least else "At most 500 characters."}
        )
    return words


async def _open(conn: Connection, request_id: UUID) -> Record:
    row = await conn.fetchrow("SELECT * FROM approvals.request WHERE id = $1 FOR UPDATE", request_id)
    if row is None:
        raise NotFound()
    if row["state"] != "OPEN" or row["expires_at"] <= now():
        raise AlreadyDecided()
    return row


async def _close(conn: Connection, request_id: UUID, state: str, viewer: Viewer, note: str) -> Request:
    row = await conn.fetchrow(
        """UPDATE approvals.request SET state = $2, decided_at = now(), note = $4,
             decided_by = CASE WHEN $2 = 'WITHDRAWN' THEN NULL ELSE $3::uuid END
           WHERE id = $1 RETURNING *""",
        request_id,
        state,
        viewer.user(),
        note or None,
    )
    assert row
    data = {"approval_id": str(request_id), "kind": row["kind"], "note": note}
    await audit.record(conn, f"approval.{state.lower()}", row["ref"], viewer.actor, data)
    return Request(**dict(row))

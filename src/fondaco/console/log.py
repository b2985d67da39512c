"""The audit log and its blocks, the provider's events and the mails, as the desks page through them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fondaco.audit import AuditEvent
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.console.model import Block
from fondaco.core.db import Database, Record
from fondaco.core.pagination import Cursors, Page
from fondaco.core.viewer import Viewer
from fondaco.inbox import InboxEvent
from fondaco.notifications import MailRow
from fondaco.orders.reads import pattern

_EVENTS = Keyset("console-audit", (("id", "e.id", "bigint"),))
_BLOCKS = Keyset("console-blocks", (("number", "b.number", "bigint"),))
_ARRIVED = Keyset("console-inbox", (("id", "e.id", "bigint"),))
_MAILS = Keyset("console-mails", (("created_at", "m.created_at", "timestamptz"), ("id", "m.id", "uuid")))


async def list_audit(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    subjects: Sequence[str] = (),
    ref: str = "",
    actor: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[AuditEvent]:
    """Audit events, newest first. `q`: a kind ('order.delivered'), a ref, an actor, or an address;
    `subjects`: what kinds begin with ('order', 'funding')."""
    text = q.replace("\x00", "").strip()[:200]
    args: list[Any] = [text, list(subjects) or None, ref, actor]
    start = _EVENTS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT e.id, e.xid::text AS xid, e.at, e.kind, e.ref, e.actor, e.data FROM audit.event e
            WHERE ($1 = '' OR e.kind = lower($1) OR e.ref = $1 OR e.actor = $1
                   OR e.ref IN (SELECT 'user:' || id FROM identity.users WHERE email = lower($1))
                   OR e.actor IN (SELECT 'user:' || id FROM identity.users WHERE email = lower($1))
                   OR e.ref IN (SELECT 'order:' || id FROM orders.orders WHERE number = upper($1)))
              AND ($2::text[] IS NULL OR split_part(e.kind, '.', 1) = ANY ($2))
              AND ($3 = '' OR e.ref = $3) AND ($4 = '' OR e.actor = $4){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, _event)


def _event(r: Record) -> AuditEvent:
    return AuditEvent(r["id"], int(r["xid"]), r["at"], r["kind"], r["ref"], r["actor"], r["data"])


async def list_blocks(
    db: Database, viewer: Viewer, cursors: Cursors, *, limit: int = 50, cursor: str | None = None
) -> Page[Block]:
    """Signed blocks, newest first."""
    args: list[Any] = []
    start = _BLOCKS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT b.number, b.first_id, b.last_id, b.events, encode(b.hash, 'hex') AS hash, b.key_id,
              b.sealed_at FROM audit.block b WHERE true{start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), Block))


async def list_arrived(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[InboxEvent]:
    """The provider's events, newest first. `q`: an event's or object's id, or part of a type."""
    args: list[Any] = [q.strip(), pattern(q), list(states) or None]
    start = _ARRIVED.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT e.id, e.provider, e.event_id, e.type, e.object_id, e.livemode, e.source, e.state,
              e.attempts, e.failure, e.object_created, e.received_at, e.next_at, e.handled_at
            FROM inbox.event e
            WHERE ($1 = '' OR e.event_id = $1 OR e.object_id = $1 OR e.type ILIKE $2)
              AND ($3::text[] IS NULL OR e.state = ANY ($3)){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), InboxEvent))


async def list_mails(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    templates: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[MailRow]:
    """Mails without their texts, newest first. `q`: part of a recipient's address or of a subject."""
    args: list[Any] = [pattern(q), list(states) or None, list(templates) or None]
    start = _MAILS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT m.id, m.template, m.template_version, m.user_id, m.ref, m.recipient, m.subject, m.state,
              m.attempts, m.next_at, m.failure, m.created_at, m.sent_at FROM notifications.mail m
            WHERE ($1 = '' OR m.recipient ILIKE $1 OR m.subject ILIKE $1)
              AND ($2::text[] IS NULL OR m.state = ANY ($2))
              AND ($3::text[] IS NULL OR m.template = ANY ($3)){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), MailRow))

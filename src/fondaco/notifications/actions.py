"""Mails as rows: queued in the transaction of their cause, listed and sent again by the desk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from fondaco.audit import record
from fondaco.core import counting
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import Conflict, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity import new_mail_token
from fondaco.notifications.letters import LINK, TEMPLATES, render, with_link
from fondaco.notifications.model import STATES, FullMail, MailRow
from fondaco.settings import Settings
from fondaco.vault import Vault

_LINK_PAGES: dict[str, str] = {"verify": "/verify", "reset": "/reset"}
_COLUMNS = (
    "id, template, template_version, user_id, ref, recipient, subject, state, attempts, next_at, failure, "
    "created_at, sent_at"
)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail goes to; `user_id` is None for the operator."""

    user_id: UUID | None
    email: str


async def queue_mail(
    conn: Connection,
    settings: Settings,
    vault: Vault,
    template: str,
    to: Recipient,
    *,
    ref: str,
    values: Mapping[str, Any] | None = None,
    cause: str | None = None,
) -> UUID | None:
    """Write one mail in the caller's transaction (scope system); None when this cause has one already.

    The cause is `ref` unless another is named: a reset can be asked for twice. Without a mail server the
    mail is captured: kept for the console, sent to nobody.
    """
    key = f"{template}:{cause or ref}:{to.user_id or 'operator'}"
    if await conn.fetchval("SELECT true FROM notifications.mail WHERE key = $1", key):
        return None
    mail_id = uuid7()
    link_key, link_sealed = None, None
    if purpose := TEMPLATES[template].link:
        assert to.user_id
        secret = await new_mail_token(conn, to.user_id, cast(Any, purpose))
        link = f"{settings.base_url}{_LINK_PAGES[purpose]}?token={quote(secret)}"
        data_key = await vault.new_key(conn, "mail")
        link_key, link_sealed = data_key.id, vault.seal(data_key, link.encode(), f"mail:{mail_id}")
    text = render(template, settings, {**(values or {}), "link": LINK})
    made: UUID | None = await conn.fetchval(
        "INSERT INTO notifications.mail (id, key, template, template_version, user_id, ref, recipient, "
        "subject, html, plain, link_key, link_sealed, state) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
        "ON CONFLICT (key) DO NOTHING RETURNING id",
        mail_id,
        key,
        template,
        text.version,
        to.user_id,
        ref,
        to.email,
        text.subject,
        text.html,
        text.plain,
        link_key,
        link_sealed,
        "QUEUED" if settings.smtp_host else "CAPTURED",
    )
    return made


async def list_mails(
    db: Database,
    cursors: Cursors,
    viewer: Viewer,
    *,
    state: str | None = None,
    template: str | None = None,
    q: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[MailRow]:
    """The desk's list, newest first. `q` is a recipient's address, part of a subject, or a ref such as
    "order:<uuid>". Raises BadCursor."""
    direction, at, last = cursors.read("mails", cursor) if cursor else ("next", None, None)
    back = direction == "previous"
    beyond, order = (">", "ASC") if back else ("<", "DESC")
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_COLUMNS} FROM notifications.mail
            WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR template = $2)
              AND ($3 = '' OR recipient = lower($3) OR ref = $3 OR position(lower($3) in lower(subject)) > 0)
              AND ($4::text IS NULL OR (created_at, id) {beyond} ($4::text::timestamptz, $5::text::uuid))
            ORDER BY created_at {order}, id {order} LIMIT $6""",
        state,
        template,
        q.strip(),
        at,
        last,
        limit + 1,
    )
    more = len(rows) > limit
    found = [_row(r) for r in rows[:limit]]
    if back:
        found.reverse()

    def mark(way: str, row: MailRow) -> str:
        return cursors.make("mails", [way, row.created_at.isoformat(), str(row.id)])

    older = mark("next", found[-1]) if found and (more or back) else None
    newer = mark("previous", found[0]) if found and cursor and (more or not back) else None
    return Page(found, older, newer)


async def count_mails(db: Database, viewer: Viewer) -> dict[str, int]:
    """How many mails are in each state, up to `counting.MOST`."""
    rows = await db.fetch(
        viewer.as_staff, counting.by_state(STATES, "state", "SELECT 1 FROM notifications.mail WHERE true")
    )
    found = {r["state"]: int(r["n"]) for r in rows}
    return {state: found.get(state, 0) for state in STATES}


async def mails_of(db: Database, viewer: Viewer, refs: list[str]) -> list[MailRow]:
    """The mails about these things, oldest first: for the order's timeline."""
    rows = await db.fetch(
        viewer.as_staff,
        f"SELECT {_COLUMNS} FROM notifications.mail WHERE ref = ANY ($1) ORDER BY created_at, id LIMIT 200",
        refs,
    )
    return [_row(r) for r in rows]


async def mail_by_id(
    db: Database, settings: Settings, vault: Vault, viewer: Viewer, mail_id: UUID
) -> FullMail:
    """One mail with its texts; raises NotFound.

    Its link is a mark only, save for captured mails outside production: there the console is the mailbox.
    """
    async with db.transaction(viewer.as_staff) as conn:
        row = await conn.fetchrow(
            f"SELECT {_COLUMNS}, html, plain, link_key, link_sealed FROM notifications.mail WHERE id = $1",
            mail_id,
        )
        if row is None:
            raise NotFound()
        html, plain = row["html"], row["plain"]
        if row["state"] == "CAPTURED" and not settings.production:
            html, plain = await open_link(conn, vault, row)
    return FullMail(**msgspec.structs.asdict(_row(row)), html=html, plain=plain)


async def open_link(conn: Connection, vault: Vault, row: Record) -> tuple[str, str]:
    """A mail's two texts with its sealed link in place."""
    if row["link_key"] is None:
        return row["html"], row["plain"]
    secret = await vault.open(conn, row["link_key"], row["link_sealed"], f"mail:{row['id']}")
    return with_link(row["html"], row["plain"], secret.reveal().decode())


async def send_again(db: Database, viewer: Viewer, mail_id: UUID) -> MailRow:
    """Try a mail again now, to the user's present address. Raises NotFound, and Conflict when it was sent,
    captured, or carried a link that has ended."""
    async with db.transaction(viewer.as_staff) as conn:
        row = await conn.fetchrow(
            "SELECT m.state, m.template, m.link_key, m.ref, u.email FROM notifications.mail m "
            "LEFT JOIN identity.users u ON u.id = m.user_id WHERE m.id = $1 FOR UPDATE OF m",
            mail_id,
        )
        if row is None:
            raise NotFound()
        if row["state"] not in ("UNDELIVERABLE", "FAILED"):
            raise Conflict("Only a mail that failed can be sent again.")
        if TEMPLATES[row["template"]].link and row["link_key"] is None:
            raise Conflict("The link in this mail has ended. The customer can ask for a new one.")
        fresh = row["state"] == "UNDELIVERABLE"
        sent = await conn.fetchrow(
            "UPDATE notifications.mail SET state = $2, attempts = CASE WHEN $3 THEN 0 ELSE attempts END, "
            f"recipient = coalesce($4, recipient), next_at = $5 WHERE id = $1 RETURNING {_COLUMNS}",
            mail_id,
            "QUEUED" if fresh else "FAILED",
            fresh,
            row["email"],
            now(),
        )
        assert sent
        await record(conn, "mail.sent_again", row["ref"], viewer.actor, {"mail_id": str(mail_id)})
    return _row(sent)


async def forget_links(db: Database) -> int:
    """Wipe sealed links older than two days (they have ended), captured ones too; returns how many."""
    tag = await db.execute(
        SYSTEM,
        "UPDATE notifications.mail SET link_key = NULL, link_sealed = NULL "
        "WHERE link_key IS NOT NULL AND created_at < now() - interval '2 days'",
    )
    return int(tag.rsplit(" ", 1)[-1])


def _row(row: Record) -> MailRow:
    return MailRow(**{name: row[name] for name in MailRow.__struct_fields__})

"""Sending: claim with a lease, send outside any transaction, note the outcome.

A sender that dies in between leaves a lease that ends; the next try carries the same Message-ID, so
the receiving side can tell it is the same mail. What fails here never touches what the mail is about.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from fondaco import orders
from fondaco.audit import record
from fondaco.core import failpoints
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.integrations.mailer import Attachment, Letter, Mailer, MailNotSent, MailRefused
from fondaco.notifications.actions import open_link
from fondaco.settings import Settings
from fondaco.vault import Vault

log = structlog.get_logger()
TRIES = 8
WAITS_MIN = (1, 2, 5, 15, 60, 180, 480)  # after each failed try
LEASE = timedelta(minutes=2)
MAX_RECEIPTS = 10


@dataclass(frozen=True, slots=True)
class _Claimed:
    letter: Letter
    template: str
    user_id: UUID | None
    ref: str
    attempts: int


async def send_due(parts: Parts, *, limit: int = 50) -> int:
    """Send mails that are due, one after another; returns how many were tried."""
    mailer = Mailer(parts.get(Settings))
    if not mailer.configured:
        return 0
    done = 0
    while done < limit and await send_one(parts, mailer):
        done += 1
    return done


async def send_one(parts: Parts, mailer: Mailer) -> bool:
    """Send the mail that has been due longest; False when none is."""
    db = parts.get(Database)
    claimed = await _claim(db, parts.get(Vault))
    if claimed is None:
        return False
    letter = await _with_receipts(db, parts.get(Settings), claimed)
    try:
        await mailer.send(letter)
    except MailRefused as error:
        await _undeliverable(db, claimed, str(error))
    except MailNotSent as error:
        if claimed.attempts >= TRIES:
            await _undeliverable(db, claimed, str(error))
        else:
            await _failed(db, claimed, str(error))
    else:
        if failpoints.armed:
            await failpoints.reached("mail.after_smtp_before_store")
        await db.execute(
            SYSTEM,
            "UPDATE notifications.mail SET state = 'SENT', sent_at = $3, failure = NULL, link_key = NULL, "
            "link_sealed = NULL WHERE id = $1 AND attempts = $2 AND state IN ('QUEUED', 'FAILED')",
            letter.id,
            claimed.attempts,
            now(),
        )
    return True


async def _claim(db: Database, vault: Vault) -> _Claimed | None:
    async with db.transaction(SYSTEM) as conn:
        row = await conn.fetchrow(
            """UPDATE notifications.mail SET attempts = attempts + 1, next_at = now() + $1 WHERE id = (
                 SELECT id FROM notifications.mail WHERE state IN ('QUEUED', 'FAILED') AND next_at <= now()
                 ORDER BY next_at FOR UPDATE SKIP LOCKED LIMIT 1)
               RETURNING id, template, user_id, ref, recipient, subject, html, plain, link_key, link_sealed,
                 attempts""",
            LEASE,
        )
        if row is None:
            return None
        html, plain = await open_link(conn, vault, row)
    letter = Letter(row["id"], row["recipient"], row["subject"], plain, html)
    return _Claimed(letter, row["template"], row["user_id"], row["ref"], row["attempts"])


async def _with_receipts(db: Database, settings: Settings, claimed: _Claimed) -> Letter:
    """A delivery notice carries the orders' receipts; should one not be had, the mail goes without it."""
    letter = claimed.letter
    if claimed.template != "order_delivered" or claimed.user_id is None:
        return letter
    rows = await db.fetch(
        SYSTEM,
        "SELECT id, number FROM orders.orders WHERE group_id = $1 ORDER BY number LIMIT $2",
        UUID(claimed.ref.partition(":")[2]),
        MAX_RECEIPTS,
    )
    found: list[Attachment] = []
    for row in rows:
        try:
            pdf = await orders.order_receipt(
                db,
                Viewer(user_id=claimed.user_id),
                row["id"],
                marketplace=settings.marketplace_name,
                support=settings.support_email,
            )
            found.append(Attachment(f"receipt-{row['number']}.pdf", "application/pdf", pdf))
        except Exception as error:
            log.warning("receipt_not_attached", mail=str(letter.id), error=type(error).__name__)
    return Letter(letter.id, letter.recipient, letter.subject, letter.plain, letter.html, found)


async def _failed(db: Database, claimed: _Claimed, why: str) -> None:
    wait = timedelta(minutes=WAITS_MIN[min(claimed.attempts, len(WAITS_MIN)) - 1])
    await db.execute(
        SYSTEM,
        "UPDATE notifications.mail SET state = 'FAILED', failure = $3, next_at = now() + $4 "
        "WHERE id = $1 AND attempts = $2 AND state IN ('QUEUED', 'FAILED')",
        claimed.letter.id,
        claimed.attempts,
        why,
        wait,
    )
    log.warning("mail_failed", mail=str(claimed.letter.id), attempt=claimed.attempts, why=why)


async def _undeliverable(db: Database, claimed: _Claimed, why: str) -> None:
    async with db.transaction(SYSTEM) as conn:
        moved = await conn.fetchval(
            "UPDATE notifications.mail SET state = 'UNDELIVERABLE', failure = $3 "
            "WHERE id = $1 AND attempts = $2 AND state IN ('QUEUED', 'FAILED') RETURNING true",
            claimed.letter.id,
            claimed.attempts,
            why,
        )
        if moved:
            data = {"mail_id": str(claimed.letter.id), "template": claimed.template, "why": why}
            await record(conn, "mail.undeliverable", claimed.ref, "system", data)
    log.error("mail_undeliverable", mail=str(claimed.letter.id), template=claimed.template, why=why)

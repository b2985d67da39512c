"""From events to mails: which event causes which mail to whom. One mail per cause, however often it comes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from fondaco.audit import AuditEvent, record
from fondaco.core.db import RETRY, Connection, Record
from fondaco.core.ids import parse_uuid
from fondaco.identity.permissions import PERMISSIONS
from fondaco.notifications.actions import Recipient, queue_mail
from fondaco.notifications.adjustment_causes import ADJUSTMENT_CAUSES
from fondaco.notifications.books_causes import BOOKS_CAUSES
from fondaco.notifications.case_causes import case_turn
from fondaco.notifications.chargeback_causes import CHARGEBACK_CAUSES
from fondaco.notifications.credit_causes import CREDIT_CAUSES
from fondaco.notifications.letters import moment
from fondaco.notifications.paper_causes import PAPER_CAUSES
from fondaco.notifications.payout_causes import PAYOUT_CAUSES
from fondaco.notifications.refund_causes import REFUND_CAUSES
from fondaco.notifications.risk_causes import RISK_CAUSES
from fondaco.settings import Settings
from fondaco.vault import Vault

log = structlog.get_logger()
_PAID_WITH = {"wallet": "from your wallet", "instant_credit": "on credit, to be paid yet"}
NEW_ORDER_ROLES = ["owner", "manager", "fulfilment"]


@dataclass(frozen=True, slots=True)
class Post:
    """What a cause needs to write its mails."""

    conn: Connection
    settings: Settings
    vault: Vault
    event: AuditEvent

    @property
    def id(self) -> UUID:
        """The id in the event's ref; ValueError when there is none."""
        return UUID(self.event.ref.partition(":")[2])

    async def write(
        self, template: str, to: Recipient, *, ref: str | None = None, cause: str | None = None, **values: Any
    ) -> None:
        await queue_mail(
            self.conn,
            self.settings,
            self.vault,
            template,
            to,
            ref=ref or self.event.ref,
            values=values,
            cause=cause,
        )


Cause = Callable[[Post], Awaitable[None]]


async def make_mails(conn: Connection, settings: Settings, vault: Vault, events: list[AuditEvent]) -> None:
    """Write the mails of these events, each in a savepoint: one that cannot be made is recorded on its
    thing's timeline and holds up no other."""
    for event in events:
        cause = CAUSES.get(event.kind)
        if cause is None:
            continue
        await conn.execute("SAVEPOINT mail")
        try:
            await cause(Post(conn, settings, vault, event))
        except (*RETRY, ConnectionError, OSError):
            raise
        except Exception as error:
            if conn.is_closed():
                raise
            await conn.execute("ROLLBACK TO SAVEPOINT mail")
            data = {
                "event": event.id,
                "kind": event.kind,
                "why": f"could not be made: {type(error).__name__}",
            }
            await record(conn, "mail.undeliverable", event.ref, "system", data)
            log.error("mail_not_made", event_id=event.id, kind=event.kind, error=type(error).__name__)
        await conn.execute("RELEASE SAVEPOINT mail")


async def _user(conn: Connection, user_id: UUID | None) -> Recipient | None:
    """A user who may get mail: known and not closed."""
    row = user_id and await conn.fetchrow(
        "SELECT id, email FROM identity.users WHERE id = $1 AND banned_at IS NULL", user_id
    )
    return Recipient(row["id"], row["email"]) if row else None


def _to_the_user(template: str) -> Cause:
    """A mail to the user the event is about, one for each event."""

    async def cause(post: Post) -> None:
        if to := await _user(post.conn, post.id):
            await post.write(template, to, cause=f"event:{post.event.id}", at=moment(post.event.at))

    return cause


async def _delivered(post: Post) -> None:
    """To the buyer one mail for the whole purchase; to the store's people one for their order."""
    order = await post.conn.fetchrow(
        "SELECT o.id, o.number, o.group_id, o.seller_id, o.total, o.currency, s.name AS store, "
        "g.number AS group_number, g.buyer_id, g.funding_policy, g.total AS group_total "
        "FROM orders.orders o JOIN orders.order_group g ON g.id = o.group_id "
        "JOIN sellers.seller s ON s.id = o.seller_id WHERE o.id = $1",
        post.id,
    )
    if order is None:
        raise LookupError("no such order")
    if buyer := await _user(post.conn, order["buyer_id"]):
        await post.write(
            "order_delivered_direct" if order["funding_policy"] == "destination" else "order_delivered",
            buyer,
            ref=f"group:{order['group_id']}",
            group_id=order["group_id"],
            number=order["group_number"],
            lines=await _lines(post.conn, "o.group_id = $1", order["group_id"]),
            total=order["group_total"],
            currency=order["currency"],
            paid_with=_PAID_WITH.get(order["funding_policy"], "by card"),
            protection_days=post.settings.protection_days,
        )
    members = await post.conn.fetch(
        "SELECT u.id, u.email FROM identity.membership m JOIN identity.users u ON u.id = m.user_id "
        "WHERE m.seller_id = $1 AND m.role = ANY ($2) AND u.banned_at IS NULL",
        order["seller_id"],
        NEW_ORDER_ROLES,
    )
    lines = await _lines(post.conn, "o.id = $1", order["id"])
    for member in members:
        await post.write(
            "new_order",
            Recipient(member["id"], member["email"]),
            order_id=order["id"],
            number=order["number"],
            store=order["store"],
            lines=lines,
            total=order["total"],
            currency=order["currency"],
        )


async def _lines(conn: Connection, where: str, value: UUID) -> list[Record]:
    return await conn.fetch(
        "SELECT l.quantity, l.total, l.currency, s.name AS seller, "
        "coalesce(l.terms ->> 'title', c.title) AS title, "
        "coalesce(l.terms ->> 'platform', c.platform) AS platform, "
        "coalesce(l.terms ->> 'region', c.region) AS region "
        "FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id "
        "JOIN sellers.seller s ON s.id = l.seller_id JOIN catalog.listing c ON c.id = l.listing_id "
        f"WHERE {where} ORDER BY o.number, l.id",
        value,
    )


async def _expired(post: Post) -> None:
    row = await post.conn.fetchrow(
        "SELECT id, number, buyer_id, total, currency FROM orders.order_group "
        "WHERE id = $1 OR id = (SELECT group_id FROM orders.orders WHERE id = $1)",
        post.id,
    )
    if row and (buyer := await _user(post.conn, row["buyer_id"])):
        await post.write(
            "order_expired",
            buyer,
            ref=f"group:{row['id']}",
            group_id=row["id"],
            number=row["number"],
            total=row["total"],
            currency=row["currency"],
        )


async def _top_up(post: Post) -> None:
    row = await post.conn.fetchrow(
        "SELECT user_id, amount, currency FROM wallets.funding WHERE id = $1 AND purpose = 'top_up'", post.id
    )
    if row and (to := await _user(post.conn, row["user_id"])):
        at = moment(post.event.at)
        await post.write("top_up_received", to, amount=row["amount"], currency=row["currency"], at=at)


async def _refunded(post: Post) -> None:
    row = await post.conn.fetchrow(
        "SELECT user_id, amount, currency, reason FROM wallets.refund WHERE id = $1", post.id
    )
    if row and (to := await _user(post.conn, row["user_id"])):
        amount, currency, reason = row["amount"], row["currency"], row["reason"]
        await post.write("refund_succeeded", to, amount=amount, currency=currency, reason=reason)


async def _imported(post: Post) -> None:
    """To whoever uploaded. A program that imports by key hears of failures only."""
    row = await post.conn.fetchrow(
        "SELECT b.id, b.created_by, b.source, b.imported, b.malformed, b.repeated, b.known_elsewhere, "
        "b.failure, l.title FROM inventory.stock_batch b JOIN catalog.listing l ON l.id = b.listing_id "
        "WHERE b.id = $1",
        post.id,
    )
    closed = post.event.kind == "batch.closed"
    if row is None or (closed and row["source"] == "api"):
        return
    kind, _, by = row["created_by"].partition(":")
    user_id = parse_uuid(by)
    if kind == "api_key":
        user_id = await post.conn.fetchval("SELECT created_by FROM identity.api_key WHERE id = $1", user_id)
    to = await _user(post.conn, user_id)
    if to is None:
        return
    await post.write(
        "import_closed" if closed else "import_failed",
        to,
        batch_id=row["id"],
        title=row["title"],
        imported=row["imported"],
        malformed=row["malformed"],
        repeated=row["repeated"],
        known_elsewhere=row["known_elsewhere"],
        failure=row["failure"] or "",
    )


async def _approval_asked(post: Post) -> None:
    """To everybody of the staff who may decide, except who asked."""
    row = await _approval(post)
    roles = [r.removeprefix("staff.") for r in PERMISSIONS[row["permission"]] if r.startswith("staff.")]
    people = await post.conn.fetch(
        "SELECT id, email FROM identity.users WHERE staff_role = ANY ($1) AND banned_at IS NULL "
        "AND id IS DISTINCT FROM $2",
        roles,
        row["asked_by"],
    )
    for one in people:
        await post.write(
            "approval_asked",
            Recipient(one["id"], one["email"]),
            ref=f"approval:{row['id']}",
            approval_id=row["id"],
            words=row["words"],
            reason=row["reason"],
            asker=row["asker"] or post.settings.marketplace_name,
            until=moment(row["expires_at"]),
        )


async def _approval_decided(post: Post) -> None:
    row = await _approval(post)
    if to := await _user(post.conn, row["asked_by"]):
        await post.write(
            "approval_decided",
            to,
            ref=f"approval:{row['id']}",
            approval_id=row["id"],
            words=row["words"],
            approved=row["state"] == "APPROVED",
            note=row["note"] or "",
        )


async def _approval(post: Post) -> Record:
    row = await post.conn.fetchrow(
        "SELECT r.*, u.email AS asker FROM approvals.request r "
        "LEFT JOIN identity.users u ON u.id = r.asked_by WHERE r.id = $1",
        UUID(post.event.data["approval_id"]),
    )
    if row is None:
        raise LookupError("no such request")
    return row


CAUSES: dict[str, Cause] = {
    **{
        f"case.{kind}": case_turn
        for kind in (
            *("opened", "asked", "answered", "written", "offered", "declined", "accepted", "withdrawn"),
            *("decided", "appealed", "closed", "overdue"),
        )
    },
    "approval.asked": _approval_asked,
    "approval.approved": _approval_decided,
    "approval.refused": _approval_decided,
    "user.signed_up": _to_the_user("verify_address"),
    "user.verification_asked": _to_the_user("verify_address"),
    "user.reset_asked": _to_the_user("reset_password"),
    "user.sign_up_repeated": _to_the_user("account_exists"),
    "user.password_changed": _to_the_user("password_changed"),
    "order.delivered": _delivered,
    "order.expired": _expired,
    "funding.succeeded": _top_up,
    "refund.succeeded": _refunded,
    "batch.closed": _imported,
    "batch.failed": _imported,
    **ADJUSTMENT_CAUSES,
    **BOOKS_CAUSES,
    **CHARGEBACK_CAUSES,
    **CREDIT_CAUSES,
    **PAPER_CAUSES,
    **PAYOUT_CAUSES,
    **REFUND_CAUSES,
    **RISK_CAUSES,
}

"""The one story of an order: everything several modules know of it, in time. No secret is in it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fondaco import audit, cases, chargebacks, inbox, ledger, notifications, orders, payouts, wallets
from fondaco.audit import AuditEvent
from fondaco.console.model import Leg, Named, TimelineItem, may
from fondaco.console.names import names_of, short_address
from fondaco.console.words import ACCOUNTS, JOURNALS, facts, plain, told
from fondaco.core.db import Connection, Database, Record
from fondaco.core.money import Money
from fondaco.core.viewer import Viewer
from fondaco.inbox import InboxEvent
from fondaco.ledger import Journal
from fondaco.notifications import MailRow
from fondaco.orders import Order, OrderGroup
from fondaco.wallets import Funding, Refund

# Told by their own rows, with more to say.
_TOLD_BY_ROWS = ("secret.revealed", "order.placed", "funding.started", "refund.requested")
# Of things at the same moment, causes come before what they cause.
_RANK = (
    *("order", "funding", "provider", "journal", "stock", "entitlement", "audit", "mail", "reveal", "refund"),
)


async def timeline(db: Database, viewer: Viewer, order_id: UUID) -> list[TimelineItem]:
    """What happened to an order (or to a whole purchase, by its group's id), oldest first. For staff.

    Raises NotFound. Links lead only where the viewer may go. At most 200 rows of each source.
    """
    scope = viewer.as_staff
    group = await orders.group_in_scope(db, scope, order_id)
    chosen = [o for o in group.orders if order_id in (o.id, group.id)]
    fundings = await wallets.fundings_of_group(db, scope, group.id)
    units = [i for o in chosen for line in o.lines for i in line.entitlements]
    paid = await payouts.payouts_of_orders(db, scope, [o.id for o in chosen])
    about = await cases.cases_of_order(db, scope, [o.id for o in chosen])
    refs = [f"order:{o.id}" for o in chosen] + [f"group:{group.id}"]
    story, items = await _money_story(
        db,
        viewer,
        fundings,
        refs,
        also=[
            *(f"entitlement:{i}" for i in units),
            *(f"case:{c.id}" for c in about),
            *(f"payout:{i}" for i in paid),
        ],
        people=[group.buyer_id],
    )
    async with db.transaction(scope) as conn:
        goods = await _goods(conn, [o.id for o in chosen])
    items += [story.order(group, o) for o in chosen]
    return _in_time([*items, *story.goods(goods)])


async def funding_timeline(db: Database, viewer: Viewer, funding_id: UUID) -> list[TimelineItem]:
    """What happened to one payment: its own part of the story. For staff. Raises NotFound."""
    funding = await wallets.read_funding(db, viewer.as_staff, funding_id)
    _, items = await _money_story(db, viewer, [funding], [], also=[], people=[])
    return _in_time(items)


async def payout_timeline(
    db: Database, viewer: Viewer, payout_id: UUID, provider_ids: list[str]
) -> list[TimelineItem]:
    """What happened to one payout; `provider_ids`: its transfers and the bank's payout. For staff."""
    return await timeline_of(db, viewer, f"payout:{payout_id}", provider_ids)


async def timeline_of(
    db: Database, viewer: Viewer, ref: str, provider_ids: Sequence[str] = ()
) -> list[TimelineItem]:
    """What was written down about the one thing a ref names, with what the provider told of these ids. For
    staff."""
    scope = viewer.as_staff
    journals = await ledger.journals_of(db, scope, [ref])
    events = await audit.history(db, scope, [ref])
    mails = await notifications.mails_of(db, viewer, [ref])
    arrived = await inbox.events_about(db, scope, list(provider_ids))
    named = {e.actor for e in events} | {j.actor for j in journals}
    named |= {e.owner for j in journals for e in j.entries}
    story = Story(viewer, await names_of(db, viewer, named))
    return _in_time(
        [
            *(story.arrival(e) for e in arrived),
            *(story.journal(j) for j in journals),
            *(story.event(e) for e in events),
            *(story.mail(m) for m in mails),
        ]
    )


def _in_time(items: list[TimelineItem]) -> list[TimelineItem]:
    return sorted(items, key=lambda i: (i.at, _RANK.index(i.source)))


async def _money_story(
    db: Database,
    viewer: Viewer,
    fundings: list[Funding],
    refs: list[str],
    *,
    also: list[str],
    people: list[UUID],
) -> tuple["Story", list[TimelineItem]]:
    """Payments, refunds, and all that was written about them and `refs`; of `also` the audit events."""
    scope = viewer.as_staff
    refunds = [r for f in fundings for r in await wallets.refunds_of(db, scope, f.id)]
    refs = refs + [f"funding:{f.id}" for f in fundings] + [f"refund:{r.id}" for r in refunds]
    disputes = await chargebacks.chargebacks_of_funding(db, scope, [f.id for f in fundings])
    refs += [f"chargeback:{d.id}" for d in disputes]
    journals = await ledger.journals_of(db, scope, refs)
    events = await audit.history(db, scope, [*refs, *also])
    mails = await notifications.mails_of(db, viewer, refs)
    arrived = await inbox.events_about(
        db, scope, [*_provider_ids(fundings, refunds), *(d.provider_id for d in disputes)]
    )
    named = {f"user:{i}" for i in (*people, *(f.user_id for f in fundings))}
    named |= {e.actor for e in events} | {j.actor for j in journals}
    named |= {e.owner for j in journals for e in j.entries}
    story = Story(viewer, await names_of(db, viewer, named))
    items = [
        *(story.funding(f) for f in fundings),
        *(story.refund(r) for r in refunds),
        *(story.arrival(e) for e in arrived),
        *(story.journal(j) for j in journals),
        *(story.event(e) for e in events if e.kind not in _TOLD_BY_ROWS),
        *(story.mail(m) for m in mails),
    ]
    return story, items


def _provider_ids(fundings: Iterable[Funding], refunds: Iterable[Refund]) -> list[str]:
    ids = [i for f in fundings for i in (f.session_id, f.intent_id, f.charge_id)]
    return [i for i in (*ids, *(r.provider_id for r in refunds)) if i]


async def _goods(conn: Connection, order_ids: list[UUID]) -> Mapping[str, list[Record]]:
    """Units, entitlements and reveals of these orders."""
    units = await conn.fetch(
        """SELECT l.id AS line_id, l.terms->>'title' AS title, u.state, count(*) AS n,
             coalesce(l.delivered_at, o.created_at) AS at
           FROM orders.orders o JOIN orders.order_line l ON l.order_id = o.id
           JOIN inventory.stock_unit u ON u.line_id = l.id
           WHERE o.id = ANY ($1) GROUP BY l.id, o.id, u.state
           UNION ALL SELECT l.id, l.terms->>'title', 'RESERVED', h.quantity, o.created_at
           FROM orders.orders o JOIN orders.order_line l ON l.order_id = o.id
           JOIN inventory.hold h ON h.line_id = l.id WHERE o.id = ANY ($1)
           ORDER BY 1, 3""",
        order_ids,
    )
    granted = await conn.fetch(
        """SELECT e.line_id, e.title, e.delivered_at AS at, e.buyer_id, e.unit_id IS NULL AS article,
             count(*) AS n, count(e.revealed_at) AS revealed, count(e.revoked_at) AS revoked
           FROM orders.order_line l JOIN delivery.entitlement e ON e.line_id = l.id
           WHERE l.order_id = ANY ($1)
           GROUP BY e.line_id, e.title, e.delivered_at, e.buyer_id, 5 ORDER BY e.line_id""",
        order_ids,
    )
    reveals = await conn.fetch(
        """SELECT r.at, r.ip, r.user_id, e.title, r.content_version, u.email FROM orders.order_line l
           JOIN delivery.entitlement e ON e.line_id = l.id
           JOIN delivery.reveal r ON r.entitlement_id = e.id JOIN identity.users u ON u.id = r.user_id
           WHERE l.order_id = ANY ($1) ORDER BY r.id LIMIT 200""",
        order_ids,
    )
    return {"units": units, "granted": granted, "reveals": reveals}


@dataclass(frozen=True)
class Story:
    """Tells rows as items: in words, with the links this viewer may follow."""

    viewer: Viewer
    names: Mapping[str, Named]

    def who(self, ref: str) -> str:
        found = self.names.get(ref)
        return found.words if found else ref

    def link(self, permission: str, href: str) -> str:
        return href if may(self.viewer, permission) else ""

    def order(self, group: OrderGroup, order: Order) -> TimelineItem:
        units = sum(line.quantity for line in order.lines)
        paid = {"wallet": "from the wallet", "instant_credit": "on credit"}.get(group.pay_with, "by card")
        return TimelineItem(
            at=order.created_at,
            source="order",
            icon="receipt",
            tone="new",
            words=f"{order.number} placed: {units} {'unit' if units == 1 else 'units'} of {order.seller}, "
            f"{Money(order.total, order.currency).words()}, {paid}",
            who=self.who(f"user:{group.buyer_id}"),
            detail=", ".join(f"{line.quantity} × {line.title}" for line in order.lines),
            state=order.state,
            machine="order",
        )

    def funding(self, funding: Funding) -> TimelineItem:
        return TimelineItem(
            at=funding.created_at,
            source="funding",
            icon="credit-card",
            tone="new",
            words=f"Card payment of {Money(funding.amount, funding.currency).words()} opened",
            who=self.who(f"user:{funding.user_id}"),
            detail=funding.failure or "",
            state=funding.state,
            machine="funding",
            href=self.link("console.orders", f"/console/fundings/{funding.id}"),
        )

    def refund(self, refund: Refund) -> TimelineItem:
        return TimelineItem(
            at=refund.created_at,
            source="refund",
            icon="undo-2",
            tone="wait",
            words=f"Refund of {Money(refund.amount, refund.currency).words()} to where it came from",
            detail=". ".join(t for t in (refund.reason, refund.failure) if t),
            state=refund.state,
            machine="refund",
            href=self.link("console.orders", f"/console/fundings/{refund.funding_id}"),
        )

    def arrival(self, event: InboxEvent) -> TimelineItem:
        late = " (found by asking)" if event.source == "backfill" else ""
        return TimelineItem(
            at=event.received_at,
            source="provider",
            icon="webhook",
            tone="bad" if event.state in ("DEAD", "FAILED") else "quiet",
            words=f"Stripe says: {event.type}{late}",
            who="Stripe",
            detail=event.failure or "",
            state=event.state,
            machine="inbox_event",
            href=self.link("console.inbox", f"/console/inbox/{event.id}"),
        )

    def journal(self, journal: Journal) -> TimelineItem:
        return TimelineItem(
            at=journal.posted_at,
            source="journal",
            icon="scale",
            tone="busy",
            words=JOURNALS.get(journal.kind) or plain(journal.kind),
            who=self.who(journal.actor),
            detail=f"Journal {journal.id}",
            href=self.link("console.ledger", f"/console/ledger/journals/{journal.id}"),
            legs=[
                Leg(
                    e.account_id,
                    ACCOUNTS.get(e.kind) or plain(e.kind),
                    self.who(e.owner),
                    e.amount,
                    e.currency,
                )
                for e in journal.entries
            ],
        )

    def event(self, event: AuditEvent) -> TimelineItem:
        icon, tone, words = told(event.kind)
        return TimelineItem(
            at=event.at,
            source="audit",
            icon=icon,
            tone=tone,
            words=words,
            who=self.who(event.actor),
            detail=facts(event.data),
            href=self.link("console.cases", f"/console/cases/{event.ref.removeprefix('case:')}")
            if event.kind.startswith("case.")
            else self.link("console.audit", f"/console/audit?ref={event.ref}"),
        )

    def mail(self, mail: MailRow) -> TimelineItem:
        return TimelineItem(
            at=mail.created_at,
            source="mail",
            icon="mail",
            tone="bad" if mail.state in ("FAILED", "UNDELIVERABLE") else "quiet",
            words=f"Mail “{mail.subject}”",
            who=f"to {mail.recipient}",
            detail=mail.failure or "",
            state=mail.state,
            machine="mail",
            href=self.link("console.mails", f"/console/mails/{mail.id}"),
        )

    def goods(self, rows: Mapping[str, list[Record]]) -> Iterable[TimelineItem]:
        """Units and entitlements, one item for each line; reveals one by one."""
        by_line: dict[UUID, Counter[str]] = defaultdict(Counter)
        about: dict[UUID, tuple[datetime, str]] = {}
        for row in rows["units"]:
            by_line[row["line_id"]][row["state"]] += row["n"]
            about[row["line_id"]] = (row["at"], row["title"])
        for line_id, states in by_line.items():
            at, title = about[line_id]
            yield _stock(at, title, states)
        for row in rows["granted"]:
            yield _granted(row, self.who(f"user:{row['buyer_id']}"))
        for row in rows["reveals"]:
            yield TimelineItem(
                at=row["at"],
                source="reveal",
                icon="eye",
                tone="quiet",
                words=f"Key of {row['title']} revealed"
                if row["content_version"] is None
                else f"Article {row['title']} opened, version {row['content_version']}",
                who=row["email"],
                detail=f"From {short_address(row['ip'])}" if row["ip"] else "",
            )


def _stock(at: datetime, title: str, states: Counter[str]) -> TimelineItem:
    n = states.total()
    return TimelineItem(
        at=at,
        source="stock",
        icon="boxes",
        tone="busy",
        words=f"{n} {'unit' if n == 1 else 'units'} of {title} assigned",
        who="fondaco itself",
        detail=", ".join(f"{count} {plain(state).lower()}" for state, count in sorted(states.items())),
        state=next(iter(states)) if len(states) == 1 else "",
        machine="stock_unit",
    )


def _granted(row: Record, who: str) -> TimelineItem:
    n: int = row["n"]
    parts = [f"{row['revealed']} of {n} revealed"]
    if row["revoked"]:
        parts.append(f"{row['revoked']} revoked")
    one, many = ("copy", "copies") if row["article"] else ("key", "keys")
    return TimelineItem(
        at=row["at"],
        source="entitlement",
        icon="ticket-check",
        tone="good",
        words=f"{n} {one if n == 1 else many} of {row['title']} in the library",
        who=f"of {who}",
        detail=", ".join(parts),
    )

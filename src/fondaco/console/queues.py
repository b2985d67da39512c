"""What waits for somebody, with clocks; and the figures of the last weeks."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from fondaco.console.model import DayFigures, Latency, Queue, may
from fondaco.core import counting
from fondaco.core.clock import now
from fondaco.core.db import Connection, Database
from fondaco.core.viewer import Viewer

# Each: key, label, unit, what its count above zero means, its page, who sees it, and one row of
# (n, oldest, due), counted up to $1.
_QUEUES: tuple[tuple[str, str, str, str, str, str, str], ...] = (
    (
        "unpaid",
        "Orders awaiting payment",
        "order",
        "wait",
        "/console/orders?state=PENDING_PAYMENT",
        "console.orders",
        """SELECT count(*) AS n, min(created_at) AS oldest, min(expires_at) AS due FROM (
             SELECT created_at, expires_at FROM orders.orders WHERE state = 'PENDING_PAYMENT'
             ORDER BY expires_at LIMIT $1) first""",
    ),
    (
        "approvals",
        "Acts that wait for a second person",
        "request",
        "wait",
        "/console/approvals",
        "console.approvals",
        """SELECT count(*) AS n, min(asked_at) AS oldest, min(expires_at) AS due FROM (
             SELECT asked_at, expires_at FROM approvals.request WHERE state = 'OPEN'
             ORDER BY asked_at LIMIT $1) first""",
    ),
    (
        "chargebacks",
        "Chargebacks to answer",
        "chargeback",
        "wait",
        "/console/chargebacks?state=NEEDS_RESPONSE&state=WARNING_NEEDS_RESPONSE",
        "console.chargebacks",
        """SELECT count(*) AS n, min(opened_at) AS oldest, min(due_by) AS due FROM (
             SELECT opened_at, due_by FROM chargebacks.chargeback
             WHERE state IN ('NEEDS_RESPONSE', 'WARNING_NEEDS_RESPONSE')
             ORDER BY due_by, id LIMIT $1) first""",
    ),
    (
        "cases_open",
        "Cases to take up",
        "case",
        "wait",
        "/console/cases?state=OPEN",
        "console.cases",
        """SELECT count(*) AS n, min(opened_at) AS oldest, min(deadline) AS due FROM (
             SELECT opened_at, deadline FROM cases.case WHERE state = 'OPEN'
             ORDER BY opened_at, id LIMIT $1) first""",
    ),
    (
        "cases_review",
        "Cases to decide",
        "case",
        "wait",
        "/console/cases?state=UNDER_REVIEW",
        "console.cases",
        """SELECT count(*) AS n, min(opened_at) AS oldest, min(deadline) AS due FROM (
             SELECT opened_at, deadline FROM cases.case WHERE state = 'UNDER_REVIEW'
             ORDER BY opened_at, id LIMIT $1) first""",
    ),
    (
        "payouts_unknown",
        "Payouts without the provider's answer",
        "payout",
        "bad",
        "/console/payouts?state=UNKNOWN",
        "console.payouts",
        """SELECT count(*) AS n, min(created_at) AS oldest, min(created_at) + interval '1 hour' AS due
           FROM (SELECT created_at FROM payouts.payout WHERE state = 'UNKNOWN'
                 ORDER BY created_at LIMIT $1) first""",
    ),
    (
        "payouts_held",
        "Payouts on hold",
        "payout",
        "wait",
        "/console/payouts?state=HELD",
        "console.payouts",
        """SELECT count(*) AS n, min(created_at) AS oldest, NULL::timestamptz AS due
           FROM (SELECT created_at FROM payouts.payout WHERE state = 'HELD'
                 ORDER BY created_at LIMIT $1) first""",
    ),
    (
        "events_waiting",
        "Provider's events to be tried again",
        "event",
        "wait",
        "/console/inbox?state=FAILED&state=DEFERRED",
        "console.inbox",
        """SELECT count(*) AS n, min(received_at) AS oldest, min(next_at) AS due FROM (
             (SELECT received_at, next_at FROM inbox.event WHERE state = 'FAILED'
              ORDER BY received_at, id LIMIT $1)
             UNION ALL (SELECT received_at, next_at FROM inbox.event WHERE state = 'DEFERRED'
              ORDER BY received_at, id LIMIT $1)) first""",
    ),
    (
        "events_dead",
        "Provider's events given up",
        "event",
        "bad",
        "/console/inbox?state=DEAD",
        "console.inbox",
        """SELECT count(*) AS n, min(received_at) AS oldest, NULL::timestamptz AS due FROM (
             SELECT received_at FROM inbox.event WHERE state = 'DEAD'
             ORDER BY received_at, id LIMIT $1) first""",
    ),
    (
        "mails_failed",
        "Mails to be tried again",
        "mail",
        "wait",
        "/console/mails?state=FAILED",
        "console.mails",
        """SELECT count(*) AS n, min(created_at) AS oldest, min(next_at) AS due FROM (
             SELECT created_at, next_at FROM notifications.mail WHERE state = 'FAILED'
             ORDER BY created_at, id LIMIT $1) first""",
    ),
    (
        "mails_undeliverable",
        "Mails nobody got",
        "mail",
        "bad",
        "/console/mails?state=UNDELIVERABLE",
        "console.mails",
        """SELECT count(*) AS n, min(created_at) AS oldest, NULL::timestamptz AS due FROM (
             SELECT created_at FROM notifications.mail WHERE state = 'UNDELIVERABLE'
             ORDER BY created_at, id LIMIT $1) first""",
    ),
    (
        "refunds_unknown",
        "Refunds without an answer",
        "refund",
        "bad",
        "/console/refunds?state=UNKNOWN",
        "console.orders",
        """SELECT count(*) AS n, min(created_at) AS oldest, NULL::timestamptz AS due FROM (
             SELECT created_at FROM wallets.refund WHERE state = 'UNKNOWN'
             ORDER BY created_at LIMIT $1) first""",
    ),
    (
        "refunds_pending",
        "Refunds on their way",
        "refund",
        "wait",
        "/console/refunds?state=PENDING&state=REQUESTED&state=SENDING",
        "console.orders",
        """SELECT count(*) AS n, min(created_at) AS oldest, NULL::timestamptz AS due FROM (
             SELECT created_at FROM wallets.refund WHERE state IN ('PENDING', 'REQUESTED', 'SENDING')
             ORDER BY created_at LIMIT $1) first""",
    ),
    (
        "batches",
        "Imports open for over five minutes",
        "batch",
        "wait",
        "/console/sellers",
        "console.see",
        """SELECT count(*) AS n, min(created_at) AS oldest, NULL::timestamptz AS due FROM (
             SELECT created_at FROM inventory.stock_batch WHERE state IN ('RECEIVED', 'IMPORTING')
               AND created_at < now() - interval '5 minutes' ORDER BY created_at LIMIT $1) first""",
    ),
    (
        "refusals",
        "Deliveries refused at the door today",
        "delivery",
        "wait",
        "/console/inbox#refusals",
        "console.inbox",
        """SELECT coalesce(sum(n), 0)::bigint AS n, NULL::timestamptz AS oldest, NULL::timestamptz AS due
           FROM inbox.refusal WHERE day = current_date AND $1 > 0""",
    ),
    (
        "unsealed",
        "Audit events not sealed yet",
        "event",
        "wait",
        "/console/audit/blocks",
        "console.audit",
        """SELECT count(*) AS n, min(at) AS oldest, NULL::timestamptz AS due FROM (
             SELECT e.at FROM audit.event e WHERE (e.xid, e.id) > (
               coalesce((SELECT last_xid FROM audit.block ORDER BY number DESC LIMIT 1), '0'::xid8),
               coalesce((SELECT last_id FROM audit.block ORDER BY number DESC LIMIT 1), 0))
             ORDER BY e.xid, e.id LIMIT $1) waiting""",
    ),
)
_SEALED_WITHIN = timedelta(minutes=5)  # blocks are sealed every minute
_PLURALS = {"delivery": "deliveries", "batch": "batches"}


async def queues(db: Database, viewer: Viewer) -> list[Queue]:
    """Everything that waits, as far as this viewer may see it. `tone` is good for what is empty."""
    found: list[Queue] = []
    async with db.transaction(viewer.as_staff) as conn:
        for key, label, unit, tone, href, permission, sql in _QUEUES:
            if not may(viewer, permission):
                continue
            row = await conn.fetchrow(sql, counting.MOST)
            assert row
            queue = Queue(
                key=key,
                label=label,
                count=row["n"],
                unit=unit if row["n"] == 1 else _PLURALS.get(unit, f"{unit}s"),
                oldest=row["oldest"],
                due=row["due"],
                tone=tone if row["n"] else "good",
                href=href,
            )
            found.append(_judged(queue))
        if may(viewer, "console.ledger"):
            found += await _suspense(conn, may(viewer, "console.reconcile"))
    return found


def _judged(queue: Queue) -> Queue:
    """Worse or better than its count alone says."""
    tone = queue.tone
    if queue.key == "unpaid" and queue.due and queue.due < now() - timedelta(minutes=5):
        tone = "bad"  # whoever expires them is not running
    elif queue.key == "unsealed" and queue.count:
        late = queue.oldest is not None and queue.oldest < now() - _SEALED_WITHIN
        tone = "bad" if late else "good"
    return msgspec.structs.replace(queue, tone=tone)


async def _suspense(conn: Connection, settles: bool) -> list[Queue]:
    rows = await conn.fetch(
        """SELECT a.id, a.currency, sum(b.amount)::bigint AS amount,
             (SELECT min(j.posted_at) FROM ledger.balance s
              JOIN ledger.entry e ON e.account_id = a.id AND e.slot = s.slot AND e.version = 1
              JOIN ledger.journal j ON j.id = e.journal_id WHERE s.account_id = a.id) AS oldest
           FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
           WHERE a.kind = 'suspense' GROUP BY a.id ORDER BY a.currency"""
    )
    return [
        Queue(
            key=f"suspense_{r['currency'].lower()}",
            label="Money that matches nothing",
            count=r["amount"],
            unit=r["currency"],
            oldest=r["oldest"] if r["amount"] else None,
            tone="bad" if r["amount"] else "good",
            href="/console/reconciliation#suspense" if settles else f"/console/ledger/accounts/{r['id']}",
        )
        for r in rows
    ]


async def paid_per_day(db: Database, viewer: Viewer, currency: str, days: int = 30) -> Sequence[DayFigures]:
    """Orders paid and their sum for each of the last `days` days (UTC), today last."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT d::date AS day, count(o.id) AS orders, coalesce(sum(o.total), 0)::bigint AS total
           FROM generate_series(current_date - ($2::int - 1), current_date, interval '1 day') d
           LEFT JOIN orders.orders o ON o.currency = $1 AND o.paid_at >= d
             AND o.paid_at < d + interval '1 day' AND o.created_at >= current_date - ($2::int + 7)
           GROUP BY d ORDER BY d""",
        currency,
        days,
    )
    return [DayFigures(r["day"], r["orders"], r["total"]) for r in rows]


async def delivery_latency(db: Database, viewer: Viewer, days: int = 30) -> Latency:
    """How long buyers by card waited for their keys once the provider's word had arrived here: the median
    and the 95th percentile of the last `days` days (at most 5,000 orders). What was settled before any
    event came counts as 0."""
    row = await db.fetchrow(
        viewer.as_staff,
        """SELECT count(*) AS n,
             coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY ms), 0)::bigint AS p50,
             coalesce(percentile_disc(0.95) WITHIN GROUP (ORDER BY ms), 0)::bigint AS p95
           FROM (
             SELECT greatest(0, (extract(epoch FROM delivered.at - arrived.at) * 1000)::bigint) AS ms
             FROM (SELECT o.id, o.group_id FROM orders.orders o
                   WHERE o.created_at >= now() - make_interval(days => $1) AND o.delivered_at IS NOT NULL
                   ORDER BY o.created_at DESC LIMIT 5000) o
             JOIN wallets.funding f ON f.group_id = o.group_id AND f.succeeded_at IS NOT NULL
             CROSS JOIN LATERAL (
               SELECT min(e.received_at) AS at FROM inbox.event e
               WHERE e.object_id IN (f.session_id, f.intent_id)
                 AND e.type IN ('checkout.session.completed', 'checkout.session.async_payment_succeeded',
                                'payment_intent.succeeded')) arrived
             CROSS JOIN LATERAL (
               SELECT min(a.at) AS at FROM audit.event a
               WHERE a.ref = 'order:' || o.id AND a.kind = 'order.delivered') delivered
             WHERE arrived.at IS NOT NULL AND delivered.at IS NOT NULL) waits""",
        days,
    )
    assert row
    return Latency(row["n"], row["p50"], row["p95"])

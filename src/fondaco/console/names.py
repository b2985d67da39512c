"""Refs in words: 'order:<uuid>' becomes its number, 'user:<uuid>' an address; each with its page."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from fondaco.console.model import Named, may
from fondaco.core.db import Connection, Database
from fondaco.core.ids import parse_uuid
from fondaco.core.viewer import Viewer

# Kind of ref: (SQL that gives id, words and the id its page goes by, page, permission of that page).
_LOOK: dict[str, tuple[str, str, str]] = {
    "user": (
        "SELECT id, email AS words, id AS target FROM identity.users WHERE id = ANY ($1)",
        "/console/people/{}",
        "console.people",
    ),
    "order": (
        "SELECT id, number AS words, id AS target FROM orders.orders WHERE id = ANY ($1)",
        "/console/orders/{}",
        "console.orders",
    ),
    "group": (
        """SELECT g.id, g.number AS words, (SELECT o.id FROM orders.orders o WHERE o.group_id = g.id
             ORDER BY o.id LIMIT 1) AS target FROM orders.order_group g WHERE g.id = ANY ($1)""",
        "/console/orders/{}",
        "console.orders",
    ),
    "line": (
        """SELECT l.id, o.number || ', ' || (l.terms->>'title') AS words, o.id AS target
           FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id WHERE l.id = ANY ($1)""",
        "/console/orders/{}",
        "console.orders",
    ),
    "entitlement": (
        """SELECT e.id, o.number || ', ' || e.title AS words, o.id AS target FROM delivery.entitlement e
           JOIN orders.orders o ON o.id = e.order_id WHERE e.id = ANY ($1)""",
        "/console/orders/{}",
        "console.orders",
    ),
    "funding": (
        """SELECT f.id, CASE f.purpose WHEN 'top_up' THEN 'Top-up of ' ELSE 'Card payment of ' END || u.email
             AS words, f.id AS target
           FROM wallets.funding f JOIN identity.users u ON u.id = f.user_id WHERE f.id = ANY ($1)""",
        "/console/fundings/{}",
        "console.orders",
    ),
    "refund": (
        """SELECT r.id, 'Refund to ' || u.email AS words, r.funding_id AS target FROM wallets.refund r
           JOIN identity.users u ON u.id = r.user_id WHERE r.id = ANY ($1)""",
        "/console/fundings/{}",
        "console.orders",
    ),
    "approval": (
        "SELECT id, words, id AS target FROM approvals.request WHERE id = ANY ($1)",
        "/console/approvals/{}",
        "console.approvals",
    ),
    "chargeback": (
        """SELECT c.id, 'Chargeback of ' || u.email AS words, c.id AS target FROM chargebacks.chargeback c
           JOIN identity.users u ON u.id = c.user_id WHERE c.id = ANY ($1)""",
        "/console/chargebacks/{}",
        "console.chargebacks",
    ),
    "payout": (
        """SELECT p.id, 'Payout to ' || s.name AS words, p.id AS target FROM payouts.payout p
           JOIN sellers.seller s ON s.id = p.seller_id WHERE p.id = ANY ($1)""",
        "/console/payouts/{}",
        "console.payouts",
    ),
    "seller": (
        "SELECT id, name AS words, id AS target FROM sellers.seller WHERE id = ANY ($1)",
        "/console/listings?seller={}",
        "console.see",
    ),
    "listing": (
        "SELECT id, title AS words, id AS target FROM catalog.listing WHERE id = ANY ($1)",
        "/console/listings?id={}",
        "console.see",
    ),
    "batch": (
        """SELECT b.id, 'Batch for ' || l.title AS words, l.id AS target FROM inventory.stock_batch b
           JOIN catalog.listing l ON l.id = b.listing_id WHERE b.id = ANY ($1)""",
        "/console/listings?id={}",
        "console.see",
    ),
    "unit": (
        """SELECT u.id, 'Key for ' || l.title AS words, l.id AS target FROM inventory.stock_unit u
           JOIN catalog.listing l ON l.id = u.listing_id WHERE u.id = ANY ($1)""",
        "/console/listings?id={}",
        "console.see",
    ),
    "api_key": (
        """SELECT k.id, 'API key ' || k.name || ' of ' || s.name AS words, s.id AS target
           FROM identity.api_key k JOIN sellers.seller s ON s.id = k.seller_id WHERE k.id = ANY ($1)""",
        "/console/listings?seller={}",
        "console.see",
    ),
}
# The same for what is counted by number.
_LOOK_NUMBERED: dict[str, tuple[str, str, str]] = {
    "break": (
        """SELECT id, 'Break ' || id || ', ' || words AS words, id AS target FROM reconciliation.break
           WHERE id = ANY ($1)""",
        "/console/reconciliation/breaks/{}",
        "console.reconcile",
    ),
    "reconciliation": (
        """SELECT id, 'Reconciliation ' || id AS words, id AS target FROM reconciliation.run
           WHERE id = ANY ($1)""",
        "/console/reconciliation/runs/{}",
        "console.reconcile",
    ),
    "journal": (
        "SELECT id, 'Journal ' || id AS words, id AS target FROM ledger.journal WHERE id = ANY ($1)",
        "/console/ledger/journals/{}",
        "console.ledger",
    ),
}
_PLAIN = {"system": "fondaco itself", "stripe": "Stripe", "guest": "a guest", "platform": "the marketplace"}


async def named(conn: Connection, viewer: Viewer, refs: Iterable[str]) -> dict[str, Named]:
    """Words and page of each ref (also actors and owners of accounts); what is not known reads as it is
    written. A page the viewer may not open is left out."""
    found = {ref: Named(_PLAIN.get(ref, ref)) for ref in refs}
    by_kind: dict[str, dict[UUID | int, str]] = defaultdict(dict)
    for ref in found:
        kind, _, rest = ref.partition(":")
        if kind in _LOOK and (key := parse_uuid(rest)):
            by_kind[kind][key] = ref
        elif kind in _LOOK_NUMBERED and rest.isascii() and rest.isdecimal() and len(rest) < 19:
            by_kind[kind][int(rest)] = ref
        elif kind == "event" and rest and may(viewer, "console.inbox"):
            found[ref] = Named(rest, f"/console/inbox?q={rest}")
    for kind, wanted in by_kind.items():
        sql, page, permission = _LOOK.get(kind) or _LOOK_NUMBERED[kind]
        for row in await conn.fetch(sql, list(wanted)):
            href = page.format(row["target"]) if row["target"] and may(viewer, permission) else ""
            found[wanted[row["id"]]] = Named(row["words"], href)
    return found


async def names_of(db: Database, viewer: Viewer, refs: Iterable[str]) -> dict[str, Named]:
    """`named` in a transaction of its own; for staff."""
    async with db.transaction(viewer.as_staff) as conn:
        return await named(conn, viewer, refs)


def short_address(ip: str) -> str:
    """A network address without its last part: enough to compare, too little to find somebody."""
    if ":" in ip:
        return ":".join(ip.split(":")[:3]) + ":…"
    parts = ip.split(".")
    return ".".join(parts[:3]) + ".…" if len(parts) == 4 else ip

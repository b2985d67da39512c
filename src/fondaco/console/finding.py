"""Find anything: by number, id, address, name, title, provider's id, journal, or a key that is pasted."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from fondaco.audit import record
from fondaco.console.model import Found, may
from fondaco.core.db import Connection, Database
from fondaco.core.ids import parse_uuid
from fondaco.core.money import Money
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer
from fondaco.vault import Vault

MAX_TEXT = 4096  # of a pasted key; everything else is shorter
PER_KIND = 8
_NUMBER = re.compile(r"(ORD|GRP)-[0-9A-Z-]{1,14}", re.IGNORECASE)
_CASE = re.compile(r"CAS-[0-9A-Z-]{1,14}", re.IGNORECASE)
_PROVIDER = re.compile(r"(cs|pi|ch|py|re|pyr|evt)_[A-Za-z0-9_]{4,200}")
_JOURNAL = re.compile(r"#?([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Search:
    """One search: what was typed, and for whom."""

    conn: Connection
    viewer: Viewer
    text: str
    id: UUID | None

    @property
    def begins(self) -> str:
        """A LIKE pattern for what begins with the text."""
        return _escaped(self.text) + "%"

    @property
    def holds(self) -> str:
        """A LIKE pattern for what holds the text."""
        return f"%{_escaped(self.text)}%"


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


async def find(
    db: Database, viewer: Viewer, text: str, *, vault: Vault | None = None, limit: int = 40
) -> list[Found]:
    """What `text` names, most certain first; only what the viewer may open. For staff.

    With `vault` the text is also taken for a key: compared by its fingerprint, kept nowhere, and a hit is
    written into the audit log. Raises Invalid (field text).
    """
    wanted = text.replace("\x00", "").strip()
    if not wanted or len(wanted) > MAX_TEXT:
        raise Invalid(fields={"text": f"Type 1 to {MAX_TEXT} characters."})
    found: list[Found] = []
    async with db.transaction(viewer.as_staff) as conn:
        short = wanted if len(wanted) <= 300 else ""
        search = Search(conn, viewer, short, parse_uuid(short))
        for permission, look in _LOOKS if short else ():
            if may(viewer, permission):
                found += await look(search)
        if vault and may(viewer, "console.orders"):
            found += await _keys(search, vault.fingerprint(wanted))
    unique = {(f.kind, f.href, f.title): f for f in found}
    return list(unique.values())[:limit]


async def _orders(s: Search) -> list[Found]:
    if not (s.id or _NUMBER.fullmatch(s.text)):
        return []
    rows = await s.conn.fetch(
        """SELECT o.id, o.number, o.state, o.total, o.currency, o.created_at, u.email, g.number AS purchase
           FROM orders.orders o JOIN orders.order_group g ON g.id = o.group_id
           JOIN identity.users u ON u.id = o.buyer_id
           WHERE ($1::uuid IS NOT NULL AND (o.id = $1 OR o.group_id = $1
                  OR o.id = (SELECT order_id FROM orders.order_line WHERE id = $1)
                  OR o.id = (SELECT order_id FROM delivery.entitlement WHERE id = $1)))
              OR ($1::uuid IS NULL AND (o.number LIKE $2 OR g.number LIKE $2))
           ORDER BY o.created_at DESC LIMIT $3""",
        s.id,
        _escaped(s.text.upper()) + "%",
        PER_KIND,
    )
    return [
        Found(
            kind="order",
            title=r["number"],
            note=f"{Money(r['total'], r['currency']).words()} of {r['email']}, {_words(r['state'])}, "
            f"in {r['purchase']}",
            href=f"/console/orders/{r['id']}",
            at=r["created_at"],
        )
        for r in rows
    ]


async def _cases(s: Search) -> list[Found]:
    if not (s.id or _CASE.fullmatch(s.text)):
        return []
    rows = await s.conn.fetch(
        """SELECT c.id, c.number, c.state, c.opened_at, o.number AS order_number
           FROM cases.case c JOIN orders.orders o ON o.id = c.order_id
           WHERE c.id = $1 OR c.order_id = $1 OR ($1::uuid IS NULL AND c.number LIKE $2)
           ORDER BY c.opened_at DESC LIMIT $3""",
        s.id,
        _escaped(s.text.upper()) + "%",
        PER_KIND,
    )
    return [
        Found(
            kind="case",
            title=r["number"],
            note=f"About {r['order_number']}, {_words(r['state'])}",
            href=f"/console/cases/{r['id']}",
            at=r["opened_at"],
        )
        for r in rows
    ]


async def _people(s: Search) -> list[Found]:
    if len(s.text) < 2:
        return []
    rows = await s.conn.fetch(
        """SELECT id, email, name, staff_role, created_at FROM identity.users
           WHERE id = $1 OR email = lower($2)
              OR ($1::uuid IS NULL AND (email LIKE lower($3) OR name ILIKE $4))
           ORDER BY email = lower($2) DESC, created_at DESC LIMIT $5""",
        s.id,
        s.text,
        s.begins,
        s.holds,
        PER_KIND,
    )
    return [
        Found(
            kind="person",
            title=r["email"],
            note=r["name"] + (f", staff: {r['staff_role']}" if r["staff_role"] else ""),
            href=f"/console/people/{r['id']}",
            at=r["created_at"],
        )
        for r in rows
    ]


async def _payments(s: Search) -> list[Found]:
    if not (s.id or _PROVIDER.fullmatch(s.text)):
        return []
    fundings = await s.conn.fetch(
        """SELECT f.id, f.purpose, f.amount, f.currency, f.state, f.created_at, u.email
           FROM wallets.funding f JOIN identity.users u ON u.id = f.user_id
           WHERE f.id = $1 OR f.session_id = $2 OR f.intent_id = $2 OR f.charge_id = $2""",
        s.id,
        s.text,
    )
    refunds = await s.conn.fetch(
        """SELECT r.id, r.funding_id, r.amount, r.currency, r.state, r.created_at, u.email
           FROM wallets.refund r JOIN identity.users u ON u.id = r.user_id
           WHERE r.id = $1 OR r.provider_id = $2""",
        s.id,
        s.text,
    )
    found = [
        Found(
            kind="funding",
            title=("Top-up" if r["purpose"] == "top_up" else "Card payment") + f" of {r['email']}",
            note=f"{Money(r['amount'], r['currency']).words()}, {_words(r['state'])}",
            href=f"/console/fundings/{r['id']}",
            at=r["created_at"],
        )
        for r in fundings
    ]
    return found + [
        Found(
            kind="refund",
            title=f"Refund to {r['email']}",
            note=f"{Money(r['amount'], r['currency']).words()}, {_words(r['state'])}",
            href=f"/console/fundings/{r['funding_id']}",
            at=r["created_at"],
        )
        for r in refunds
    ]


async def _events(s: Search) -> list[Found]:
    if not _PROVIDER.fullmatch(s.text):
        return []
    rows = await s.conn.fetch(
        """SELECT id, event_id, type, state, received_at FROM inbox.event
           WHERE event_id = $1 OR object_id = $1 ORDER BY id LIMIT $2""",
        s.text,
        PER_KIND,
    )
    return [
        Found(
            kind="event",
            title=r["type"],
            note=f"{r['event_id']}, {_words(r['state'])}",
            href=f"/console/inbox/{r['id']}",
            at=r["received_at"],
        )
        for r in rows
    ]


async def _journals(s: Search) -> list[Found]:
    number = _JOURNAL.fullmatch(s.text)
    if number is None:
        return []
    rows = await s.conn.fetch(
        "SELECT id, kind, ref, posted_at FROM ledger.journal WHERE id = $1", int(number[1])
    )
    return [
        Found(
            kind="journal",
            title=f"Journal {r['id']}",
            note=f"{_words(r['kind'])}, {r['ref']}",
            href=f"/console/ledger/journals/{r['id']}",
            at=r["posted_at"],
        )
        for r in rows
    ]


async def _mails(s: Search) -> list[Found]:
    if s.id is None and "@" not in s.text:
        return []
    rows = await s.conn.fetch(
        """SELECT id, subject, recipient, state, created_at FROM notifications.mail
           WHERE id = $1 OR ($1::uuid IS NULL AND recipient = lower($2))
           ORDER BY created_at DESC LIMIT $3""",
        s.id,
        s.text,
        PER_KIND,
    )
    return [
        Found(
            kind="mail",
            title=r["subject"],
            note=f"to {r['recipient']}, {_words(r['state'])}",
            href=f"/console/mails/{r['id']}",
            at=r["created_at"],
        )
        for r in rows
    ]


async def _goods(s: Search) -> list[Found]:
    if len(s.text) < 2:
        return []
    stores = await s.conn.fetch(
        """SELECT id, name, slug, state, created_at FROM sellers.seller
           WHERE id = $1 OR slug = lower($2) OR ($1::uuid IS NULL AND name ILIKE $3)
           ORDER BY name LIMIT $4""",
        s.id,
        s.text,
        s.holds,
        PER_KIND,
    )
    listings = await s.conn.fetch(
        """SELECT l.id, l.title, l.state, l.created_at, s.name AS store FROM catalog.listing l
           JOIN sellers.seller s ON s.id = l.seller_id
           WHERE l.id = $1 OR l.slug = lower($2)
              OR ($1::uuid IS NULL AND (l.title ILIKE $3 OR l.document @@ catalog.search_query($2)))
           ORDER BY l.title ILIKE $3 DESC, l.sold DESC, l.id DESC LIMIT $4""",
        s.id,
        s.text,
        s.holds,
        PER_KIND,
    )
    return [
        Found(
            kind="store",
            title=r["name"],
            note=_words(r["state"]),
            href=f"/console/sellers?q={r['slug']}",
            at=r["created_at"],
        )
        for r in stores
    ] + [
        Found(
            kind="listing",
            title=r["title"],
            note=f"{r['store']}, {_words(r['state'])}",
            href=f"/console/listings?id={r['id']}",
            at=r["created_at"],
        )
        for r in listings
    ]


async def _keys(s: Search, fingerprint: bytes) -> list[Found]:
    """The stock unit with this fingerprint; that it was looked for is written down when it is there."""
    row = await s.conn.fetchrow(
        """SELECT u.id, u.state, l.title, l.id AS listing_id, s.name AS store, o.id AS order_id, o.number,
             o.created_at
           FROM inventory.stock_unit u JOIN catalog.listing l ON l.id = u.listing_id
           JOIN sellers.seller s ON s.id = u.seller_id
           LEFT JOIN orders.order_line i ON i.id = u.line_id LEFT JOIN orders.orders o ON o.id = i.order_id
           WHERE u.fingerprint = $1""",
        fingerprint,
    )
    if row is None:
        return []
    await record(s.conn, "secret.looked_up", f"unit:{row['id']}", s.viewer.actor)
    sold = f" in {row['number']}" if row["number"] else ""
    return [
        Found(
            kind="key",
            title=f"A key for {row['title']}",
            note=f"{_words(row['state'])}{sold}, handed in by {row['store']}",
            href=f"/console/orders/{row['order_id']}"
            if row["order_id"]
            else f"/console/listings?id={row['listing_id']}",
            at=row["created_at"],
        )
    ]


def _words(state: str) -> str:
    return state.replace("_", " ").lower()


_LOOKS: tuple[tuple[str, Callable[[Search], Awaitable[list[Found]]]], ...] = (
    ("console.orders", _orders),
    ("console.cases", _cases),
    ("console.orders", _payments),
    ("console.inbox", _events),
    ("console.ledger", _journals),
    ("console.people", _people),
    ("console.see", _goods),
    ("console.mails", _mails),
)

"""What buyers, sellers and staff read of cases."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.cases.model import MAY, OPEN_STATES, STATES, Acting, may, may_appeal
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core import counting
from fondaco.core.db import Connection, Database, Record, Scope
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer

MinorUnits = Annotated[int, Meta(description="Minor units of `currency`.")]
_NEWEST = Keyset("cases", (("opened_at", "c.opened_at", "timestamptz"), ("id", "c.id", "uuid")))
# Closed cases have no deadline and come last.
_FAR = "coalesce(c.deadline, 'infinity'::timestamptz)"
_DUE = Keyset("cases-due", (("due", _FAR, "timestamptz"), ("id", "c.id", "uuid")), down=False)
SORTS = {"due": _DUE, "new": _NEWEST}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A case as it stands."""

    id: UUID
    number: str
    order_id: UUID
    order_number: str
    seller: str
    title: Annotated[str, Meta(description="Of what it is about; of several, the first.")]
    state: str
    outcome: Annotated[str | None, Meta(description="SELLER, BUYER, SPLIT or WITHDRAWN.")]
    reason: str
    wish: Annotated[str, Meta(description="REFUND, PART or REPLACEMENT.")]
    at_stake: MinorUnits
    refunded: Annotated[int, Meta(description="What the case gave back, minor units.")]
    currency: str
    opened_at: datetime
    deadline: Annotated[datetime | None, Meta(description="What happens then depends on the state.")]
    asked_party: Annotated[str | None, Meta(description="Who has to answer: buyer or seller.")]
    appeal_by: Annotated[str | None, Meta(description="Who appealed.")]
    decided_at: datetime | None
    closed_at: datetime | None
    version: Annotated[int, Meta(description="Give it with an act, so that it is refused if the case moved.")]


class CasePage(msgspec.Struct, frozen=True):
    """One page of cases with counts per state."""

    items: list[Case]
    next: str | None
    previous: str | None
    states: Annotated[dict[str, int], Meta(description="How many are in each state, for the same search.")]


class CaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the order that the case is about."""

    line_id: UUID
    title: str
    quantity: int
    at_stake: MinorUnits
    remaining: Annotated[int, Meta(description="Not refunded yet, minor units.")]
    refund: Annotated[int | None, Meta(description="What the case gave back, minor units.")]
    escrow_state: str
    frozen: Annotated[bool, Meta(description="Its money was in escrow when the case was opened.")]


class CaseMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Something somebody wrote."""

    id: UUID
    at: datetime
    party: str
    kind: str
    body: str
    internal: Annotated[bool, Meta(description="Among the staff only.")]
    by: Annotated[str, Meta(description="For staff: who wrote it. Else empty.")]


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file somebody added."""

    id: UUID
    at: datetime
    party: str
    name: str
    media_type: str
    size: Annotated[int, Meta(description="Bytes.")]


class CaseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the case."""

    version: int
    at: datetime
    kind: str
    party: str
    source: str
    target: str
    deadline: datetime | None
    data: dict[str, Any]


class CaseOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What the seller offers now."""

    id: UUID
    kind: Annotated[str, Meta(description="REFUND or REPLACEMENT.")]
    amount: MinorUnits
    made_at: datetime


class CaseDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A case with its thread, files and steps, and what the reader may do now."""

    case: Case
    lines: list[CaseLine]
    messages: list[CaseMessage]
    files: list[CaseFile]
    events: list[CaseEvent]
    offer: CaseOffer | None
    acts: Annotated[list[str], Meta(description="What this side may do now, as far as the state says.")]
    snapshot_id: UUID
    snapshot_sha256: str
    taken_by: Annotated[str, Meta(description="For staff: who works on it. Else empty.")]
    buyer_id: Annotated[UUID | None, Meta(description="For staff.")]
    buyer: Annotated[str, Meta(description="For staff: the buyer's address. Else empty.")]
    seller_id: UUID


_SEARCH = """($2 = '' OR c.number ILIKE $2
  OR EXISTS (SELECT 1 FROM orders.orders o WHERE o.id = c.order_id AND o.number ILIKE $2))"""
# Looked up row by row, so that a page reads what it shows however much there is.
_COLUMNS = f"""c.*, {_FAR} AS due, x.at_stake, x.refunded, x.title,
  (SELECT o.number FROM orders.orders o WHERE o.id = c.order_id) AS order_number,
  (SELECT s.name FROM sellers.seller s WHERE s.id = c.seller_id) AS seller"""
_FROM = """FROM cases.case c CROSS JOIN LATERAL (
    SELECT sum(k.at_stake)::bigint AS at_stake, coalesce(sum(k.refund), 0)::bigint AS refunded,
      min((SELECT l.terms->>'title' FROM orders.order_line l WHERE l.id = k.line_id)) AS title
    FROM cases.case_line k WHERE k.case_id = c.id) x"""


async def list_cases(
    db: Database,
    by: Acting,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    appealed: bool = False,
    mine: bool = False,
    sort: str = "new",
    limit: int = 50,
    cursor: str | None = None,
) -> CasePage:
    """The cases this side sees. `q`: part of a case's or an order's number; `mine`: taken by this person of
    the staff; `sort`: 'new' (newest first) or 'due' (nearest deadline first)."""
    clause, whose = by.clause()
    condition = clause.replace("$2", "$1")
    args: list[Any] = [
        whose,
        _pattern(q),
        list(states) or None,
        appealed,
        by.viewer.user_id if mine else None,
    ]
    start = SORTS[sort].start(cursors, cursor, args)
    search = f"{condition} AND {_SEARCH}"
    async with db.transaction(_scope(by)) as conn:
        counts = await conn.fetch(_counts(by, search), *args[:2])
        rows = await conn.fetch(
            f"""WITH shown AS MATERIALIZED (
                  SELECT c.* FROM cases.case c WHERE {search} AND ($3::text[] IS NULL OR c.state = ANY ($3))
                    AND (NOT $4 OR c.appeal_by IS NOT NULL AND c.closed_at IS NULL)
                    AND ($5::uuid IS NULL OR c.taken_by = $5){start.condition}
                  ORDER BY {start.order} LIMIT {checked_limit(limit) + 1})
                SELECT {_COLUMNS} {_FROM.replace("cases.case c", "shown c")} ORDER BY {start.order}""",
            *args,
        )
    page = start.page(rows, limit, _case)
    return CasePage(list(page.items), page.next, page.previous, {r["state"]: r["n"] for r in counts})


def _counts(by: Acting, search: str) -> str:
    """SQL of how many cases are in each state; of a party among their newest."""
    rows = f"FROM cases.case c WHERE {search}"
    if by.side != "staff":
        return counting.among_newest(f"SELECT c.state {rows}", "c.opened_at DESC, c.id DESC")
    return counting.by_state(STATES, "c.state", f"SELECT 1 {rows}")


async def read_case(db: Database, by: Acting, case_id: UUID) -> CaseDetail:
    """One case as this side sees it. Raises NotFound."""
    clause, whose = by.clause()
    async with db.transaction(_scope(by)) as conn:
        row = await conn.fetchrow(f"SELECT {_COLUMNS} {_FROM} WHERE c.id = $1 AND {clause}", case_id, whose)
        if row is None:
            raise NotFound()
        return await _detail(conn, by, row)


async def _detail(conn: Connection, by: Acting, row: Record) -> CaseDetail:
    staff = by.side == "staff"
    lines = await conn.fetch(
        """SELECT k.line_id, k.at_stake, k.refund, k.frozen, l.terms->>'title' AS title, l.quantity,
             l.escrow_state, l.total - l.refunded AS remaining
           FROM cases.case_line k JOIN orders.order_line l ON l.id = k.line_id
           WHERE k.case_id = $1 ORDER BY k.line_id""",
        row["id"],
    )
    messages = await conn.fetch(
        """SELECT m.id, m.at, m.party, m.kind, m.body, m.internal,
             CASE WHEN $2 THEN coalesce(u.email, 'a program of the store') ELSE '' END AS by
           FROM cases.message m LEFT JOIN identity.users u ON u.id = m.author_id
           WHERE m.case_id = $1 AND ($2 OR NOT m.internal) ORDER BY m.id LIMIT 500""",
        row["id"],
        staff,
    )
    files = await conn.fetch(
        "SELECT id, at, party, name, media_type, size FROM cases.attachment WHERE case_id = $1 ORDER BY id",
        row["id"],
    )
    events = await conn.fetch(
        """SELECT version, at, kind, party, source, target, deadline, data FROM cases.event
           WHERE case_id = $1 ORDER BY version LIMIT 500""",
        row["id"],
    )
    offer = await conn.fetchrow(
        "SELECT id, kind, amount, made_at FROM cases.offer WHERE case_id = $1 AND ended_at IS NULL", row["id"]
    )
    people = await _people(conn, row) if staff else {}
    return CaseDetail(
        case=_case(row),
        lines=[msgspec.convert(dict(r), CaseLine) for r in lines],
        messages=[msgspec.convert(dict(r), CaseMessage) for r in messages],
        files=[msgspec.convert(dict(r), CaseFile) for r in files],
        events=[msgspec.convert(dict(r), CaseEvent) for r in events],
        offer=msgspec.convert(dict(offer), CaseOffer) if offer else None,
        acts=acts_of(by, row, offer is not None),
        snapshot_id=row["snapshot_id"],
        snapshot_sha256=events[0]["data"]["snapshot"],
        taken_by=people.get(row["taken_by"], ""),
        buyer_id=row["buyer_id"] if staff else None,
        buyer=people.get(row["buyer_id"], ""),
        seller_id=row["seller_id"],
    )


async def _people(conn: Connection, row: Record) -> dict[UUID, str]:
    ids = [i for i in (row["buyer_id"], row["taken_by"]) if i]
    rows = await conn.fetch("SELECT id, email FROM identity.users WHERE id = ANY ($1)", ids)
    return {r["id"]: r["email"] for r in rows}


def acts_of(by: Acting, row: Record, offered: bool) -> list[str]:
    """What this side may do with a case in its state."""
    found = [act for act in MAY if may(act, by.side, row["state"], row["asked_party"])]
    if not offered:
        found = [act for act in found if act not in ("accept", "decline", "take_back")]
    if not may_appeal(by.side, row["outcome"], row["appeal_by"]):
        found = [act for act in found if act != "appeal"]
    return found


async def cases_of_order(db: Database, scope: Scope, order_ids: Sequence[UUID]) -> list[Case]:
    """The cases about these orders, newest first, as `scope` may see them."""
    rows = await db.fetch(
        scope,
        f"SELECT {_COLUMNS} {_FROM} WHERE c.order_id = ANY ($1) ORDER BY c.opened_at DESC, c.id DESC",
        list(order_ids),
    )
    return [_case(row) for row in rows]


class Outcomes(msgspec.Struct, frozen=True):
    """How cases of the last days ended, and how many wait."""

    outcomes: dict[str, int]
    open: int
    late: Annotated[int, Meta(description="Under review past the desk's own time.")]


async def outcomes(db: Database, viewer: Viewer, *, days: int = 90) -> Outcomes:
    """How the cases ended that were closed or decided within so many days. For staff."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT outcome, count(*) AS n FROM cases.case
           WHERE outcome IS NOT NULL AND (decided_at > now() - $1::interval
             OR decided_at IS NULL AND closed_at IS NOT NULL AND closed_at > now() - $1::interval)
           GROUP BY 1 ORDER BY 1""",
        timedelta(days=days),
    )
    waiting = await db.fetchrow(
        viewer.as_staff,
        """SELECT count(*) AS n, count(*) FILTER (WHERE late) AS late FROM (
             SELECT c.state = 'UNDER_REVIEW' AND EXISTS (SELECT 1 FROM cases.event e
               WHERE e.case_id = c.id AND e.version = c.version AND e.kind = 'overdue') AS late
             FROM cases.case c WHERE c.state = ANY ($1) LIMIT $2) t""",
        list(OPEN_STATES),
        counting.MOST,
    )
    assert waiting
    told = counting.shown({"open": waiting["n"]})
    return Outcomes({r["outcome"]: r["n"] for r in rows}, told["open"], waiting["late"])


def _scope(by: Acting) -> Scope:
    if by.side == "staff":
        return by.viewer.as_staff
    return by.viewer.as_seller if by.side == "seller" else by.viewer.as_user


def _case(row: Record) -> Case:
    return msgspec.convert({name: row[name] for name in Case.__struct_fields__}, Case)


def _pattern(q: str) -> str:
    text = q.replace("\x00", "").strip()[:100]
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%" if text else ""


async def read_snapshot(db: Database, viewer: Viewer, snapshot_id: UUID) -> dict[str, Any]:
    """What a snapshot holds. For staff. Raises NotFound."""
    body = await db.fetchval(viewer.as_staff, "SELECT body FROM cases.snapshot WHERE id = $1", snapshot_id)
    if body is None:
        raise NotFound()
    found: dict[str, Any] = json.loads(body)
    return found


async def is_own(db: Database, viewer: Viewer, case_id: UUID) -> bool:
    """Whether this person of the staff is a party of the case."""
    found: bool = await db.fetchval(
        viewer.as_staff,
        """SELECT EXISTS (SELECT 1 FROM cases.case c WHERE c.id = $1 AND (c.buyer_id = $2 OR EXISTS (
             SELECT 1 FROM identity.membership m WHERE m.user_id = $2 AND m.seller_id = c.seller_id)))""",
        case_id,
        viewer.user(),
    )
    return found

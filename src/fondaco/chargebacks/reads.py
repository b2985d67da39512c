"""What buyers, sellers and staff read of chargebacks."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.chargebacks.evidence import final
from fondaco.chargebacks.model import OPEN, STATES, Chargeback
from fondaco.core import counting
from fondaco.core.db import SYSTEM, Connection, Database, Record, Scope
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer

MinorUnits = Annotated[int, Meta(description="Minor units of `currency`.")]
_FAR = "CASE WHEN c.ended_at IS NULL AND c.due_by IS NOT NULL THEN c.due_by ELSE 'infinity' END"
_NEWEST = Keyset("chargebacks", (("opened_at", "c.opened_at", "timestamptz"), ("id", "c.id", "uuid")))
_DUE = Keyset("chargebacks-due", (("due", f"({_FAR})", "timestamptz"), ("id", "c.id", "uuid")), down=False)
_SOLD = Keyset("sale-chargebacks", (("opened_at", "c.opened_at", "timestamptz"), ("id", "c.id", "uuid")))
SORTS = {"due": _DUE, "new": _NEWEST}


class ChargebackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A chargeback in the desk's queue."""

    id: UUID
    provider_id: str
    funding_id: UUID
    user_id: UUID
    buyer: Annotated[str, Meta(description="The buyer's address.")]
    amount: MinorUnits
    held: Annotated[int, Meta(description="What is held of the buyer's wallet for it.")]
    owed: Annotated[int, Meta(description="What the buyer still owes of a lost one.")]
    currency: str
    reason: str
    state: str
    due_by: Annotated[datetime | None, Meta(description="Until then evidence counts.")]
    evidence: Annotated[str | None, Meta(description="State of the newest evidence.")]
    opened_at: datetime


class ChargebackPage(msgspec.Struct, frozen=True):
    """One page of chargebacks with counts per state."""

    items: list[ChargebackRow]
    next: str | None
    previous: str | None
    states: Annotated[dict[str, int], Meta(description="How many are in each state, for the same search.")]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is, or was, said to the bank at one stage."""

    id: UUID
    stage: Annotated[str, Meta(description="inquiry or chargeback.")]
    state: str
    snapshot_id: UUID | None
    words: Annotated[str, Meta(description="What finance adds.")]
    shown: Annotated[
        dict[str, str], Meta(description="The provider's fields as they were, or would be, sent.")
    ]
    window_ends: datetime
    made_at: datetime
    confirmed_at: datetime | None
    confirmed_by: UUID | None
    sha256: Annotated[str, Meta(description="Of what was sent, canonical JSON; empty before.")]
    ended_at: datetime | None
    failure: str | None
    version: Annotated[int, Meta(description="Give it with an act, so that it is refused if it moved.")]


class PaidLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line the disputed money had paid for."""

    line_id: UUID
    order_id: UUID
    order_number: str
    title: str
    seller_id: UUID
    seller: str
    amount: Annotated[int, Meta(description="Of the disputed money, minor units.")]
    policy: Annotated[str, Meta(description="platform, seller or shared: who bears it when lost.")]
    borne: Annotated[int, Meta(description="What the seller bore, minor units.")]


class Statement(msgspec.Struct, frozen=True):
    """What a seller added."""

    seller: str
    body: str
    at: datetime


class ChargebackDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A chargeback with everything the desk needs."""

    chargeback: Chargeback
    buyer: str
    standing: Annotated[str, Meta(description="How the buyer's wallets stand.")]
    lines: list[PaidLine]
    evidence: Annotated[list[Evidence], Meta(description="Newest first.")]
    statements: list[Statement]


class Outcomes(msgspec.Struct, frozen=True):
    """How chargebacks of the last days ended, and what waits."""

    outcomes: dict[str, int]
    open: int
    due_soon: Annotated[int, Meta(description="Evidence not sent, and less than three days left.")]
    owed: Annotated[dict[str, int], Meta(description="What buyers owe, minor units by currency.")]


class WalletBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Why a wallet is blocked and what there is to do; state OK: it is not."""

    state: str
    held: Annotated[int, Meta(description="Held in the wallet for open chargebacks, minor units.")]
    owed: Annotated[int, Meta(description="Still to be paid after lost ones, minor units.")]
    currency: str
    open: Annotated[int, Meta(description="Chargebacks and inquiries that are open.")]
    warned: Annotated[bool, Meta(description="A card network warned of fraud.")]


class SaleChargeback(msgspec.Struct, frozen=True, kw_only=True):
    """A chargeback of money that paid for a store's goods, as the store sees it."""

    id: UUID
    state: str
    reason: str
    currency: str
    amount: Annotated[int, Meta(description="Of this store's lines, minor units.")]
    borne: Annotated[int, Meta(description="What the store bore of it, minor units.")]
    touched: Annotated[bool, Meta(description="Whether the terms make the store bear a share when lost.")]
    orders: Annotated[list[str], Meta(description="Numbers of the orders.")]
    order_ids: list[UUID]
    titles: list[str]
    window_ends: Annotated[datetime | None, Meta(description="Until then the store may add something.")]
    may_add: bool
    statements: Annotated[list[str], Meta(description="What the store has added.")]
    opened_at: datetime
    ended_at: datetime | None


class BlockingWarning(msgspec.Struct, frozen=True, kw_only=True):
    """An early warning of fraud that blocks a wallet."""

    id: UUID
    user_id: UUID
    buyer: str
    funding_id: UUID
    amount: Annotated[int, Meta(description="Of the payment, minor units.")]
    currency: str
    fraud_type: str
    warned_at: datetime


class SalePage(msgspec.Struct, frozen=True):
    """One page of a store's chargebacks."""

    items: list[SaleChargeback]
    next: str | None
    previous: str | None


_ROW = f"""SELECT c.*, u.email AS buyer, e.state AS evidence, {_FAR} AS due
  FROM chargebacks.chargeback c JOIN identity.users u ON u.id = c.user_id
  LEFT JOIN LATERAL (SELECT e.state FROM chargebacks.evidence e WHERE e.chargeback_id = c.id
    ORDER BY e.made_at DESC, e.id DESC LIMIT 1) e ON true"""
_SEARCH = "($1 = '' OR u.email ILIKE $1 OR c.provider_id ILIKE $1)"


async def list_chargebacks(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    owing: bool = False,
    sort: str = "due",
    limit: int = 50,
    cursor: str | None = None,
) -> ChargebackPage:
    """The desk's queue. `q`: part of the buyer's address or of the provider's id; `owing`: something is still
    owed; `sort`: 'due' (nearest deadline first) or 'new'. For staff."""
    args: list[Any] = [_pattern(q), list(states) or None, owing]
    start = SORTS[sort].start(cursors, cursor, args)
    async with db.transaction(viewer.as_staff) as conn:
        counts = await conn.fetch(
            counting.by_state(
                STATES,
                "c.state",
                "SELECT 1 FROM chargebacks.chargeback c JOIN identity.users u ON u.id = c.user_id "
                f"WHERE {_SEARCH}",
            ),
            args[0],
        )
        rows = await conn.fetch(
            f"""{_ROW} WHERE {_SEARCH} AND ($2::text[] IS NULL OR c.state = ANY ($2))
                  AND (NOT $3 OR c.owed > 0){start.condition}
                ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
    page = start.page(rows, limit, _row)
    return ChargebackPage(list(page.items), page.next, page.previous, {r["state"]: r["n"] for r in counts})


async def read_chargeback(db: Database, viewer: Viewer, chargeback_id: UUID) -> ChargebackDetail:
    """One chargeback with its lines, evidence and the sellers' words. For staff. Raises NotFound."""
    async with db.transaction(viewer.as_staff) as conn:
        row = await conn.fetchrow(
            """SELECT c.*, u.email AS buyer, coalesce(s.state, 'OK') AS standing
               FROM chargebacks.chargeback c JOIN identity.users u ON u.id = c.user_id
               LEFT JOIN wallets.standing s ON s.user_id = c.user_id WHERE c.id = $1""",
            chargeback_id,
        )
        if row is None:
            raise NotFound()
        said = await conn.fetch(
            """SELECT s.name AS seller, t.body, t.at FROM chargebacks.statement t
               JOIN sellers.seller s ON s.id = t.seller_id WHERE t.chargeback_id = $1 ORDER BY t.at, t.id""",
            chargeback_id,
        )
        written = await conn.fetch(
            """SELECT * FROM chargebacks.evidence WHERE chargeback_id = $1 ORDER BY made_at DESC, id DESC""",
            chargeback_id,
        )
        return ChargebackDetail(
            chargeback=_chargeback(row),
            buyer=row["buyer"],
            standing=row["standing"],
            lines=await _lines(conn, chargeback_id),
            evidence=[_evidence(e, [(s["seller"], s["body"]) for s in said]) for e in written],
            statements=[Statement(s["seller"], s["body"], s["at"]) for s in said],
        )


async def _lines(conn: Connection, chargeback_id: UUID) -> list[PaidLine]:
    rows = await conn.fetch(
        """SELECT k.*, o.number AS order_number, l.terms->>'title' AS title, s.name AS seller
           FROM chargebacks.line k JOIN orders.orders o ON o.id = k.order_id
           JOIN orders.order_line l ON l.id = k.line_id JOIN sellers.seller s ON s.id = k.seller_id
           WHERE k.chargeback_id = $1 ORDER BY o.number, k.line_id""",
        chargeback_id,
    )
    return [msgspec.convert({n: r[n] for n in PaidLine.__struct_fields__}, PaidLine) for r in rows]


def _evidence(row: Record, said: list[tuple[str, str]]) -> Evidence:
    shown: dict[str, str] = row["sent"] or final(row["fields"], row["words"], said)
    values = {n: row[n] for n in Evidence.__struct_fields__ if n not in ("shown", "sha256")}
    return msgspec.convert(
        {**values, "shown": shown, "sha256": row["sha256"].hex() if row["sha256"] else ""}, Evidence
    )


async def chargebacks_of_funding(db: Database, scope: Scope, funding_ids: Sequence[UUID]) -> list[Chargeback]:
    """The chargebacks of these payments as `scope` may see them, oldest first."""
    rows = await db.fetch(
        scope,
        "SELECT * FROM chargebacks.chargeback WHERE funding_id = ANY ($1) ORDER BY opened_at, id",
        list(funding_ids),
    )
    return [_chargeback(row) for row in rows]


async def blocking_warnings(db: Database, viewer: Viewer) -> list[BlockingWarning]:
    """The newest early warnings that block a wallet, at most a hundred. For staff."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT w.id, w.user_id, u.email AS buyer, w.funding_id, f.amount, f.currency, w.fraud_type,
             w.warned_at
           FROM chargebacks.warning w JOIN identity.users u ON u.id = w.user_id
           JOIN wallets.funding f ON f.id = w.funding_id
           WHERE w.blocks ORDER BY w.warned_at DESC, w.id LIMIT 100""",
    )
    return [msgspec.convert(dict(row), BlockingWarning) for row in rows]


async def own_block(db: Database, viewer: Viewer, currency: str) -> WalletBlock:
    """Whether and why the viewer's own wallet is blocked."""
    row = await db.fetchrow(
        viewer.as_user,
        """SELECT coalesce((SELECT state FROM wallets.standing WHERE user_id = $1), 'OK') AS state,
             coalesce(sum(c.held) FILTER (WHERE c.currency = $2), 0)::bigint AS held,
             coalesce(sum(c.owed) FILTER (WHERE c.currency = $2), 0)::bigint AS owed,
             count(*) FILTER (WHERE c.state = ANY ($3)) AS open,
             EXISTS (SELECT 1 FROM chargebacks.warning w WHERE w.user_id = $1 AND w.blocks) AS warned
           FROM chargebacks.chargeback c WHERE c.user_id = $1""",
        viewer.user(),
        currency,
        list(OPEN),
    )
    assert row
    return WalletBlock(
        state=row["state"],
        held=row["held"],
        owed=row["owed"],
        currency=currency,
        open=row["open"],
        warned=row["warned"],
    )


# A seller sees of a chargeback what concerns its own lines; who the buyer is it does not.
_SALE = """SELECT c.id, c.state, c.reason, c.currency, c.opened_at, c.ended_at, k.*, e.window_ends,
    coalesce(e.state = 'DRAFT' AND e.window_ends > now(), false) AS may_add,
    ARRAY(SELECT t.body FROM chargebacks.statement t WHERE t.chargeback_id = c.id AND t.seller_id = $1
      ORDER BY t.at, t.id) AS statements
  FROM chargebacks.chargeback c
  JOIN LATERAL (SELECT sum(k.amount)::bigint AS amount, sum(k.borne)::bigint AS borne,
      bool_or(k.policy <> 'platform' AND k.bps > 0) AS touched, array_agg(DISTINCT o.number) AS orders,
      array_agg(DISTINCT o.id) AS order_ids, array_agg(DISTINCT l.terms->>'title') AS titles
    FROM chargebacks.line k JOIN orders.orders o ON o.id = k.order_id
    JOIN orders.order_line l ON l.id = k.line_id
    WHERE k.chargeback_id = c.id AND k.seller_id = $1) k ON k.amount IS NOT NULL
  LEFT JOIN LATERAL (SELECT e.state, e.window_ends FROM chargebacks.evidence e
    WHERE e.chargeback_id = c.id ORDER BY e.made_at DESC, e.id DESC LIMIT 1) e ON true
  WHERE c.id IN (SELECT chargeback_id FROM chargebacks.line WHERE seller_id = $1)"""


async def sale_chargebacks(
    db: Database, viewer: Viewer, cursors: Cursors, *, limit: int = 50, cursor: str | None = None
) -> SalePage:
    """Chargebacks of money that paid for the store's goods, newest first."""
    args: list[Any] = [viewer.seller()]
    start = _SOLD.start(cursors, cursor, args)
    rows = await db.fetch(
        SYSTEM, f"{_SALE}{start.condition} ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}", *args
    )
    page = start.page(rows, limit, _sale)
    return SalePage(list(page.items), page.next, page.previous)


async def sale_chargeback(db: Database, viewer: Viewer, chargeback_id: UUID) -> SaleChargeback:
    """One of them. Raises NotFound."""
    row = await db.fetchrow(SYSTEM, f"{_SALE} AND c.id = $2", viewer.seller(), chargeback_id)
    if row is None:
        raise NotFound()
    return _sale(row)


async def outcomes(db: Database, viewer: Viewer, *, days: int = 90) -> Outcomes:
    """How those ended that ended within so many days, and what waits. For staff."""
    scope = viewer.as_staff
    rows = await db.fetch(
        scope,
        """SELECT state, count(*) AS n FROM chargebacks.chargeback WHERE ended_at > now() - $1::interval
           GROUP BY 1 ORDER BY 1""",
        timedelta(days=days),
    )
    waiting = await db.fetchrow(
        scope,
        """SELECT count(*) AS n, count(*) FILTER (WHERE c.due_by < now() + interval '3 days'
             AND EXISTS (SELECT 1 FROM chargebacks.evidence e WHERE e.chargeback_id = c.id
               AND e.state IN ('DRAFT', 'CONFIRMED', 'UNKNOWN'))) AS soon
           FROM chargebacks.chargeback c WHERE c.state = ANY ($1)""",
        list(OPEN),
    )
    owed = await db.fetch(
        scope,
        """SELECT currency, sum(owed)::bigint AS n FROM chargebacks.chargeback WHERE owed > 0
           GROUP BY 1 ORDER BY 1""",
    )
    assert waiting
    return Outcomes(
        {r["state"]: r["n"] for r in rows},
        waiting["n"],
        waiting["soon"],
        {r["currency"]: r["n"] for r in owed},
    )


def _row(row: Record) -> ChargebackRow:
    return msgspec.convert({n: row[n] for n in ChargebackRow.__struct_fields__}, ChargebackRow)


def _chargeback(row: Record) -> Chargeback:
    return msgspec.convert({n: row[n] for n in Chargeback.__struct_fields__}, Chargeback)


def _sale(row: Record) -> SaleChargeback:
    return msgspec.convert({n: row[n] for n in SaleChargeback.__struct_fields__}, SaleChargeback)


def _pattern(q: str) -> str:
    text = q.replace("\x00", "").strip()[:100]
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%" if text else ""

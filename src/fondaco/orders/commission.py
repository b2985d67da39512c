"""Commission rules: what share the marketplace takes of which sales.

The most specific rule wins: one of a store before one of a category, then of a kind, then of a price band;
of equals the newest. A store's own share comes between rules of stores and all others; what no rule speaks of
has the marketplace's share.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.audit import record
from fondaco.core.db import Connection, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.fields import read_text

MOST_BPS = 5000
_KINDS = ("stocked_secret", "article")
_COLUMNS = """r.id, r.seller_id, s.name AS seller, r.category, r.kind, r.currency::text, r.price_from,
  r.price_to, r.bps, r.reason, r.added_at, r.ended_at"""
_MATCHES = """($1::uuid IS NULL OR l.seller_id = $1) AND ($2::text IS NULL OR l.category = $2)
  AND ($3::text IS NULL OR l.kind = $3) AND ($4::text IS NULL OR l.currency = $4
    AND l.price >= coalesce($5::bigint, 0) AND l.price < coalesce($6::bigint, 9223372036854775807))"""


class CommissionRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule; what is None it does not look at. Prices in minor units, `price_to` excluded."""

    id: int
    seller_id: UUID | None
    seller: str | None
    category: str | None
    kind: str | None
    currency: str | None
    price_from: int | None
    price_to: int | None
    bps: Annotated[int, Meta(description="Share in basis points: 1000 is 10 %.")]
    reason: str
    added_at: datetime
    ended_at: datetime | None


class RuleWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule somebody wants."""

    bps: Annotated[int, Meta(ge=0, le=MOST_BPS)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    seller_id: UUID | None = None
    category: str | None = None
    kind: str | None = None
    currency: str | None = None
    price_from: Annotated[int, Meta(ge=0)] | None = None
    price_to: Annotated[int, Meta(ge=1)] | None = None

    def scope(self) -> tuple[Any, ...]:
        return (self.seller_id, self.category, self.kind, self.currency, self.price_from, self.price_to)


async def commission_rules(db: Database, viewer: Viewer, *, ended: bool = False) -> list[CommissionRule]:
    """The rules that decide now, most specific first; with `ended` the last 200 that are over. For staff."""
    order = "r.ended_at DESC" if ended else "r.weight DESC, r.id DESC"
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_COLUMNS} FROM orders.commission_rule r LEFT JOIN sellers.seller s ON s.id = r.seller_id
            WHERE (r.ended_at IS NOT NULL) = $1 ORDER BY {order} LIMIT 200""",
        ended,
    )
    return msgspec.convert([dict(r) for r in rows], list[CommissionRule])


async def affected_by(db: Database, viewer: Viewer, wish: RuleWish) -> tuple[int, int]:
    """How many published listings a rule would speak of (up to 10,000), and of how many stores. For staff.
    Raises Invalid."""
    check_rule(wish)
    row = await db.fetchrow(
        viewer.as_staff,
        f"""SELECT count(*) AS listings, count(DISTINCT seller_id) AS stores FROM (
              SELECT l.seller_id FROM catalog.listing l WHERE l.state = 'PUBLISHED' AND {_MATCHES}
              LIMIT 10000) t""",
        *wish.scope(),
    )
    assert row
    return row["listings"], row["stores"]


async def add_commission_rule(db: Database, viewer: Viewer, wish: RuleWish) -> int:
    """Let a rule decide from now on, for purchases to come; its id. For staff. Raises Invalid."""
    check_rule(wish)

    async def work(conn: Connection) -> int:
        faults: dict[str, str] = {}
        if wish.seller_id and not await conn.fetchval(
            "SELECT EXISTS (SELECT 1 FROM sellers.seller WHERE id = $1)", wish.seller_id
        ):
            faults["seller_id"] = "There is no such store."
        if wish.category and not await conn.fetchval(
            "SELECT EXISTS (SELECT 1 FROM catalog.category WHERE slug = $1)", wish.category
        ):
            faults["category"] = "There is no such category."
        if faults:
            raise Invalid(fields=faults)
        rule_id: int = await conn.fetchval(
            """INSERT INTO orders.commission_rule (seller_id, category, kind, currency, price_from, price_to,
                 bps, reason, added_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id""",
            *wish.scope(),
            wish.bps,
            wish.reason.strip(),
            viewer.user(),
        )
        data = {"bps": wish.bps, "reason": wish.reason.strip()}
        await record(conn, "commission.rule_added", f"commission_rule:{rule_id}", viewer.actor, data)
        return rule_id

    return await db.run(viewer.as_staff, work)


async def end_commission_rule(db: Database, viewer: Viewer, rule_id: int) -> None:
    """Let a rule decide nothing from now on; what was bought under it keeps it. For staff.

    Raises NotFound.
    """

    async def work(conn: Connection) -> None:
        done = await conn.fetchval(
            """UPDATE orders.commission_rule SET ended_at = now(), ended_by = $2
               WHERE id = $1 AND ended_at IS NULL RETURNING id""",
            rule_id,
            viewer.user(),
        )
        if done is None:
            raise NotFound()
        await record(conn, "commission.rule_ended", f"commission_rule:{rule_id}", viewer.actor, {})

    await db.run(viewer.as_staff, work)


def check_rule(wish: RuleWish) -> None:
    """Raises Invalid for a rule that could not be."""
    faults: dict[str, str] = {}
    if not 0 <= wish.bps <= MOST_BPS:
        faults["bps"] = "Must be from 0 to 50 %."
    if not read_text(faults, "reason", wish.reason, 500):
        faults.setdefault("reason", "Say why.")
    if wish.kind is not None and wish.kind not in _KINDS:
        faults["kind"] = "Choose keys or articles."
    if (wish.currency is None) != (wish.price_from is None and wish.price_to is None):
        faults["currency"] = "A price band needs a currency, and a currency a price band."
    low, high = wish.price_from or 0, wish.price_to
    if high is not None and low >= high:
        faults["price_to"] = "Must be above the first price."
    if all(part is None for part in wish.scope()):
        faults["seller_id"] = "Say what the rule is for. The share of everything else is a setting."
    if faults:
        raise Invalid(fields=faults)

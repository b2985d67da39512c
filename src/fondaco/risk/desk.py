"""What the staff reads: who is not NORMAL, what waits, one party with everything known."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from fondaco.core.clock import now
from fondaco.core.db import Database
from fondaco.core.pagination import MAX_LIMIT, Cursors, Page
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer
from fondaco.risk.acting import known
from fondaco.risk.actions import day_of, facts_of, side_of
from fondaco.risk.appeals import decisions_of, explain, forecast
from fondaco.risk.model import RISK_TIER, Forecast, Replayed
from fondaco.risk.rings import Ring, ring_of
from fondaco.risk.rules import MILLI, VERSIONS, Tier, judge
from fondaco.risk.words import forbids

CHART_DAYS = 90
CHART_STEP = 5
_RAISED = "risk.raised"


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is not NORMAL. `score` in thousandths of a point."""

    party: str
    name: str
    tier: str
    score: int
    since: datetime


class ChartPoint(msgspec.Struct, frozen=True):
    """Whole points on a day."""

    day: str
    points: int


class PartyFile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one party."""

    party: str
    name: str
    now: Forecast
    holds: list[str]
    """What the tier forbids, said about them."""
    replayed: list[Replayed]
    ring: Ring
    """Whom they share a card or a browser with."""
    chart: list[ChartPoint]
    """The score of the last months, the oldest first."""
    steps: list[str]
    """Tiers one person may put them into."""
    versions: list[str]


async def raised(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    tiers: Sequence[str] = (),
    sides: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Raised]:
    """Who is not NORMAL, the newest change first; `sides`: user, seller. Raises BadCursor."""
    limit = max(1, min(limit, MAX_LIMIT))
    at, last = cursors.read(_RAISED, cursor) if cursor else ("infinity", "~")
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT s.party, s.tier, s.score, s.since, coalesce(u.email, l.name, '') AS name
           FROM risk.standing s
           LEFT JOIN identity.users u ON u.id = s.user_id LEFT JOIN sellers.seller l ON l.id = s.seller_id
           WHERE s.tier <> 'NORMAL' AND ($1::text[] IS NULL OR s.tier = ANY ($1))
             AND ($2::text[] IS NULL OR split_part(s.party, ':', 1) = ANY ($2))
             AND (s.since, s.party COLLATE "C") < ($3::text::timestamptz, $4)
           ORDER BY s.since DESC, s.party COLLATE "C" DESC LIMIT $5""",
        list(tiers) or None,
        list(sides) or None,
        at,
        last,
        limit + 1,
    )
    found = [Raised(**dict(r)) for r in rows]
    shown, after = found[:limit], None
    if len(found) > limit:
        after = cursors.make(_RAISED, [shown[-1].since.isoformat(), shown[-1].party])
    return Page(shown, next=after)


async def party_file(db: Database, viewer: Viewer, party: str, version: str | None = None) -> PartyFile:
    """One party with signals, decisions replayed, and what another version of the rules would say. Raises
    NotFound, Invalid for a version of the other side."""
    side = side_of(party)
    if version is not None and (version not in VERSIONS or VERSIONS[version].side != side):
        raise Invalid(fields={"rules": "Choose a version of the rules."})
    async with db.transaction(viewer.as_staff) as conn:
        name = await known(conn, party)
        found = await forecast(conn, party, version)
        replayed = [await explain(conn, d.id) for d in await decisions_of(conn, party, 20)]
        facts = await facts_of(conn, party)
        ring = await ring_of(conn, party)
    rules, today = VERSIONS[version or found.standing.rules], day_of(now())
    days = [today - timedelta(days=ago) for ago in range(CHART_DAYS, -1, -CHART_STEP)]
    return PartyFile(
        party=party,
        name=name,
        now=found,
        holds=forbids(side, Tier(found.standing.tier), to_staff=True),
        ring=ring,
        replayed=replayed,
        chart=[ChartPoint(f"{day:%d %b}", judge(rules, facts, day).score // MILLI) for day in days],
        steps=[
            str(tier)
            for tier in Tier
            if tier is not Tier.BANNED
            and found.standing.tier != Tier.BANNED
            and RISK_TIER.allows(found.standing.tier, tier)
        ],
        versions=[name for name, one in VERSIONS.items() if one.side == side],
    )

"""What the staff reads: who is not NORMAL, what waits, one party with everything known."""

from datetime import datetime, timedelta

import msgspec

from fondaco.core.clock import now
from fondaco.core.db import Database
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer
from fondaco.risk.acting import known
from fondaco.risk.actions import day_of, facts_of, side_of
from fondaco.risk.appeals import decisions_of, explain, forecast
from fondaco.risk.model import RISK_TIER, Forecast, Replayed
from fondaco.risk.rules import MILLI, VERSIONS, Tier, judge

CHART_DAYS = 90
CHART_STEP = 5


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is not NORMAL. `score` in thousandths of a point."""

    party: str
    name: str
    tier: str
    score: int
    since: datetime


class PartyFile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one party."""

    party: str
    name: str
    now: Forecast
    replayed: list[Replayed]
    chart: list[tuple[str, int]]
    """Day and whole points, the oldest first."""
    steps: list[str]
    """Tiers one person may put them into."""
    versions: list[str]


async def raised(
    db: Database, viewer: Viewer, tiers: list[str] | None = None, limit: int = 200
) -> list[Raised]:
    """Who is not NORMAL, the newest change first."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT s.party, s.tier, s.score, s.since, coalesce(u.email, l.name, '') AS name
           FROM risk.standing s
           LEFT JOIN identity.users u ON u.id = s.user_id LEFT JOIN sellers.seller l ON l.id = s.seller_id
           WHERE s.tier <> 'NORMAL' AND ($1::text[] IS NULL OR s.tier = ANY ($1))
           ORDER BY s.since DESC, s.party LIMIT $2""",
        tiers or None,
        limit,
    )
    return [Raised(**dict(r)) for r in rows]


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
    rules, today = VERSIONS[version or found.standing.rules], day_of(now())
    days = [today - timedelta(days=ago) for ago in range(CHART_DAYS, -1, -CHART_STEP)]
    return PartyFile(
        party=party,
        name=name,
        now=found,
        replayed=replayed,
        chart=[(f"{day:%d %b}", judge(rules, facts, day).score // MILLI) for day in days],
        steps=[
            str(tier)
            for tier in Tier
            if tier is not Tier.BANNED
            and found.standing.tier != Tier.BANNED
            and RISK_TIER.allows(found.standing.tier, tier)
        ],
        versions=[name for name, one in VERSIONS.items() if one.side == side],
    )

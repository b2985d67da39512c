"""Signals in, decisions out. A decision keeps all it was decided on and can be replayed."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec

from fondaco import audit
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import NotFound
from fondaco.risk.enforcement import limits
from fondaco.risk.model import Decision, Standing
from fondaco.risk.rules import CURRENT, ORDER, VERSIONS, Fact, Tier, Verdict, decide

MOST_FACTS = 5_000  # signals of one party that are looked at: the newest


async def signal(
    conn: Connection, party: str, kind: str, ref: str, data: dict[str, Any] | None = None
) -> bool:
    """Record a fact about 'user:<id>' or 'seller:<id>' in the caller's transaction; False when it is known.
    The tier follows within seconds."""
    made = await conn.fetchval(
        """WITH made AS (INSERT INTO risk.signal (party, kind, ref, data) VALUES ($1, $2, $3, $4)
             ON CONFLICT (party, kind, ref) DO NOTHING RETURNING id, party)
           INSERT INTO risk.unread (signal_id, party) SELECT id, party FROM made RETURNING signal_id""",
        party,
        kind,
        ref,
        data or {},
    )
    return made is not None


async def tier(conn: Connection, party: str) -> Tier:
    """Where somebody stands now."""
    found = await conn.fetchval("SELECT tier FROM risk.standing WHERE party = $1", party)
    return Tier(found) if found else Tier.NORMAL


async def look(conn: Connection, party: str) -> Tier:
    """Decide about one party by today's rules, in the caller's transaction; answers where they stand after.

    One at a time for each party. A change of tier is a decision of its own, and told. What a person decided
    stands until there is a new signal: rules do not raise again what somebody lowered knowing all there was.
    """
    rules = CURRENT[side_of(party)]
    row = await hold(conn, party)
    # First: what is committed between the two is read, and stays to be looked at once more.
    await conn.execute("DELETE FROM risk.unread WHERE party = $1", party)
    facts = await facts_of(conn, party)
    before, moment = Tier(row["tier"]), now()
    after, verdict = decide(rules, facts, before, day_of(row["since"]), day_of(moment))
    if ORDER.index(after) > ORDER.index(before) and await _settled(conn, row["decision_id"], facts):
        after = before
    if after is not before:
        await move(conn, row, after, verdict, [f.id for f in facts], actor="rules", note="", at=moment)
    await conn.execute(
        """UPDATE risk.standing SET score = $2, rules = $3, reasons = $4, looked_at = $5 WHERE party = $1""",
        party,
        verdict.score,
        verdict.version,
        reasons_of(verdict),
        moment,
    )
    return after


async def hold(conn: Connection, party: str) -> Record:
    """The standing's row, made when there is none, locked until the caller's transaction is over."""
    await conn.execute(
        """INSERT INTO risk.standing (party, tier, rules, since)
           VALUES ($1, 'NORMAL', $2, coalesce((SELECT min(at) FROM risk.signal WHERE party = $1), now()))
           ON CONFLICT DO NOTHING""",
        party,
        CURRENT[side_of(party)].version,
    )
    row = await conn.fetchrow("SELECT * FROM risk.standing WHERE party = $1 FOR UPDATE", party)
    assert row
    return row


async def _settled(conn: Connection, decision_id: int | None, facts: list[Fact]) -> bool:
    """Whether the last decision was a person's who knew all these signals."""
    row = await conn.fetchrow("SELECT actor, signals FROM risk.decision WHERE id = $1", decision_id)
    return row is not None and row["actor"] != "rules" and {f.id for f in facts} <= set(row["signals"])


async def move(
    conn: Connection,
    row: Record,
    after: Tier,
    verdict: Verdict,
    signals: list[int],
    *,
    actor: str,
    note: str,
    at: datetime,
) -> int:
    """Write a decision about a held standing, and do what it asks for; returns the decision's id."""
    decision_id = await _write(conn, row, after, verdict, signals, actor=actor, note=note, at=at)
    shut = await _enforce(conn, row, after, actor)
    await conn.execute(
        """UPDATE risk.standing SET tier = $2, score = $3, rules = $4, reasons = $5, decision_id = $6,
             since = $7, store_shut = $8 WHERE party = $1""",
        row["party"],
        after,
        verdict.score,
        verdict.version,
        reasons_of(verdict),
        decision_id,
        at,
        shut,
    )
    return decision_id


async def _enforce(conn: Connection, row: Record, after: Tier, actor: str) -> bool:
    """What a change of tier does at once: a store is hidden or shown again, a banned user is signed out
    everywhere. Answers whether the store is shut by its tier. What a person suspended stays so."""
    if row["user_id"]:
        if after is Tier.BANNED:
            await conn.execute("DELETE FROM identity.sessions WHERE user_id = $1", row["user_id"])
        return False
    hidden = limits("seller", after).hidden
    if hidden == row["store_shut"]:
        return hidden
    target, source = ("SUSPENDED", "OPEN") if hidden else ("OPEN", "SUSPENDED")
    changed = await conn.fetchval(
        "UPDATE sellers.seller SET state = $2 WHERE id = $1 AND state = $3 RETURNING id",
        row["seller_id"],
        target,
        source,
    )
    if changed:
        kind = "store.suspended" if hidden else "store.shown_again"
        await audit.record(conn, kind, row["party"], actor, {"tier": str(after)})
    return hidden and bool(changed)


def reasons_of(verdict: Verdict) -> list[str]:
    """Why, for people: each kind of signal once, heaviest first, with how often it counts."""
    times: dict[str, int] = {}
    for counted in verdict.counted:
        if counted.milli:
            times[counted.words] = times.get(counted.words, 0) + 1
    return [words if n == 1 else f"{words} ({n} times)" for words, n in times.items()]


async def facts_of(conn: Connection, party: str, ids: list[int] | None = None) -> list[Fact]:
    """The signals of a party as the rules see them, oldest first: all, or those with these ids."""
    rows = await conn.fetch(
        """SELECT id, kind, at FROM risk.signal WHERE party = $1 AND ($2::bigint[] IS NULL OR id = ANY ($2))
           ORDER BY id DESC LIMIT $3""",
        party,
        ids,
        MOST_FACTS,
    )
    return [Fact(r["id"], r["kind"], day_of(r["at"])) for r in reversed(rows)]


async def _write(
    conn: Connection,
    row: Record,
    after: Tier,
    verdict: Verdict,
    signals: list[int],
    *,
    actor: str,
    note: str,
    at: datetime,
) -> int:
    decision_id: int = await conn.fetchval(
        """INSERT INTO risk.decision (party, at, actor, before, after, since, score, rules, signals, reasons,
             note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id""",
        row["party"],
        at,
        actor,
        row["tier"],
        after,
        row["since"],
        verdict.score,
        verdict.version,
        signals,
        reasons_of(verdict),
        note,
    )
    data = {"before": row["tier"], "after": str(after), "decision": decision_id, "score": verdict.points}
    await audit.record(conn, "risk.tier_changed", row["party"], actor, data)
    return decision_id


async def look_at_new(db: Database, limit: int = 200) -> int:
    """Decide about parties with signals nobody has decided about; returns how many."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT DISTINCT party FROM (SELECT party FROM risk.unread ORDER BY signal_id LIMIT $1) AS oldest
           ORDER BY party""",
        limit,
    )
    for row in rows:
        await _look_alone(db, row["party"])
    return len(rows)


async def look_at_raised(db: Database) -> int:
    """Decide anew about everybody who is not NORMAL or still has points: they fade with the days."""
    n, last = 0, ""
    while True:
        rows = await db.fetch(
            SYSTEM,
            """SELECT party FROM risk.standing WHERE party > $1 AND (tier <> 'NORMAL' OR score > 0)
               ORDER BY party LIMIT 200""",
            last,
        )
        if not rows:
            return n
        for row in rows:
            await _look_alone(db, row["party"])
        n, last = n + len(rows), rows[-1]["party"]


async def _look_alone(db: Database, party: str) -> None:
    async def work(conn: Connection) -> None:
        await look(conn, party)

    await db.run(SYSTEM, work)


async def replay(conn: Connection, decision_id: int) -> tuple[Decision, Tier, Verdict]:
    """A past decision, and what the rules of its version say today from what was known then: the same, or
    somebody changed history. Decisions of people have no rule to replay: their own word stands. Raises
    NotFound."""
    row = await conn.fetchrow("SELECT * FROM risk.decision WHERE id = $1", decision_id)
    if row is None:
        raise NotFound()
    found = msgspec.convert(dict(row), Decision)
    facts = await facts_of(conn, found.party, found.signals)
    after, verdict = decide(
        VERSIONS[found.rules], facts, Tier(found.before), day_of(found.since), day_of(found.at)
    )
    return found, after if found.actor == "rules" else Tier(found.after), verdict


async def standing_of(conn: Connection, party: str) -> Standing:
    """Where somebody stands and why; NORMAL without reasons when nothing was ever recorded."""
    row = await conn.fetchrow("SELECT * FROM risk.standing WHERE party = $1", party)
    if row is None:
        version = CURRENT[side_of(party)].version
        return Standing(
            party=party, tier=Tier.NORMAL, score=0, rules=version, since=now(), reasons=[], decision_id=None
        )
    return msgspec.convert(dict(row), Standing)


def day_of(at: datetime) -> date:
    """The day (UTC) the rules go by."""
    return at.astimezone(UTC).date()


def side_of(party: str) -> str:
    """'user' for a buyer, 'seller' for a store."""
    return party.partition(":")[0]

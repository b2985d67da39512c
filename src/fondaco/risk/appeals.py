"""Appeals: somebody's word against a decision about them, answered by a person."""

from collections.abc import Sequence
from uuid import UUID

from fondaco import approvals, audit
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.pagination import MAX_LIMIT, Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.risk.acting import decide_by_hand
from fondaco.risk.actions import day_of, facts_of, replay, standing_of
from fondaco.risk.model import (
    Appeal,
    AppealDecided,
    AppealOpen,
    AppealWord,
    CountedSignal,
    Decision,
    EnoughSaid,
    Forecast,
    NeedsTwo,
    NoOpenAppeal,
    NothingToAppeal,
    Replayed,
)
from fondaco.risk.rules import ORDER, VERSIONS, Tier, Verdict, judge
from fondaco.risk.words import forbids, way_back

_APPEAL = "id, party, decision_id, text, state, answer, made_at, decided_at, due_at"
_OPEN = "risk.appeals"
MOST_WORDS = 20
"""So much either side may add to one appeal."""


def own_party(viewer: Viewer, side: str) -> str:
    """The viewer's own party: as a buyer ('user'), or the store they work in ('seller')."""
    return f"seller:{viewer.seller()}" if side == "seller" else f"user:{viewer.user()}"


async def my_standing(db: Database, viewer: Viewer, side: str) -> Forecast:
    """Where the viewer, or their store, stands: why, what it forbids, when it is over. Raises NotFound when
    they work in no store."""
    party = own_party(viewer, side)
    async with db.transaction(SYSTEM) as conn:  # the facts are not the viewer's rows; the party is
        return await forecast(conn, party)


async def forecast(conn: Connection, party: str, version: str | None = None) -> Forecast:
    """The same of any party. `version`: by another version of the rules than the one that decided."""
    standing = await standing_of(conn, party)
    facts = await facts_of(conn, party)
    today = day_of(now())
    verdict = judge(VERSIONS[version or standing.rules], facts, today)
    tier = Tier(standing.tier)
    row = await conn.fetchrow(
        f"SELECT {_APPEAL} FROM risk.appeal WHERE party = $1 ORDER BY made_at DESC", party
    )
    newest = (await _with_words(conn, [row]))[0] if row else None
    note = await conn.fetchval(
        "SELECT note FROM risk.decision WHERE id = $1 AND actor <> 'rules'", standing.decision_id
    )
    return Forecast(
        standing=standing,
        forbids=forbids(party.partition(":")[0], tier),
        counted=await _counted(conn, verdict),
        lower_on=way_back(verdict.version, facts, tier, day_of(standing.since), today),
        note=note or "",
        appeal=newest,
        may_appeal=tier is not Tier.NORMAL and not (newest and newest.state == "OPEN"),
    )


async def explain(conn: Connection, decision_id: int) -> Replayed:
    """A past decision, replayed from what was known then. Raises NotFound."""
    decision, again, verdict = await replay(conn, decision_id)
    same = str(again) == decision.after and verdict.score == decision.score
    return Replayed(
        decision=decision,
        again=str(again),
        score=verdict.score,
        same=same,
        counted=await _counted(conn, verdict),
    )


async def decisions_of(conn: Connection, party: str, limit: int = 100) -> list[Decision]:
    """Decisions about a party, newest first."""
    rows = await conn.fetch(
        "SELECT * FROM risk.decision WHERE party = $1 ORDER BY id DESC LIMIT $2", party, limit
    )
    return [Decision(**dict(r)) for r in rows]


async def _counted(conn: Connection, verdict: Verdict) -> list[CountedSignal]:
    rows = await conn.fetch(
        "SELECT id, at, ref FROM risk.signal WHERE id = ANY ($1)", [c.fact.id for c in verdict.counted]
    )
    found = {r["id"]: r for r in rows}
    return [
        CountedSignal(
            id=c.fact.id,
            kind=c.fact.kind,
            words=c.words,
            at=found[c.fact.id]["at"],
            ref=found[c.fact.id]["ref"],
            milli=c.milli,
        )
        for c in verdict.counted
        if c.milli
    ]


async def appeal(db: Database, viewer: Viewer, side: str, text: str) -> UUID:
    """Appeal against where the viewer, or their store, stands; returns the appeal's id. Raises Invalid,
    NothingToAppeal, AppealOpen."""
    party = own_party(viewer, side)
    words = approvals.said(text, "text", least=3)

    async def work(conn: Connection) -> UUID:
        standing = await standing_of(conn, party)
        if standing.tier == Tier.NORMAL or standing.decision_id is None:
            raise NothingToAppeal()
        appeal_id = uuid7()
        made = await conn.fetchval(
            """INSERT INTO risk.appeal (id, party, decision_id, made_by, text, state)
               VALUES ($1, $2, $3, $4, $5, 'OPEN') ON CONFLICT (party) WHERE state = 'OPEN' DO NOTHING
               RETURNING id""",
            appeal_id,
            party,
            standing.decision_id,
            viewer.user(),
            words,
        )
        if made is None:
            raise AppealOpen()
        await audit.record(conn, "risk.appealed", party, viewer.actor, {"appeal_id": str(appeal_id)})
        return appeal_id

    return await db.run(SYSTEM, work)


async def add_to_appeal(db: Database, viewer: Viewer, side: str, text: str) -> None:
    """Say more in one's own open appeal. Raises Invalid, NoOpenAppeal, EnoughSaid."""
    party, words = own_party(viewer, side), approvals.said(text, "text", least=3)

    async def work(conn: Connection) -> None:
        appeal_id = await conn.fetchval(
            "SELECT id FROM risk.appeal WHERE party = $1 AND state = 'OPEN' FOR UPDATE", party
        )
        if appeal_id is None:
            raise NoOpenAppeal()
        await _say(conn, viewer, appeal_id, party, words, by_staff=False)

    await db.run(SYSTEM, work)


async def ask_in_appeal(db: Database, viewer: Viewer, appeal_id: UUID, text: str) -> None:
    """Ask whoever appealed, or tell them something; they get a mail. Raises Invalid, NotFound, AppealDecided,
    EnoughSaid."""
    words = approvals.said(text, "answer", least=3)

    async def work(conn: Connection) -> None:
        row = await conn.fetchrow("SELECT party, state FROM risk.appeal WHERE id = $1 FOR UPDATE", appeal_id)
        if row is None:
            raise NotFound()
        if row["state"] != "OPEN":
            raise AppealDecided()
        await _say(conn, viewer, appeal_id, row["party"], words, by_staff=True)

    await db.run(viewer.as_staff, work)


async def _say(
    conn: Connection, viewer: Viewer, appeal_id: UUID, party: str, text: str, *, by_staff: bool
) -> None:
    """Into an open appeal whose row is locked."""
    said = await conn.fetchval(
        "SELECT count(*) FROM risk.appeal_word WHERE appeal_id = $1 AND by_staff = $2", appeal_id, by_staff
    )
    if said >= MOST_WORDS:
        raise EnoughSaid()
    await conn.execute(
        """INSERT INTO risk.appeal_word (id, appeal_id, by_staff, said_by, text)
           VALUES ($1, $2, $3, $4, $5)""",
        uuid7(),
        appeal_id,
        by_staff,
        viewer.user(),
        text,
    )
    kind = "risk.appeal_asked" if by_staff else "risk.appeal_added"
    await audit.record(conn, kind, party, viewer.actor, {"appeal_id": str(appeal_id)})


async def _with_words(conn: Connection, rows: Sequence[Record]) -> list[Appeal]:
    said = await conn.fetch(
        """SELECT appeal_id, by_staff, text, at FROM risk.appeal_word WHERE appeal_id = ANY ($1)
           ORDER BY appeal_id, id""",
        [row["id"] for row in rows],
    )
    words: dict[UUID, list[AppealWord]] = {}
    for one in said:
        made = AppealWord(by_staff=one["by_staff"], text=one["text"], at=one["at"])
        words.setdefault(one["appeal_id"], []).append(made)
    return [Appeal(**dict(row), words=words.get(row["id"], [])) for row in rows]


async def decide_appeal(db: Database, viewer: Viewer, appeal_id: UUID, *, grant: bool, answer: str) -> None:
    """Answer an appeal. Granted, the tier goes down one step at once; a ban is lifted by two people instead
    (`ask_ban` with `lift`), which grants the appeal. Raises NotFound, AppealDecided, NeedsTwo, Invalid."""
    words = approvals.said(answer, "answer", least=3)

    async def work(conn: Connection) -> None:
        party = await conn.fetchval("SELECT party FROM risk.appeal WHERE id = $1", appeal_id)
        if party is None:
            raise NotFound()
        # The standing is locked first, as everywhere.
        await conn.execute("SELECT 1 FROM risk.standing WHERE party = $1 FOR UPDATE", party)
        row = await conn.fetchrow("SELECT * FROM risk.appeal WHERE id = $1 FOR UPDATE", appeal_id)
        assert row
        if row["state"] != "OPEN":
            raise AppealDecided()
        tier = Tier((await standing_of(conn, party)).tier)
        if grant and tier is Tier.BANNED:
            raise NeedsTwo()
        if grant and tier is not Tier.NORMAL:
            lower = ORDER[ORDER.index(tier) - 1]
            await decide_by_hand(conn, party, lower, actor=viewer.actor, note=words)
        await conn.execute(
            """UPDATE risk.appeal SET state = $2, answer = $3, decided_at = now(), decided_by = $4
               WHERE id = $1""",
            appeal_id,
            "GRANTED" if grant else "REFUSED",
            words,
            viewer.user(),
        )
        data = {"appeal_id": str(appeal_id), "granted": grant}
        await audit.record(conn, "risk.appeal_decided", party, viewer.actor, data)

    await db.run(viewer.as_staff, work)


async def open_appeals(
    db: Database, viewer: Viewer, cursors: Cursors, *, limit: int = 50, cursor: str | None = None
) -> Page[Appeal]:
    """Appeals that wait for an answer, the nearest deadline first. Raises BadCursor."""
    limit = max(1, min(limit, MAX_LIMIT))
    at, last = cursors.read(_OPEN, cursor) if cursor else ("-infinity", str(UUID(int=0)))
    async with db.transaction(viewer.as_staff) as conn:
        rows = await conn.fetch(
            f"""SELECT {_APPEAL} FROM risk.appeal WHERE state = 'OPEN'
                  AND (due_at, id) > ($1::text::timestamptz, $2::text::uuid) ORDER BY due_at, id LIMIT $3""",
            at,
            last,
            limit + 1,
        )
        shown = await _with_words(conn, rows[:limit])
    after = None
    if len(rows) > limit:
        after = cursors.make(_OPEN, [shown[-1].due_at.isoformat(), str(shown[-1].id)])
    return Page(shown, next=after)

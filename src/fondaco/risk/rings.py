"""Reading rings: marks several accounts share, who has one, and everybody one party is tied to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.db import Connection, Database
from fondaco.core.pagination import MAX_LIMIT, Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.risk.actions import side_of

MOST_ACCOUNTS = 40
MOST_MARKS = 40
_LIST, _ONE = "risk.rings", "risk.ring"
_STORES = """ARRAY(SELECT l.name FROM identity.membership m JOIN sellers.seller l ON l.id = m.seller_id
  WHERE m.user_id = t.user_id ORDER BY l.name LIMIT 5) AS stores"""


class SharedMark(msgspec.Struct, frozen=True, kw_only=True):
    """A card or a browser more than one account used."""

    kind: Annotated[str, Meta(description="card or device.")]
    mark: Annotated[str, Meta(description="Our keyed hash of it; it says nothing else.")]
    accounts: int
    banned: Annotated[int, Meta(description="How many of them are banned.")]
    first_at: datetime
    last_at: Annotated[datetime, Meta(description="When the newest account joined.")]


class TiedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that has a mark, or is tied to somebody."""

    party: str
    email: str
    tier: str
    stores: Annotated[list[str], Meta(description="Names of stores they work in, five at most.")]
    since: datetime


class MarkFile(msgspec.Struct, frozen=True, kw_only=True):
    """One shared mark with a page of its accounts, the newest first."""

    shared: SharedMark
    blocked: Annotated[bool, Meta(description="Whoever pays with this card is restricted.")]
    items: list[TiedAccount]
    next: str | None


class Tie(msgspec.Struct, frozen=True, kw_only=True):
    """An account has a mark, since when."""

    party: str
    mark: str
    since: datetime


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody one party is tied to, over as many steps as it takes. `cut`: there is more than is shown."""

    own: Annotated[list[str], Meta(description="Accounts of the party itself.")]
    accounts: list[TiedAccount]
    marks: list[SharedMark]
    ties: list[Tie]
    cut: bool


_SHARED = """SELECT s.kind, s.mark, s.accounts, s.first_at, s.last_at,
    (SELECT count(*) FROM risk.standing b JOIN risk.tie t ON t.user_id = b.user_id
     WHERE b.tier = 'BANNED' AND (t.kind, t.mark) = (s.kind, s.mark))::int AS banned
  FROM risk.shared s"""


async def shared_marks(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    kinds: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[SharedMark]:
    """Marks several accounts share, the newest joined first. Raises BadCursor."""
    limit = max(1, min(limit, MAX_LIMIT))
    at, kind, mark = cursors.read(_LIST, cursor) if cursor else ("infinity", "", "")
    rows = await db.fetch(
        viewer.as_staff,
        f"""{_SHARED} WHERE (s.last_at, s.kind, s.mark) < ($1::text::timestamptz, $2, $3)
            AND ($4::text[] IS NULL OR s.kind = ANY ($4))
            ORDER BY s.last_at DESC, s.kind DESC, s.mark DESC LIMIT $5""",
        at,
        kind,
        mark,
        list(kinds) or None,
        limit + 1,
    )
    found = [SharedMark(**dict(row)) for row in rows]
    shown = found[:limit]
    after = None
    if len(found) > limit:
        after = cursors.make(_LIST, [shown[-1].last_at.isoformat(), shown[-1].kind, shown[-1].mark])
    return Page(shown, next=after)


async def mark_file(
    db: Database, viewer: Viewer, cursors: Cursors, mark: str, *, limit: int = 50, cursor: str | None = None
) -> MarkFile:
    """One shared mark, and a page of its accounts. Raises NotFound, BadCursor."""
    limit = max(1, min(limit, MAX_LIMIT))
    if not (mark.isascii() and mark.isprintable()):
        raise NotFound()
    name = f"{_ONE}:{mark}"
    at, last = cursors.read(name, cursor) if cursor else ("infinity", UUID(int=2**128 - 1).hex)
    async with db.transaction(viewer.as_staff) as conn:
        row = await conn.fetchrow(
            f"{_SHARED} WHERE s.kind = $1 AND s.mark = $2", mark.partition("_")[0], mark
        )
        if row is None:
            raise NotFound()
        shared = SharedMark(**dict(row))
        rows = await conn.fetch(
            f"""SELECT 'user:' || t.user_id AS party, u.email, coalesce(s.tier, 'NORMAL') AS tier, {_STORES},
                  t.first_at AS since FROM risk.tie t JOIN identity.users u ON u.id = t.user_id
                LEFT JOIN risk.standing s ON s.user_id = t.user_id
                WHERE t.kind = $1 AND t.mark = $2
                  AND (t.first_at, t.user_id) < ($3::text::timestamptz, $4::text::uuid)
                ORDER BY t.first_at DESC, t.user_id DESC LIMIT $5""",
            shared.kind,
            mark,
            at,
            last,
            limit + 1,
        )
        blocked: bool = await conn.fetchval(
            """SELECT EXISTS (SELECT 1 FROM risk.blocked WHERE kind = 'card' AND value = $1
                 AND (until IS NULL OR until > now()))""",
            mark,
        )
    found = [TiedAccount(**dict(row)) for row in rows]
    shown = found[:limit]
    after = None
    if len(found) > limit:
        after = cursors.make(name, [shown[-1].since.isoformat(), shown[-1].party.partition(":")[2]])
    return MarkFile(shared=shared, blocked=blocked, items=shown, next=after)


async def ring_of(conn: Connection, party: str) -> Ring:
    """Everybody a party is tied to, in the caller's transaction; of a store, whom its members are tied to."""
    own = await _accounts_of(conn, party)
    users, marks, cut = dict.fromkeys(own), dict[str, SharedMark](), False
    ties: dict[tuple[UUID, str], Tie] = {}
    fresh: list[UUID] = list(own)
    while fresh and not cut:
        rows = await conn.fetch(
            f"""{_SHARED} WHERE (s.kind, s.mark) IN (SELECT t.kind, t.mark FROM risk.tie t
                  WHERE t.user_id = ANY ($1)) AND s.mark <> ALL ($2)
                ORDER BY s.last_at DESC, s.mark LIMIT $3""",
            fresh,
            list(marks),
            MOST_MARKS - len(marks) + 1,
        )
        found = [SharedMark(**dict(row)) for row in rows]
        cut = len(found) > MOST_MARKS - len(marks)
        found = found[: MOST_MARKS - len(marks)]
        marks |= {one.mark: one for one in found}
        fresh = list[UUID]()
        for row in await _holders(conn, found):
            if row["user_id"] not in users:
                if len(users) >= MOST_ACCOUNTS:
                    cut = True
                    continue
                users[row["user_id"]] = None
                fresh.append(row["user_id"])
            made = Tie(party=f"user:{row['user_id']}", mark=row["mark"], since=row["first_at"])
            ties[row["user_id"], row["mark"]] = made
        cut = cut or any(one.accounts > MOST_ACCOUNTS for one in found)
    return Ring(
        own=[f"user:{i}" for i in own],
        accounts=await _named(conn, list(users), ties) if marks else [],
        marks=list(marks.values()),
        ties=list(ties.values()),
        cut=cut,
    )


async def _accounts_of(conn: Connection, party: str) -> list[UUID]:
    found = UUID(party.partition(":")[2])
    if side_of(party) == "user":
        return [found]
    rows = await conn.fetch(
        "SELECT user_id FROM identity.membership WHERE seller_id = $1 ORDER BY user_id LIMIT $2",
        found,
        MOST_ACCOUNTS,
    )
    return [row["user_id"] for row in rows]


async def _holders(conn: Connection, marks: list[SharedMark]) -> list[Any]:
    """Of each mark the accounts, the newest first, so many as can be shown."""
    return await conn.fetch(
        """SELECT t.user_id, t.mark, t.first_at FROM unnest($1::text[], $2::text[]) AS m (kind, mark)
           CROSS JOIN LATERAL (SELECT t.user_id, t.mark, t.first_at FROM risk.tie t
             WHERE (t.kind, t.mark) = (m.kind, m.mark) ORDER BY t.first_at DESC, t.user_id LIMIT $3) t""",
        [one.kind for one in marks],
        [one.mark for one in marks],
        MOST_ACCOUNTS,
    )


async def _named(conn: Connection, users: list[UUID], ties: dict[tuple[UUID, str], Tie]) -> list[TiedAccount]:
    since: dict[str, datetime] = {}
    for one in ties.values():
        since[one.party] = min(since.get(one.party, one.since), one.since)
    rows = await conn.fetch(
        f"""SELECT 'user:' || t.user_id AS party, u.email, coalesce(s.tier, 'NORMAL') AS tier, {_STORES}
            FROM unnest($1::uuid[]) WITH ORDINALITY AS t (user_id, place)
            JOIN identity.users u ON u.id = t.user_id LEFT JOIN risk.standing s ON s.user_id = t.user_id
            ORDER BY t.place""",
        users,
    )
    return [TiedAccount(**dict(row), since=since[row["party"]]) for row in rows if row["party"] in since]

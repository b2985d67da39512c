"""Rings: which accounts share a card or a browser, and what that says about them.

A tie is a keyed mark two accounts have in common. It is written by the reader of events alone, one after the
other; the pages and the payments only tell that a mark was seen.
"""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from fondaco import audit
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.risk.actions import signal

TieKind = Literal["card", "device"]
MOST_TIED = 50  # accounts on one mark that are looked at, the newest
BOUGHT_DAYS = 180
"""How far back purchases among tied accounts count."""
IDLE_DAYS = 400
"""A browser nobody used for so long is forgotten."""
_ADD = {
    "card": """INSERT INTO risk.card AS t (user_id, mark, first_at) VALUES ($1, $2, $3)
        ON CONFLICT (user_id, mark) DO NOTHING RETURNING true""",
    "device": """INSERT INTO risk.device AS t (user_id, mark, first_at, last_at) VALUES ($1, $2, $3, $3)
        ON CONFLICT (user_id, mark) DO UPDATE SET last_at = greatest(t.last_at, excluded.last_at)
        RETURNING xmax = 0""",
}


class Tied(NamedTuple):
    """What came of a tie: whether it is new, how many accounts have the mark, and the others among them, the
    newest MOST_TIED."""

    new: bool
    accounts: int
    others: list[UUID]


async def device_seen(db: Database, user_id: UUID, mark: str) -> None:
    """Tell that somebody used this browser, once a day. What it says is found out later."""
    known = await db.fetchval(
        SYSTEM,
        """SELECT true FROM risk.device WHERE user_id = $1 AND mark = $2
           AND last_at > now() - interval '1 day'""",
        user_id,
        mark,
    )
    if known:
        return
    async with db.transaction(SYSTEM) as conn:
        party = f"user:{user_id}"
        await audit.record(conn, "device.seen", party, party, {"device": mark})


async def tie(conn: Connection, kind: TieKind, user_id: UUID, mark: str, at: datetime) -> Tied:
    """Write down that an account has a mark, with what the tie says. The same again adds nothing."""
    new = bool(await conn.fetchval(_ADD[kind], user_id, mark, at))
    if new and not await _one_more(conn, kind, mark, at):
        await count(conn, kind, mark)
    accounts = await conn.fetchval(
        "SELECT accounts FROM risk.shared WHERE kind = $1 AND mark = $2", kind, mark
    )
    if not accounts:
        return Tied(new, 1, [])
    rows = await conn.fetch(
        f"""SELECT t.user_id FROM risk.{kind} t WHERE t.mark = $1 AND t.user_id <> $2
            ORDER BY t.first_at DESC, t.user_id LIMIT $3""",
        mark,
        user_id,
        MOST_TIED,
    )
    others: list[UUID] = [row["user_id"] for row in rows]
    if new:
        await _beside_a_banned_one(conn, kind, user_id, mark)
        await _bought_from_each_other(conn, user_id, others, at)
    return Tied(new, accounts, others)


async def _one_more(conn: Connection, kind: TieKind, mark: str, at: datetime) -> bool:
    """Count one account more on a shared mark; False when it is not known as shared yet."""
    found = await conn.fetchval(
        """UPDATE risk.shared SET accounts = accounts + 1, first_at = least(first_at, $3),
             last_at = greatest(last_at, $3) WHERE kind = $1 AND mark = $2 RETURNING true""",
        kind,
        mark,
        at,
    )
    return bool(found)


async def count(conn: Connection, kind: TieKind, mark: str) -> None:
    """Count the accounts of a mark anew."""
    row = await conn.fetchrow(
        f"""SELECT count(*) AS n, min(first_at) AS first, max(first_at) AS last
            FROM risk.{kind} WHERE mark = $1""",
        mark,
    )
    assert row
    if row["n"] < 2:
        await conn.execute("DELETE FROM risk.shared WHERE kind = $1 AND mark = $2", kind, mark)
        return
    await conn.execute(
        """INSERT INTO risk.shared (kind, mark, accounts, first_at, last_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (kind, mark) DO UPDATE SET accounts = excluded.accounts, first_at = excluded.first_at,
             last_at = excluded.last_at""",
        kind,
        mark,
        row["n"],
        row["first"],
        row["last"],
    )


async def _beside_a_banned_one(conn: Connection, kind: TieKind, user_id: UUID, mark: str) -> None:
    """What it means for this account, and for the others when it is banned itself, or owns a banned store."""
    rows = await conn.fetch(
        f"""SELECT t.user_id FROM risk.standing s JOIN risk.{kind} t ON t.user_id = s.user_id
            WHERE s.tier = 'BANNED' AND t.mark = $1
            UNION SELECT t.user_id FROM risk.standing s
              JOIN identity.membership m ON m.seller_id = s.seller_id
              JOIN risk.{kind} t ON t.user_id = m.user_id
            WHERE s.tier = 'BANNED' AND m.role = 'owner' AND t.mark = $1 ORDER BY user_id LIMIT 10""",
        mark,
    )
    banned = [row["user_id"] for row in rows]
    for one in banned:
        await _accuse(conn, user_id, one, kind)
    if user_id in banned:
        await mark_tied(conn, user_id)


async def mark_tied(conn: Connection, banned: UUID) -> None:
    """Whoever has a card or a browser in common with a banned account: a fact about each, once."""
    rows = await conn.fetch(
        """SELECT DISTINCT o.user_id, o.kind FROM risk.tie c
           JOIN risk.tie o ON (o.kind, o.mark) = (c.kind, c.mark)
           WHERE c.user_id = $1 AND o.user_id <> $1 ORDER BY o.user_id, o.kind LIMIT 1000""",
        banned,
    )
    for row in rows:
        await _accuse(conn, row["user_id"], banned, row["kind"])


async def _accuse(conn: Connection, user_id: UUID, banned: UUID, kind: TieKind) -> None:
    """A fact about the account and the stores it owns; not about the banned one, or a store it works in."""
    if user_id == banned:
        return
    ref, data = f"user:{banned}", {"by": kind}
    await signal(conn, f"user:{user_id}", "ring.banned", ref, data)
    stores = await conn.fetch(
        """SELECT m.seller_id FROM identity.membership m WHERE m.user_id = $1 AND m.role = 'owner'
           AND NOT EXISTS (SELECT 1 FROM identity.membership b WHERE b.user_id = $2
                           AND b.seller_id = m.seller_id) ORDER BY m.seller_id""",
        user_id,
        banned,
    )
    for row in stores:
        await signal(conn, f"seller:{row['seller_id']}", "ring.banned", ref, data)


async def mark_all_tied(db: Database) -> None:
    """The same for every banned account and store: whoever was tied to them while they were being banned."""
    last = ""
    while True:
        rows = await db.fetch(
            SYSTEM,
            """SELECT party FROM risk.standing WHERE tier = 'BANNED' AND party > $1
               ORDER BY party LIMIT 100""",
            last,
        )
        if not rows:
            return
        for row in rows:
            last = row["party"]

            async def work(conn: Connection, party: str = last) -> None:
                await mark_tied_to(conn, party)

            await db.run(SYSTEM, work)


async def mark_tied_to(conn: Connection, party: str) -> None:
    """The same for one banned party: of a store, its owners."""
    side, _, text = party.partition(":")
    if side == "user":
        await mark_tied(conn, UUID(text))
        return
    owners = await conn.fetch(
        "SELECT user_id FROM identity.membership WHERE seller_id = $1 AND role = 'owner' ORDER BY user_id",
        UUID(text),
    )
    for row in owners:
        await mark_tied(conn, row["user_id"])


async def _bought_from_each_other(conn: Connection, user_id: UUID, others: list[UUID], at: datetime) -> None:
    """Purchases from before the tie was known."""
    rows = await conn.fetch(
        """SELECT DISTINCT o.buyer_id, o.seller_id, m.user_id AS member
           FROM orders.orders o JOIN identity.membership m ON m.seller_id = o.seller_id
           WHERE o.created_at > $3::timestamptz - make_interval(days => $4)
             AND o.state NOT IN ('PENDING_PAYMENT', 'EXPIRED', 'CANCELLED')
             AND (o.buyer_id = $1 AND m.user_id = ANY ($2) OR m.user_id = $1 AND o.buyer_id = ANY ($2))
           ORDER BY o.buyer_id, o.seller_id, m.user_id LIMIT 100""",
        user_id,
        others,
        at,
        BOUGHT_DAYS,
    )
    for row in rows:
        await note_self_purchase(conn, row["buyer_id"], row["seller_id"], row["member"])


async def bought(conn: Connection, buyer: UUID, seller: UUID) -> None:
    """Somebody who bought shares a card or a browser with a member of the store."""
    member: UUID | None = await conn.fetchval(
        """SELECT m.user_id FROM identity.membership m WHERE m.seller_id = $2 AND m.user_id <> $1
             AND EXISTS (SELECT 1 FROM risk.tie a JOIN risk.tie b ON (b.kind, b.mark) = (a.kind, a.mark)
                         WHERE a.user_id = $1 AND b.user_id = m.user_id)
           ORDER BY m.user_id LIMIT 1""",
        buyer,
        seller,
    )
    if member:
        await note_self_purchase(conn, buyer, seller, member)


async def note_self_purchase(conn: Connection, buyer: UUID, seller: UUID, member: UUID) -> None:
    """A fact about both sides, once for each pair."""
    data = {"member": str(member)}
    await signal(conn, f"user:{buyer}", "ring.self_purchase", f"seller:{seller}", data)
    await signal(conn, f"seller:{seller}", "ring.self_purchase", f"user:{buyer}", data)


async def forget_idle(db: Database) -> int:
    """Forget browsers nobody used for IDLE_DAYS; returns how many. The facts they gave stay."""
    forgotten = 0
    while True:

        async def work(conn: Connection) -> int:
            rows = await conn.fetch(
                """DELETE FROM risk.device d USING (SELECT user_id, mark FROM risk.device
                     WHERE last_at < now() - make_interval(days => $1) ORDER BY last_at LIMIT 500) old
                   WHERE d.user_id = old.user_id AND d.mark = old.mark RETURNING d.mark""",
                IDLE_DAYS,
            )
            for gone in sorted({row["mark"] for row in rows}):
                await count(conn, "device", gone)
            return len(rows)

        gone = await db.run(SYSTEM, work)
        if not gone:
            return forgotten
        forgotten += gone

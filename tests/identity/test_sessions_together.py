"""Sessions are looked up together when requests come together, and each is judged on its own, just now."""

import asyncio
from datetime import timedelta

import asyncpg

from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import token_hash
from fondaco.core.viewer import Viewer
from fondaco.identity.sessions import viewer_of
from tests.support.people import GUEST, make_user_and_token


async def people(db: Database, n: int) -> list[tuple[Viewer, str]]:
    return [await make_user_and_token(db, f"p{i}@example.com") for i in range(n)]


async def test_each_gets_its_own_answer(db: Database) -> None:
    found = await people(db, 8)
    (expired, old), (banned, bad), (idle, left) = found[:3]
    await db.execute(
        SYSTEM, "UPDATE identity.sessions SET expires_at = now() WHERE user_id = $1", expired.user()
    )
    await db.execute(SYSTEM, "UPDATE identity.users SET banned_at = now() WHERE id = $1", banned.user())
    await db.execute(
        SYSTEM,
        "UPDATE identity.sessions SET last_seen_at = now() - interval '25 hours' WHERE user_id = $1",
        idle.user(),
    )
    good = found[3:]
    tokens = [old, bad, left, "nobody's", *(t for _, t in good), good[0][1], ""] * 12
    answers = await asyncio.gather(*(viewer_of(db, token, GUEST) for token in tokens))
    wanted = {token: viewer.user_id for viewer, token in good}
    assert [a.user_id for a in answers] == [wanted.get(token) for token in tokens]
    assert [a.email for a in answers] == [
        next((v.email for v, t in good if t == token), "") for token in tokens
    ]
    seen = await db.fetch(
        SYSTEM,
        "SELECT user_id FROM identity.sessions WHERE last_seen_at < now() - interval '24 hours'",
    )
    assert [r["user_id"] for r in seen] == [idle.user_id], "what is over is not woken"


async def test_who_was_signed_out_does_not_pass_though_others_wait(
    db: Database, owner: asyncpg.Connection
) -> None:
    """Look-ups hang in the database while somebody is signed out. Who asks after that is nobody."""
    (leaver, token), *others = await people(db, 6)
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("LOCK TABLE identity.users IN ACCESS EXCLUSIVE MODE")
    before = [asyncio.create_task(viewer_of(db, t, GUEST)) for _, t in others]
    hanging = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'identity.users'::regclass"
    while not await owner.fetchval(hanging):
        await asyncio.sleep(0.01)
    await owner.execute("DELETE FROM identity.sessions WHERE user_id = $1", leaver.user())
    after = asyncio.create_task(viewer_of(db, token, GUEST))
    await asyncio.sleep(0)
    await transaction.commit()
    assert (await after).user_id is None
    assert [v.user_id for v in await asyncio.gather(*before)] == [v.user_id for v, _ in others]


async def test_being_seen_is_noted_and_never_waits(db: Database, owner: asyncpg.Connection) -> None:
    (busy, first), (free, second) = await people(db, 2)
    ago = now() - timedelta(minutes=10)
    await db.execute(SYSTEM, "UPDATE identity.sessions SET last_seen_at = $1", ago)
    async with owner.transaction():
        await owner.execute(
            "SELECT 1 FROM identity.sessions WHERE token_hash = $1 FOR UPDATE", token_hash(first)
        )
        both = await asyncio.gather(viewer_of(db, first, GUEST), viewer_of(db, second, GUEST))
        assert [v.user_id for v in both] == [busy.user_id, free.user_id]
    seen = "SELECT user_id FROM identity.sessions WHERE last_seen_at > $1"
    assert [r["user_id"] for r in await db.fetch(SYSTEM, seen, ago)] == [free.user_id]
    await viewer_of(db, first, GUEST)
    assert len(await db.fetch(SYSTEM, seen, ago)) == 2

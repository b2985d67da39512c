"""Acts that need two people: who may decide, what happens then, and that it happens once."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fondaco import approvals
from fondaco.approvals import AlreadyAsked, AlreadyDecided, OwnRequest, Request
from fondaco.approvals.actions import expire
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Forbidden, Invalid, NotFound, Problem
from fondaco.core.viewer import Viewer
from tests.support.money import make_staff


class Kept(Problem):
    """Something keeps the act from being done."""

    status = 409
    code = "test_kept"


@approvals.verb("test.act", permission="console.adjust", words=lambda p: f"Act upon {p['what']}.")
async def act(conn: Connection, payload: dict[str, Any], request: Request) -> None:
    if payload["what"] == "stone":
        raise Kept()
    await conn.execute(
        "INSERT INTO core.idempotency (actor, key, fingerprint) VALUES ($1, $2, '\\x00')",
        request.actor,
        str(request.id),
    )


async def ask(db: Database, by: Viewer | None, what: str = "clay", ref: str | None = None) -> UUID:
    async with db.transaction(SYSTEM) as conn:
        return await approvals.ask(
            conn, "test.act", ref or f"thing:{uuid7()}", {"what": what}, "it is due", by
        )


async def acted(db: Database) -> int:
    return await db.fetchval(SYSTEM, "SELECT count(*) FROM core.idempotency")


async def test_the_act_happens_with_the_decision(db: Database) -> None:
    one, two = await make_staff(db, "finance"), await make_staff(db, "admin")
    asked = await ask(db, one)
    assert (await approvals.read(db, two, asked)).words == "Act upon clay."
    assert await acted(db) == 0
    done = await approvals.decide(db, two, asked, True)
    assert (done.state, done.decided_by, done.actor) == ("APPROVED", two.user_id, two.actor)
    assert await acted(db) == 1
    with pytest.raises(AlreadyDecided):
        await approvals.decide(db, two, asked, False, "too late")
    kinds = await db.fetch(SYSTEM, "SELECT kind FROM audit.event WHERE kind LIKE 'approval.%' ORDER BY id")
    assert [k["kind"] for k in kinds] == ["approval.asked", "approval.approved"]


async def test_who_asked_never_decides(db: Database, owner: asyncpg.Connection) -> None:
    one = await make_staff(db, "admin")
    asked = await ask(db, one)
    with pytest.raises(OwnRequest):
        await approvals.decide(db, one, asked, True)
    with pytest.raises(OwnRequest):
        await approvals.decide(db, one, asked, False, "not any more")
    with pytest.raises(asyncpg.CheckViolationError, match="request_two_people"):
        await owner.execute(
            "UPDATE approvals.request SET state = 'APPROVED', decided_by = asked_by, decided_at = now()"
        )
    assert (await approvals.withdraw(db, one, asked)).state == "WITHDRAWN"
    assert await acted(db) == 0


async def test_only_who_may_decides(db: Database) -> None:
    one, other = await make_staff(db, "finance"), await make_staff(db, "admin")
    asked = await ask(db, one)
    for role in ("support", "ops", "auditor"):
        with pytest.raises(Forbidden):
            await approvals.decide(db, await make_staff(db, role), asked, True)
    with pytest.raises(Forbidden):
        await approvals.withdraw(db, other, asked)
    with pytest.raises(NotFound):
        await approvals.decide(db, other, uuid7(), True)
    with pytest.raises(Invalid):
        await approvals.decide(db, other, asked, False, " ")
    refused = await approvals.decide(db, other, asked, False, "no need")
    assert (refused.state, refused.note) == ("REFUSED", "no need")
    assert await acted(db) == 0


async def test_what_cannot_be_done_is_not_decided(db: Database) -> None:
    asked = await ask(db, None, "stone")
    two = await make_staff(db, "admin")
    with pytest.raises(Kept):
        await approvals.decide(db, two, asked, True)
    assert (await approvals.read(db, two, asked)).state == "OPEN"


async def test_one_request_of_a_kind_waits_for_a_thing(db: Database) -> None:
    one, two = await make_staff(db, "finance"), await make_staff(db, "admin")
    asked = await ask(db, one, ref="thing:1")
    with pytest.raises(AlreadyAsked):
        await ask(db, two, ref="thing:1")
    with pytest.raises(Invalid):
        async with db.transaction(SYSTEM) as conn:
            await approvals.ask(conn, "test.act", "thing:2", {"what": "clay"}, "  ", one)
    await approvals.decide(db, two, asked, False, "no need")
    assert await ask(db, two, ref="thing:1") != asked


async def test_many_approve_and_it_happens_once(db: Database) -> None:
    asked = await ask(db, None)
    people = [await make_staff(db, "admin") for _ in range(8)]
    outcomes = await asyncio.gather(
        *(approvals.decide(db, p, asked, True) for p in people), return_exceptions=True
    )
    assert sum(isinstance(o, Request) for o in outcomes) == 1
    assert all(isinstance(o, Request | AlreadyDecided) for o in outcomes)
    assert await acted(db) == 1


async def test_after_seven_days_it_is_over(db: Database, owner: asyncpg.Connection) -> None:
    asked, two = await ask(db, None), await make_staff(db, "admin")
    assert await expire(db) == 0
    await owner.execute("UPDATE approvals.request SET expires_at = now() - interval '1 minute'")
    with pytest.raises(AlreadyDecided):
        await approvals.decide(db, two, asked, True)
    assert await expire(db) == 1 and await expire(db) == 0
    assert (await approvals.read(db, two, asked)).state == "EXPIRED"


async def test_what_was_asked_never_changes(db: Database) -> None:
    await ask(db, None)
    for column in ("payload = '{}'", "words = 'other'", "permission = 'public.see'", "expires_at = now()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(SYSTEM, f"UPDATE approvals.request SET {column}")

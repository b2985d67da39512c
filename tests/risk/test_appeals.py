"""An appeal is a case: a deadline, words of both sides, one decision; and what happens at the same moment."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest

from fondaco import approvals, risk
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.notifications.jobs import read_events
from fondaco.risk import NeedsTwo, Tier
from fondaco.risk.appeals import MOST_WORDS
from fondaco.risk.model import AppealDecided, AppealOpen, EnoughSaid, NoOpenAppeal
from tests.risk.test_acting import CURSORS, say, tier_of
from tests.support.money import make_buyer, make_staff
from tests.support.people import bearer
from tests.support.shop import make_shop


@pytest.fixture
async def accused(db: Database) -> Viewer:
    """A buyer who is at risk since long ago: the rules may lower them any day."""
    buyer = await make_buyer(db)
    await say(db, f"user:{buyer.user()}", "chargeback.opened")
    return buyer


async def decisions(db: Database, viewer: Viewer) -> list[tuple[str, str]]:
    rows = await db.fetch(
        SYSTEM,
        "SELECT before, after FROM risk.decision WHERE party = $1 ORDER BY id",
        f"user:{viewer.user()}",
    )
    return [(r["before"], r["after"]) for r in rows]


async def test_both_sides_write_until_it_is_decided(db: Database, accused: Viewer, parts: Any) -> None:
    ops = await make_staff(db, "ops")
    with pytest.raises(NoOpenAppeal):
        await risk.add_to_appeal(db, accused, "user", "Before any appeal.")
    appeal = await risk.appeal(db, accused, "user", "It was my bank.")
    await risk.ask_in_appeal(db, ops, appeal, "Have you a letter of the bank?")
    await risk.add_to_appeal(db, accused, "user", "Yes, from Monday.")
    [one] = (await risk.open_appeals(db, ops, CURSORS)).items
    assert [(w.by_staff, w.text) for w in one.words] == [
        (True, "Have you a letter of the bank?"),
        (False, "Yes, from Monday."),
    ]
    assert (one.due_at - one.made_at).days == 5
    await read_events(parts)
    told = await db.fetch(
        SYSTEM, "SELECT plain FROM notifications.mail WHERE subject = 'A word about your appeal'"
    )
    assert len(told) == 1 and "Have you a letter of the bank?" in told[0]["plain"]
    for nothing in ("", "  "):
        with pytest.raises(Invalid):
            await risk.add_to_appeal(db, accused, "user", nothing)
    await risk.decide_appeal(db, ops, appeal, grant=False, answer="The bank says otherwise.")
    with pytest.raises(NoOpenAppeal):
        await risk.add_to_appeal(db, accused, "user", "One thing more.")
    with pytest.raises(AppealDecided):
        await risk.ask_in_appeal(db, ops, appeal, "One thing more.")
    stranger = await make_buyer(db)
    with pytest.raises(NotFound):
        await risk.ask_in_appeal(db, ops, stranger.user(), "Who?")


async def test_there_is_an_end_to_what_one_side_may_write(db: Database, accused: Viewer) -> None:
    ops = await make_staff(db, "ops")
    appeal = await risk.appeal(db, accused, "user", "It was my bank.")
    for n in range(MOST_WORDS):
        await risk.add_to_appeal(db, accused, "user", f"Word {n}")
    with pytest.raises(EnoughSaid):
        await risk.add_to_appeal(db, accused, "user", "One thing more.")
    await risk.ask_in_appeal(db, ops, appeal, "Thank you, that is enough.")


async def test_two_appeals_at_once_are_one(db: Database, accused: Viewer) -> None:
    done = await asyncio.gather(
        *(risk.appeal(db, accused, "user", f"Attempt {n}") for n in range(4)), return_exceptions=True
    )
    refused = [one for one in done if isinstance(one, BaseException)]
    assert len(refused) == 3 and all(isinstance(one, AppealOpen) for one in refused)
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM risk.appeal") == 1


async def test_two_people_decide_one_appeal_once(db: Database, accused: Viewer) -> None:
    first, second = await make_staff(db, "ops"), await make_staff(db, "admin")
    appeal = await risk.appeal(db, accused, "user", "It was my bank.")
    done = await asyncio.gather(
        risk.decide_appeal(db, first, appeal, grant=True, answer="You are right."),
        risk.decide_appeal(db, second, appeal, grant=True, answer="You are right."),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["AppealDecided", "NoneType"]
    assert await decisions(db, accused) == [("NORMAL", "AT_RISK"), ("AT_RISK", "WARNING")], (
        "one step, not two"
    )


async def test_a_granted_appeal_while_the_rules_lower_the_same_tier(db: Database, owner: Any) -> None:
    """Both see AT_RISK; whoever is second sees what the first did. The machine is kept, and all replays."""
    ops, buyer = await make_staff(db, "ops"), await make_buyer(db)
    party = f"user:{buyer.user()}"
    await owner.execute(
        """INSERT INTO risk.signal (party, kind, ref, at)
           VALUES ($1, 'chargeback.opened', 'old', now() - interval '700 days')""",
        party,
    )
    await db.run(SYSTEM, lambda conn: risk.look(conn, party))  # long ago; it has faded since
    await risk.set_tier(db, ops, party, "AT_RISK", "As it was.")
    await owner.execute("UPDATE risk.standing SET since = now() - interval '60 days'")
    await say(db, party)
    before = await tier_of(db, party)
    appeal = await risk.appeal(db, buyer, "user", "It is long ago.")
    await owner.execute("UPDATE risk.standing SET since = now() - interval '60 days'")
    await asyncio.gather(
        risk.decide_appeal(db, ops, appeal, grant=True, answer="You are right."),
        db.run(SYSTEM, lambda conn: risk.look(conn, party)),
    )
    steps = await decisions(db, buyer)
    assert all(one[1] == following[0] for one, following in pairwise(steps))
    assert await tier_of(db, party) in (Tier.NORMAL, Tier.WARNING) and before in (Tier.AT_RISK, Tier.WARNING)
    async with db.transaction(SYSTEM) as conn:
        assert all([(await risk.explain(conn, d.id)).same for d in await risk.decisions_of(conn, party)])


async def test_an_appeal_of_somebody_who_just_became_normal_lowers_nothing(
    db: Database, accused: Viewer
) -> None:
    ops = await make_staff(db, "ops")
    appeal = await risk.appeal(db, accused, "user", "It was my bank.")
    for tier in ("WARNING", "NORMAL"):
        await risk.set_tier(db, ops, f"user:{accused.user()}", tier, "We know them.")
    await risk.decide_appeal(db, ops, appeal, grant=True, answer="It is done already.")
    assert await tier_of(db, f"user:{accused.user()}") is Tier.NORMAL
    assert len(await decisions(db, accused)) == 3


async def test_an_appeal_granted_while_a_ban_is_agreed_upon(db: Database) -> None:
    """Whichever is first, no one person ends the ban two people made."""
    first, second, ops = [await make_staff(db, role) for role in ("admin", "admin", "ops")]
    shop = await make_shop(db)
    party = f"seller:{shop.seller_id}"
    await say(db, party, "code.duplicate", "case.lost", "code.bad")
    appeal = await risk.appeal(db, shop.owner, "seller", "They were good.")
    request = await risk.ask_ban(db, first, party, "Stolen keys.")
    done = await asyncio.gather(
        approvals.decide(db, second, request, True),
        risk.decide_appeal(db, ops, appeal, grant=True, answer="You are right."),
        return_exceptions=True,
    )
    assert not isinstance(done[0], BaseException)
    assert done[1] is None or isinstance(done[1], NeedsTwo)
    assert await tier_of(db, party) is Tier.BANNED


async def test_the_api_of_an_appeal(db: Database, client: httpx.AsyncClient, accused: Viewer) -> None:
    headers = await bearer(db, accused)
    refused = await client.post(
        "/api/v1/standing/appeal/words", headers=headers, json={"text": "Before any appeal."}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "no_open_appeal")
    await client.post("/api/v1/standing/appeal", headers=headers, json={"text": "It was my bank."})
    added = await client.post("/api/v1/standing/appeal/words", headers=headers, json={"text": "A letter."})
    assert added.status_code == 201 and added.json()["appeal"]["words"][0]["text"] == "A letter."
    staff = await bearer(db, await make_staff(db, "ops"))
    appeal = added.json()["appeal"]["id"]
    path = f"/api/v1/console/risk/appeals/{appeal}/words"
    asked = await client.post(path, headers=staff, json={"text": "Which bank?"})
    assert asked.status_code == 204
    assert (await client.post(path, headers=headers, json={"text": "Mine."})).status_code in (403, 404)
    found = (await client.get("/api/v1/console/risk/appeals?limit=1", headers=staff)).json()
    assert [w["text"] for w in found["items"][0]["words"]] == ["A letter.", "Which bank?"]

"""What people decide: bans by two, appeals, blocks; signals from events; everything replays."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from fondaco import approvals, audit, checks, identity, risk
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.risk import NeedsTwo, Tier
from fondaco.risk.acting import decide_by_hand
from fondaco.risk.deriving import derive, throw_away
from fondaco.risk.jobs import read_events
from fondaco.risk.model import AppealDecided, AppealOpen, NothingToAppeal
from fondaco.risk.rules import BUYER_1, Fact, decide
from fondaco.risk.words import way_back
from fondaco.settings import Settings
from tests.support.money import make_buyer, make_staff
from tests.support.people import sign_in
from tests.support.shop import make_shop, pay, place

CURSORS = Cursors(b"a key of thirty-two bytes, or so.")


async def tier_of(db: Database, party: str) -> Tier:
    async with db.transaction(SYSTEM) as conn:
        return await risk.tier(conn, party)


async def say(db: Database, party: str, *kinds: str) -> None:
    async def work(conn: Connection) -> None:
        for kind in kinds:
            await risk.signal(conn, party, kind, f"test:{uuid4()}")
        await risk.look(conn, party)

    await db.run(SYSTEM, work)


async def kinds_of(db: Database, party: str) -> list[str]:
    rows = await db.fetch(SYSTEM, "SELECT kind FROM risk.signal WHERE party = $1 ORDER BY id", party)
    return [r["kind"] for r in rows]


async def test_one_person_moves_within_the_machine_and_it_stands(db: Database) -> None:
    admin, buyer = await make_staff(db, "admin"), await make_buyer(db)
    party = f"user:{buyer.user()}"
    await say(db, party, "chargeback.opened")
    assert await tier_of(db, party) is Tier.AT_RISK
    await risk.set_tier(db, admin, party, "WARNING", "We know them well.")
    async with db.transaction(SYSTEM) as conn:
        assert await risk.look(conn, party) is Tier.WARNING, "the rules knew all that when it was decided"
    await say(db, party, "case.withdrawn")
    assert await tier_of(db, party) is Tier.AT_RISK, "something new happened"
    with pytest.raises(Conflict):
        await risk.set_tier(db, admin, party, "NORMAL", "Two steps at once.")
    with pytest.raises(NeedsTwo):
        await risk.set_tier(db, admin, party, "BANNED", "Alone.")
    with pytest.raises(Invalid):
        await risk.set_tier(db, admin, party, "WARNING", "")
    with pytest.raises(NotFound):
        await risk.set_tier(db, admin, f"user:{uuid4()}", "WARNING", "Nobody.")


async def test_a_ban_needs_two_even_when_both_press_at_once(db: Database, settings: Settings) -> None:
    first, second = await make_staff(db, "admin"), await make_staff(db, "admin")
    buyer = await make_buyer(db)
    party = f"user:{buyer.user()}"
    await sign_in(db, buyer)
    request = await risk.ask_ban(db, first, party, "Stolen cards.")
    with pytest.raises(approvals.OwnRequest):
        await approvals.decide(db, first, request, True)
    assert await tier_of(db, party) is Tier.NORMAL
    done = await asyncio.gather(
        approvals.decide(db, first, request, True),
        approvals.decide(db, second, request, True),
        return_exceptions=True,
    )
    assert isinstance(done[0], approvals.OwnRequest | approvals.AlreadyDecided)
    assert not isinstance(done[1], BaseException)
    assert await tier_of(db, party) is Tier.BANNED
    left = await db.fetchval(
        SYSTEM, "SELECT count(*) FROM identity.sessions WHERE user_id = $1", buyer.user()
    )
    assert left == 0
    await say(db, party, "chargeback.won")
    assert await tier_of(db, party) is Tier.BANNED, "no rule ends a ban"
    faults = [f for f in await checks.verify_all(db, settings) if f.check == "I33"]
    assert not faults


async def test_an_appeal_against_a_ban_ends_with_two_people(db: Database, settings: Settings) -> None:
    first, second = await make_staff(db, "admin"), await make_staff(db, "admin")
    shop = await make_shop(db)
    party = f"seller:{shop.seller_id}"
    state = "SELECT state FROM sellers.seller WHERE id = $1"
    with pytest.raises(NothingToAppeal):
        await risk.appeal(db, shop.owner, "seller", "Why?")
    await approvals.decide(db, second, await risk.ask_ban(db, first, party, "Sold stolen keys."), True)
    assert await db.fetchval(SYSTEM, state, shop.seller_id) == "SUSPENDED"
    appeal = await risk.appeal(db, shop.owner, "seller", "We did not.")
    with pytest.raises(AppealOpen):
        await risk.appeal(db, shop.owner, "seller", "Really.")
    with pytest.raises(NeedsTwo):
        await risk.decide_appeal(db, first, appeal, grant=True, answer="You are right.")
    request = await risk.ask_ban(db, first, party, "They are right.", lift=True)
    await approvals.decide(db, second, request, True)
    standing = await risk.my_standing(db, shop.owner, "seller")
    assert standing.standing.tier == Tier.RESTRICTED and standing.appeal
    assert (standing.appeal.state, standing.appeal.answer) == ("GRANTED", "They are right.")
    assert await db.fetchval(SYSTEM, state, shop.seller_id) == "SUSPENDED"
    with pytest.raises(AppealDecided):
        await risk.decide_appeal(db, first, appeal, grant=False, answer="Too late.")
    await risk.set_tier(db, first, party, "AT_RISK", "One step more.")
    assert await db.fetchval(SYSTEM, state, shop.seller_id) == "OPEN"
    assert not [f for f in await checks.verify_all(db, settings) if f.check == "I33"]


async def test_what_a_person_suspended_no_tier_opens(db: Database) -> None:
    admin, shop = await make_staff(db, "admin"), await make_shop(db)
    party = f"seller:{shop.seller_id}"
    await db.execute(SYSTEM, "UPDATE sellers.seller SET state = 'SUSPENDED' WHERE id = $1", shop.seller_id)
    await risk.set_tier(db, admin, party, "RESTRICTED", "Too many bad keys.")
    await risk.set_tier(db, admin, party, "AT_RISK", "Better now.")
    state = await db.fetchval(SYSTEM, "SELECT state FROM sellers.seller WHERE id = $1", shop.seller_id)
    assert state == "SUSPENDED"


async def test_a_granted_appeal_lowers_one_step_and_a_refused_one_says_why(db: Database) -> None:
    ops, buyer = await make_staff(db, "ops"), await make_buyer(db)
    party = f"user:{buyer.user()}"
    await say(db, party, "chargeback.opened", "chargeback.lost")
    assert await tier_of(db, party) is Tier.RESTRICTED
    first = await risk.appeal(db, buyer, "user", "It was my bank.")
    await risk.decide_appeal(db, ops, first, grant=False, answer="The bank says otherwise.")
    second = await risk.appeal(db, buyer, "user", "Here is its letter.")
    assert [a.id for a in (await risk.open_appeals(db, ops, CURSORS)).items] == [second]
    await risk.decide_appeal(db, ops, second, grant=True, answer="The letter is good.")
    found = await risk.my_standing(db, buyer, "user")
    assert (found.standing.tier, found.note) == (Tier.AT_RISK, "The letter is good.")


async def test_what_was_rewritten_no_longer_replays(db: Database, settings: Settings, owner: Any) -> None:
    party = f"user:{(await make_buyer(db)).user()}"
    await say(db, party, "chargeback.opened", "velocity.cards")
    async with db.transaction(SYSTEM) as conn:
        decisions = await risk.decisions_of(conn, party)
        assert (await risk.explain(conn, decisions[0].id)).same
    await owner.execute("ALTER TABLE risk.signal DISABLE TRIGGER append_only")
    await owner.execute("UPDATE risk.signal SET kind = 'case.withdrawn' WHERE kind = 'velocity.cards'")
    await owner.execute("ALTER TABLE risk.signal ENABLE ALWAYS TRIGGER append_only")
    faults = [f for f in await checks.verify_all(db, settings) if f.check == "I33"]
    assert [f.where for f in faults] == [f"decision {decisions[0].id}"]
    async with db.transaction(SYSTEM) as conn:
        assert not (await risk.explain(conn, decisions[0].id)).same


async def test_blocked_domains_sign_nobody_up(db: Database) -> None:
    ops = await make_staff(db, "ops")
    await risk.block(db, ops, kind="domain", value="@Bad.Example", reason="Fraud.", days=3)

    async def sign_up(email: str) -> None:
        viewer = Viewer(ip="127.0.0.1")
        await identity.sign_up(db, viewer, email=email, password="a-long-passphrase", name="Somebody")

    for address in ("a@bad.example", "a@mail.bad.example"):
        with pytest.raises(Invalid) as refused:
            await sign_up(address)
        assert "email" in refused.value.fields
    await sign_up("a@verybad.example")
    assert [b.value for b in (await risk.blocks(db, ops, CURSORS)).items] == ["bad.example"]
    await risk.unblock(db, ops, kind="domain", value="bad.example")
    await sign_up("a@bad.example")
    for wrong in ("nodot", "sp ace.example", ""):
        with pytest.raises(Invalid):
            await risk.block(db, ops, kind="domain", value=wrong, reason="Fraud.")


async def test_cards_make_signals_once_however_often_the_events_come(db: Database, parts: Any) -> None:
    buyers = [await make_buyer(db) for _ in range(3)]
    shop = await make_shop(db, stock=10)
    ops = await make_staff(db, "ops")
    await risk.block(db, ops, kind="card", value="stolen", reason="Reported.")
    for card in ("one", "two", "three", "stolen"):
        await pay(db, await place(db, buyers[0], shop.wish()), card=card)
    for buyer in buyers[1:]:
        await pay(db, await place(db, buyer, shop.wish()), card="one")
    await pay(db, await place(db, shop.owner, (await make_shop(db, stock=1)).wish()), card="two")
    assert await read_events(parts) > 0
    parties = [f"user:{b.user()}" for b in buyers]
    told = [sorted(await kinds_of(db, party)) for party in parties]
    own = ["card.blocked", "ring.card", "ring.self_purchase", "velocity.cards"]
    assert told == [own, ["ring.card"], ["ring.card"]], "the owner's card, known after the purchase"
    rows = await db.fetch(SYSTEM, "SELECT id, at, kind, ref, actor, data FROM audit.event ORDER BY id")
    again = [audit.AuditEvent(r["id"], 0, r["at"], r["kind"], r["ref"], r["actor"], r["data"]) for r in rows]
    await db.run(SYSTEM, lambda conn: derive(conn, again))
    await db.run(SYSTEM, lambda conn: derive(conn, again[::-1]))
    assert [sorted(await kinds_of(db, party)) for party in parties if party != parties[0]] == told[1:]
    await pay(db, await place(db, buyers[1], shop.wish()), card="two")
    await read_events(parts)
    assert "ring.self_purchase" in await kinds_of(db, parties[1]), "the owner's card, known before"
    assert "ring.self_purchase" in await kinds_of(db, f"seller:{shop.seller_id}")


async def test_a_ban_marks_whoever_shares_the_card(db: Database, parts: Any) -> None:
    first, second = await make_staff(db, "admin"), await make_staff(db, "admin")
    one, other = await make_buyer(db), await make_buyer(db)
    shop = await make_shop(db, stock=5)
    for buyer in (one, other):
        await pay(db, await place(db, buyer, shop.wish()), card="shared")
    await read_events(parts)
    request = await risk.ask_ban(db, first, f"user:{one.user()}", "Fraud.")
    await approvals.decide(db, second, request, True)
    assert await kinds_of(db, f"user:{other.user()}") == ["ring.banned"]


async def test_throw_away_addresses(db: Database) -> None:
    """The list says it, and people before the list; of two domains the nearer one."""
    ops = await make_staff(db, "ops")

    async def found(email: str) -> str | None:
        async with db.transaction(SYSTEM) as conn:
            return await throw_away(conn, email)

    assert await found("x@mailinator.com") == await found("x@a.Mailinator.com") == "mailinator.com"
    assert await found("x@example.com") is None and await found("x@mailinator.com.example.org") is None
    await risk.block(db, ops, kind="genuine", value="good.mailinator.com", reason="We know them.")
    await risk.block(db, ops, kind="disposable", value="here-today.example", reason="Many of them.", days=30)
    assert await found("x@a.good.mailinator.com") is None and await found("x@bad.mailinator.com")
    assert await found("x@mail.here-today.example") == "here-today.example"
    await risk.unblock(db, ops, kind="genuine", value="good.mailinator.com")
    assert await found("x@a.good.mailinator.com") == "mailinator.com"


@pytest.mark.parametrize("tier", [Tier.WARNING, Tier.AT_RISK, Tier.RESTRICTED])
def test_the_way_back_is_the_day_the_rules_take_it(tier: Tier) -> None:
    since = date(2030, 1, 1)
    facts = [Fact(1, "velocity.cards", since), Fact(2, "chargeback.opened", since - timedelta(days=100))]
    day = way_back("buyer-1", facts, tier, since, since)
    assert day
    assert decide(BUYER_1, facts, tier, since, day)[0] is not tier
    assert decide(BUYER_1, facts, tier, since, day - timedelta(days=1))[0] is tier


async def test_nobody_reads_the_signals_of_another(db: Database) -> None:
    party = f"user:{(await make_buyer(db)).user()}"
    await say(db, party, "chargeback.opened")
    stranger = await make_buyer(db)
    for table in (
        "signal",
        "decision",
        "standing",
        "card",
        "device",
        "shared",
        "tie",
        "appeal",
        "appeal_word",
        "blocked",
    ):
        assert not await db.fetch(stranger.as_user, f"SELECT * FROM risk.{table}")


async def test_decisions_by_hand_keep_what_was_known(db: Database) -> None:
    party = f"user:{(await make_buyer(db)).user()}"
    await say(db, party, "velocity.cards")

    async def work(conn: Connection) -> int:
        return await decide_by_hand(conn, party, Tier.AT_RISK, actor="user:x", note="Looks odd.")

    decision = await db.run(SYSTEM, work)
    async with db.transaction(SYSTEM) as conn:
        found = await risk.explain(conn, decision)
    assert found.same and found.decision.note == "Looks odd." and len(found.decision.signals) == 1
    assert found.decision.at <= datetime.now(UTC) and UUID(party[5:])

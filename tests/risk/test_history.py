"""All of history again: the same signals give the same tiers, more of them never a milder one, and no
decision makes a signal."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fondaco import checks, risk
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.risk import Tier, deriving
from fondaco.risk.actions import day_of, facts_of
from fondaco.risk.jobs import read_events
from fondaco.risk.rules import CURRENT, ORDER, Fact, Rules, decide
from fondaco.settings import Settings
from tests.risk.test_acting import say, tier_of
from tests.risk.test_enforcement import put
from tests.support.money import make_buyer, make_staff
from tests.support.shop import make_shop

DAY = date(2030, 1, 1)
DAYS = 200


def lived(rules: Rules, facts: list[Fact]) -> list[Tier]:
    """The tier of each day of somebody looked at daily."""
    tier, since, tiers = Tier.NORMAL, DAY, list[Tier]()
    for ago in range(DAYS):
        day = DAY + timedelta(days=ago)
        after, _ = decide(rules, facts, tier, since, day)
        if after is not tier:
            tier, since = after, day
        tiers.append(tier)
    return tiers


def histories(bad_only: bool = False) -> st.SearchStrategy[tuple[Rules, list[Fact]]]:
    def of(rules: Rules) -> st.SearchStrategy[tuple[Rules, list[Fact]]]:
        kinds = [k for k, rule in rules.signals.items() if rule.points > 0 or not bad_only]
        one = st.tuples(st.sampled_from(kinds), st.integers(0, DAYS - 1))
        facts = st.lists(one, max_size=8)
        return facts.map(
            lambda found: (rules, [Fact(i, k, DAY + timedelta(days=d)) for i, (k, d) in enumerate(found)])
        )

    return st.sampled_from(list(CURRENT.values())).flatmap(of)


@given(histories())
def test_a_life_again_is_the_same_life(history: tuple[Rules, list[Fact]]) -> None:
    rules, facts = history
    mixed = random.Random(len(facts)).sample(facts, len(facts))
    assert lived(rules, facts) == lived(rules, mixed)


@given(histories(bad_only=True), st.data())
def test_one_more_bad_signal_is_never_to_somebodys_good(
    history: tuple[Rules, list[Fact]], data: st.DataObject
) -> None:
    rules, facts = history
    kinds = [kind for kind, rule in rules.signals.items() if rule.points > 0]
    more = Fact(
        99, data.draw(st.sampled_from(kinds)), DAY + timedelta(days=data.draw(st.integers(0, DAYS - 1)))
    )
    with_it, without = lived(rules, [*facts, more]), lived(rules, facts)
    worse = [ORDER.index(a) >= ORDER.index(b) for a, b in zip(with_it, without, strict=True)]
    assert all(worse), f"milder on day {worse.index(False)}"


async def test_all_decisions_of_a_long_history_replay(db: Database, owner: Any, settings: Settings) -> None:
    """Parties with signals over a year, looked at as they came; then all of it from the signals alone."""
    pick, parties = random.Random(7), [f"user:{uuid4()}" for _ in range(4)] + [f"seller:{uuid4()}"]
    kinds = {side: list(rules.signals) for side, rules in CURRENT.items()}
    for ago in range(360, -1, -20):
        for party in parties:
            if pick.random() < 0.4:
                kind = pick.choice(kinds[party.partition(":")[0]])
                await owner.execute(
                    """INSERT INTO risk.signal (party, kind, ref, at)
                       VALUES ($1, $2, $3, now() - make_interval(days => $4))""",
                    party,
                    kind,
                    f"day:{ago}",
                    ago,
                )

            async def look(conn: Connection, party: str = party) -> Tier:
                return await risk.look(conn, party)

            await db.run(SYSTEM, look)
    async with db.transaction(SYSTEM) as conn:
        for party in parties:
            made = (await risk.decisions_of(conn, party))[::-1]
            known = {fact.id: fact for fact in await facts_of(conn, party)}
            tier = Tier.NORMAL
            for one in made:
                facts = [known[i] for i in one.signals]
                day = one.at.astimezone(UTC).date()
                rules = CURRENT[party.partition(":")[0]]
                tier, verdict = decide(rules, facts, tier, one.since.astimezone(UTC).date(), day)
                assert (str(tier), verdict.score) == (one.after, one.score)
            assert str(tier) == (await risk.standing_of(conn, party)).tier
    assert not [f for f in await checks.verify_all(db, settings) if f.check == "I33"]


async def count(db: Database) -> int:
    found: int = await db.fetchval(SYSTEM, "SELECT count(*) FROM risk.signal")
    return found


@pytest.mark.parametrize("tier", [t for t in Tier if t is not Tier.NORMAL])
async def test_no_decision_makes_a_signal(db: Database, parts: Any, tier: Tier) -> None:
    """What a tier does to somebody is no fact about them: it never raises their points."""
    ops, buyer, shop = await make_staff(db, "ops"), await make_buyer(db), await make_shop(db, stock=3)
    parties = {"user": f"user:{buyer.user()}", "seller": f"seller:{shop.seller_id}"}
    for party in parties.values():
        await say(db, party, "ring.self_purchase")
    before = await count(db)
    for party in parties.values():
        now = await tier_of(db, party)
        if tier is not now:
            await put(db, party, tier)
    appeal = await risk.appeal(db, buyer, "user", "Why is that?")
    await risk.ask_in_appeal(db, ops, appeal, "We look at it.")
    await risk.decide_appeal(db, ops, appeal, grant=False, answer="It stays.")
    await read_events(parts)
    await risk.look_at_raised(db)
    assert await count(db) == before


def test_no_event_of_a_standing_is_read_as_a_fact() -> None:
    ours = ("risk.", "store.", "approval.", "payout", "case.")
    assert not [kind for kind in deriving.KINDS if kind.startswith(ours)]


def test_days_are_whole_and_of_one_clock() -> None:
    late = datetime(2030, 1, 1, 23, 59, tzinfo=UTC) + timedelta(minutes=2)
    assert day_of(late) == date(2030, 1, 2)

"""Rules: integers only, the same in any order, monotone in time; every past decision can be replayed."""

from datetime import date, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.risk import CURRENT, ENFORCEMENT, Tier, judge, look, look_at_new, replay, signal, standing_of
from fondaco.risk.rules import ORDER, Fact, Rules, decide, faded

DAY = date(2030, 1, 1)
SIDES = st.sampled_from(list(CURRENT.values()))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Rules, list[Fact]]:
    rules = draw(SIDES)
    kinds = st.sampled_from([*rules.signals, "never.heard_of"])
    n = draw(st.integers(0, 12))
    return rules, [Fact(i, draw(kinds), DAY - timedelta(days=draw(st.integers(0, 800)))) for i in range(n)]


@given(histories(), st.randoms())
def test_order_and_unknown_kinds_never_matter(history: tuple[Rules, list[Fact]], chance: object) -> None:
    rules, facts = history
    mixed = list(facts)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert judge(rules, mixed, DAY) == judge(rules, facts, DAY)
    known = [f for f in facts if f.kind in rules.signals]
    assert judge(rules, known, DAY) == judge(rules, facts, DAY)


@given(histories(), st.integers(1, 900))
def test_points_only_fade(history: tuple[Rules, list[Fact]], days: int) -> None:
    rules, facts = history
    bad = [f for f in facts if f.kind in rules.signals and rules.signals[f.kind].points > 0]
    assert judge(rules, bad, DAY + timedelta(days=days)).score <= judge(rules, bad, DAY).score


@given(st.integers(-200, 200), st.integers(1, 400))
def test_half_after_a_half_life(points: int, half_life: int) -> None:
    assert faded(points, half_life, 0) == points * 1000
    assert abs(faded(points, half_life, half_life) * 2 - points * 1000) <= 2
    assert faded(points, None, 10_000) == points * 1000


@given(histories(), st.sampled_from(ORDER), st.integers(0, 100))
def test_a_decision_moves_up_at_once_and_down_one_step(
    history: tuple[Rules, list[Fact]], tier: Tier, days: int
) -> None:
    rules, facts = history
    after, verdict = decide(rules, facts, tier, DAY - timedelta(days=days), DAY)
    if tier is Tier.BANNED:
        assert after is Tier.BANNED
    elif ORDER.index(after) > ORDER.index(tier):
        assert after is verdict.tier
    elif after is not tier:
        assert ORDER.index(tier) - ORDER.index(after) == 1 and days >= rules.steps[tier].days
    assert after is not Tier.BANNED or tier is Tier.BANNED, "no rule bans"


@pytest.mark.parametrize("rules", CURRENT.values(), ids=lambda r: r.version)
def test_a_hard_signal_is_at_risk_at_once(rules: Rules) -> None:
    for kind, rule in rules.signals.items():
        assert judge(rules, [Fact(1, kind, DAY)], DAY).tier is max(
            rule.least, _by_points(rules, rule.points), key=ORDER.index
        )


def _by_points(rules: Rules, points: int) -> Tier:
    reached = [tier for tier, step in rules.steps.items() if points >= step.reach]
    return reached[-1] if reached else Tier.NORMAL


async def record(db: Database, party: str, *kinds: str) -> None:
    async def work(conn: Connection) -> None:
        for i, kind in enumerate(kinds):
            assert await signal(conn, party, kind, f"test:{i}")
            assert not await signal(conn, party, kind, f"test:{i}"), "the same fact counts once"

    await db.run(SYSTEM, work)


async def test_a_signal_changes_the_tier_and_the_decision_replays(db: Database) -> None:
    party = f"user:{uuid4()}"
    await record(db, party, "velocity.cards", "chargeback.opened", "case.groundless")
    assert await look_at_new(db) == 1
    assert await look_at_new(db) == 0
    async with db.transaction(SYSTEM) as conn:
        standing = await standing_of(conn, party)
        assert (standing.tier, standing.score) == (Tier.AT_RISK, 62_000)
        assert standing.reasons[0] == "A card payment was disputed at the bank"
        assert standing.decision_id
        decision, again, verdict = await replay(conn, standing.decision_id)
    assert (decision.before, decision.after, str(again), verdict.score) == (
        "NORMAL",
        "AT_RISK",
        "AT_RISK",
        62_000,
    )
    told = await db.fetchval(SYSTEM, "SELECT count(*) FROM audit.event WHERE kind = 'risk.tier_changed'")
    assert told == 1


async def test_nothing_recorded_is_normal(db: Database) -> None:
    party = f"seller:{uuid4()}"

    async def work(conn: Connection) -> Tier:
        return await look(conn, party)

    assert await db.run(SYSTEM, work) is Tier.NORMAL
    async with db.transaction(SYSTEM) as conn:
        assert (await standing_of(conn, party)).reasons == []


async def test_the_table_in_the_database_is_the_one_in_the_code(db: Database) -> None:
    rows = await db.fetch(SYSTEM, "SELECT * FROM risk.enforcement")
    told = {
        (r["side"], r["tier"]): {k: v for k, v in dict(r).items() if k not in ("side", "tier")} for r in rows
    }
    code = {
        (side, str(tier)): {name: getattr(limits, name) for name in limits.__slots__}
        for (side, tier), limits in ENFORCEMENT.items()
    }
    assert told == code

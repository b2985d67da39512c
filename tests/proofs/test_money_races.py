"""Refund, decision of a case, chargeback, payout and money sent back, let go at one barrier on the same
line and the same payment: whoever comes first, the books end whole and as the provider's."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import combinations
from typing import Any

import asyncpg
import pytest

from fondaco.core.db import Database
from fondaco.core.problem import Problem
from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import StripeGateway
from tests.conftest import make_settings
from tests.proofs.money_world import World
from tests.support.money import Till
from tests.support.sandbox import RunningSandbox, run_sandbox

Act = Callable[[World], Coroutine[Any, Any, None]]
ACTS: dict[str, Act] = {
    "a refund": lambda w: w.refund_by_staff(0, 333, "wallet"),
    "the rest refunded": lambda w: w.refund_by_staff(0, None, "wallet"),
    "a decision": lambda w: w.decide(0, "SPLIT", 120, "wallet"),
    "a chargeback": lambda w: w.deliver(0, "disputes"),
    "a payout": lambda w: w.withdraw(0, None),
    "money sent back": lambda w: w.send_back(0, 330),
    "the release": lambda w: w.release(0),
    "the sweepers": lambda w: w.later(),
}
PHASES = ("in escrow", "released", "paid out")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
async def world(
    provider: RunningSandbox, db: Database, endpoints: Endpoints, owner: asyncpg.Connection
) -> World:
    provider.reset()
    known = make_settings(endpoints, stripe_api_base=provider.url)
    made = World(Till(db, known, StripeGateway(known), provider), owner)
    await made.begin()
    return made


async def until(world: World, phase: str) -> None:
    """One line of a paid top-up, with a case about it; disputed, which nobody was told yet."""
    await world.connect(0)
    await world.pay_in(2, 3000, 0)
    await world.buy(0, 1)
    await world.look(0)
    if phase != "in escrow":
        await world.release(0)
        await world.mature(0)
    if phase == "paid out":
        await world.withdraw(0, None)
        await world.later()
    await world.open_case(0)
    await world.dispute(0, False)


async def let_go(world: World, *names: str) -> None:
    barrier = asyncio.Barrier(len(names))

    async def one(name: str) -> None:
        await barrier.wait()
        try:
            await ACTS[name](world)
        except Problem as problem:
            world.did[f"{name}: {problem.code}"] += 1

    ended = await asyncio.wait_for(asyncio.gather(*map(one, names), return_exceptions=True), 60)
    assert [fault for fault in ended if fault] == []


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_everything_at_once(world: World, phase: str, outcome: str) -> None:
    await until(world, phase)
    await let_go(world, *ACTS)
    await world.true_now()
    await world.resolve(0, outcome)
    await let_go(world, *ACTS)
    await world.true_at_the_end()
    if outcome == "lost":
        await world.resolve(0, "won")  # the bank changes its mind
        await let_go(world, *ACTS)
        await world.true_at_the_end()


@pytest.mark.parametrize("names", [*combinations(list(ACTS)[:6], 2)], ids=" and ".join)
async def test_two_at_once(world: World, names: tuple[str, str]) -> None:
    await until(world, "released")
    await let_go(world, *names)
    await world.true_now()
    await world.resolve(0, "lost")
    await world.true_at_the_end()

"""Questions that arrive together share a call; none joins a call already sent."""

import asyncio
from collections.abc import Sequence

import pytest

from fondaco.core.gather import MAX_CALLS, MAX_KEYS, Gather
from fondaco.core.problem import Unavailable


class Oracle:
    """Answers a key with its double, but only when told to."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may: list[asyncio.Event] = []

    async def __call__(self, keys: Sequence[int]) -> list[int]:
        self.calls.append(list(keys))
        go = asyncio.Event()
        self.may.append(go)
        await go.wait()
        if -1 in keys:
            raise ValueError("minus one")
        return [2 * k for k in keys]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def asked(oracle: Oracle, gather: Gather[int, int], keys: Sequence[int]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(gather.get(k)) for k in keys]
    await settle()
    return tasks


async def one_by_one(oracle: Oracle, gather: Gather[int, int]) -> list[asyncio.Task[int]]:
    """As many calls in flight as there may be."""
    return [task for k in range(MAX_CALLS) for task in await asked(oracle, gather, [k])]


async def test_what_arrives_in_one_turn_goes_in_one_call() -> None:
    oracle = Oracle()
    gather = Gather(oracle)
    tasks = await asked(oracle, gather, range(5))
    assert oracle.calls == [list(range(5))]
    oracle.may[0].set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]


async def test_what_arrives_while_calls_are_in_flight_goes_together_in_the_next() -> None:
    oracle = Oracle()
    gather = Gather(oracle)
    first = await one_by_one(oracle, gather)
    assert oracle.calls == [[k] for k in range(MAX_CALLS)], "at once, each alone"
    rest = await asked(oracle, gather, range(10, 20))
    assert len(oracle.calls) == MAX_CALLS, "no call that was sent is joined, no further one begun"
    oracle.may[0].set()
    await settle()
    assert oracle.calls[MAX_CALLS:] == [list(range(10, 20))]
    for go in oracle.may:
        go.set()
    assert await asyncio.gather(*first, *rest) == [2 * k for k in (*range(MAX_CALLS), *range(10, 20))]


async def test_a_call_takes_no_more_keys_than_it_may() -> None:
    oracle = Oracle()
    gather = Gather(oracle)
    tasks = await one_by_one(oracle, gather)
    tasks += await asked(oracle, gather, range(MAX_CALLS, MAX_CALLS + MAX_KEYS + 5))
    while len(oracle.calls) < MAX_CALLS + 2:
        oracle.may[len(oracle.calls) - MAX_CALLS].set()
        await settle()
    for go in oracle.may:
        go.set()
    assert await asyncio.gather(*tasks) == [2 * k for k in range(MAX_CALLS + MAX_KEYS + 5)]
    assert sorted(len(c) for c in oracle.calls) == [1] * MAX_CALLS + [5, MAX_KEYS]


async def test_a_call_that_fails_fails_its_own_keys_only() -> None:
    oracle = Oracle()
    gather = Gather(oracle)
    good = await asked(oracle, gather, [1])
    bad = await asked(oracle, gather, [-1])
    later = await asked(oracle, gather, [3])
    oracle.may[1].set()
    await settle()
    for go in oracle.may:
        go.set()
    with pytest.raises(ValueError, match="minus one"):
        await bad[0]
    assert await asyncio.gather(*good, *later) == [2, 6]


async def test_who_has_gone_is_not_asked_for_and_harms_nobody() -> None:
    oracle = Oracle()
    gather = Gather(oracle)
    first = await one_by_one(oracle, gather)
    waiting = await asked(oracle, gather, [7, 8])
    first[0].cancel()
    waiting[0].cancel()
    await settle()
    for go in oracle.may:
        go.set()
    await settle()
    oracle.may[-1].set()
    assert await waiting[1] == 16
    assert oracle.calls[-1] == [8]


async def test_an_end_in_the_middle_is_told_as_unavailable() -> None:
    oracle = Oracle()
    gather = Gather(oracle)
    asking = (await asked(oracle, gather, [1]))[0]
    for task in asyncio.all_tasks() - {asking, asyncio.current_task()}:
        task.cancel()
    with pytest.raises(Unavailable):
        await asking

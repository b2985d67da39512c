"""What a process holds more of after the same things were done again and again."""

import functools
import gc
import logging
import re
import sys
import tracemalloc
from collections.abc import Awaitable, Callable

import msgspec

# The driver keeps prepared statements, at most 256 a connection; which connection is taken is chance.
_DRIVER = ("*/asyncpg/*", "*/asyncio/*", "*/uvloop/*", "<frozen*")


async def left_behind(work: Callable[[int], Awaitable[object]], warm: int, rounds: int) -> list[str]:
    """Lines whose allocations became more with every one of `rounds` calls of `work`, after `warm` calls
    filled what is filled once. `work` gets the number of its call, from 0.

    Caches with a bound are emptied first, or filled from here: they hold what was asked last.
    """
    logging.disable(logging.CRITICAL)  # the tests' own capture keeps every record
    tracemalloc.start()
    try:
        for number in range(warm):
            await work(number)
        before = _held()
        for number in range(warm, warm + rounds):
            await work(number)
        grown = _held().compare_to(before, "lineno")
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
    return [str(line) for line in grown if line.count_diff >= rounds]


def _held() -> tracemalloc.Snapshot:
    gc.collect()
    for found in gc.get_objects():
        if isinstance(found, functools._lru_cache_wrapper) and found.cache_parameters()["maxsize"]:
            found.cache_clear()
    re.purge()
    sys._clear_type_cache()
    msgspec.json.decode(msgspec.json.encode(dict.fromkeys(map(str, range(20_000)))))  # it keeps some keys
    gc.collect()
    without = [tracemalloc.Filter(False, name) for name in (tracemalloc.__file__, __file__, *_DRIVER)]
    return tracemalloc.take_snapshot().filter_traces(without)

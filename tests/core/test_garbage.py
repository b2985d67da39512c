"""What is dropped in cycles now and then is found soon, however much the program has loaded."""

import asyncio
import gc
import platform
import subprocess
import sys
import weakref

import pytest

from fondaco.core import garbage

# As the database driver's kept statements: objects that know one another, dropped when a hundred newer ones
# are there, amid much that comes and goes. Told: how many were there at most, and how many were made.
PROGRAM = """
from collections import deque
from fondaco.core.garbage import settle
from fondaco.worker import collect

class Statement:
    alive = most = 0

    def __init__(self):
        self.timer = [self]
        Statement.alive += 1
        Statement.most = max(Statement.most, Statement.alive)

    def __del__(self):
        Statement.alive -= 1

collect()
{settle}
kept = deque(maxlen=100)
for _ in range(6_000):
    kept.append(Statement())
    for _ in range(800):
        passing = []
        passing.append(passing)
print(Statement.most)
"""


def most_alive(settle: str) -> int:
    program = PROGRAM.format(settle=settle)
    return int(subprocess.check_output([sys.executable, "-c", program], text=True, timeout=120))


def test_dropped_cycles_do_not_pile_up_beside_what_is_loaded() -> None:
    """Without settling all 6,000 pile up: they are less than a quarter of what a worker has loaded."""
    assert most_alive("settle()") < 1_000
    assert most_alive("") == 6_000


# Blocks that are too large for Python's own pools; every twentieth stays in use.
HOLES = """
import os
from fondaco.bench.processes import own_kib
from fondaco.core.garbage import give_back

blocks = [bytearray(b"x" * 3_000) for _ in range(40_000)]
blocks[:] = blocks[::20]
before = own_kib(os.getpid())
give_back()
print(before - own_kib(os.getpid()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep no holes")
def test_free_memory_between_used_blocks_is_given_back() -> None:
    """114 MiB, of which a twentieth is in use."""
    freed = int(subprocess.check_output([sys.executable, "-c", HOLES], text=True, timeout=120))
    assert freed > 80 << 10


class Knot:
    """Something that knows itself."""

    def __init__(self) -> None:
        self.self = self


async def test_garbage_is_found_though_nothing_new_is_made() -> None:
    gc.disable()  # what the collector does by itself does not count
    try:
        gone, stop = weakref.ref(Knot()), asyncio.Event()
        assert gone()
        tidying = asyncio.create_task(garbage.keep_tidy(stop, every=0.01))
        async with asyncio.timeout(30):
            while gone():
                await asyncio.sleep(0.01)
        stop.set()
        await tidying
    finally:
        gc.enable()

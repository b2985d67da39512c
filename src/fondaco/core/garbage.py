"""Garbage collection in a process that runs for months."""

import asyncio
import contextlib
import ctypes
import gc
import sys

EVERY_S = 60.0


def settle() -> None:
    """Call once everything is loaded: what is there stays and is not looked through again.

    Otherwise the collector waits until there is a quarter as much new, which may be hours.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # now it knows that there is little to look through


async def keep_tidy(stop: asyncio.Event, every: float = EVERY_S) -> None:
    """Looks for garbage now and then and gives back what is free, until told to stop; 10 ms once settled.

    For a process that makes little of it: the collector by itself looks after so many new objects, and the
    prepared statements which the database driver drops every five minutes lay there for half an hour.
    """
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)
        gc.collect()
        give_back()


def give_back() -> None:
    """Gives the free pages between blocks in use back to the system. The allocator of glibc keeps them: a
    heap in which things of many sizes come and go grows by them. Other allocators see to it themselves.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another libc
            ctypes.CDLL(None).malloc_trim(0)

"""Garbage collection in a process that runs for months."""

import asyncio
import contextlib
import gc

EVERY_S = 60.0


def settle() -> None:
    """Call once everything is loaded: what is there stays and is not looked through again.

    Otherwise the collector waits until there is a quarter as much new, which may be hours.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # now it knows that there is little to look through


async def keep_tidy(stop: asyncio.Event, every: float = EVERY_S) -> None:
    """Looks for garbage now and then, until told to stop; some 10 ms once settled.

    For a process that makes little of it: the collector by itself looks after so many new objects, and the
    prepared statements which the database driver drops every five minutes lay there for half an hour.
    """
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)
        gc.collect()

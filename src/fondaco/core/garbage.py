"""Garbage collection in a process that runs for months."""

import gc


def settle() -> None:
    """Call once everything is loaded: what is there stays and is not looked through again.

    Otherwise the collector waits until there is a quarter as much new. The prepared statements the database
    driver drops every five minutes are such garbage, and a worker that has little to do grew by them.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # now it knows that there is little to look through

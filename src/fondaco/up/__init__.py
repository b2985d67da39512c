"""`fondaco up`: everything on one machine, started in order, watched, stopped in order.

Invariants: secrets are made once and kept in a file only their owner can read; whatever was started here
ends when this process ends, even by kill -9; only our own data folder is ever deleted.
"""

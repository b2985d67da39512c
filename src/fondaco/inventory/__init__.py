"""Inventory: one row per secret; batches that arrive whole or not at all."""

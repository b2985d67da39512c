"""Inventory: one row per secret; batches that arrive whole or not at all.

A key is known by its keyed fingerprint and kept sealed, bound to its row (`unit_binding`). No verb gives a
key back to a seller; a unit handed out never returns to stock. Key text is in no report, log or job.
"""

from fondaco.inventory.actions import (
    available,
    batch,
    batch_problems,
    batches,
    csv_cell,
    low_stock,
    problems_csv,
    receive,
    stock_counts,
    withdraw,
)
from fondaco.inventory.importing import import_batch
from fondaco.inventory.model import Batch, BatchProblem, LowStock, StockCounts, unit_binding

__all__ = [
    "Batch",
    "BatchProblem",
    "LowStock",
    "StockCounts",
    "available",
    "batch",
    "batch_problems",
    "batches",
    "csv_cell",
    "import_batch",
    "low_stock",
    "problems_csv",
    "receive",
    "stock_counts",
    "unit_binding",
    "withdraw",
]

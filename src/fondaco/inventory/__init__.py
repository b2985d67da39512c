"""Inventory: stocked secrets, one row each, in batches that arrive whole or not at all; and counted stock,
the copies of articles.

A key is known by its keyed fingerprint and kept sealed, bound to its row (`unit_binding`). No verb gives a
key back to a seller; a unit handed out never returns to stock. Key text is in no report, log or job.
Of an article every buyer gets the same sealed content; on hand, held and sold make what was put up.
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
from fondaco.inventory.articles import (
    MAX_CONTENT,
    MAX_COPIES,
    article,
    content_versions,
    read_content,
    save_content,
    set_copies,
)
from fondaco.inventory.importing import import_batch
from fondaco.inventory.model import (
    Article,
    Batch,
    BatchProblem,
    ContentVersion,
    LowStock,
    StockCounts,
    content_binding,
    unit_binding,
)

__all__ = [
    "MAX_CONTENT",
    "MAX_COPIES",
    "Article",
    "Batch",
    "BatchProblem",
    "ContentVersion",
    "LowStock",
    "StockCounts",
    "article",
    "available",
    "batch",
    "batch_problems",
    "batches",
    "content_binding",
    "content_versions",
    "csv_cell",
    "import_batch",
    "low_stock",
    "problems_csv",
    "read_content",
    "receive",
    "save_content",
    "set_copies",
    "stock_counts",
    "unit_binding",
    "withdraw",
]

"""`fondaco verify`: the books, recomputed with a progress line and told in a table."""

from rich.console import Console
from rich.table import Table


async def verify_books() -> int:
    """Exit code 0 when everything is as it must be, 1 with a table of what is not."""
    from fondaco.core.db import Database
    from fondaco.inbox.verify import verify_all
    from fondaco.settings import load

    settings, console = load(), Console()
    db = await Database(settings.direct_dsn, size=2).open()
    try:
        with console.status("Recomputing the books") as status:
            faults = await verify_all(db, settings, lambda words: status.update(str(words)))
    finally:
        await db.close()
    if not faults:
        console.print("Everything is as it must be.", style="green")
        return 0
    table = Table("What is wrong", title=f"{len(faults)} faults")
    for fault in faults:
        table.add_row(str(fault))
    console.print(table)
    return 1

"""`fondaco verify`: everything recomputed with a progress bar, told in a table or as JSON."""

import sys

import msgspec
from rich.console import Console
from rich.table import Table


async def verify_books(*, as_json: bool = False) -> int:
    """Exit code 0 when everything is as it must be, 1 with all that is not."""
    from fondaco.checks import Fault, verify_all
    from fondaco.core.db import Database
    from fondaco.settings import load
    from fondaco.up.telling import telling

    settings = load()
    words = Console(stderr=True) if as_json else Console()
    db = await Database(settings.direct_dsn, size=2).open()
    try:
        with telling(words, "Recomputing the books") as told_of:
            faults: list[Fault] = await verify_all(db, settings, told_of.words, told_of.share)
    finally:
        await db.close()
    if as_json:
        told = [{"check": f.check, "where": f.where, "words": f.words} for f in faults]
        sys.stdout.write(msgspec.json.encode({"faults": told}).decode() + "\n")
    elif not faults:
        words.print("Everything is as it must be.", style="green")
    else:
        table = Table("What is wrong", title=f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}")
        for fault in faults:
            table.add_row(str(fault))
        words.print(table)
    return 1 if faults else 0

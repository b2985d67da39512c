"""`fondaco export`: the books as text, written to a file or to the output as they are read."""

import sys
from datetime import datetime
from pathlib import Path

from fondaco.statements.export import Format, export_journals


async def write_books(form: Format, out: Path | None, since: datetime | None, until: datetime | None) -> int:
    """Exit code 0 once everything is written. A file appears whole or not at all."""
    from fondaco.core.db import Database
    from fondaco.settings import load

    db = await Database(load().direct_dsn, size=2).open()
    try:
        if out is None:
            async for piece in export_journals(db, form, since=since, until=until):
                sys.stdout.write(piece)
            return 0
        part = out.with_name(out.name + ".part")
        with part.open("w", encoding="utf-8") as file:
            async for piece in export_journals(db, form, since=since, until=until):
                file.write(piece)
        part.replace(out)
        return 0
    finally:
        await db.close()

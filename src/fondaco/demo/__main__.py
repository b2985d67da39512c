"""`python -m fondaco.demo`: fill an empty marketplace. The last line says whom to sign in as, as JSON."""

import asyncio
import json
import os
import sys
from dataclasses import asdict

from fondaco.app import build_parts
from fondaco.core.db import Database
from fondaco.demo.seed import Seed
from fondaco.settings import load


async def main() -> int:
    """Seed with the settings of the environment."""
    settings = load()
    if settings.production:
        sys.stderr.write("The demo is not for production.\n")
        return 1
    parts = build_parts(settings)
    await parts.get(Database).open()
    try:
        accounts = await Seed(parts, os.environ["DATABASE_OWNER_URL"]).run()
    finally:
        await parts.get(Database).close()
    sys.stdout.write(json.dumps([asdict(a) for a in accounts]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""A worker process for the tests: its jobs write to tables the test has made."""

import asyncio
import os
import sys
from typing import Any

from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.logs import setup_logs
from fondaco.settings import load
from fondaco.worker import Work, run


async def hang_once(parts: Parts, key: str) -> None:
    """The first run writes that it began and never ends; a later run has its effect, once per key."""
    db = parts.get(Database)
    first = await db.fetchval(
        SYSTEM, "INSERT INTO public.begun VALUES ($1) ON CONFLICT DO NOTHING RETURNING true", key
    )
    if first:
        await asyncio.sleep(3600)
    await db.execute(SYSTEM, "INSERT INTO public.effect (key) VALUES ($1) ON CONFLICT DO NOTHING", key)


async def effect(parts: Parts, key: str) -> None:
    await parts.get(Database).execute(SYSTEM, "INSERT INTO public.effect (key) VALUES ($1)", key)


async def fail(parts: Parts, **_: Any) -> None:
    raise RuntimeError("this says canary-7f3a")


async def tick(parts: Parts) -> None:
    await parts.get(Database).execute(
        SYSTEM, "INSERT INTO public.tick (worker, at) VALUES ($1, clock_timestamp())", os.getpid()
    )


def main() -> None:
    settings = load()
    setup_logs(settings)
    db = Database(settings.database_url.get_secret_value(), pooled=settings.database_pooled)
    tasks = {"test.hang_once": hang_once, "test.effect": effect, "test.fail": fail}
    asyncio.run(run(settings, Work(tasks, [("test.tick", 0.5, tick)]), Parts(settings, db)))


if __name__ == "__main__":
    sys.exit(main())

"""What the console, the doctor and monitors read about the checks."""

from fondaco.checks.model import OpenFault, Run, Summary
from fondaco.checks.running import LOST_S
from fondaco.core.db import Database, Record, Scope
from fondaco.core.problem import Conflict
from fondaco.core.queue import defer
from fondaco.core.viewer import Viewer

_RUN = f"""id, kind, asked_by, started_at, ended_at, doing, looked, faults, left_out,
  ended_at IS NULL AND beat_at < clock_timestamp() - interval '{LOST_S} seconds' AS lost"""
_FAULT = "id, name, place, words, first_seen, last_seen, gone_at, told_at"


class RunUnderWay(Conflict):
    """Everything is being looked at already. Wait for that run to end."""

    code = "run_under_way"


async def summary(db: Database, scope: Scope) -> Summary:
    """How things stand now."""
    rows = await db.fetch(
        scope,
        f"""SELECT * FROM (SELECT {_RUN} FROM checks.run WHERE kind = 'minute' AND ended_at IS NOT NULL
              ORDER BY id DESC LIMIT 1) m
            UNION ALL SELECT * FROM (SELECT {_RUN} FROM checks.run WHERE kind = 'full'
              ORDER BY id DESC LIMIT 5) f""",
    )
    open_now = await db.fetchval(scope, "SELECT count(*) FROM checks.fault WHERE gone_at IS NULL")
    runs = [_run(r) for r in rows]
    full = [r for r in runs if r.kind == "full"]
    return Summary(
        open=open_now,
        minute=next((r for r in runs if r.kind == "minute"), None),
        full=next((r for r in full if r.ended_at), None),
        under_way=next((r for r in full if not r.ended_at and not r.lost), None),
    )


async def list_runs(db: Database, viewer: Viewer, *, kind: str = "", limit: int = 20) -> list[Run]:
    """The newest runs (of a kind), newest first."""
    rows = await db.fetch(
        viewer.as_staff,
        f"SELECT {_RUN} FROM checks.run WHERE $1 = '' OR kind = $1 ORDER BY id DESC LIMIT $2",
        kind,
        limit,
    )
    return [_run(r) for r in rows]


async def open_faults(db: Database, scope: Scope, *, limit: int = 200) -> list[OpenFault]:
    """Faults that are there now, the newest first."""
    rows = await db.fetch(
        scope,
        f"SELECT {_FAULT} FROM checks.fault WHERE gone_at IS NULL ORDER BY first_seen DESC, id DESC LIMIT $1",
        limit,
    )
    return [OpenFault(**dict(r)) for r in rows]


async def list_faults(db: Database, viewer: Viewer, *, limit: int = 50) -> list[OpenFault]:
    """Faults that are gone, those last seen first."""
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_FAULT} FROM checks.fault WHERE gone_at IS NOT NULL
            ORDER BY last_seen DESC, id DESC LIMIT $1""",
        limit,
    )
    return [OpenFault(**dict(r)) for r in rows]


async def ask_for_full_run(db: Database, viewer: Viewer) -> None:
    """Have everything looked at now, by a worker. Raises RunUnderWay."""
    if (await summary(db, viewer.as_staff)).under_way:
        raise RunUnderWay()
    async with db.transaction(viewer.as_staff) as conn:
        await defer(conn, "checks.full", {"asked_by": viewer.actor}, queueing_lock="checks.full")


def _run(row: Record) -> Run:
    return Run(**dict(row))

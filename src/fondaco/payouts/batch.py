"""The daily run: one payout per seller and currency, over all sellers in small steps. A step is one
transaction that goes on where the one before it ended, so a run survives crashes, two schedulers and a
clock set back."""

from datetime import date, datetime
from typing import Any

from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Conflict
from fondaco.core.viewer import Viewer
from fondaco.payouts.model import RunState
from fondaco.settings import Settings

STEP = 200  # sellers' balances locked at a time
# The day whose run is due, by the database's clock: today from the hour of the run on, else yesterday.
_DATE = "((now() AT TIME ZONE 'UTC') - make_interval(hours => $1))::date"
_RUN = "batch_date, asked_by, started_at, ended_at, accounts, looked, created, held"


async def run_due(db: Database, settings: Settings) -> None:
    """Begin the day's run when its hour has come, and bring a begun one to its end. A missed day is caught up
    with once: what was due then is due now. A day that has had its run has no other, whatever the clock
    says."""
    today = await run_date(db, settings)
    newest: date | None = await db.fetchval(SYSTEM, "SELECT max(batch_date) FROM payouts.run")
    if newest is None or newest < today:
        await _begin(db, today, "clock", again=False)
    for row in await db.fetch(
        SYSTEM, "SELECT batch_date FROM payouts.run WHERE ended_at IS NULL ORDER BY batch_date"
    ):
        await finish(db, settings, row["batch_date"])


async def start_run(db: Database, settings: Settings, viewer: Viewer) -> date:
    """Start today's run by hand, or again for whoever was not paid in it; for finance. The worker does it.
    Raises Conflict while one is under way."""
    today = await run_date(db, settings)
    if not await _begin(db, today, viewer.actor, again=True):
        raise Conflict("A run is under way already.")
    return today


async def _begin(db: Database, day: date, actor: str, *, again: bool) -> bool:
    async def work(conn: Connection) -> bool:
        return await conn.fetchval("SELECT payouts.begin_run($1, $2, $3)", day, actor, again)

    return await db.run(SYSTEM, work)


async def finish(db: Database, settings: Settings, day: date) -> None:
    """Step by step to the end of a run."""

    async def work(conn: Connection) -> int:
        await conn.execute("SET LOCAL statement_timeout = '15min'")  # one seller may have a million lines
        done = await conn.fetchval("SELECT payouts.run_step($1, $2, $3)", day, settings.payout_min, STEP)
        if failpoints.armed:
            await failpoints.reached("payout.run.before_commit", conn)
        return done

    while await db.run(SYSTEM, work) == STEP:
        pass


async def runs(db: Database, viewer: Viewer, limit: int = 30) -> list[RunState]:
    """The newest runs, newest first; for staff."""
    rows = await db.fetch(
        viewer.as_staff, f"SELECT {_RUN} FROM payouts.run ORDER BY batch_date DESC LIMIT $1", limit
    )
    return [run_of(row) for row in rows]


def run_of(row: Any) -> RunState:
    return RunState(**dict(row))


async def next_run(db: Database, settings: Settings) -> datetime:
    """When the next daily run begins, by the database's clock."""
    at: datetime = await db.fetchval(
        SYSTEM,
        f"""SELECT (({_DATE} + CASE WHEN EXISTS (SELECT 1 FROM payouts.run r WHERE r.batch_date = {_DATE})
              THEN 1 ELSE 0 END)::timestamp + make_interval(hours => $1)) AT TIME ZONE 'UTC'""",
        settings.payout_hour,
    )
    return at


async def run_date(db: Database, settings: Settings) -> date:
    """The day whose run would be started now."""
    return await db.fetchval(SYSTEM, f"SELECT {_DATE}", settings.payout_hour)

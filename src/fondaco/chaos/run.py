"""One run: build, load, strike by the plan, heal, judge, tell."""

import asyncio
import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from rich.console import Console

from fondaco import inbox
from fondaco.app import build_parts
from fondaco.chaos import heal
from fondaco.chaos.judge import Verdict, judge
from fondaco.chaos.load import Load
from fondaco.chaos.market import build
from fondaco.chaos.plan import PROVIDER, WEB_POINTS, Strike, draw
from fondaco.chaos.report import Outcome, Report, write
from fondaco.chaos.stack import RATES, Stack
from fondaco.core.db import Database
from fondaco.integrations.stripe import StripeGateway

SERVING_WITHIN_S = 15
DRAINED_WITHIN_S = 120
HIT_WITHIN_S = 5
MOST_STRIKES = 3000
BROKEN = re.compile(r"\bunhandled\b.*?\berror=(?P<error>\S+).*?\bwhere=(?P<where>'[^']*'|\S*)")


@dataclass(slots=True)
class Chaos:
    """The state of a run."""

    seed: int
    seconds: int
    stack: Stack
    say: Callable[[str], None]
    hurry: bool = False
    serving_within: int = SERVING_WITHIN_S
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    faults: list[str] = field(default_factory=list[str])

    async def run(self) -> Report:
        """The whole run; the stack is started here and still up when this returns."""
        stack = self.stack
        await asyncio.to_thread(stack.start_ground)
        settings = stack.settings
        parts = build_parts(settings)
        db = parts.get(Database)
        await db.open()
        try:
            self.say("Building the marketplace.")
            market = await build(parts)
            stack.tell_sandbox("faults", RATES | {"seed": self.seed})
            await asyncio.to_thread(stack.start)
            await self._until_serving()
            folder = stack.folder / "records"
            owner = stack.endpoints.owner_dsn
            where = (stack.base_url, stack.sandbox_url, owner, settings, folder)
            load = Load(market, db, *where, self.seed)
            walking = asyncio.create_task(load.run())
            began = time.monotonic()
            await self._strikes(began, walking)
            self.say("The storm is over; healing.")
            load.ending.set()
            await self._heal()
            await walking
            drained, settled = await self._rest(load, db, parts.get(StripeGateway))
            self.say("Judging.")
            verdict = await judge(db, settings, stack.truth(), folder, set(market.keys))
            return self._report(load, verdict, drained, settled)
        finally:
            await db.close()

    async def _strikes(self, began: float, walking: "asyncio.Task[None]") -> None:
        for strike in draw(self.seed, MOST_STRIKES):
            if time.monotonic() - began + strike.pause_ms / 1000 > self.seconds:
                return
            await asyncio.sleep(strike.pause_ms / 1000)
            if walking.done():
                walking.result()  # raises what ended it
            self.say(strike.words)
            outcome = Outcome(strike, time.monotonic() - began)
            self.outcomes.append(outcome)
            await self._strike(strike, outcome)
            self.say(f"        {outcome.words}")
            if outcome.seconds is None:
                self.faults.append(
                    f"seed {self.seed}, step {strike.number} ({strike.kind} {strike.detail}): "
                    f"not serving again within {self.serving_within} s"
                )
                await self._until_serving(180)

    async def _strike(self, strike: Strike, outcome: Outcome) -> None:
        stack, before = self.stack, await asyncio.to_thread(self.stack.waits)
        kills: dict[str, Callable[[], int]] = {
            "web": stack.kill_web,
            "web_process": stack.kill_web_process,
            "worker": stack.kill_worker,
            "backend": lambda: stack.kill_backend(strike.number),
            "postgres": stack.kill_postgres,
            "everything": stack.kill_everything,
        }
        if strike.kind in kills:
            outcome.killed = await asyncio.to_thread(kills[strike.kind])
            await asyncio.sleep(0.15)  # the death has to be seen before recovery can be
            await self._recover(outcome, before)
        elif strike.kind == "failpoint":
            await self._failpoint(strike, outcome)
        elif strike.kind == "provider":
            await asyncio.to_thread(stack.tell_sandbox, "faults", dict(PROVIDER[strike.value[0]]))
            outcome.seconds = 0.0
        else:
            stack.skews = {"web": strike.value[0], "worker": strike.value[1]}
            for which in ("web", "worker"):
                await asyncio.to_thread(stack.restart_with, which, {})
            outcome.killed = 2
            await self._recover(outcome, before)

    async def _failpoint(self, strike: Strike, outcome: Outcome) -> None:
        """Kill the process and start it with the point armed; then the point has some seconds to be hit."""
        point = strike.detail.partition("=")[0]
        which = "web" if point in WEB_POINTS else "worker"
        log = self.stack.folder / f"failpoint-{strike.number}.log"
        armed = {"FONDACO_FAILPOINTS": strike.detail, "FONDACO_FAILPOINTS_LOG": str(log)}
        before = await asyncio.to_thread(self.stack.waits)
        await asyncio.to_thread(self.stack.restart_with, which, armed)
        outcome.killed = 1
        await self._recover(outcome, before)
        before = await asyncio.to_thread(self.stack.waits)
        until = time.monotonic() + HIT_WITHIN_S
        while time.monotonic() < until and not log.exists():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.1)
        outcome.hit = log.exists()
        if outcome.hit and outcome.seconds is not None:
            outcome.killed += "kill" in strike.detail or "exit" in strike.detail
            await asyncio.sleep(0.15)
            await self._recover(outcome, before)

    async def _recover(self, outcome: Outcome, before: dict[int, float]) -> None:
        """Wait until everything serves again. `before`: what web and worker had waited before the strike. The
        time in which other programs keep them from running is not theirs: the limit is of the rest."""
        began = time.monotonic()
        while True:
            serves = await asyncio.to_thread(self.stack.serving)
            taken = time.monotonic() - began
            outcome.waited = min(await asyncio.to_thread(self.stack.waited_since, before), taken)
            outcome.seconds = taken if serves else None
            if serves or taken - outcome.waited > self.serving_within:
                return
            await asyncio.sleep(0.05)

    async def _until_serving(self, limit: int = 90) -> float | None:
        """Seconds until everything serves; None when it does not within `limit`."""
        began = time.monotonic()
        while (taken := time.monotonic() - began) < limit:
            if await asyncio.to_thread(self.stack.serving):
                return taken
            await asyncio.sleep(0.05)
        return None

    async def _heal(self) -> None:
        """No more faults: an honest provider, right clocks, nothing armed."""
        self.stack.tell_sandbox("faults", {"clear": True})
        self.stack.skews = {}
        for which in ("web", "worker"):
            await asyncio.to_thread(self.stack.restart_with, which, {})
        if await self._until_serving() is None:
            self.faults.append(f"seed {self.seed}: does not serve after the storm")

    async def _rest(self, load: Load, db: Database, gateway: StripeGateway) -> tuple[float, float]:
        """Wait for the queue, ask once more what was never answered, fetch what was never told."""
        drained = await heal.until_none(db, heal.DUE)
        if drained is None or drained > DRAINED_WITHIN_S:
            self.faults.append(f"seed {self.seed}: the queue was not drained within {DRAINED_WITHIN_S} s")
        if self.hurry:
            await heal.hurry(self.stack.endpoints.owner_dsn)
        self.faults += await load.resolve()
        began = time.monotonic()
        await inbox.backfill(db, gateway)  # the worker does it every ten minutes: deliveries were dropped
        settled = await heal.until_none(db, heal.OPEN)
        if settled is None:
            self.faults.append(f"seed {self.seed}: not everything came to an end")
        return drained or heal.LIMIT_S, time.monotonic() - began

    def _report(self, load: Load, verdict: Verdict, drained: float, settled: float) -> Report:
        return Report(
            seed=self.seed,
            seconds=self.seconds,
            outcomes=self.outcomes,
            effects=verdict.faults,
            late=self.faults,
            ours=broken_in(self.stack.logs("web")),
            seen=verdict.seen,
            answers=load.counts.answers,
            lost=load.counts.lost,
            broken=load.counts.broken,
            drained=drained,
            settled=settled,
            restarts=self.stack.restarts,
            database=self.stack.database,
        )


def broken_in(log: str) -> list[str]:
    """The errors web told as its own in this log, but for those a failpoint raised."""
    found = [(m["error"], m["where"].strip("'")) for m in BROKEN.finditer(log)]
    return [f"web broke: {error} at {where}" for error, where in found if error != "FailpointHit"]


def length(minutes: str) -> int | None:
    """Whole seconds of so many minutes; None when that is no length for a storm."""
    try:
        seconds = int(Decimal(minutes) * 60)
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return seconds if 12 <= seconds <= 36_000 else None


def show_plan(seed: int, count: int) -> int:
    """Print the first strikes of a seed."""
    for strike in draw(seed, count):
        sys.stdout.write(strike.words + "\n")
    return 0


def run_chaos(
    seed: int,
    seconds: int,
    report: Path | None = None,
    folder: Path | None = None,
    *,
    hurry: bool = False,
    serving_within: int = SERVING_WITHIN_S,
    programs: Path | None = None,
    pooled: bool = False,
) -> int:
    """Exit code 0 when nothing was lost, doubled or late; else 1, saying at which seed and step.

    `hurry`: afterwards the leases of dead processes are dated back instead of waited for. `programs`: the
    folder of another PostgreSQL; `pooled`: with PgBouncer before it.
    """
    console = Console()

    def say(words: str) -> None:
        console.print(words, markup=False, highlight=False, soft_wrap=True)

    if not sys.platform.startswith("linux"):
        say("fondaco chaos finds the processes it kills through /proc: it runs on Linux.")
        return 1
    made = folder is None
    place = folder or Path(tempfile.mkdtemp(prefix="fondaco-chaos-"))
    place.chmod(0o711)
    say(f"Seed {seed}, {seconds} s, in {place}")
    logging.getLogger("asyncpg.pool").setLevel(
        logging.CRITICAL
    )  # the harness's own pool loses its server, too
    stack = Stack(place / "data", say, programs, pooled)
    chaos = Chaos(seed, seconds, stack, say, hurry, serving_within)
    try:
        found = asyncio.run(chaos.run())
    finally:
        stack.stop()
    for words in found.faults:
        say(f"WRONG: {words}")
    say(found.summary)
    if report:
        write(found, report)
        say(f"Report: {report}")
    if made and not found.faults:
        shutil.rmtree(place)
    elif found.faults:
        say(f"Everything is kept in {place}. Again: fondaco chaos --seed {seed} --minutes {seconds / 60:g}")
    return 1 if found.faults else 0

"""The soak: a mixed load at three tenths of what the machine can do, for as long as wanted; does memory grow?

Pages, lists, purchases, whole flows with reveal, card orders at the sandbox, imports by the seller. What
every process has written itself is sampled; its slope after the first quarter is what counts: until then
caches, statements and connections fill.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console

from fondaco.bench import chart, flows
from fondaco.bench.bench import Bench, Options, prepared
from fondaco.bench.load import connect, request
from fondaco.bench.market import keys_text
from fondaco.bench.processes import own_kib, pss_kib
from fondaco.bench.report import Result, Table, as_json, ms, percentile
from fondaco.bench.stack import Stack

SHARE = 0.3
PROCESSES = ("web", "worker", "sandbox", "postgres")
LISTINGS = 8
KEYS_AT_ONCE = 2_000
LOW = 1_500
BUYERS = 1_000
WARM_UP = 0.25  # of the time
# Less growth than this an hour is told, but is no fault: what is left of a slope after so short a time.
NOISE_KIB = 2_048

Samples = dict[str, list[tuple[float, float]]]


async def soak(console: Console, options: Options, result_file: Path | None = None) -> Result:
    """One soak of `options.minutes`; chart and figures so far are written each minute."""
    with Stack(web=options.web) as stack:
        async with prepared(stack, console, min(BUYERS, 100 + int(options.minutes * 2_000))) as bench:
            return await _Soak(bench, options, result_file).run()


class _Soak:
    """One run: the load in slices of a minute, the samples and the imports beside it."""

    def __init__(self, bench: Bench, options: Options, result_file: Path | None) -> None:
        self.bench, self.options, self.file = bench, options, result_file
        self.seconds = options.minutes * 60
        self.every = max(1.0, min(10.0, self.seconds / 60))
        self.samples: Samples = {name: [] for name in PROCESSES}
        self.whole: Samples = {name: [] for name in PROCESSES}
        self.done = flows.Outcome()
        self.began = 0.0
        self.capacity = self.rate = 0.0
        self.imported = 0

    async def run(self) -> Result:
        bench = self.bench
        listings = await bench.market.add_listings(LISTINGS)
        for listing in listings:
            await bench.market.import_keys(listing, KEYS_AT_ONCE)
        bench.say("Finding out what the machine can do.")
        probe = await flows.run(self._plan(listings, min(10.0, self.seconds / 4), 0.0))
        self.capacity = probe.done / probe.seconds
        self.rate = max(1.0, SHARE * self.capacity)
        bench.say(f"{self.capacity:.0f} things a second at most; {self.rate:.0f} a second from now on.")
        self.began = time.monotonic()
        beside = [asyncio.create_task(self._sample()), asyncio.create_task(self._import(listings))]
        try:
            await self._load(listings, beside)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        self._take_sample()
        result = self._result()
        if lost := await bench.undelivered(self.done.paid, patience=120):
            result.faults.append(f"{lost} of {len(self.done.paid)} paid card orders were not delivered")
        result.faults += await bench.faults()
        self._write(result)
        return result

    async def _load(self, listings: Sequence[UUID], beside: Sequence["asyncio.Task[None]"]) -> None:
        slice_number = 0
        while (left := self.seconds - (time.monotonic() - self.began)) > 0.5:
            slice_number += 1
            plan = self._plan(listings, min(60.0, left), self.rate, slice_number)
            self.done.add(await flows.run(plan))
            for task in beside:
                if task.done():
                    task.result()
            self._write(self._result())
            passed = (time.monotonic() - self.began) / 60
            held = ", ".join(f"{n} {s[-1][1]:.0f} MiB" for n, s in self.samples.items() if s)
            self.bench.say(f"{passed:.0f} min: {self.done.done} done, {self.done.broken} broken; {held}")

    def _plan(self, listings: Sequence[UUID], seconds: float, rate: float, number: int = 0) -> flows.Plan:
        buyers = self.bench.market.buyers
        turn = number * 97 % len(buyers)  # each slice begins with other people
        return flows.Plan(
            kind="mixed",
            port=self.bench.stack.port,
            sandbox_port=self.bench.stack.sandbox_port,
            clients=16,
            seconds=seconds,
            rate=rate,
            tokens=[b.token for b in (*buyers[turn:], *buyers[:turn])],
            listings=list(map(str, listings)),
            first_key=(number + 1) << 40,
            seed=number,
        )

    async def _sample(self) -> None:
        while True:
            self._take_sample()
            await asyncio.sleep(self.every)

    def _take_sample(self) -> None:
        minutes = (time.monotonic() - self.began) / 60
        for name in PROCESSES:
            pid = self.bench.stack.pid(name)
            self.samples[name].append((minutes, own_kib(pid) / 1024))
            self.whole[name].append((minutes, pss_kib(pid) / 1024))

    async def _import(self, listings: Sequence[UUID]) -> None:
        """The seller hands in keys where they get few: real imports by the worker, all along."""
        while True:
            rows = await self.bench.market.owner.fetch(
                """SELECT l.id, (SELECT count(*) FROM inventory.stock_unit u
                                 WHERE u.listing_id = l.id AND u.state = 'AVAILABLE') AS free
                   FROM catalog.listing l WHERE l.id = ANY ($1)""",
                listings,
            )
            for row in rows:
                if row["free"] < LOW:
                    await self._hand_in(row["id"])
            await asyncio.sleep(5)

    async def _hand_in(self, listing: UUID) -> None:
        keys = {"keys": keys_text(KEYS_AT_ONCE).split()}
        text = request(
            "POST",
            f"/api/v1/seller/listings/{listing}/stock",
            token=self.bench.market.seller_token,
            body=keys,
        )
        link = await connect("127.0.0.1", self.bench.stack.port)
        try:
            status, answer = await link.ask(text.encode("latin-1"))
        finally:
            link.close()
        if status >= 400:
            raise RuntimeError(f"the import was refused: {answer[:300]!r}")
        self.imported += KEYS_AT_ONCE

    def _result(self) -> Result:
        result = Result("soak")
        minutes = (time.monotonic() - self.began) / 60
        memory = Table(
            f"Memory over a soak of {minutes:.0f} min at {self.rate:.0f} things/s "
            f"({SHARE:.0%} of {self.capacity:.0f}/s)",
            ("process", "first MiB", "warm MiB", "last MiB", "slope MiB/h", "bytes a thing", "last PSS MiB"),
            note="What each process has written itself, without the pages of program files it shares with "
            "whatever else runs; the last column counts its part of those. Warm: after the first quarter. "
            "The slope is that of a straight line from there on, with twice its standard error.",
        )
        slopes = dict[str, tuple[float, float]]()
        for name, taken in self.samples.items():
            warm = [sample for sample in taken if sample[0] >= WARM_UP * minutes]
            if len(warm) < 3:
                continue
            slope, error = slope_per_hour(warm)
            slopes[name] = (slope, error)
            memory.add(
                name,
                *(f"{sample[1]:.1f}" for sample in (taken[0], warm[0], taken[-1])),
                f"{slope:+.2f} ± {2 * error:.2f}",
                f"{slope * 1024 * 1024 / 3600 / self.rate:+.0f}",
                f"{self.whole[name][-1][1]:.1f}",
            )
            if minutes >= 30 and slope - 2 * error > NOISE_KIB / 1024 and name in ("web", "worker"):
                result.faults.append(f"{name} grows by {slope:.1f} MiB an hour")
        result.tables += [memory, _times(self.done)]
        if self.done.broken:
            failed = {n: k for n, k in self.done.answers.items() if n.split()[-1] >= "500" or "closed" in n}
            result.faults.append(f"answers that failed: {failed}")
        result.raw = self._raw(slopes)
        result.charts["soak"] = chart.lines(
            "Memory during the soak", self.samples, across="minutes", unit="own memory, MiB"
        )
        return result

    def _raw(self, slopes: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
        return {
            "capacity": self.capacity,
            "rate": self.rate,
            "imported": self.imported,
            "late": self.done.late,
            "answers": self.done.answers,
            "words": self.done.words,
            "slopes_mib_per_hour": slopes,
            "own_mib": self.samples,
            "pss_mib": self.whole,
        }

    def _write(self, result: Result) -> None:
        if self.file:
            self.file.write_text(as_json([result]))
            self.file.with_suffix(".svg").write_text(result.charts["soak"])


def slope_per_hour(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope of the least-squares line through (minutes, value), per hour, and its standard error."""
    if len(points) < 3 or len({x for x, _ in points}) < 2:
        return 0.0, 0.0
    xs, ys = [x / 60 for x, _ in points], [y for _, y in points]
    slope, base = statistics.linear_regression(xs, ys)
    middle = statistics.fmean(xs)
    spread = sum((x - middle) ** 2 for x in xs)
    left = sum((y - base - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    return slope, (left / (len(xs) - 2) / spread) ** 0.5


def _times(done: flows.Outcome) -> Table:
    table = Table("What was done meanwhile", ("thing", "times", "p50 ms", "p99 ms"))
    for name, micros in sorted(done.micros.items()):
        p50, p99 = percentile(micros, 0.5), percentile(micros, 0.99)
        table.add(name.replace("_", " "), len(micros), ms(p50), ms(p99))
    table.note = f"Timed from the moment each should have begun; {done.late} had to wait for a free client."
    return table

"""Where the time of a purchase goes: a flame graph of the web process and a table of who used how much.

The web process is sampled by py-spy (its licence: MIT; `pip install fondaco[bench]`). Processor time is read
from /proc for each process, WAL from PostgreSQL's own counters, time inside SQL functions from
track_functions. Sampling slows things a little: rates of this measurement are not for comparing.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console

from fondaco.bench import flame, load
from fondaco.bench.bench import Bench, Options, prepared
from fondaco.bench.load import Plan
from fondaco.bench.market import listing_id
from fondaco.bench.processes import cpu_ticks, family, micros
from fondaco.bench.purchases import order
from fondaco.bench.report import Result, Table, ms, percentile
from fondaco.bench.stack import Stack

CLIENTS = 64
_SAMPLES = 250  # a second
_GROUPS = {
    "server (granian)": ("granian/", "(granian"),
    "event loop": ("asyncio/", "uvloop"),
    "framework (Litestar)": ("litestar/",),
    "driver (asyncpg)": ("asyncpg/",),
    "JSON and validation": ("msgspec",),
    "fondaco: glue of every request": ("fondaco/core/web", "fondaco/api/"),
    "fondaco: session": ("fondaco/identity",),
    "fondaco: purchase": ("fondaco/orders",),
    "fondaco: database pool": ("fondaco/core/db",),
    "fondaco: other": ("fondaco/",),
}


async def profile(console: Console, options: Options) -> Result:
    """Twelve seconds or more of purchases at 64 clients on one hot listing."""
    result = Result("profile")
    seconds = max(12.0, options.seconds)
    with Stack(worker=False) as stack:
        async with prepared(stack, console, CLIENTS) as bench:
            (listing,) = await bench.market.add_listings(1)
            await bench.market.stock([listing], int((seconds + 6) * 3_000))
            plans = [[order(buyer.token, 0)] for buyer in bench.market.buyers]
            assert listing == listing_id(0)
            connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            admin: Any = await connect(stack.endpoints.admin_dsn)
            try:
                await _run(bench, admin, plans, seconds, result)
            finally:
                await admin.close()
            result.faults += await bench.faults()
    return result


async def _run(bench: Bench, admin: Any, plans: list[list[str]], seconds: float, result: Result) -> None:
    stack = bench.stack
    plan = Plan(port=stack.port, seconds=2.0, clients=plans, first_key=1 << 40)
    await load.run(plan)  # plans are prepared, pages are in memory
    wal_before = await _wal(admin)
    before = {name: cpu_ticks(stack.pid(name)) for name in ("web", "postgres")}
    with tempfile.TemporaryDirectory() as folder:
        sampler = await _sampler(_busiest(stack.pid("web")), seconds, Path(folder) / "folded")
        plan = Plan(port=stack.port, seconds=seconds, clients=plans, first_key=2 << 40, warm=0.0)
        outcome = await load.run(plan)
        used = {name: micros(cpu_ticks(stack.pid(name)) - ticks) for name, ticks in before.items()}
        if sampler is None:
            result.faults.append("py-spy is not installed: no flame graph. pip install 'fondaco[bench]'")
        else:
            _, words = await sampler.communicate()
            file = Path(folder) / "folded"
            if file.exists():
                _draw(file.read_text(), outcome, used["web"], result)
            else:
                result.faults.append(f"py-spy could not sample: {words.decode(errors='replace')[-500:]}")
    wal_after = await _wal(admin)
    calls = max(1, outcome.good)
    _shares(outcome, used, calls, result, [a - b for a, b in zip(wal_after, wal_before, strict=True)])
    await _functions(admin, plans, stack.port, result)


def _busiest(pid: int) -> int:
    """The process of the family that serves: the one with the most processor time."""
    return max(family(pid), key=lambda one: cpu_ticks(one) if one != pid else 0)


async def _sampler(pid: int, seconds: float, file: Path) -> "asyncio.subprocess.Process | None":
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.exists() else shutil.which("py-spy")
    if program is None:
        return None
    return await asyncio.create_subprocess_exec(
        program, "record", "--pid", str(pid), "--format", "raw", "--output", str(file),
        "--rate", str(_SAMPLES), "--duration", str(max(1, int(seconds) - 1)), "--nonblocking", "--function",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def _draw(folded: str, outcome: load.Outcome, web_micros: int, result: Result) -> None:
    root = flame.read(folded)
    title = f"Web process during purchases at {CLIENTS} clients, {root.samples} samples"
    result.charts["purchase-flame"] = flame.svg(root, title)
    table = Table(
        "The web process's share of a purchase",
        ("part", "share", "us each"),
        note="By the deepest named frame: what a library does for a part counts as that part.",
    )
    each = web_micros / max(1, outcome.good)
    parts = flame.shares(root, _GROUPS)
    for name, share in sorted(parts.items(), key=lambda p: -p[1]):
        if share >= 0.005:
            table.add(name, f"{share:.1%}", f"{share * each:.0f}")
    result.tables.append(table)
    result.raw["web_shares"] = parts


async def _wal(admin: Any) -> list[int]:
    row = await admin.fetchrow("SELECT wal_records, wal_fpi, wal_bytes::bigint FROM pg_stat_wal")
    return list(row.values())


def _shares(outcome: load.Outcome, used: dict[str, int], calls: int, result: Result, wal: list[int]) -> None:
    table = Table(
        f"One purchase of {outcome.rate:.0f}/s at {CLIENTS} clients",
        ("what", "each"),
        note=f"p50 {ms(percentile(outcome.micros, 0.5))} ms, p99 {ms(percentile(outcome.micros, 0.99))} ms.",
    )
    table.add("web process, CPU us", f"{used['web'] / calls:.0f}")
    table.add("PostgreSQL, all processes, CPU us", f"{used['postgres'] / calls:.0f}")
    table.add("load client, CPU us", f"{outcome.cpu_seconds * 1e6 / calls:.0f}")
    for name, n in zip(("WAL records", "full pages in WAL", "WAL bytes"), wal, strict=True):
        table.add(name, f"{n / calls:.1f}")
    result.tables.append(table)
    result.raw["each"] = {"used_us": used, "calls": calls, "wal": wal}


async def _functions(admin: Any, plans: list[list[str]], port: int, result: Result) -> None:
    """A short run of its own, because counting the functions' time takes time."""
    await admin.execute("ALTER SYSTEM SET track_functions = 'all'")
    await admin.execute("SELECT pg_reload_conf(), pg_stat_reset()")
    outcome = await load.run(Plan(port=port, seconds=3.0, clients=plans, first_key=3 << 40, warm=0.0))
    calls = max(1, outcome.good)
    await asyncio.sleep(1.5)  # backends hand in their counts once a second
    rows = await admin.fetch(
        """SELECT schemaname || '.' || funcname AS name, calls, (total_time * 1000)::bigint AS total,
             (self_time * 1000)::bigint AS own
           FROM pg_stat_user_functions WHERE calls > 0 ORDER BY self_time DESC LIMIT 14"""
    )
    table = Table(
        "Inside SQL, per purchase",
        ("function", "calls", "in all us", "itself us"),
        note="Wall time by track_functions, which costs something; a function's statements are its own.",
    )
    for row in rows:
        each = (row["calls"] / calls, row["total"] / calls, row["own"] / calls)
        table.add(row["name"], f"{each[0]:.2f}", f"{each[1]:.0f}", f"{each[2]:.0f}")
    result.tables.append(table)

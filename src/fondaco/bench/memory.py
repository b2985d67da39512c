"""Memory of each process after its start and after load, and how long each takes to be ready."""

import asyncio

from rich.console import Console

from fondaco.bench import flows
from fondaco.bench.bench import Options, prepared
from fondaco.bench.processes import pss_kib
from fondaco.bench.report import Result, Table
from fondaco.bench.soak import PROCESSES
from fondaco.bench.stack import Stack

LOAD_SECONDS = 20.0


async def memory(console: Console, options: Options) -> Result:
    """One start, mixed load at 16 clients, a rest."""
    result = Result("memory")
    with Stack(web=options.web) as stack:
        # The worker says nothing when it is ready; a moment later it has done what it does first.
        await asyncio.sleep(3)
        first = {name: pss_kib(stack.pid(name)) for name in PROCESSES}
        async with prepared(stack, console, 500) as bench:
            listings = await bench.market.add_listings(4)
            for listing in listings:
                await bench.market.import_keys(listing, 4_000)
            plan = flows.Plan(
                kind="mixed",
                port=stack.port,
                sandbox_port=stack.sandbox_port,
                clients=16,
                seconds=min(LOAD_SECONDS, options.seconds * 7),
                tokens=[buyer.token for buyer in bench.market.buyers],
                listings=list(map(str, listings)),
            )
            outcome = await flows.run(plan)
            await asyncio.sleep(2)
        after = {name: pss_kib(stack.pid(name)) for name in PROCESSES}
        if outcome.broken:
            result.faults.append(f"answers that failed: {outcome.answers}")
        table = Table(
            "Memory (PSS) and start",
            ("process", "ready after ms", "MiB after its start", "MiB after load"),
            note=f"Load: {outcome.done} pages, lists, purchases, flows, card orders. PostgreSQL is counted "
            "with all its processes and shared buffers; its start makes a new cluster.",
        )
        ready = {**stack.ready_ms, "postgres": stack.ready_ms["PostgreSQL, new cluster"]}
        ready.pop("worker", None)
        for name in PROCESSES:
            cells = (first[name] / 1024, after[name] / 1024)
            table.add(name, ready.get(name, "-"), *(f"{cell:.0f}" for cell in cells))
        table.add("web + worker", "-", *(f"{(m['web'] + m['worker']) / 1024:.0f}" for m in (first, after)))
        result.tables.append(table)
        result.raw = {"ready_ms": stack.ready_ms, "first_kib": first, "after_kib": after}
    return result

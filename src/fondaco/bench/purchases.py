"""Complete purchases through HTTP, beside pgbench with the same statement and beside a naive handler.

All three in turns on one stack, the median of the rounds counts. A purchase is everything: session,
validation, stock, ledger with its journals, entitlement, events, follow-up jobs, JSON answer. The
worker rests meanwhile: what it does afterwards is measured by flow, webhook and soak.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from fondaco import orders
from fondaco.bench import load, pgbench
from fondaco.bench.bench import Bench, Options, prepared
from fondaco.bench.load import Plan, request
from fondaco.bench.market import CURRENCY, PRICE, listing_id
from fondaco.bench.processes import cpu_ticks, micros
from fondaco.bench.report import Result, Table, median, ms, percentile, ratio
from fondaco.bench.stack import Stack, free_port
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer

_MOST = 2_500  # purchases a second, at most: so much stock there must be
KINDS = ("stocked_secret", "article")
_WORDS = {"stocked_secret": "keys", "article": "counted articles"}


@dataclass
class Cell:
    """The rounds of one kind, spread and number of clients."""

    http: list[float] = field(default_factory=list[float])
    pgbench: list[float] = field(default_factory=list[float])
    naive: list[float] = field(default_factory=list[float])
    p50: list[float] = field(default_factory=list[float])
    p99: list[float] = field(default_factory=list[float])
    naive_p99: list[float] = field(default_factory=list[float])
    web_cpu: list[float] = field(default_factory=list[float])
    postgres_cpu: list[float] = field(default_factory=list[float])
    load_cpu: list[float] = field(default_factory=list[float])


async def purchases(console: Console, options: Options) -> Result:
    """The whole measurement; the books are verified after it."""
    with Stack(web=options.web, worker=False) as stack:
        async with prepared(stack, console, max(*options.clients, 64)) as bench:
            port = free_port()
            stack.environment["DATABASE_OWNER_URL"] = stack.endpoints.owner_dsn
            stack.run(stack.child("naive", "fondaco.bench.naive", [str(port)], port))
            return await _Purchases(bench, options, port).run()


class _Purchases:
    def __init__(self, bench: Bench, options: Options, naive_port: int) -> None:
        self.bench, self.options, self.naive_port = bench, options, naive_port
        self.result = Result("purchases")
        self.runs = 0

    async def run(self) -> Result:
        market = self.bench.market
        first = 0
        for kind in KINDS:
            await market.add_listings(self.options.spread, kind)
            for many in (1, self.options.spread):
                numbers = range(first, first + many)
                table = self._table(kind, many)
                for clients in self.options.clients:
                    cell = await self._cell(numbers, clients)
                    self._row(table, clients, cell)
                    self.result.raw[f"{kind} {many} {clients}"] = cell.__dict__
                self.result.tables.append(table)
            first += self.options.spread
        await self._unbatched()
        self.result.faults += await self.bench.faults()
        return self.result

    async def _cell(self, numbers: Sequence[int], clients: int) -> Cell:
        cell, options = Cell(), self.options
        await self._stock(numbers)
        self.bench.say(f"{len(numbers)} listings, {clients} clients")
        for _ in range(options.rounds):
            await self._http_round(cell, numbers, clients)
            await self._pgbench_round(cell, numbers, clients)
            outcome = await self._http(self.naive_port, numbers, clients)
            cell.naive.append(outcome.rate)
            cell.naive_p99.append(percentile(outcome.micros, 0.99))
        return cell

    async def _stock(self, numbers: Sequence[int]) -> None:
        needed = int(self.options.rounds * (self.options.seconds + 2) * 3 * _MOST)
        ids = [listing_id(n) for n in numbers]
        await self.bench.market.stock(ids, needed // len(ids) + (50 if len(ids) > 1 else 0))

    async def _http_round(self, cell: Cell, numbers: Sequence[int], clients: int) -> None:
        stack = self.bench.stack
        before = [cpu_ticks(stack.pid(name)) for name in ("web", "postgres")]
        outcome = await self._http(stack.port, numbers, clients)
        used = [micros(cpu_ticks(stack.pid(n)) - b) for n, b in zip(("web", "postgres"), before, strict=True)]
        # The warm-up is not counted in the answers, but its work is in the processor time.
        calls = max(1.0, outcome.good * (outcome.seconds + 0.3) / outcome.seconds)
        cell.http.append(outcome.rate)
        cell.p50.append(percentile(outcome.micros, 0.5))
        cell.p99.append(percentile(outcome.micros, 0.99))
        cell.web_cpu.append(used[0] / calls)
        cell.postgres_cpu.append(used[1] / calls)
        cell.load_cpu.append(outcome.cpu_seconds * 1e6 / max(1, outcome.good))

    async def _http(self, port: int, numbers: Sequence[int], clients: int) -> load.Outcome:
        self.runs += 1
        buyers = self.bench.market.buyers[:clients]
        share = max(1, -(-len(numbers) // clients)) if clients > 8 else min(len(numbers), 250)
        plans: list[list[str]] = []
        for i, buyer in enumerate(buyers):
            mine = [numbers[(i * share + n) % len(numbers)] for n in range(share)]
            plans.append([order(buyer.token, n) for n in mine])
        plan = Plan(port=port, seconds=self.options.seconds, clients=plans, first_key=self.runs << 40)
        outcome = await load.run(plan)
        if bad := {status: n for status, n in outcome.statuses.items() if int(status) >= 400}:
            self.result.faults.append(f"refused: {bad}, first: {outcome.first_refusal}")
        return outcome

    async def _pgbench_round(self, cell: Cell, numbers: Sequence[int], clients: int) -> None:
        self.runs += 1
        rate = await pgbench.run(
            self.bench.stack,
            clients=clients,
            seconds=self.options.seconds,
            listings=numbers,
            number=self.runs,
        )
        bought = await self.bench.market.owner.fetchval(
            "SELECT count(*) FROM orders.order_group WHERE idem LIKE $1", pgbench.prefix(self.runs) + "%"
        )
        if bought != rate.purchases:
            self.result.faults.append(f"pgbench made {rate.purchases} calls and bought {bought} times")
        cell.pgbench.append(rate.rate)

    def _table(self, kind: str, many: int) -> Table:
        where = "one hot listing" if many == 1 else f"{many:,} listings"
        columns = (
            "clients", "fondaco /s", "pgbench /s", ": pgbench", "naive /s", ": naive", "p50 ms", "p99 ms",
            "naive p99 ms", "web CPU us", "PostgreSQL CPU us",
        )  # fmt: skip
        return Table(
            f"Purchases of {_WORDS[kind]}, {where}",
            columns,
            note="Purchases a second, all to the end; pgbench calls the same SQL, one purchase a commit, as "
            f"many clients. Processor time per purchase. Medians of {self.options.rounds} rounds.",
        )

    def _row(self, table: Table, clients: int, cell: Cell) -> None:
        http, by_pgbench, naive = median(cell.http), median(cell.pgbench), median(cell.naive)
        table.add(
            clients, f"{http:.0f}", f"{by_pgbench:.0f}", ratio(http, by_pgbench), f"{naive:.0f}",
            ratio(http, naive), ms(median(cell.p50)), ms(median(cell.p99)), ms(median(cell.naive_p99)),
            f"{median(cell.web_cpu):.0f}", f"{median(cell.postgres_cpu):.0f}",
        )  # fmt: skip

    async def _unbatched(self) -> None:
        """A lonely purchase through the combiner, beside the bare call it makes, both in this process."""
        await self._stock(range(1))
        db = self.bench.market.db
        combiner = orders.Combiner(db)

        async def direct(purchase: orders.Purchase) -> object:
            async with db.connection() as conn:
                return await conn.fetch("SELECT * FROM orders.buy($1::jsonb)", [purchase.wire("wallet")])

        alone, combined = list[float](), list[float]()
        for _ in range(self.options.rounds):
            alone.append(await self._one_after_another(direct))
            combined.append(await self._one_after_another(combiner.buy))
        table = Table(
            "One client, in one process", ("way", "purchases/s", "time : bare call"), note="Aim: at most 1.3."
        )
        table.add("the bare call", f"{median(alone):.0f}", "1.00")
        table.add("through the combiner", f"{median(combined):.0f}", ratio(median(alone), median(combined)))
        if lonely := self.result.raw.get("stocked_secret 1 1"):
            through = median(lonely["http"])
            table.add("through HTTP, with session and JSON", f"{through:.0f}", ratio(median(alone), through))
        self.result.tables.append(table)
        self.result.raw["unbatched"] = {"direct": alone, "combiner": combined}

    async def _one_after_another(self, buy: Callable[[orders.Purchase], Awaitable[Any]]) -> float:
        market, done = self.bench.market, 0
        viewer = Viewer(user_id=market.buyers[0].id, verified=True, country="DE")
        wish = [orders.Wish(listing_id(0), 1, price=PRICE)]
        policy = orders.policy_of(self.bench.stack.settings)
        began = time.perf_counter()
        while time.perf_counter() < began + self.options.seconds:
            await buy(orders.purchase_of(viewer, policy, wish, currency=CURRENCY, idem=str(uuid7())))
            done += 1
        await asyncio.sleep(0)
        return done / (time.perf_counter() - began)


def order(token: str, listing: int) -> str:
    """The request that buys one unit from the wallet."""
    line = {"listing_id": listing_id(listing), "price": PRICE}
    return request(
        "POST", "/api/v1/orders", token=token, key=True, body={"pay_with": "wallet", "lines": [line]}
    )

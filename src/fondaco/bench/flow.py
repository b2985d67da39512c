"""The whole flow through HTTP: browse, look, cart, quote, pay from the wallet, read the secret.

Real keys, the worker at work. What it costs in statements and commits is counted by the tests.
"""

from rich.console import Console

from fondaco.bench import flows
from fondaco.bench.bench import Bench, Options, prepared
from fondaco.bench.report import Result, Table, median, ms, percentile
from fondaco.bench.stack import Stack

LISTINGS = 20
_MOST = 500  # flows a second, at most: so many keys there must be


async def flow(console: Console, options: Options) -> Result:
    """Rounds at each number of clients; every flow as another buyer."""
    result = Result("flow")
    table = Table(
        "Whole flow: browse, look, cart, quote, pay by wallet, read the secret",
        ("clients", "flows/s", "p50 ms", "p99 ms", "answers/s"),
        note=f"Six calls each. Medians of {options.rounds} rounds of {options.seconds:g} s.",
    )
    with Stack(web=options.web) as stack:
        async with prepared(stack, console, _buyers(options)) as bench:
            listings = await bench.market.add_listings(LISTINGS)
            ids = [str(listing) for listing in listings]
            for turn, clients in enumerate(options.clients):
                need = int(_MOST * (options.seconds + 1) * options.rounds) // LISTINGS
                for listing in listings:
                    await bench.market.import_keys(listing, need)
                bench.say(f"{clients} clients")
                rates, p50, p99, calls = list[float](), list[float](), list[float](), list[float]()
                for number in range(options.rounds):
                    outcome = await _round(bench, ids, clients, options.seconds, turn * 100 + number)
                    micros = outcome.micros.get("shop", [])
                    rates.append(len(micros) / outcome.seconds)
                    p50.append(percentile(micros, 0.5))
                    p99.append(percentile(micros, 0.99))
                    calls.append(sum(outcome.answers.values()) / outcome.seconds)
                    if bad := {n: k for n, k in outcome.answers.items() if not n.split()[-1].startswith("2")}:
                        result.faults.append(f"{clients} clients: {bad} {list(outcome.words)[:2]}")
                table.add(
                    clients,
                    f"{median(rates):.0f}",
                    ms(median(p50)),
                    ms(median(p99)),
                    f"{median(calls):.0f}",
                )
                result.raw[str(clients)] = {"rates": rates, "p50": p50, "p99": p99}
            result.faults += await bench.faults()
    result.tables.append(table)
    return result


def _buyers(options: Options) -> int:
    """Enough that nobody comes near the reveals one person may have in a minute."""
    return max(
        64, min(2_000, int(_MOST * (options.seconds + 1) * options.rounds * len(options.clients)) // 20)
    )


async def _round(
    bench: Bench, listings: list[str], clients: int, seconds: float, number: int
) -> flows.Outcome:
    buyers = bench.market.buyers
    turn = number * 311 % len(buyers)
    return await flows.run(
        flows.Plan(
            kind="flow",
            port=bench.stack.port,
            clients=clients,
            seconds=seconds,
            tokens=[buyer.token for buyer in (*buyers[turn:], *buyers[:turn])],
            listings=listings,
            first_key=(number + 1) << 40,
            seed=number,
        )
    )

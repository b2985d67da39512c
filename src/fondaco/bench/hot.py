"""The hot item: ten units, fifty buyers at the same moment, each through page, cart, quote and payment.

Ten are sold, forty are refused with 409 and words a person understands, nothing fails, the books balance.
"""

from rich.console import Console

from fondaco.bench import flows
from fondaco.bench.bench import Bench, Options, prepared
from fondaco.bench.report import Result, Table, median, ms
from fondaco.bench.stack import Stack

UNITS, BUYERS = 10, 50
LONGEST = 1_000_000  # microseconds any answer may take


async def hot(console: Console, options: Options) -> Result:
    """As many rushes as rounds, each on a fresh listing."""
    result = Result("hot")
    table = Table(
        f"Hot item: {UNITS} units, {BUYERS} buyers at once, whole flow",
        ("rush", "sold", "refused with 409", "other answers", "slowest answer ms", "last winner ms"),
    )
    slowest: list[float] = []
    said: list[str] = []
    with Stack(web=options.web) as stack:
        async with prepared(stack, console, BUYERS) as bench:
            await rush(bench, 0)  # connections, caches and plans are made by the first
            for number in range(1, options.rounds + 1):
                outcome, sold, faults = await rush(bench, number)
                refused = sum(n for name, n in outcome.answers.items() if name.endswith(" 409"))
                if outcome.slowest > LONGEST:
                    faults.append(f"the slowest answer took {ms(outcome.slowest)} ms")
                last = max(outcome.micros.get("bought", [0]))
                table.add(number, sold, refused, BUYERS - sold - refused, ms(outcome.slowest), ms(last))
                slowest.append(outcome.slowest)
                result.faults += [f"rush {number}: {fault}" for fault in faults]
                result.raw[f"rush {number}"] = {"answers": outcome.answers, "words": outcome.words}
                said = list(outcome.words)
            result.faults += await bench.faults()
    table.note = f"Refusals say: {said[0] if said else '-'} Median of the slowest: {ms(median(slowest))} ms."
    result.tables.append(table)
    return result


async def rush(bench: Bench, number: int) -> tuple[flows.Outcome, int, list[str]]:
    """One rush on a fresh listing: what was answered, how many units were sold, and what was wrong."""
    (listing,) = await bench.market.add_listings(1)
    await bench.market.import_keys(listing, UNITS)
    outcome = await flows.run(
        flows.Plan(
            kind="rush",
            port=bench.stack.port,
            clients=BUYERS,
            tokens=[buyer.token for buyer in bench.market.buyers[:BUYERS]],
            listings=[str(listing)],
            first_key=(number + 1) << 40,
        )
    )
    sold: int = await bench.market.owner.fetchval(
        "SELECT count(*) FROM inventory.stock_unit WHERE listing_id = $1 AND state = 'SOLD'", listing
    )
    won = len(outcome.micros.get("bought", ()))
    refused = sum(n for name, n in outcome.answers.items() if name.endswith(" 409"))
    faults: list[str] = []
    if sold != UNITS or won != UNITS:
        faults.append(f"{sold} units sold, {won} buyers were told so, of {UNITS}")
    if refused != BUYERS - UNITS:
        faults.append(f"{refused} refusals with 409 instead of {BUYERS - UNITS}: {outcome.answers}")
    if outcome.broken:
        faults.append(f"answers that failed: {outcome.answers}")
    faults += [f"refused without plain words: {words}" for words in outcome.words if "(no words)" in words]
    return outcome, sold, faults

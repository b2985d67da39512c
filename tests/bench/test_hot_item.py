"""The hot item on the real processes: counts and answers. How fast it is, the bench tells."""

from rich.console import Console

from fondaco.bench.bench import prepared
from fondaco.bench.hot import BUYERS, UNITS, rush
from fondaco.bench.stack import Stack


async def test_ten_units_fifty_buyers_ten_sold_forty_plain_refusals() -> None:
    with Stack(worker=False) as stack:
        async with prepared(stack, Console(quiet=True), BUYERS) as bench:
            outcome, sold, faults = await rush(bench, 1)
            assert not faults
            assert sold == UNITS and len(outcome.micros["bought"]) == UNITS
            refused = {name: n for name, n in outcome.answers.items() if not name.endswith((" 200", " 201"))}
            assert all(name.endswith(" 409") for name in refused)
            assert sum(refused.values()) == BUYERS - UNITS
            assert all("sold out" in words and "Nothing was charged." in words for words in outcome.words)
            wallets = await bench.market.owner.fetchval(
                "SELECT count(*) FROM ledger.account_balance WHERE kind = 'escrow' AND amount <> 0"
            )
            assert wallets == UNITS
            assert await bench.faults() == []

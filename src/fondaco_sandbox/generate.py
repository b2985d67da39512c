"""Very many balance transactions quickly, for measuring what reads them. The same numbers give the same rows.

Movement n is a refund when n is a multiple of 10, else a charge; its amount is 500 + n * 7919 % 20000.
"""

import asyncio
import json

from fondaco_sandbox import balance, money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.store import Obj

CHUNK = 10_000
MOST = 5_000_000


def movement(number: int, currency: str, created: int) -> Obj:
    """The movement of this number, as a balance transaction without an object behind it."""
    refund = number % 10 == 0  # ids are not drawn: that alone would take most of the time
    amount = 500 + number * 7919 % 20_000
    source: Obj = {
        "id": f"{'re' if refund else 'ch'}_gen{number:012}",
        "currency": currency,
        "description": None,
    }
    kind, signed, fee = ("refund", -amount, 0) if refund else ("charge", amount, money.fee(amount))
    return balance.transaction(created, source, kind, signed, fee=fee, transaction_id=f"txn_gen{number:012}")


async def generate(box: Sandbox, count: int, first: int, currency: str, between: tuple[int, int]) -> Obj:
    """Keep `count` movements from number `first` on, spread evenly `between` two moments; their sums.

    Others are served between the chunks, each of which is one transaction.
    """
    since, until = between
    sums: Obj = {"count": count, "amount": 0, "fee": 0, "net": 0, "currency": currency}
    for start in range(0, count, CHUNK):
        entries = [
            movement(first + n, currency, since + (until - since) * n // count)
            for n in range(start, min(start + CHUNK, count))
        ]
        with box.store.transaction():
            _keep(box, entries, currency)
        for name in ("amount", "fee", "net"):
            sums[name] += sum(entry[name] for entry in entries)
        await asyncio.sleep(0)
    with box.store.transaction():
        box.fact("balance_transactions.generated", first=first, **sums)
    return sums


def _keep(box: Sandbox, entries: list[Obj], currency: str) -> None:
    box.store.db.executemany(
        "insert into objects (id, kind, created, body) values (?, 'balance_transaction', ?, ?)",
        [(entry["id"], entry["created"], json.dumps(entry)) for entry in entries],
    )
    balance.add(box, None, currency, 0, sum(entry["net"] for entry in entries))

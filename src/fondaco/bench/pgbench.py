"""PostgreSQL's own load program with the product's own statement: one purchase a call and a commit.

The purchase is the JSON the product itself would send, with its ids and numbers counted up by pgbench.
"""

import asyncio
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from fondaco import orders
from fondaco.bench.market import CURRENCY, FIRST, PRICE, buyer_id, listing_id
from fondaco.bench.stack import Stack
from fondaco.core.viewer import Viewer

_PROGRESS = re.compile(r"progress: ([0-9.]+) s, ([0-9.]+) tps")


@dataclass(frozen=True)
class Rate:
    """What a run did: purchases, and how many a second by pgbench's own clock once it was warm."""

    purchases: int
    rate: float


async def run(stack: Stack, *, clients: int, seconds: float, listings: Sequence[int], number: int) -> Rate:
    """One run over listings of these (consecutive) numbers; `number` is one no other run had."""
    text = script(stack, listings, number)
    # Every connection is a new server process that first compiles and plans; that is not what is measured.
    warm = 1 + -(-clients // 24)
    parts = urlsplit(stack.endpoints.app_dsn)
    where = {name: values[0] for name, values in parse_qs(parts.query).items()}
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(text)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            str(stack.programs / "pgbench"),
            "-n",
            *("-h", where["host"], "-p", where["port"], "-U", str(parts.username)),
            *(
                "-c",
                str(clients),
                "-j",
                "1",
                "-D",
                f"n={FIRST}",
                "-T",
                str(warm + 1 + round(seconds)),
                "-P",
                "1",
                "-f",
                file.name,
            ),
            unquote(parts.path.lstrip("/")),
            env={"PATH": os.environ.get("PATH", ""), "PGPASSWORD": str(parts.password)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, words = await process.communicate()
    said = dict(_facts(out.decode()))
    if process.returncode != 0 or "tps" not in said:
        raise RuntimeError(f"pgbench failed: {words.decode(errors='replace')[-1000:]}")
    done = int(said["number of transactions actually processed"].split("/")[0])
    rates = [json.loads(tps) for at, tps in _PROGRESS.findall(words.decode()) if json.loads(at) > warm + 0.5]
    return Rate(done, sum(rates) / len(rates) if rates else 0.0)


def prefix(number: int) -> str:
    """How the purchase keys of a run begin."""
    return f"pgbench-{number}-"


def script(stack: Stack, listings: Sequence[int], number: int) -> str:
    """The script of a run."""
    buyer, listing = buyer_id(0), listing_id(0)
    purchase = orders.purchase_of(
        Viewer(user_id=buyer, verified=True, country="DE"),
        orders.policy_of(stack.settings),
        [orders.Wish(listing, 1, price=PRICE)],
        currency=CURRENCY,
        idem="key",
    )
    fill = _Fill(str(buyer), str(listing), number)
    text = json.dumps(fill.value(purchase.wire("wallet")), separators=(", ", ": "))
    lowest, highest = min(listings), max(listings)
    return "\n".join(
        (
            "\\set n :n + 1",
            "\\set c :client_id + 100",
            f"\\set b :client_id + {FIRST}",
            f"\\set l random({lowest + FIRST}, {highest + FIRST})",
            f"SELECT n, verdict, group_id, data FROM orders.buy('[{text}]'::jsonb) ORDER BY n;",
        )
    )


class _Fill:
    """Puts pgbench's variables where the product puts what is new with every purchase."""

    def __init__(self, buyer: str, listing: str, number: int) -> None:
        self._known = {buyer: "00000000-0000-7000-9000-:b", listing: "00000000-0000-7000-a000-:l"}
        self._number = number
        self._ids = 0

    def value(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {k: self.value(v, k) for k, v in cast(dict[str, Any], value).items()}
        if isinstance(value, list | tuple):
            return [self.value(v, name) for v in cast(list[Any], value)]
        if isinstance(value, UUID):
            return self._known.get(str(value)) or self._fresh()
        if name in ("number", "idem"):
            return f"{prefix(self._number)}{self._next()}-:c-:n"
        return value

    def _fresh(self) -> str:
        return f"{self._number:08d}-{self._next():04d}-7000-8:c-:n"

    def _next(self) -> int:
        self._ids += 1
        return self._ids


def _facts(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        name, mark, value = line.partition(":" if ":" in line else "=")
        if mark:
            found.append((name.strip(), value.strip()))
    return found

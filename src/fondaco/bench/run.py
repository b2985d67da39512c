"""One command: measurements one after the other, each on a stack of its own, and what they found."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from fondaco.bench.bench import Options
from fondaco.bench.report import Result, as_json, between_marks, markdown, show

What = Literal[
    "purchases", "hot", "flow", "webhook", "catalogue", "memory", "soak", "profile", "posts", "payouts",
    "reconcile", "verify", "all"
]  # fmt: skip
_MONEY: Sequence[What] = ("posts", "payouts", "reconcile", "verify")
ALL: Sequence[What] = ("purchases", "hot", "flow", "webhook", "catalogue", "memory")
"""What `all` runs. The soak takes as long as it is told, the profile disturbs, and the millions of money
take long to fill: each by its own name."""


def main(
    what: What, options: Options, *, json_file: Path | None = None, markdown_file: Path | None = None
) -> int:
    """Run it and show it; 0 when everything was right."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    results: list[Result] = []
    for name in ALL if what == "all" else (what,):
        console.rule(name)
        result = asyncio.run(_measure(name, console, options, json_file))
        results.append(result)
        show(result, console)
        if json_file:
            json_file.write_text(as_json(results))
        if markdown_file:
            _write_markdown(markdown_file, results)
    return 1 if any(result.faults for result in results) else 0


async def _measure(name: What, console: Console, options: Options, json_file: Path | None) -> Result:
    if name == "soak":
        from fondaco.bench.soak import soak

        return await soak(console, options, json_file or Path("soak.json"))
    return await measurement(name)(console, options)


def measurement(name: What) -> Callable[[Console, Options], Awaitable[Result]]:
    """What does this measurement: the function of its name in the module of its name, but for a few."""
    module, function = (
        ("money", name) if name in _MONEY else ("shop", "shop") if name == "catalogue" else (name, name)
    )
    found: Any = importlib.import_module(f"fondaco.bench.{module}")
    return getattr(found, function)


def _write_markdown(file: Path, results: Sequence[Result]) -> None:
    """The results between the two marks of the file; its charts as files beside it."""
    fresh = markdown(results)
    for result in results:
        for name, svg in result.charts.items():
            file.with_name(f"{name}.svg").write_text(svg)
            fresh += f"\n![{name}]({name}.svg)\n"
    file.write_text(between_marks(file.read_text() if file.exists() else "", fresh))

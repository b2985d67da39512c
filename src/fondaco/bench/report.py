"""What a measurement found: tables for the terminal, for Markdown and as JSON; whether it was right."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from fondaco.bench.processes import machine


@dataclass
class Table:
    """Rows of texts under a title. `note` says how to read it."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list[Sequence[str]])
    note: str = ""

    def add(self, *cells: object) -> None:
        """A row, each cell as text."""
        self.rows.append([str(cell) for cell in cells])


@dataclass
class Result:
    """One measurement. `faults` is empty when everything was right; `raw` holds all figures."""

    name: str
    tables: list[Table] = field(default_factory=list[Table])
    faults: list[str] = field(default_factory=list[str])
    raw: dict[str, Any] = field(default_factory=dict[str, Any])
    charts: dict[str, str] = field(default_factory=dict[str, str])


def show(result: Result, console: Console) -> None:
    """On the terminal."""
    for table in result.tables:
        made = RichTable(*table.columns, title=table.title, caption=table.note or None)
        for row in table.rows:
            made.add_row(*row)
        console.print(made)
    for fault in result.faults:
        console.print(fault, style="bold red", markup=False)
    if not result.faults:
        console.print(f"{result.name}: everything was right.", style="green")


def markdown(results: Sequence[Result]) -> str:
    """All tables as Markdown, the machine first."""
    lines = [", ".join(f"{name} {value}" for name, value in machine().items()) + ".", ""]
    for result in results:
        for table in result.tables:
            lines += [f"### {table.title}", ""]
            lines.append("| " + " | ".join(table.columns) + " |")
            lines.append("|" + "|".join("---" if i == 0 else "---:" for i in range(len(table.columns))) + "|")
            lines += ["| " + " | ".join(row) + " |" for row in table.rows]
            lines.append("")
            if table.note:
                lines += [table.note, ""]
        if result.faults:
            lines += [f"**Wrong in {result.name}:**", "", *(f"- {fault}" for fault in result.faults), ""]
    return "\n".join(lines)


def as_json(results: Sequence[Result]) -> str:
    """Everything, for programs; without the charts."""
    kept = [asdict(result) for result in results]
    for result in kept:
        del result["charts"]
    return json.dumps({"machine": machine(), "results": kept}, indent=1)


BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def between_marks(text: str, fresh: str) -> str:
    """`text` with what is between the two marks replaced; with the marks added when it has none."""
    before, found, rest = text.partition(BEGIN)
    if not found:
        return (
            f"{text.rstrip()}\n\n{BEGIN}\n{fresh}\n{END}\n" if text.strip() else f"{BEGIN}\n{fresh}\n{END}\n"
        )
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{fresh}\n{END}{after}"


def percentile(values: Sequence[int], share: float) -> int:
    """The value that `share` (0 to 1) of the values do not exceed; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def median(values: Sequence[float]) -> float:
    """The middle one; 0 without values."""
    return statistics.median(values) if values else 0.0


def ms(micros: float) -> str:
    """Microseconds as milliseconds, short."""
    return f"{micros / 1000:.1f}" if micros < 100_000 else f"{micros / 1000:.0f}"


def ratio(one: float, other: float) -> str:
    """How many times the other."""
    return f"{one / other:.2f}" if other else "-"

"""The report: what was done, what came of it, and a drawing of how long recovery took."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from fondaco.chaos.plan import KILLS, Strike

WORDS = {
    "web": "web, all its processes",
    "web_process": "web, the process that serves",
    "worker": "worker",
    "backend": "one PostgreSQL backend",
    "postgres": "the whole PostgreSQL tree",
    "everything": "everything at once",
    "failpoint": "armed failpoint",
    "clock": "web and worker with wrong clocks",
    "provider": "the provider fails or is slow",
}
COLOURS = {
    "web": "#2f6f9f",
    "web_process": "#6aa5cf",
    "worker": "#3f8f5f",
    "backend": "#c99a2e",
    "postgres": "#b5542d",
    "everything": "#8b2e3f",
    "failpoint": "#6b5aa8",
    "clock": "#7a7a7a",
}


@dataclass(slots=True)
class Outcome:
    """What came of one strike. `at`: seconds after the start; `seconds`: until everything served again,
    None when that took too long; `waited`: of them, those in which web or worker could have run and other
    programs had the cores; `killed`: processes; `hit`: whether its failpoint was reached."""

    strike: Strike
    at: float
    seconds: float | None = None
    waited: float = 0.0
    killed: int = 0
    hit: bool = False

    @property
    def words(self) -> str:
        """What came of it."""
        served = (
            "NOT serving again in time" if self.seconds is None else f"serving after {self.seconds:.1f} s"
        )
        served += f" ({self.waited:.1f} s of it without a core)" if self.waited >= 0.1 else ""
        reached = "; failpoint reached" if self.hit else ""
        return f"at {self.at:.1f} s: {self.killed} processes killed, {served}{reached}"


@dataclass(slots=True)
class Report:
    """A whole run."""

    seed: int
    seconds: int
    outcomes: list[Outcome]
    effects: list[str]
    """What was lost, doubled, or other than somebody was told."""
    late: list[str]
    """What took longer than it may."""
    ours: list[str]
    """What broke on our side and was no failpoint's doing."""
    seen: dict[str, int]
    answers: dict[str, int]
    lost: int
    broken: list[str] = field(default_factory=list[str])
    drained: float = 0.0
    settled: float = 0.0
    restarts: int = 0
    database: str = "PostgreSQL"

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.effects, *self.late, *self.ours]

    @property
    def kills(self) -> int:
        """Kills survived: a strike that killed counts once, its failpoint's death once more."""
        return sum(
            (1 if o.strike.kind != "failpoint" else o.killed)
            for o in self.outcomes
            if o.strike.kind in (*KILLS, "failpoint") and o.killed
        )

    @property
    def summary(self) -> str:
        """One line."""
        hits = sum(o.hit for o in self.outcomes)
        slowest = max((o.seconds or 0 for o in self.outcomes), default=0)
        own = max(((o.seconds or 0) - o.waited for o in self.outcomes if o.seconds), default=0)
        return (
            f"{self.kills} kills survived in {self.seconds} s ({hits} at failpoints); "
            f"effects lost or doubled: {len(self.effects) or 'none'}; too late: {len(self.late) or 'none'}; "
            f"broken: {len(self.ours) or 'none'}; "
            f"slowest recovery {slowest:.1f} s, {own:.1f} s less waiting for a core; "
            f"queue drained in {self.drained:.1f} s; "
            f"{self.seen.get('purchases told of', 0)} purchases, "
            f"{self.seen.get('codes seen', 0)} codes seen, {self.lost} calls cut off"
        )


def write(report: Report, file: Path) -> None:
    """The Markdown file, and the drawing beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    drawing = file.with_suffix(".svg")
    drawing.write_text(_drawing(report))
    file.write_text(_markdown(report, drawing.name))


def _markdown(report: Report, drawing: str) -> str:
    parts = [
        "# Chaos report\n",
        f"`fondaco chaos --seed {report.seed} --minutes {report.seconds / 60:g}`: a marketplace of real "
        f"processes ({report.database} with fsync on, web, worker, Stripe sandbox) under mixed load, killed "
        "and lied to by a plan drawn from the seed. Of the provider's events 20 % each were doubled, "
        "reordered, delayed, dropped and forged.\n",
        f"**{report.summary}.**\n",
        f"![Seconds until everything served again, over the run]({drawing})\n",
        _recovery(report),
        _points(report),
        _looked_at(report),
        "## What is wrong\n",
        "\n".join(f"- {words}" for words in report.faults) or "Nothing.",
    ]
    return "\n".join(parts) + "\n"


def _recovery(report: Report) -> str:
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for o in report.outcomes:
        if o.strike.kind != "provider" and o.seconds is not None:
            taken[o.strike.kind].append((o.seconds, o.waited))
    lines = [
        "## Seconds until everything served again\n",
        "Less waiting: without the seconds in which web or worker could have run and other programs of the "
        "machine had the cores.\n",
        "| what died | times | median | slowest | median, less waiting | slowest, less waiting |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind, words in WORDS.items():
        if found := taken.get(kind):
            whole, own = [s for s, _ in found], [s - w for s, w in found]
            lines.append(
                f"| {words} | {len(found)} | {median(whole):.1f} | {max(whole):.1f} "
                f"| {median(own):.1f} | {max(own):.1f} |"
            )
    return "\n".join(lines) + "\n"


def _points(report: Report) -> str:
    hits = Counter(o.strike.detail.partition("=")[0] for o in report.outcomes if o.hit)
    armed = Counter(
        o.strike.detail.partition("=")[0] for o in report.outcomes if o.strike.kind == "failpoint"
    )
    lines = ["## Failpoints\n", "| point | armed | reached |", "|---|---:|---:|"]
    lines += [f"| `{point}` | {armed[point]} | {hits[point]} |" for point in sorted(armed)]
    return "\n".join(lines) + "\n"


def _looked_at(report: Report) -> str:
    answers = ", ".join(f"{n} × {group}" for group, n in sorted(report.answers.items()))
    lines = ["## What was compared afterwards\n", "| what | how many |", "|---|---:|"]
    lines += [f"| {words} | {n} |" for words, n in report.seen.items()]
    lines += [
        f"| calls cut off and made again | {report.lost} |",
        f"| seconds until the queue was drained | {report.drained:.1f} |",
        f"| seconds until the last thing came to its end | {report.settled:.1f} |",
        "",
        f"Answers: {answers}.",
        "",
    ]
    if report.broken:
        shown = ", ".join(f"{words} ({n})" for words, n in Counter(report.broken).most_common(8))
        lines += [f"Answers that said it broke on our side: {shown}.", ""]
    return "\n".join(lines)


def _drawing(report: Report) -> str:
    width, height, left, top = 960, 260, 44, 16
    span = max([o.at for o in report.outcomes] + [1.0])
    found = [o for o in report.outcomes if o.strike.kind in COLOURS]
    most = max([o.seconds or 15 for o in found] + [5.0])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 60}" role="img" '
        'font-family="sans-serif" font-size="11">',
        f"<title>Seconds until everything served again after each of {len(found)} strikes</title>",
        f'<rect width="{width}" height="{height + 60}" fill="#ffffff"/>',
    ]
    for second in range(0, int(most) + 1, max(1, int(most) // 5)):
        y = top + (height - top) * (1 - second / most)
        parts.append(f'<path d="M{left} {y:.1f}H{width - 10}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#444444">{second} s</text>'
        )
    for o in found:
        x = left + (width - left - 16) * o.at / span
        y = top + (height - top) * (1 - min(o.seconds or most, most) / most)
        parts.append(
            f'<path d="M{x:.1f} {height}V{y:.1f}" stroke="{COLOURS[o.strike.kind]}" stroke-width="2.5"/>'
        )
    for n, (kind, colour) in enumerate(COLOURS.items()):
        x, y = left + (n % 4) * 230, height + 22 + (n // 4) * 18
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 15}" y="{y}" fill="#222222">{WORDS[kind]}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"

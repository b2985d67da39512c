"""What a long piece of work cost: time, processor time by process, the most memory it took."""

import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fondaco.bench.processes import cpu_ticks, micros
from fondaco.bench.stack import Stack


@dataclass
class Cost:
    """Filled when the work is over. `cpu`: seconds of the processor by process, without what ended before."""

    seconds: float = 0.0
    cpu: dict[str, float] | None = None
    load: float = 0.0
    """How many processes of the machine wanted a processor, on average over the last minute."""
    grew_mib: int = 0
    peak_mib: int = 0

    def rows(self, count: int, of: str) -> list[tuple[str, object]]:
        """As rows of a table of two columns; `count` things of this name were done."""
        cpu = self.cpu or {}
        each = sum(cpu.values()) * 1e6 / max(count, 1)
        return [
            ("seconds", f"{self.seconds:.1f}"),
            (f"{of} a second", f"{count / max(self.seconds, 0.001):,.0f}"),
            *((f"processor seconds, {name}", f"{spent:.1f}") for name, spent in cpu.items()),
            (f"processor microseconds for each of the {of}", f"{each:.1f}"),
            ("load of the machine (processes that want its processors)", f"{self.load:.1f}"),
            ("most memory of the process, MiB", self.peak_mib),
            ("of which it grew meanwhile, MiB", self.grew_mib),
        ]


@asynccontextmanager
async def measured(stack: Stack, *names: str) -> AsyncGenerator[Cost]:
    """The cost of what is done inside, here and in PostgreSQL and these other processes of the stack."""
    pids = {"this process": os.getpid(), "PostgreSQL": stack.pid("postgres")}
    pids |= {name: stack.pid(name) for name in names}
    _forget_peak()
    cost = Cost()
    began, resident = time.monotonic(), _status_mib("VmRSS")
    ticks = {name: _ticks(name, pid) for name, pid in pids.items()}
    yield cost
    cost.seconds = time.monotonic() - began
    cost.cpu = {name: micros(_ticks(name, pid) - ticks[name]) / 1e6 for name, pid in pids.items()}
    cost.load = os.getloadavg()[0]
    cost.peak_mib = _status_mib("VmHWM")
    cost.grew_mib = max(0, cost.peak_mib - resident)


def _forget_peak() -> None:
    """The most memory this process ever had is counted from now on; not everywhere it may be asked."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _ticks(name: str, pid: int) -> int:
    """Of a family of processes; of this process its own alone: the stack is its family too."""
    if name == "this process":
        return round(time.process_time() * os.sysconf("SC_CLK_TCK"))
    return cpu_ticks(pid)


def _status_mib(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith(f"{name}:")), 0)

"""What a process and all it started cost: memory shared out fairly (PSS) and processor time, from /proc."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def family(pid: int) -> list[int]:
    """The process, its children, theirs, and so on; without those that ended meanwhile."""
    found, new = list[int](), [pid]
    while new:
        one = new.pop()
        if not Path(f"/proc/{one}").exists():
            continue
        found.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                new += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def pss_kib(pid: int) -> int:
    """Proportional set size of a family: private memory plus its part of what is shared, in KiB."""
    return _rolled_up(pid, "Pss:")


def own_kib(pid: int) -> int:
    """What a family has written itself, in KiB: its heaps, and what its processes share with one another.

    Without the pages of program files: whose part of those is whose changes with everything else that runs
    on the machine, and says nothing about growth.
    """
    return _rolled_up(pid, "Pss_Anon:", "Pss_Shmem:")


def _rolled_up(pid: int, *names: str) -> int:
    total = 0
    for one in family(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:  # ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(names))
    return total


def cpu_ticks(pid: int) -> int:
    """User and system time of a family, with that of its children which ended, in clock ticks."""
    total = 0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
        total += int(fields[13]) + int(fields[14])
    return total


def micros(ticks: int) -> int:
    """Clock ticks as microseconds."""
    return ticks * 1_000_000 // _TICK


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    import platform
    from importlib.metadata import version

    model = _first("/proc/cpuinfo", "model name")
    memory = _first("/proc/meminfo", "MemTotal").removesuffix(" kB")
    return {
        "processors": f"{os.cpu_count()} x {model or platform.machine()}",
        "memory": f"{int(memory) // 1024 // 1024} GiB" if memory.isdigit() else "unknown",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("fondaco", "granian", "litestar", "asyncpg")},
    }


def _first(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")

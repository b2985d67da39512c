"""State machines: one table of moves gives the check, the drawing and the database's guard."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """One permitted edge: who takes it and what it means."""

    source: str
    target: str
    who: str
    why: str


@dataclass(frozen=True)
class Machine:
    """A named table of moves.

    `born` are the states a row may be created in, `ends` those from which nothing needs to follow.
    Raises ValueError at import when a state cannot be reached or an unfinished one cannot be left.
    """

    name: str
    born: tuple[str, ...]
    ends: tuple[str, ...]
    moves: tuple[Move, ...]

    def __post_init__(self) -> None:
        reached = set(self.born)
        while more := {m.target for m in self.moves if m.source in reached} - reached:
            reached |= more
        if lost := self.states - reached:
            raise ValueError(f"{self.name}: unreachable {sorted(lost)}")
        finishing = set(self.ends)
        while more := {m.source for m in self.moves if m.target in finishing} - finishing:
            finishing |= more
        if stuck := self.states - finishing:
            raise ValueError(f"{self.name}: no way to an end from {sorted(stuck)}")

    @property
    def states(self) -> set[str]:
        named = {s for m in self.moves for s in (m.source, m.target)}
        return named | set(self.born) | set(self.ends)

    def allows(self, source: str, target: str) -> bool:
        return any(m.source == source and m.target == target for m in self.moves)

    def mermaid(self) -> str:
        """The drawing for the docs."""
        lines = ["stateDiagram-v2"]
        lines += [f"    [*] --> {s}" for s in self.born]
        lines += [f"    {m.source} --> {m.target}: {m.who}" for m in self.moves]
        lines += [f"    {s} --> [*]" for s in self.ends]
        return "\n".join(lines)


def edges_sql(machines: Iterable[Machine]) -> str:
    """SQL that fills `core.edge`, from which the triggers decide. '' as source means birth."""
    rows = sorted(
        {(m.name, "", b) for m in machines for b in m.born}
        | {(m.name, e.source, e.target) for m in machines for e in m.moves}
    )
    values = ",\n".join(f"  ('{name}', '{source}', '{target}')" for name, source, target in rows)
    return f"INSERT INTO core.edge (machine, source, target) VALUES\n{values};\n"

"""What the judges found."""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass(slots=True)
class Verdict:
    """What is wrong, in words, and how much was looked at."""

    faults: list[str] = field(default_factory=list[str])
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def expect(self, fine: bool, words: str) -> None:
        """`words` is wrong unless `fine`."""
        if not fine:
            self.faults.append(words)

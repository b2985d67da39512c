"""Keyset lists: where a page begins is a WHERE clause, so that no row is shown twice or passed over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from fondaco.core.db import Record
from fondaco.core.pagination import MAX_LIMIT, BadCursor, Cursors, Page
from fondaco.core.problem import Invalid

T = TypeVar("T")
_READ: dict[str, Callable[[Any], Any]] = {
    "timestamptz": datetime.fromisoformat,
    "uuid": UUID,
    "bigint": int,
    "int": int,
    "text": str,
}


@dataclass(frozen=True, slots=True)
class Keyset:
    """One order of one list: SQL expressions with their types, the last one unique.

    `keys` maps the name a row has the value under to its expression and PostgreSQL type; all go one way.
    """

    name: str
    keys: tuple[tuple[str, str, str], ...]
    down: bool = True

    def start(self, cursors: Cursors, cursor: str | None, args: list[Any]) -> "Start":
        """The WHERE, ORDER BY and direction for this cursor; its values are appended to `args`."""
        back, condition = False, ""
        if cursor:
            direction, *position = cursors.read(self.name, cursor)
            back = direction == "back"
            try:
                values = [_READ[kind](v) for (_, _, kind), v in zip(self.keys, position, strict=True)]
            except (ValueError, TypeError) as error:
                raise BadCursor() from error
            marks = [f"${len(args) + i + 1}::{kind}" for i, (_, _, kind) in enumerate(self.keys)]
            args += values
            less = self.down != back
            row = ", ".join(expression for _, expression, _ in self.keys)
            condition = f" AND ({row}) {'<' if less else '>'} ({', '.join(marks)})"
        way = "DESC" if self.down != back else "ASC"
        order = ", ".join(f"{expression} {way}" for _, expression, _ in self.keys)
        return Start(self, cursors, bool(cursor), back, condition, order)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a page begins: pieces of SQL, and how its rows become a page."""

    keyset: Keyset
    cursors: Cursors
    inside: bool
    back: bool
    condition: str  # " AND (a, b) < ($1, $2)", or ""
    order: str

    def page(self, rows: Sequence[Record], limit: int, make: Callable[[Record], T]) -> Page[T]:
        """A page of `rows`, which were asked with LIMIT `limit` + 1."""
        more = len(rows) > limit
        shown = list(rows[:limit])
        if self.back:
            shown.reverse()
        ahead, behind = (True, more) if self.back else (more, self.inside)
        return Page(
            [make(row) for row in shown],
            next=self._cursor("on", shown[-1]) if shown and ahead else None,
            previous=self._cursor("back", shown[0]) if shown and behind else None,
        )

    def _cursor(self, direction: str, row: Record) -> str:
        values = [row[name] for name, _, _ in self.keyset.keys]
        plain = [
            v.isoformat() if isinstance(v, datetime) else str(v) if isinstance(v, UUID) else v for v in values
        ]
        return self.cursors.make(self.keyset.name, [direction, *plain])


def checked_limit(limit: int) -> int:
    """A page size from 1 to 100; raises Invalid."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(fields={"limit": f"Must be from 1 to {MAX_LIMIT}."})
    return limit

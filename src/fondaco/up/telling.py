"""How far a long piece of work is: a bar on a terminal, a line now and then elsewhere."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

LINE_EVERY = 10  # percent


class Telling(Protocol):
    """Who is told."""

    def words(self, now: str) -> None:
        """What is being done now."""

    def share(self, done: float) -> None:
        """How much of all is done, from 0 to 1."""


class _Bar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=1.0)

    def words(self, now: str) -> None:
        self._bar.update(self._task, description=now)

    def share(self, done: float) -> None:
        self._bar.update(self._task, completed=done)


class _Lines:
    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title, self._now, self._told = console, title, "", 0

    def words(self, now: str) -> None:
        self._now = now

    def share(self, done: float) -> None:
        percent = int(done * 100)
        if percent >= self._told + LINE_EVERY:
            self._told = percent - percent % LINE_EVERY
            said = f"{self._title}: {self._told} %" + (f" ({self._now})" if self._now else "")
            self._console.print(said, markup=False, highlight=False)


@contextmanager
def telling(console: Console, title: str) -> Generator[Telling]:
    """Somebody to be told how far it is, as this console can show it."""
    if not console.is_terminal:
        yield _Lines(console, title)
        return
    columns = TextColumn(title), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(
        *columns, TextColumn("{task.description}", markup=False), console=console, transient=True
    ) as bar:
        yield _Bar(bar)

"""Checks: questions to the database that must find nothing, and what they found told in words."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from fondaco.core.db import SYSTEM, Connection, Database, Scope

Progress = Callable[[str], object]
Share = Callable[[float], object]
MOST = 1000  # faults told of one rule; more of them say nothing new


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it must be: which check, where, and what in words. `rule` names the check
    among those of its name."""

    check: str
    where: str
    words: str
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.check} · {self.where} · {self.words}"


@dataclass(frozen=True, slots=True)
class Check:
    """One query that must return nothing. `where` and `words` are filled from each row it returns.

    `cheap`: the whole query may be asked every minute. `lately`: a cheaper query over what is newest, asked
    every minute in its place.
    """

    name: str
    where: str
    words: str
    sql: str
    cheap: bool = False
    lately: str = ""

    @property
    def rule(self) -> str:
        """The check's own name among all."""
        return f"{self.name} {self.where}: {self.words}"

    @property
    def subject(self) -> str:
        """What is being looked at, for a progress line."""
        return f"{self.name}: {self.words.split(' {')[0]}"


@dataclass(slots=True)
class Findings:
    """What a run has found so far. `seen`: rules that were looked at in whole, so that a fault of theirs
    which is not among `faults` is gone. `left`: in words, what took too long and was left.

    `share` is told how much of everything is done, from 0 to 1 and never less than before: `looked` of
    `questions`, and `read` of `rows` that are recomputed one by one.
    """

    tell: Progress = lambda words: None
    share: Share = lambda done: None
    faults: list[Fault] = field(default_factory=list[Fault])
    seen: set[str] = field(default_factory=set[str])
    left: list[str] = field(default_factory=list[str])
    looked: int = 0
    questions: int = 0
    read: int = 0
    rows: int = 0

    def moved(self) -> None:
        """Tell how far the run is. Reading all rows takes somewhat longer than all questions together."""
        if self.questions:
            asked = min(self.looked / self.questions, 1.0)
            read = min(self.read / self.rows, 1.0) if self.rows else asked
            self.share(0.4 * asked + 0.6 * read)


@asynccontextmanager
async def snapshot(db: Database, scope: Scope = SYSTEM, *, seconds: int = 0) -> AsyncGenerator[Connection]:
    """One unchanging view of the database as this scope sees it, read-only. `seconds`: the longest one
    statement may take, 0 for however long it takes. It never takes a second processor."""
    async with db.held() as conn:
        await conn.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {scope.sql()}")
        try:
            await conn.execute(f"SET LOCAL statement_timeout = {int(seconds) * 1000}")
            await conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await conn.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            yield conn
        finally:
            if not conn.is_closed():
                await conn.execute("ROLLBACK")


@asynccontextmanager
async def patient(conn: Connection, findings: Findings, rule: str, subject: str) -> AsyncGenerator[None]:
    """A check that the database broke off because it took too long is noted, and the next one follows."""
    findings.looked += 1
    findings.moved()
    before = len(findings.faults)
    await conn.execute("SAVEPOINT looking")
    try:
        yield
    except asyncpg.QueryCanceledError:
        await conn.execute("ROLLBACK TO SAVEPOINT looking")
        findings.left.append(subject)
    else:
        if len(findings.faults) - before < MOST:
            findings.seen.add(rule)
    await conn.execute("RELEASE SAVEPOINT looking")


async def run_checks(
    conn: Connection, checks: Sequence[Check], findings: Findings, *, lately: bool = False
) -> None:
    """Ask all checks in order; with `lately` only those that are cheap, or have a cheap form."""
    for check in checks:
        if lately and not (check.cheap or check.lately):
            continue
        sql = check.lately if lately and check.lately else check.sql
        findings.tell(check.subject)
        # A look at what is newest says nothing about older faults.
        rule = "" if sql == check.lately else check.rule
        async with patient(conn, findings, rule, check.subject):
            for row in await conn.fetch(f"SELECT * FROM ({sql}) t LIMIT {MOST}"):
                values = dict(row)
                where, words = check.where.format(**values), check.words.format(**values)
                findings.faults.append(Fault(check.name, where, words, check.rule))

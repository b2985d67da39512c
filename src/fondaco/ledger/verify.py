"""Recomputing the books from nothing: every sum, every chain, every fingerprint. Reads in order, a few
thousand rows at a time, so that memory does not grow with the books."""

import hashlib
import json
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fondaco.core.db import SYSTEM, Connection, Database, Record

Progress = Callable[[str], object]
BATCH = 5000
MOST = 1000  # faults told; more of them say nothing new
_INT8 = struct.Struct(">q")
_INT2 = struct.Struct(">h")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it must be: which check, where, and what in words."""

    check: str
    where: str
    words: str

    def __str__(self) -> str:
        return f"{self.check} · {self.where} · {self.words}"


@asynccontextmanager
async def snapshot(db: Database) -> AsyncGenerator[Connection]:
    """One unchanging view of the whole database, read-only, however long it takes."""
    async with db.held() as conn:
        await conn.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SYSTEM.sql()}")
        try:
            await conn.execute("SET LOCAL statement_timeout = 0")
            await conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield conn
        finally:
            if not conn.is_closed():
                await conn.execute("ROLLBACK")


async def verify(db: Database, progress: Progress | None = None) -> list[Fault]:
    """Everything wrong in the ledger, in words; an empty list when all is well."""
    tell: Progress = progress or (lambda words: None)
    async with snapshot(db) as conn:
        faults = await run_checks(conn, LEDGER_CHECKS, tell)
        faults += await _journals(conn, tell)
        faults += await _chains(conn, tell)
    return faults[:MOST]


@dataclass(frozen=True, slots=True)
class Check:
    """One query that must return nothing. `where` and `words` are filled from each row it returns."""

    name: str
    where: str
    words: str
    sql: str


async def run_checks(conn: Connection, checks: tuple[Check, ...], tell: Progress) -> list[Fault]:
    """The faults of all checks, in order."""
    faults: list[Fault] = []
    for check in checks:
        tell(f"{check.name}: {check.words.split(' {')[0]}")
        for row in await conn.fetch(f"SELECT * FROM ({check.sql}) t LIMIT {MOST}"):
            values = dict(row)
            faults.append(Fault(check.name, check.where.format(**values), check.words.format(**values)))
    return faults


LEDGER_CHECKS: tuple[Check, ...] = (
    Check(
        "I01",
        "currency {currency}",
        "debits and credits differ by {off}",
        "SELECT currency, sum(amount) AS off FROM ledger.entry GROUP BY currency HAVING sum(amount) <> 0",
    ),
    Check(
        "I03",
        "account {account_id} slot {slot}",
        "the balance says {amount} after {version} entries, the entries say {should} after {n}",
        """SELECT b.account_id, b.slot, b.amount, b.version, coalesce(e.s, 0) * b.side AS should,
             coalesce(e.n, 0) AS n
           FROM ledger.balance b LEFT JOIN (SELECT account_id, slot, sum(amount) AS s, count(*) AS n,
             max(version) AS v FROM ledger.entry GROUP BY 1, 2) e USING (account_id, slot)
           WHERE b.amount <> coalesce(e.s, 0) * b.side OR b.version <> coalesce(e.n, 0)
             OR b.version <> coalesce(e.v, 0)""",
    ),
    Check(
        "I03",
        "account {account_id} slot {slot}",
        "has entries but no balance row",
        """SELECT DISTINCT account_id, slot FROM ledger.entry e WHERE NOT EXISTS (
             SELECT 1 FROM ledger.balance b WHERE b.account_id = e.account_id AND b.slot = e.slot)""",
    ),
    Check(
        "I04",
        "account {account_id}",
        "holds {amount}, which is below its floor of {floor}",
        """SELECT b.account_id, b.amount, k.floor FROM ledger.balance b
           JOIN ledger.account a ON a.id = b.account_id JOIN ledger.account_kind k ON k.kind = a.kind
           WHERE k.floor IS NOT NULL AND b.amount < k.floor""",
    ),
    Check(
        "I04",
        "account {account_id}",
        "its balance row has another side or floor than its kind",
        """SELECT b.account_id FROM ledger.balance b JOIN ledger.account a ON a.id = b.account_id
           JOIN ledger.account_kind k ON k.kind = a.kind
           WHERE b.side <> k.side OR b.floor IS DISTINCT FROM k.floor""",
    ),
    Check(
        "I05",
        "account {account_id} entry {version}",
        "is in {currency}, the account in {should}",
        """SELECT e.account_id, e.version, e.currency, a.currency AS should FROM ledger.entry e
           JOIN ledger.account a ON a.id = e.account_id WHERE a.currency <> e.currency""",
    ),
    Check(
        "I06",
        "journal {id}",
        "is not the exact mirror of journal {reverses}, which it reverses",
        """SELECT r.id, r.reverses FROM ledger.journal r WHERE r.reverses IS NOT NULL AND EXISTS (
             SELECT 1 FROM ledger.entry WHERE journal_id IN (r.id, r.reverses)
             GROUP BY account_id HAVING sum(amount) <> 0)""",
    ),
    Check(
        "I07",
        "journal {journal_id}",
        "a {kind} journal moved a {account_kind} account, which no rule allows",
        """SELECT e.journal_id, j.kind, a.kind AS account_kind FROM ledger.entry e
           JOIN ledger.journal j ON j.id = e.journal_id JOIN ledger.account a ON a.id = e.account_id
           WHERE NOT EXISTS (SELECT 1 FROM ledger.posting_rule p WHERE p.journal_kind = j.kind
             AND p.account_kind = a.kind AND p.sign = sign(e.amount))""",
    ),
)


async def _journals(conn: Connection, tell: Progress) -> list[Fault]:
    """Each journal balances, has two legs or more, and is what its fingerprint says."""
    faults: list[Fault] = []
    seen = 0
    async for row in conn.cursor(
        """SELECT j.id, j.kind, j.ref, j.reverses, j.fingerprint, e.accounts, e.amounts, e.n, e.whole
           FROM ledger.journal j LEFT JOIN LATERAL (
             SELECT array_agg(account_id ORDER BY account_id) AS accounts,
                    array_agg(amount ORDER BY account_id) AS amounts, count(*) AS n,
                    (SELECT bool_and(s = 0) FROM (SELECT sum(amount) AS s FROM ledger.entry
                       WHERE journal_id = j.id GROUP BY currency) c) AS whole
             FROM ledger.entry WHERE journal_id = j.id) e ON true
           ORDER BY j.id""",
        prefetch=BATCH,
    ):
        where = f"journal {row['id']}"
        if row["n"] < 2:
            faults.append(Fault("I02", where, f"has {row['n']} entries; a journal has at least two"))
        elif not row["whole"]:
            faults.append(Fault("I02", where, "does not balance"))
        if fingerprint(row) != row["fingerprint"]:
            faults.append(Fault("I02", where, "is not what was posted: its fingerprint differs"))
        seen += 1
        if seen % BATCH == 0:
            tell(f"I02: {seen} journals")
        if len(faults) >= MOST:
            break
    return faults


def fingerprint(row: Record) -> bytes:
    """What `ledger.post` made of a journal: SHA-256 over kind, ref, legs and what it reverses."""
    content = [row["kind"], row["ref"], row["accounts"], row["amounts"], row["reverses"]]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).digest()


async def _chains(conn: Connection, tell: Progress) -> list[Fault]:
    """Each balance row's chain, recomputed from its first entry; the first broken place of each is told."""
    faults: list[Fault] = []
    place = (0, 0)
    chain, version, balance, broken, seen = b"", 0, 0, False, 0

    async for row in conn.cursor(
        """SELECT e.account_id, e.slot, e.version, e.journal_id, e.amount, e.balance_after, e.hash,
             j.fingerprint, b.side, b.version AS last, b.chain AS head
           FROM ledger.entry e JOIN ledger.journal j ON j.id = e.journal_id
           JOIN ledger.balance b ON b.account_id = e.account_id AND b.slot = e.slot
           ORDER BY e.account_id, e.slot, e.version""",
        prefetch=BATCH,
    ):
        if place != (row["account_id"], row["slot"]):
            place = (row["account_id"], row["slot"])
            chain, version, balance, broken = b"", 0, 0, False
        version += 1
        balance += row["amount"] * row["side"]
        chain = _link(chain, row, version, balance)
        wrong = _wrong(row, chain, version, balance)
        if wrong and not broken:
            broken = True
            faults.append(Fault("I03", f"account {place[0]} slot {place[1]} entry {row['version']}", wrong))
        seen += 1
        if seen % (BATCH * 4) == 0:
            tell(f"I03: {seen} entries")
        if len(faults) >= MOST:
            break
    return faults


def _link(chain: bytes, row: Record, version: int, balance: int) -> bytes:
    return hashlib.sha256(
        chain
        + _INT8.pack(row["account_id"])
        + _INT2.pack(row["slot"])
        + _INT8.pack(version)
        + _INT8.pack(row["journal_id"])
        + _INT8.pack(row["amount"])
        + _INT8.pack(balance)
        + bytes(row["fingerprint"])
    ).digest()


def _wrong(row: Record, chain: bytes, version: int, balance: int) -> str:
    if row["version"] != version:
        return f"entries are missing: number {version} should stand here"
    if row["balance_after"] != balance:
        return f"says a balance of {row['balance_after']}, the entries so far make {balance}"
    if row["hash"] != chain:
        return "its hash does not follow from the entries before: something was changed"
    if version == row["last"] and row["head"] != chain:
        return "the balance row's chain differs from its last entry"
    return ""

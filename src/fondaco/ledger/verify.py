"""Recomputing the books from nothing: every sum, every chain, every fingerprint. Reads in order, a few
thousand rows at a time, so that memory does not grow with the books."""

import asyncio
import hashlib
import json
import struct

from fondaco.core.checking import MOST, Check, Fault, Findings, Progress, patient, run_checks, snapshot
from fondaco.core.db import Connection, Database, Record

BATCH = 2000
JOURNALS = "I02 journal: recomputed"
CHAINS = "I03 account: recomputed"
_INT8 = struct.Struct(">q")
_INT2 = struct.Struct(">h")


async def verify(db: Database, progress: Progress | None = None) -> list[Fault]:
    """Everything wrong in the ledger, in words; an empty list when all is well."""
    findings = Findings(progress or (lambda words: None))
    async with snapshot(db) as conn:
        await examine(conn, findings)
    return findings.faults[:MOST]


async def examine(conn: Connection, findings: Findings, *, lately: bool = False) -> None:
    """The ledger's part of a run; with `lately` only the newest journals and what they moved."""
    if not lately:
        findings.rows = await conn.fetchval(_ROWS)
    await run_checks(conn, LEDGER_CHECKS, findings, lately=lately)
    if lately:
        return
    async with patient(conn, findings, JOURNALS, "I02: journals"):
        await _journals(conn, findings)
    async with patient(conn, findings, CHAINS, "I03: entries"):
        await _chains(conn, findings)


# The newest journals: what a check every minute looks at. Older ones wait for the night.
_NEW = "(SELECT coalesce(max(id), 0) - 2000 FROM ledger.journal)"
_MOVED = f"(SELECT DISTINCT account_id, slot FROM ledger.entry WHERE journal_id > {_NEW})"

LEDGER_CHECKS: tuple[Check, ...] = (
    Check(
        "I01",
        "currency {currency}",
        "debits and credits differ by {off}",
        "SELECT currency, sum(amount) AS off FROM ledger.entry GROUP BY currency HAVING sum(amount) <> 0",
    ),
    Check(
        "I02",
        "journal {journal_id}",
        "has {n} entries that make {off} {currency}; they must make nothing",
        """SELECT journal_id, currency, sum(amount) AS off, count(*) AS n FROM ledger.entry
           GROUP BY journal_id, currency HAVING sum(amount) <> 0""",
        lately=f"""SELECT journal_id, currency, sum(amount) AS off, count(*) AS n FROM ledger.entry
            WHERE journal_id > {_NEW} GROUP BY journal_id, currency HAVING sum(amount) <> 0""",
    ),
    Check(
        "I02",
        "journal {id}",
        "has {n} entries; a journal has at least two",
        """SELECT j.id, count(e.journal_id) AS n FROM ledger.journal j
           LEFT JOIN ledger.entry e ON e.journal_id = j.id GROUP BY j.id HAVING count(e.journal_id) < 2""",
        lately=f"""SELECT j.id, count(e.journal_id) AS n FROM ledger.journal j
            LEFT JOIN ledger.entry e ON e.journal_id = j.id WHERE j.id > {_NEW}
            GROUP BY j.id HAVING count(e.journal_id) < 2""",
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
        lately=f"""SELECT b.account_id, b.slot, b.amount, b.version, e.balance_after AS should, e.version AS n
            FROM {_MOVED} m JOIN ledger.balance b USING (account_id, slot) CROSS JOIN LATERAL (
              SELECT version, balance_after, hash FROM ledger.entry e WHERE e.account_id = b.account_id
                AND e.slot = b.slot ORDER BY version DESC LIMIT 1) e
            WHERE b.amount <> e.balance_after OR b.version <> e.version OR b.chain <> e.hash""",
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
        lately=f"""SELECT b.account_id, b.amount, k.floor FROM {_MOVED} m
            JOIN ledger.balance b USING (account_id, slot) JOIN ledger.account a ON a.id = b.account_id
            JOIN ledger.account_kind k ON k.kind = a.kind WHERE k.floor IS NOT NULL AND b.amount < k.floor""",
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
        lately=f"""SELECT e.account_id, e.version, e.currency, a.currency AS should FROM ledger.entry e
            JOIN ledger.account a ON a.id = e.account_id
            WHERE a.currency <> e.currency AND e.journal_id > {_NEW}""",
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


# How many rows will be read: the newest journal's number, and each balance's count of its entries.
_ROWS = """SELECT coalesce((SELECT max(id) FROM ledger.journal), 0)
  + coalesce((SELECT sum(version) FROM ledger.balance), 0)::bigint"""


async def _journals(conn: Connection, findings: Findings) -> None:
    """Each journal is what its fingerprint says."""
    found, seen = len(findings.faults), 0
    async for row in conn.cursor(
        """SELECT j.id, j.kind, j.ref, j.reverses, j.fingerprint, e.accounts, e.amounts
           FROM ledger.journal j LEFT JOIN LATERAL (
             SELECT array_agg(account_id ORDER BY account_id) AS accounts,
                    array_agg(amount ORDER BY account_id) AS amounts
             FROM ledger.entry WHERE journal_id = j.id) e ON true
           ORDER BY j.id""",
        prefetch=BATCH,
    ):
        if fingerprint(row) != row["fingerprint"]:
            words = "is not what was posted: its fingerprint differs"
            findings.faults.append(Fault("I02", f"journal {row['id']}", words, JOURNALS))
        seen += 1
        if seen % BATCH == 0:
            findings.tell(f"I02: {seen:,} journals")
            findings.read += BATCH
            findings.moved()
            await asyncio.sleep(0)  # others work in this process too
        if len(findings.faults) - found >= MOST:
            break


def fingerprint(row: Record) -> bytes:
    """What `ledger.post` made of a journal: SHA-256 over kind, ref, legs and what it reverses."""
    content = [row["kind"], row["ref"], row["accounts"], row["amounts"], row["reverses"]]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).digest()


async def _chains(conn: Connection, findings: Findings) -> None:
    """Each balance row's chain, recomputed from its first entry; the first broken place of each is told."""
    found = len(findings.faults)
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
            where = f"account {place[0]} slot {place[1]} entry {row['version']}"
            findings.faults.append(Fault("I03", where, wrong, CHAINS))
        seen += 1
        if seen % BATCH == 0:
            findings.tell(f"I03: {seen:,} entries")
            findings.read += BATCH
            findings.moved()
            await asyncio.sleep(0)
        if len(findings.faults) - found >= MOST:
            break


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

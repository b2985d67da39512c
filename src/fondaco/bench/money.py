"""Money by the million: ledger posts beside bare PostgreSQL, a day's payout run, a reconciliation, and
verifying the books."""

import asyncio
import json
import os
import re
import tempfile
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import parse_qs, unquote, urlsplit

from rich.console import Console

from fondaco import audit, checks, reconciliation
from fondaco.bench import books, payees
from fondaco.bench.bench import Options
from fondaco.bench.costs import measured
from fondaco.bench.report import Result, Table
from fondaco.bench.stack import Stack
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.integrations.stripe import StripeGateway
from fondaco.payouts import batch

_BARE = """
CREATE SCHEMA bench;
CREATE TABLE bench.journal (LIKE ledger.journal INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING IDENTITY);
CREATE TABLE bench.entry (LIKE ledger.entry INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bench.balance (LIKE ledger.balance INCLUDING DEFAULTS INCLUDING INDEXES) WITH (fillfactor = 50);
INSERT INTO bench.balance SELECT * FROM ledger.balance;
CREATE FUNCTION bench.post(p_idem text, p_a bigint, p_b bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  j bigint;
BEGIN
  INSERT INTO bench.journal (kind, idem, fingerprint, ref, actor)
    VALUES ('chargeback_hold', p_idem, decode(repeat('00', 32), 'hex'), 'bench', 'bench') RETURNING id INTO j;
  WITH moved AS (
    UPDATE bench.balance SET amount = amount + CASE account_id WHEN p_a THEN -1 ELSE 1 END,
      version = version + 1, chain = decode(repeat('00', 32), 'hex')
    WHERE account_id IN (p_a, p_b) RETURNING account_id, version, amount)
  INSERT INTO bench.entry SELECT account_id, 0, version, j, 'EUR', 1, amount, decode(repeat('00', 32), 'hex')
    FROM moved;
END $$;
"""
_OURS = """SELECT ledger.post('chargeback_hold', 'b:' || gen_random_uuid(), 'bench', 'bench',
  ARRAY[(:w)::bigint + :a, (:e)::bigint + :a], ARRAY[1, -1]::bigint[]);"""
_THEIRS = "SELECT bench.post('b:' || gen_random_uuid(), (:w)::bigint + :a, (:e)::bigint + :a);"


async def _pgbench(stack: Stack, script: str, clients: int, seconds: float) -> int:
    """Transactions a second of this script, prepared, as the database's owner."""
    parts = urlsplit(stack.endpoints.owner_dsn)
    where = {name: values[0] for name, values in parse_qs(parts.query).items()}
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(" ".join(script.split("\n")) if "\\set" not in script else script)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            str(stack.programs / "pgbench"),
            *("-n", "-M", "prepared", "-h", where["host"], "-p", where["port"], "-U", str(parts.username)),
            *("-c", str(clients), "-j", "1", "-T", str(max(1, round(seconds))), "-f", file.name),
            unquote(parts.path.lstrip("/")),
            env={"PATH": os.environ.get("PATH", ""), "PGPASSWORD": str(parts.password)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, words = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"pgbench failed: {words.decode(errors='replace')[-1000:]}")
    found = re.search(r"tps = ([0-9]+)", out.decode())
    return int(found[1]) if found else 0  # not one was done in time


async def posts(console: Console, options: Options) -> Result:
    """Journals a second of two entries each, beside the same rows, keys and commit with nothing else."""
    result = Result("posts")
    table = Table(
        "Ledger posts a second",
        ("clients", "ledger.post", "bare rows", "share"),
        note="One journal with two entries and two balances a commit, fsync on. Bare: the same rows and "
        "indexes without chain, floors, rules and references.",
    )
    with Stack(worker=False) as stack:
        async with books.owner_of(stack.endpoints.owner_dsn, *books.LEDGER) as owner:
            wallet, hold = await books.open_pairs(owner, 1000)
        async with books.owner_of(stack.endpoints.owner_dsn) as owner:
            await owner.execute(_BARE)
        first = f"\\set a random(0, 999)\n\\set w {wallet}\n\\set e {hold}\n"
        for clients in options.clients:
            ours: list[int] = []
            bare: list[int] = []
            for _ in range(options.rounds):
                ours.append(await _pgbench(stack, first + " ".join(_OURS.split()), clients, options.seconds))
                bare.append(await _pgbench(stack, first + _THEIRS, clients, options.seconds))
            one, other = sorted(ours)[len(ours) // 2], sorted(bare)[len(bare) // 2]
            table.add(clients, f"{one:,}", f"{other:,}", f"{one * 100 // max(other, 1)} %")
            result.raw[str(clients)] = {"ours": ours, "bare": bare}
        db = await Database(stack.endpoints.app_dsn, size=2).open()
        faults = await checks.verify_all(db, stack.settings)
        await db.close()
        result.faults += [str(f) for f in faults if f.check < "I08"]
    result.tables.append(table)
    return result


async def _faults(db: Database, stack: Stack, console: Console) -> list[str]:
    """What `fondaco verify` finds, once the worker's part of it is done: events sealed."""
    console.print("Verifying the books.", style="dim")
    await audit.seal(db, stack.settings)
    return [str(fault) for fault in await checks.verify_all(db, stack.settings)]


def _timed(result: Result, title: str, rows: list[tuple[str, object]]) -> Result:
    result.tables.append(Table(title, ("", "value"), [(name, str(value)) for name, value in rows]))
    result.raw |= {name: str(value) for name, value in rows}
    return result


async def payouts(console: Console, options: Options) -> Result:
    """A day's run over many stores: every line reserved for its payout."""
    stores = max(10_000 * options.percent // 100, 1)
    lines = stores * payees.LINES_A_STORE
    result = Result("payouts")
    with Stack(worker=False) as stack:
        console.print(f"Filling {stores:,} stores with {lines:,} lines.", style="dim")
        await payees.fill_payable(stack.endpoints.owner_dsn, stores)
        db = await Database(stack.endpoints.app_dsn, size=2).open()
        try:
            async with measured(stack) as cost:
                await batch.run_due(db, stack.settings)
            row = await db.fetchrow(
                SYSTEM,
                """SELECT (SELECT count(*) FROM payouts.payout) AS payouts,
                     (SELECT count(*) FROM payouts.item) AS items,
                     (SELECT sum(amount) FROM payouts.payout)::bigint AS paid""",
            )
            assert row
            if (row["payouts"], row["items"], row["paid"]) != (stores, lines, lines * payees.PAID):
                result.faults.append(f"not everybody was paid everything: {dict(row)}")
            result.faults += await _faults(db, stack, console)
        finally:
            await db.close()
    rows: list[tuple[str, object]] = [
        ("stores", f"{stores:,}"),
        ("lines reserved", f"{lines:,}"),
        *cost.rows(lines, "lines"),
    ]
    return _timed(result, "A payout run", rows)


def _generate(port: int, count: int, since: int, until: int) -> None:
    """Have the sandbox make so many movements."""
    wanted = {"count": count, "first": 1, "currency": "eur", "since": since, "until": until}
    connection = HTTPConnection("127.0.0.1", port, timeout=1800)
    connection.request("POST", "/sandbox/generate", json.dumps(wanted), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the sandbox made no movements: {text[:500]}")


async def reconcile(console: Console, options: Options) -> Result:
    """Every movement read from the provider, kept, matched; nothing differs."""
    count = max(1_000_000 * options.percent // 100, 100)
    end = now() - timedelta(days=1)
    start = end - timedelta(days=books.SINCE_DAYS)
    with Stack(worker=False) as stack:
        console.print(f"Making {count:,} movements and their journals.", style="dim")
        await asyncio.to_thread(
            _generate, stack.sandbox_port, count, int(start.timestamp()), int(end.timestamp())
        )
        await books.fill_movements(stack.endpoints.owner_dsn, count)
        db = await Database(stack.endpoints.app_dsn, size=2).open()
        try:
            async with measured(stack, "sandbox") as cost:
                run_id = await reconciliation.begin(db, "clock")
                done = await reconciliation.run(db, StripeGateway(stack.settings), stack.settings, run_id)
            row = await db.fetchrow(SYSTEM, "SELECT * FROM reconciliation.run WHERE id = $1", run_id)
        finally:
            await db.close()
    assert row
    result = Result("reconcile")
    if not done or (row["seen"], row["matched"], row["breaks"]) != (count, count, 0):
        result.faults.append(
            f"{row['state']}: {row['seen']}, {row['matched']}, {row['breaks']} {row['doing']}"
        )
    rows: list[tuple[str, object]] = [
        ("movements", f"{count:,}"),
        *cost.rows(count, "movements"),
    ]
    return _timed(result, "A reconciliation", rows)


async def verify(console: Console, options: Options) -> Result:
    """All the books recomputed from their entries, with everything else that is checked."""
    entries = max(5_000_000 * options.percent // 100, 4_000)
    pairs = min(5_000, entries // 4)
    with Stack(worker=False) as stack:
        console.print(f"Posting {entries:,} entries.", style="dim")
        await books.fill_entries(stack.endpoints.owner_dsn, pairs, entries // (4 * pairs))
        db = await Database(stack.endpoints.app_dsn, size=2).open()
        told: set[str] = set()
        try:
            there: int = await db.fetchval(SYSTEM, "SELECT count(*) FROM ledger.entry")
            async with measured(stack) as cost:
                faults = await checks.verify_all(db, stack.settings, told.add)
        finally:
            await db.close()
    result = Result("verify", faults=[str(fault) for fault in faults])
    rows: list[tuple[str, object]] = [
        ("entries", f"{there:,}"),
        *cost.rows(there, "entries"),
        ("steps told of", len(told)),
    ]
    return _timed(result, "Verifying the books", rows)

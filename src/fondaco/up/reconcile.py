"""`fondaco reconcile`: a run with a progress line, its differences in a table or as JSON; and the check of a
report that was kept elsewhere."""

import asyncio
import base64
import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from fondaco import reconciliation
from fondaco.core.db import SYSTEM, Database
from fondaco.core.money import Money
from fondaco.integrations.stripe import StripeGateway
from fondaco.reconciliation import RunUnderWay
from fondaco.settings import load

LOOK_EVERY_S = 0.5


async def reconcile(since: datetime | None, until: datetime | None, *, as_json: bool = False) -> int:
    """Exit code 0 when nothing is unexplained, 1 when something is, 2 when it could not be compared."""
    settings = load()
    words = Console(stderr=True) if as_json else Console()
    db = await Database(settings.direct_dsn, size=3).open()
    try:
        try:
            run_id = await reconciliation.begin(db, "system", since=since, until=until)
        except RunUnderWay as problem:
            words.print(problem.detail)
            return 2
        with words.status("Comparing with the payment provider") as status:
            telling = asyncio.create_task(_tell(db, run_id, status))
            try:
                done = await reconciliation.run(db, StripeGateway(settings), settings, run_id)
            finally:
                telling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await telling
        return await _show(db, run_id, words, as_json=as_json) if done else await _broken(db, run_id, words)
    finally:
        await db.close()


async def _tell(db: Database, run_id: int, status: Any) -> None:
    while True:
        row = await db.fetchrow(
            SYSTEM, "SELECT doing, seen, matched FROM reconciliation.run WHERE id = $1", run_id
        )
        if row:
            status.update(f"{row['doing']}: {row['seen']:,} movements read, {row['matched']:,} matched")
        await asyncio.sleep(LOOK_EVERY_S)


async def _broken(db: Database, run_id: int, words: Console) -> int:
    why = await db.fetchval(SYSTEM, "SELECT doing FROM reconciliation.run WHERE id = $1", run_id)
    words.print(why or "The run was ended meanwhile.", style="bold red", markup=False)
    return 2


async def _show(db: Database, run_id: int, words: Console, *, as_json: bool) -> int:
    run = await db.fetchrow(SYSTEM, "SELECT * FROM reconciliation.run WHERE id = $1", run_id)
    assert run
    breaks = await db.fetch(
        SYSTEM,
        """SELECT id, class, state, currency::text, amount, words FROM reconciliation.break
           WHERE state <> 'RESOLVED' ORDER BY id LIMIT 1000""",
    )
    if as_json:
        file = reconciliation.signed_file(run["report"], run["signature"], run["key_id"])
        told = {**msgspec.json.decode(file), "open": [dict(b) for b in breaks]}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    else:
        words.print(f"{run['seen']:,} movements read, {run['matched']:,} matched at once.")
        table = Table("No.", "Class", "State", "What differs", "Theirs less ours")
        for row in breaks:
            kind = reconciliation.CLASSES[row["class"]]
            money = str(Money(row["amount"], row["currency"]))
            table.add_row(str(row["id"]), kind, row["state"], row["words"], money)
        if breaks:
            words.print(table)
        if not run["breaks"]:
            words.print("Nothing is unexplained. The report is signed and kept.", style="green")
    return 1 if run["breaks"] else 0


def check_report(file: Path) -> int:
    """Exit code 0 when the report is as this marketplace's key signed it, else 1."""
    words = Console()
    try:
        kept: dict[str, str] = msgspec.json.decode(file.read_bytes(), type=dict[str, str], strict=False)
        signature = base64.b64decode(kept["signature"], validate=True)
        report = kept["report"]
    except (OSError, ValueError, KeyError, msgspec.DecodeError):
        words.print(f"{file} is no signed report.", style="bold red", markup=False)
        return 1
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(load().signing_key.get_secret_value()))
    if not reconciliation.is_signed(report, signature, key.public_key().public_bytes_raw()):
        words.print("It was changed, or another key signed it.", style="bold red")
        return 1
    told = reconciliation.told(report)
    words.print(f"It is as it was signed: run {told['run']}, {told['movements']:,} movements.", style="green")
    return 0

"""The report of a run: canonical JSON, signed with the key that signs the audit blocks."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fondaco import audit
from fondaco.core.db import Connection
from fondaco.settings import Settings

PURPOSE = b"fondaco reconciliation report\n"
"""What the signature is over begins with this, so that it means nothing else."""


async def sign_report(conn: Connection, settings: Settings, run_id: int, theirs: Mapping[str, int]) -> None:
    """End the run with its signed report, in the caller's transaction."""
    run = await conn.fetchrow("SELECT * FROM reconciliation.run WHERE id = $1 FOR UPDATE", run_id)
    assert run
    breaks = await conn.fetch(
        """SELECT class, state, currency::text, count(*) AS n, sum(amount)::bigint AS amount
           FROM reconciliation.break WHERE state <> 'RESOLVED' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
    )
    ours = await conn.fetch(
        """SELECT currency::text, sum(amount)::bigint AS amount FROM ledger.account_balance
           WHERE kind = 'psp_clearing' GROUP BY 1 ORDER BY 1"""
    )
    by_kind = await conn.fetch(
        """SELECT a.currency::text, a.kind, sum(b.amount)::bigint AS amount
           FROM ledger.balance b JOIN ledger.account a ON a.id = b.account_id
           GROUP BY 1, 2 HAVING sum(b.amount) <> 0 ORDER BY 1, 2"""
    )
    money: dict[str, dict[str, int]] = {}
    for row in by_kind:
        money.setdefault(row["currency"], {})[row["kind"]] = row["amount"]
    totals = await conn.fetch("SELECT currency::text, net, n FROM reconciliation.total ORDER BY 1")
    content: dict[str, Any] = {
        "form": 1,
        "run": run_id,
        "since": _moment(run["since"]),
        "until": _moment(run["until"]),
        "movements": run["seen"],
        "matched": run["matched"],
        "provider": dict(sorted(theirs.items())),
        "movements_seen": {r["currency"]: {"sum": r["net"], "count": r["n"]} for r in totals},
        "books": {r["currency"]: r["amount"] for r in ours},
        "money": money,
        "breaks": [dict(r) for r in breaks],
    }
    report = msgspec.json.encode(content, order="sorted")
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(settings.signing_key.get_secret_value()))
    key_id = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
    unexplained = sum(r["n"] for r in breaks if r["state"] == "OPEN")
    await conn.execute(
        """UPDATE reconciliation.run SET state = 'DONE', ended_at = clock_timestamp(), doing = '',
             breaks = $2, report = $3, signature = $4, key_id = $5 WHERE id = $1""",
        run_id,
        unexplained,
        report.decode(),
        key.sign(PURPOSE + report),
        key_id,
    )
    fresh = await conn.fetchval(
        """SELECT count(*) FROM reconciliation.break WHERE state = 'OPEN' AND last_run = $1
             AND opened_at >= $2""",
        run_id,
        run["started_at"],
    )
    data = {"movements": run["seen"], "breaks": unexplained, "new": fresh}
    await audit.record(conn, "reconciliation.done", f"reconciliation:{run_id}", "system", data)


def signed_file(report: str, signature: bytes, key_id: str) -> str:
    """The report with its signature as one JSON document, to be kept elsewhere."""
    kept = {"report": report, "signature": base64.b64encode(signature).decode(), "key_id": key_id}
    return msgspec.json.format(msgspec.json.encode(kept), indent=2).decode() + "\n"


def told(report: str) -> dict[str, Any]:
    """What a report says, with the `currencies` it speaks of."""
    found: dict[str, Any] = msgspec.json.decode(report)
    return {**found, "currencies": sorted({*found["provider"], *found["books"]})}


def is_signed(report: str, signature: bytes, public_key: bytes) -> bool:
    """Whether the report is the one this key (32 bytes) signed."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, PURPOSE + report.encode())
    except InvalidSignature:
        return False
    return True


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")

"""After the storm: is anything lost, doubled, or other than somebody was told?"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from fondaco import checks
from fondaco.chaos.books import judge_money
from fondaco.chaos.records import read_all
from fondaco.chaos.verdict import Row, Verdict
from fondaco.core.db import SYSTEM, Database
from fondaco.inventory import unit_binding
from fondaco.settings import Settings
from fondaco.vault import Vault

SEEN = ("CONSUMED", "INVALID")
PAID = ("SUCCEEDED", "PARTIALLY_REFUNDED", "REFUNDED", "DISPUTED", "CHARGED_BACK")


async def judge(db: Database, settings: Settings, truth: list[Row], records: Path, keys: set[str]) -> Verdict:
    """Everything checked: the product's own invariants, the provider's truth, every client's record."""
    verdict = Verdict()
    verdict.faults += [str(fault) for fault in await checks.verify_all(db, settings)]
    await judge_money(db, verdict, truth)
    lines = list(read_all(records))
    keys |= {key for line in lines if line["what"] == "hands_in" for key in line["keys"]}
    await _orders(db, verdict, lines)
    await _payments(db, verdict, lines)
    await _codes(db, Vault(settings), verdict, lines, keys)
    await _batches(db, verdict, lines)
    await _moved(db, verdict, lines)
    await _jobs(db, verdict)
    return verdict


async def _orders(db: Database, verdict: Verdict, lines: list[Row]) -> None:
    """Whoever was told that they bought has bought just that; whoever was refused has not."""
    found = await db.fetch(
        SYSTEM,
        """SELECT g.id::text AS id, g.buyer_id::text AS buyer, g.idem, g.total,
             (SELECT min(o.state) FROM orders.orders o WHERE o.group_id = g.id) AS state,
             ARRAY(SELECT e.id::text FROM delivery.entitlement e JOIN orders.orders o ON o.id = e.order_id
                   WHERE o.group_id = g.id) AS delivered
           FROM orders.order_group g""",
    )
    groups = {(row["buyer"], row["idem"]): dict(row) for row in found}
    told = [line for line in lines if line["what"] == "told" and line["path"] == "/api/v1/orders"]
    verdict.seen["purchases told of"] = sum(1 for line in told if line["status"] in (200, 201))
    for line in told:
        group = groups.get((line["buyer"], line["key"]))
        if line["status"] in (200, 201):
            verdict.expect(
                _stands(line, group),
                f"order {line['group']} (key {line['key']}) is not what its buyer was told",
            )
        elif line["status"]:
            verdict.expect(
                group is None or group["state"] in ("CANCELLED", "EXPIRED"),
                f"key {line['key']} was refused ({line.get('code')}) and bought all the same",
            )
    asked = {(line["buyer"], line["key"]) for line in lines if line["what"] == "asks"}
    for buyer, key in groups.keys() - asked:
        verdict.faults.append(f"order with key {key} of {buyer} was never asked for")


def _stands(line: Row, group: Mapping[str, Any] | None) -> bool:
    if group is None or group["id"] != line["group"] or group["total"] != line["total"]:
        return False
    return set(line["delivered"]) <= set(group["delivered"])


async def _payments(db: Database, verdict: Verdict, lines: list[Row]) -> None:
    """Each payment that went through at the provider is settled here; each top-up told of is there."""
    rows = await db.fetch(
        SYSTEM, "SELECT id::text AS id, user_id::text AS buyer, session_id, state FROM wallets.funding"
    )
    by_session = {row["session_id"]: row for row in rows}
    by_id = {row["id"]: row for row in rows}
    paid = {line["session"]: line for line in lines if line["what"] == "pays" and line["paid"]}
    verdict.seen["card payments made"] = len(paid)
    for session, line in paid.items():
        funding = by_session.get(session)
        verdict.expect(
            funding is not None and funding["state"] in PAID and funding["buyer"] == line["buyer"],
            f"the payment {session} was made and is not settled",
        )
    for line in lines:
        if line["what"] == "told" and line["path"] == "/api/v1/wallet/top-ups" and line["status"] == 201:
            funding = by_id.get(line["id"])
            verdict.expect(
                funding is not None and funding["buyer"] == line["buyer"], f"top-up {line['id']} is gone"
            )


async def _codes(db: Database, vault: Vault, verdict: Verdict, lines: list[Row], keys: set[str]) -> None:
    """Each code seen belongs to who saw it, to nobody else, and was handed in by a seller."""
    seen = {(line["entitlement"], line["secret"]): line["buyer"] for line in lines if line["what"] == "code"}
    verdict.seen["codes seen"] = len(seen)
    secrets = Counter(secret for _, secret in seen)
    verdict.faults += [f"a code was shown for {n} deliveries" for n in secrets.values() if n > 1]
    for (entitlement, secret), buyer in seen.items():
        row = await db.fetchrow(
            SYSTEM,
            """SELECT e.buyer_id::text AS buyer, u.id, u.key_id, u.sealed, u.state FROM delivery.entitlement e
               JOIN inventory.stock_unit u ON u.id = e.unit_id WHERE e.id = $1""",
            UUID(entitlement),
        )
        if row is None or row["buyer"] != buyer or row["state"] not in SEEN or secret not in keys:
            verdict.faults.append(f"the code seen for {entitlement} is not delivered to who saw it")
            continue
        async with db.transaction(SYSTEM) as conn:
            opened = await vault.open(conn, row["key_id"], row["sealed"], unit_binding(row["id"]))
        verdict.expect(
            opened.reveal().decode() == secret, f"entitlement {entitlement} holds another code now"
        )


async def _batches(db: Database, verdict: Verdict, lines: list[Row]) -> None:
    """Each batch that was taken in is closed, with every key in stock once."""
    told = [x for x in lines if x["what"] == "told" and x["path"].endswith("/stock") and x["status"] == 201]
    verdict.seen["batches handed in"] = len(told)
    for line in told:
        row = await db.fetchrow(
            SYSTEM,
            """SELECT b.state, b.lines, b.imported, b.failure,
                 (SELECT count(*) FROM inventory.stock_unit u WHERE u.batch_id = b.id) AS units
               FROM inventory.stock_batch b WHERE b.id = $1""",
            UUID(line["id"]),
        )
        fine = row is not None and (
            (row["state"] == "CLOSED" and row["lines"] == row["imported"] == row["units"])
            or (row["state"] == "FAILED" and row["units"] == 0 and row["failure"])
        )
        verdict.expect(bool(fine), f"batch {line['id']} is not whole: {dict(row) if row else 'gone'}")
    for line in lines:
        if line["what"] == "batch" and line["state"] == "CLOSED":
            verdict.expect(line["imported"] == len(line["keys"]), f"batch {line['id']} lost keys")


async def _moved(db: Database, verdict: Verdict, lines: list[Row]) -> None:
    """Each refund by a store and each withdrawal that was told of is there with its amount; no other is."""
    for what, ending, sql in (
        (
            "refunds by stores",
            "/refund",
            """SELECT r.id::text AS id, r.amount FROM refunds.refund r
               JOIN identity.membership m ON r.actor = 'user:' || m.user_id""",
        ),
        (
            "withdrawals",
            "/api/v1/seller/payouts",
            "SELECT id::text AS id, amount FROM payouts.payout WHERE kind = 'withdrawal'",
        ),
    ):
        told = {
            line["id"]: line["amount"]
            for line in lines
            if line["what"] == "told" and line["path"].endswith(ending) and line["status"] in (200, 201)
        }
        made = {row["id"]: row["amount"] for row in await db.fetch(SYSTEM, sql)}
        verdict.seen[f"{what} told of"] = len(told)
        verdict.faults += [
            f"{what}: {i} is {made.get(i)}, its store was told {told.get(i)}"
            for i in sorted(told.keys() | made.keys())
            if told.get(i) != made.get(i)
        ]


async def _jobs(db: Database, verdict: Verdict) -> None:
    """No job was given up."""
    rows = await db.fetch(
        SYSTEM, "SELECT id, task_name FROM public.procrastinate_jobs WHERE status = 'failed'"
    )
    verdict.faults += [f"job {row['id']} ({row['task_name']}) was given up" for row in rows]

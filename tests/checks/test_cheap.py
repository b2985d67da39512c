"""What is asked every minute never reads a table that grows from end to end: each question has an index that
leads it to what is newest, or to what is open."""

import json
from typing import Any

import asyncpg

from fondaco.checks.running import CHECKS
from fondaco.core.checking import Check
from fondaco.ledger.verify import LEDGER_CHECKS

GROWING = {
    "entry", "journal", "balance", "account", "orders", "order_line", "order_group", "entitlement", "reveal",
    "stock_unit", "funding", "refund", "event", "mail", "procrastinate_jobs", "procrastinate_events", "block",
}  # fmt: skip
# Small by nature: only what is under way.
OPEN_ONLY = {"hold_pkey", "stock_unit_held", "orders_waiting", "event_open", "event_dead", "jobs_failed",
             "mail_due", "refund_open", "procrastinate_jobs_id_lock_idx_v1",
             "procrastinate_jobs_priority_idx_v1", "procrastinate_jobs_lock_idx_v1",
             "idx_procrastinate_jobs_worker_not_null", "procrastinate_jobs_queueing_lock_idx_v1"}  # fmt: skip


def whole_reads(plan: dict[str, Any], limited: bool = False) -> list[str]:
    """Growing tables that a plan reads without being led or stopped."""
    found: list[str] = []
    kind, table = plan["Node Type"], plan.get("Relation Name")
    if table in GROWING and not limited:
        led = "Index Cond" in plan or plan.get("Index Name") in OPEN_ONLY
        if kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and not led):
            found.append(f"{kind} of {table} by {plan.get('Index Name', 'nothing')}")
    for inner in plan.get("Plans", []):
        # A sort or a sum must see all rows before the first comes out.
        stops = kind == "Limit" or (limited and kind not in ("Sort", "Aggregate", "Hash", "Materialize"))
        found += whole_reads(inner, stops)
    return found


async def test_every_question_of_the_minute_is_led_by_an_index(owner: asyncpg.Connection) -> None:
    await owner.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off")
    await owner.execute("SET enable_mergejoin = off")
    asked: list[Check] = [c for c in (*LEDGER_CHECKS, *CHECKS) if c.cheap or c.lately]
    assert len(asked) > 20
    wrong: list[str] = []
    for check in asked:
        sql = check.lately or check.sql
        plan = json.loads(await owner.fetchval(f"EXPLAIN (FORMAT JSON) {sql}"))[0]["Plan"]
        wrong += [f"{check.rule}: {found}" for found in whole_reads(plan)]
    assert not wrong, "\n".join(wrong)

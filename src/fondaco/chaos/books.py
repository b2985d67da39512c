"""The provider's own record against our books: every payment, refund, transfer and dispute once, to the cent,
and everybody's money where it belongs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from fondaco.chaos.verdict import Row, Verdict
from fondaco.core.db import SYSTEM, Database
from fondaco.ledger import platform
from fondaco.ledger.actions import balance

Facts = Mapping[str, list[Row]]
_WALLETS = """SELECT u.id::text AS id,
    coalesce((SELECT sum(CASE WHEN b.kind = 'buyer_receivable' THEN -b.amount ELSE b.amount END)
      FROM ledger.account_balance b WHERE b.owner = 'user:' || u.id
        AND b.kind IN ('wallet', 'wallet_hold', 'buyer_receivable')), 0)::bigint AS holds,
    coalesce((SELECT sum(l.total - l.refunded) FROM orders.order_line l WHERE l.buyer_id = u.id
      AND l.delivery_state IN ('DELIVERED', 'REFUNDED')), 0)::bigint AS bought,
    coalesce((SELECT sum(r.amount) FROM wallets.refund r WHERE r.user_id = u.id
      AND r.state NOT IN ('FAILED', 'CANCELED')), 0)::bigint AS back
  FROM identity.users u"""
_STORES = """SELECT s.id::text AS id,
    coalesce((SELECT sum(CASE WHEN b.kind = 'seller_receivable' THEN -b.amount ELSE b.amount END)
      FROM ledger.account_balance b WHERE b.owner = 'seller:' || s.id AND b.kind IN ('seller_pending',
        'seller_available', 'seller_reserve', 'seller_receivable')), 0)::bigint AS holds,
    coalesce((SELECT sum(l.total - l.refunded - (l.commission - l.refunded_commission)
        - (l.tax - l.refunded_tax)) FROM orders.order_line l
      WHERE l.seller_id = s.id AND l.released_at IS NOT NULL), 0)::bigint AS earned,
    coalesce((SELECT sum(p.amount - p.reversed) FROM payouts.payout p WHERE p.seller_id = s.id
      AND p.state NOT IN ('FAILED', 'CANCELLED')), 0)::bigint AS gone
  FROM sellers.seller s"""
_ESCROW = """SELECT l.id::text AS id, l.escrow_state, b.amount FROM orders.order_line l
  JOIN ledger.account_balance b ON b.kind = 'escrow' AND b.owner = 'line:' || l.id
  WHERE b.amount <> CASE WHEN l.escrow_state IN ('HELD', 'FROZEN') THEN l.total - l.refunded ELSE 0 END"""


async def judge_money(db: Database, verdict: Verdict, truth: list[Row]) -> None:
    """All of it, in both directions."""
    facts: dict[str, list[Row]] = defaultdict(list)
    for line in truth:
        facts[line["fact"]].append(line)
    await _journals_agree(db, verdict, facts)
    await _once(db, verdict, facts)
    async with db.transaction(SYSTEM) as conn:
        ours_now = await balance(conn, platform("psp_clearing", "EUR"))
    theirs_now = sum(f["net"] for f in facts["balance_transaction"])
    verdict.expect(ours_now == theirs_now, f"the provider holds {theirs_now}, our books say {ours_now}")
    await _wallets(db, verdict, facts)
    await _stores(db, verdict)


async def _journals_agree(db: Database, verdict: Verdict, facts: Facts) -> None:
    """Each thing that moved money at the provider has its journal, and each journal its thing."""
    disputed = {f["dispute"] for f in facts["dispute.funds_withdrawn"]}
    told = {
        "top_up": {f"topup:{f['payment_intent']}": f["amount"] for f in facts["charge.succeeded"]},
        "refund_done": {
            f"rfok:{f['refund']}": f["amount"]
            for f in (*facts["refund.created"], *facts["refund.succeeded"])
            if f["status"] == "succeeded"
        },
        "provider_fee": {
            f"fee:{f['balance_transaction']}": f["fee"]
            for f in facts["balance_transaction"]
            if f["fee"] and f.get("source") not in disputed
        },
        "payout_sent": {f"tr:{f['transfer']}": f["amount"] for f in facts["transfer.created"]},
        "payout_reversed": {f"trr:{f['reversal']}": f["reversed"] for f in facts["transfer.reversed"]},
    }
    for kind, theirs in told.items():
        ours = await _journals(db, kind)
        verdict.seen[f"{kind} compared"] = len(theirs)
        for key in sorted(theirs.keys() | ours.keys()):
            verdict.expect(
                theirs.get(key) == ours.get(key),
                f"{key}: the provider says {theirs.get(key)}, the ledger {ours.get(key)}",
            )


async def _journals(db: Database, kind: str) -> dict[str, int]:
    rows = await db.fetch(
        SYSTEM,
        """SELECT j.idem, sum(e.amount)::bigint AS amount FROM ledger.journal j
           JOIN ledger.entry e ON e.journal_id = j.id AND e.amount > 0
           WHERE j.kind = $1 GROUP BY j.idem""",
        kind,
    )
    return {row["idem"]: row["amount"] for row in rows}


async def _once(db: Database, verdict: Verdict, facts: Facts) -> None:
    """One refund per request, one transfer per payout, one reversal per request, one case of each dispute."""
    asked = Counter(f["metadata"].get("refund_id") for f in facts["refund.created"])
    verdict.faults += [f"refund {i} was made {n} times at the provider" for i, n in asked.items() if n > 1]
    sent = Counter(f["metadata"].get("payout_id") for f in facts["transfer.created"])
    verdict.faults += [f"payout {i} was sent {n} times" for i, n in sent.items() if n > 1]
    for what, theirs, sql in (
        (
            "transfer",
            {f["transfer"]: f["amount"] for f in facts["transfer.created"]},
            "SELECT transfer_id, amount FROM payouts.payout WHERE transfer_id IS NOT NULL",
        ),
        (
            "reversal",
            {f["reversal"]: f["reversed"] for f in facts["transfer.reversed"]},
            "SELECT provider_id, amount FROM payouts.reversal WHERE state = 'DONE'",
        ),
        (
            "dispute",
            {f["dispute"]: f["amount"] for f in facts["dispute.created"]},
            "SELECT provider_id, amount FROM chargebacks.chargeback",
        ),
    ):
        rows = await db.fetch(SYSTEM, sql)
        ours: dict[str, int] = {row[0]: row["amount"] for row in rows}
        verdict.expect(len(rows) == len(ours), f"a {what} is written down twice")
        verdict.seen[f"{what}s compared"] = len(theirs)
        verdict.faults += [
            f"{what} {i}: the provider says {theirs.get(i)}, we {ours.get(i)}"
            for i in sorted(theirs.keys() | ours.keys())
            if theirs.get(i) != ours.get(i)
        ]


async def _wallets(db: Database, verdict: Verdict, facts: Facts) -> None:
    """Each wallet holds what was paid in, less what was sent back, bought, and taken by a bank."""
    paid_in, payer = Counter[str](), dict[str, str]()
    for charge in facts["charge.succeeded"]:
        payer[charge["payment_intent"]] = charge["metadata"]["user_id"]
        paid_in[charge["metadata"]["user_id"]] += charge["amount"]
    for sign, name in ((-1, "dispute.funds_withdrawn"), (1, "dispute.funds_reinstated")):
        for dispute in facts[name]:
            paid_in[payer[dispute["payment_intent"]]] += sign * dispute["amount"]
    rows = await db.fetch(SYSTEM, _WALLETS)
    verdict.seen["wallets reckoned"] = len(rows)
    _reckon(
        verdict, "the wallet of user", ((r["id"], r["holds"], r["bought"] + r["back"]) for r in rows), paid_in
    )


def _reckon(
    verdict: Verdict, whose: str, rows: Iterable[tuple[str, int, int]], got: Mapping[str, int]
) -> None:
    for owner, holds, gone in rows:
        should = got[owner] - gone
        verdict.expect(holds == should, f"{whose} {owner} holds {holds}, it should {should}")


async def _stores(db: Database, verdict: Verdict) -> None:
    """Each store has what its released lines earned, less what was paid out; each escrow what is held."""
    rows = await db.fetch(SYSTEM, _STORES)
    verdict.seen["stores reckoned"] = len(rows)
    earned = {row["id"]: row["earned"] for row in rows}
    _reckon(verdict, "the store", ((r["id"], r["holds"], r["gone"]) for r in rows), earned)
    for row in await db.fetch(SYSTEM, _ESCROW):
        verdict.faults.append(f"line {row['id']} is {row['escrow_state']} with {row['amount']} in escrow")

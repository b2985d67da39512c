"""A store's money: where every cent is, why it is there, and what it did."""

import re
from typing import Any

from litestar import Response, get

from fondaco import ledger, orders, payouts
from fondaco.core.ids import parse_uuid
from fondaco.core.web import Call
from fondaco.ledger import StatementLine, seller_available_of, seller_pending_of, seller_reserve_of
from fondaco.orders import MATURITY_DAYS
from fondaco.pages.charts import Series
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, can, desk
from fondaco.payouts import Bucket

BALANCE = f"{HOME}/balance"
ORDERS = f"{HOME}/orders"
PAYOUTS = f"{HOME}/payouts"
ENTRIES = 25
DAYS = 30
ACCOUNTS = {
    "pending": ("Pending", seller_pending_of),
    "available": ("Available", seller_available_of),
    "reserve": ("Reserve", seller_reserve_of),
}
ENTRY_WORDS = {
    "release": "Sale released",
    "mature": "Became available",
    "reversal": "Corrected",
    "refund_released": "Refunded to a buyer",
    "netting": "Set against what you owed",
    "payout_intent": "Set aside for a payout",
    "payout_failed": "Payout failed, back here",
    "payout_cancelled": "Payout cancelled, back here",
    "payout_reversed": "Payout taken back, here again",
    "reserve_free": "Reserve freed",
    "goodwill": "Goodwill",
    "adjustment": "Adjusted by the marketplace",
    "forfeit": "Forfeited",
    "liability": "Your share of a chargeback",
    "liability_back": "Your share of a chargeback, given back",
}
MOVED = {"pending": "Moved to available", "reserve": "Kept back", "available": "Became available"}


@get(BALANCE, permit="balance.read", include_in_schema=False)
async def balance(request: Call) -> Response[Any]:
    viewer = request.viewer
    standing = await payouts.standing(request.db, request.settings, viewer)
    params = request.query_params
    shown = _chosen(standing.buckets, params.get("currency") or request.settings.currency)
    account = params.get("account", "")
    account = account if account in ACCOUNTS else "pending"
    before = params.get("before", "")
    place = int(before) if re.fullmatch(r"[1-9][0-9]{0,17}", before) else None
    refs = {name: ref(viewer.seller(), shown.currency) for name, (_, ref) in ACCOUNTS.items()}
    lines = await ledger.statement(
        request.db, viewer.as_seller, refs[account], before=place, limit=ENTRIES + 1
    )
    days = {
        name: await ledger.closing_balances(request.db, viewer.as_seller, refs[name], DAYS)
        for name in ("pending", "available")
    }
    entries = lines[:ENTRIES]
    here = f"{BALANCE}?currency={shown.currency}&account={account}"
    return await desk(
        request,
        "seller/balance.html",
        here=BALANCE,
        crumbs=[Crumb("Balance")],
        balance=shown,
        standing=standing,
        gates=[g for g in shown.gates if g.code != "nothing"],
        may_withdraw=can(viewer, "payouts.request") and not shown.gates,
        may_connect=can(viewer, "store.connect"),
        others=[row for row in standing.buckets if row.currency != shown.currency],
        series=[Series(ACCOUNTS[name][0], [amount for _, amount in row]) for name, row in days.items()],
        labels=[f"{day.day} {day:%b}" for day, _ in days["pending"]],
        tabs=[
            {
                "label": words,
                "href": f"{BALANCE}?currency={shown.currency}&account={name}",
                "current": name == account,
            }
            for name, (words, _) in ACCOUNTS.items()
            if name != "reserve" or shown.reserve or account == "reserve"
        ],
        which=account,
        entries=await _entries(request, account, entries),
        older=f"{here}&before={entries[-1].version}" if len(lines) > ENTRIES else "",
        newest=here if place else "",
        protection_days=request.settings.protection_days,
        maturity_days=MATURITY_DAYS,
        reserve_days=request.settings.reserve_days,
    )


def _chosen(found: list[Bucket], currency: str) -> Bucket:
    for row in found:
        if row.currency == currency:
            return row
    if found:
        return found[0]
    zero = dict.fromkeys(
        ("held", "frozen", "pending", "available", "reserve", "in_flight", "paid_out", "debt"), 0
    )
    return Bucket(currency=currency, gates=[], **zero)


async def _entries(
    request: Call, account: str, lines: list[StatementLine]
) -> list[tuple[StatementLine, str, str, str]]:
    """Each entry with its words, the number of its order or payout, and its address ("": about several)."""
    ids = {line.ref: parse_uuid(line.ref.removeprefix("order:")) for line in lines}
    numbers = await orders.seller_order_numbers(
        request.db, request.viewer, [i for i in ids.values() if i is not None]
    )
    found: list[tuple[StatementLine, str, str, str]] = []
    for line in lines:
        order_id = ids[line.ref]
        name = numbers.get(order_id, "") if order_id else ""
        href = f"{ORDERS}/{order_id}" if name else ""
        if line.ref.startswith("payout:"):
            name, href = "Payout", f"{PAYOUTS}/{line.ref.removeprefix('payout:')}"
        words = ENTRY_WORDS.get(line.kind, line.kind.replace("_", " ").capitalize())
        found.append((line, MOVED[account] if line.kind == "mature" else words, name, href))
    return found


routes = [balance]

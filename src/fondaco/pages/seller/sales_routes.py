"""What a store sold, and the money it made."""

import re
from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from fondaco import catalog, ledger, orders
from fondaco.core import counting
from fondaco.core.ids import parse_uuid
from fondaco.core.problem import NotFound
from fondaco.core.web import Call
from fondaco.ledger import StatementLine, seller_available_of, seller_pending_of
from fondaco.orders import MATURITY_DAYS, SellerBalance
from fondaco.pages.charts import Series
from fondaco.pages.listquery import Facet, FacetValue, ListSpec, SavedView
from fondaco.pages.render import Crumb
from fondaco.pages.seller.parts import HOME, desk, read_query, saved_views
from fondaco.pages.states import state_mark

ORDERS = f"{HOME}/orders"
BALANCE = f"{HOME}/balance"
STATES = ("PENDING_PAYMENT", "DELIVERED", "COMPLETED", "REFUNDED", "EXPIRED", "CANCELLED")
SPEC = ListSpec(ORDERS, facets=("state", "listing"), sizes=(25, 50, 100))
ENTRIES = 25
DAYS = 30
ACCOUNTS = {"pending": ("Pending", seller_pending_of), "available": ("Available", seller_available_of)}
ENTRY_WORDS = {
    "release": "Sale released",
    "mature": "Became available",
    "reversal": "Corrected",
}


@get(ORDERS, permit="sales.read", include_in_schema=False)
async def order_list(request: Call) -> Response[Any]:
    query = read_query(request, SPEC)
    listing = await _listing_facet(request, query.values("listing"))
    chosen = query.values("state")
    found = await orders.seller_orders(
        request.db,
        request.viewer,
        request.cursors,
        q=query.q,
        states=chosen,
        listing_id=parse_uuid(listing.values[0].value) if listing else None,
        limit=query.size,
        cursor=query.after or query.before or None,
    )
    states = counting.shown(found.states)
    counts = [FacetValue(s, state_mark(s).words, states.get(s, 0)) for s in STATES]
    views = await saved_views(request, SPEC)
    return await desk(
        request,
        "seller/orders.html",
        here=ORDERS,
        crumbs=[Crumb("Orders")],
        query=query,
        rows=found.items,
        next_cursor=found.next,
        previous_cursor=found.previous,
        total=None if listing else counting.total(states, chosen),
        facets=[Facet("state", "State", counts), *([listing] if listing else [])],
        saved=[SavedView("Delivered", f"{ORDERS}?state=DELIVERED"), *(view for _, view in views)],
        mine=views,
    )


async def _listing_facet(request: Call, values: tuple[str, ...]) -> Facet | None:
    """The one listing the list is narrowed to; none when it is not this store's."""
    wanted = parse_uuid(values[0]) if values else None
    if wanted is None:
        return None
    try:
        listing = await catalog.own_listing(request.db, request.viewer, wanted)
    except NotFound:
        return None
    return Facet("listing", "Listing", [FacetValue(values[0], listing.title)])


@get(f"{ORDERS}/{{order_id:uuid}}", permit="sales.read", include_in_schema=False)
async def order(request: Call, order_id: FromPath[UUID]) -> Response[Any]:
    found = await orders.seller_order(request.db, request.viewer, order_id)
    commission = sum(line.commission for line in found.lines)
    return await desk(
        request,
        "seller/order.html",
        here=ORDERS,
        crumbs=[Crumb("Orders", ORDERS), Crumb(found.number)],
        order=found,
        commission=commission,
        tax=found.total - commission - found.net,
        maturity_days=MATURITY_DAYS,
    )


@get(BALANCE, permit="balance.read", include_in_schema=False)
async def balance(request: Call) -> Response[Any]:
    viewer = request.viewer
    found = await orders.seller_balance(request.db, viewer)
    params = request.query_params
    shown = _chosen(found, params.get("currency") or request.settings.currency)
    account = params.get("account", "")
    account = account if account in ACCOUNTS else "pending"
    before = params.get("before", "")
    place = int(before) if re.fullmatch(r"[1-9][0-9]{0,17}", before) else None
    refs = {name: ref(viewer.seller(), shown.currency) for name, (_, ref) in ACCOUNTS.items()}
    lines = await ledger.statement(
        request.db, viewer.as_seller, refs[account], before=place, limit=ENTRIES + 1
    )
    days = {
        name: await ledger.closing_balances(request.db, viewer.as_seller, ref, DAYS)
        for name, ref in refs.items()
    }
    entries = lines[:ENTRIES]
    here = f"{BALANCE}?currency={shown.currency}&account={account}"
    return await desk(
        request,
        "seller/balance.html",
        here=BALANCE,
        crumbs=[Crumb("Balance")],
        balance=shown,
        others=[row for row in found if row.currency != shown.currency],
        series=[Series(ACCOUNTS[name][0], [amount for _, amount in row]) for name, row in days.items()],
        labels=[f"{day.day} {day:%b}" for day, _ in days["pending"]],
        tabs=[
            {
                "label": words,
                "href": f"{BALANCE}?currency={shown.currency}&account={name}",
                "current": name == account,
            }
            for name, (words, _) in ACCOUNTS.items()
        ],
        which=account,
        entries=await _entries(request, entries),
        older=f"{here}&before={entries[-1].version}" if len(lines) > ENTRIES else "",
        newest=here if place else "",
        protection_days=request.settings.protection_days,
        maturity_days=MATURITY_DAYS,
    )


def _chosen(found: list[SellerBalance], currency: str) -> SellerBalance:
    for row in found:
        if row.currency == currency:
            return row
    if found:
        return found[0]
    return SellerBalance(currency=currency, held=0, pending=0, available=0)


async def _entries(request: Call, lines: list[StatementLine]) -> list[tuple[StatementLine, str, str, str]]:
    """Each entry with its words, its order's number and address ("" when it is about no single order)."""
    ids = {line.ref: parse_uuid(line.ref.removeprefix("order:")) for line in lines}
    numbers = await orders.seller_order_numbers(
        request.db, request.viewer, [i for i in ids.values() if i is not None]
    )
    found: list[tuple[StatementLine, str, str, str]] = []
    for line in lines:
        order_id = ids[line.ref]
        name = numbers.get(order_id, "") if order_id else ""
        words = ENTRY_WORDS.get(line.kind, line.kind.replace("_", " ").capitalize())
        found.append((line, words, name, f"{ORDERS}/{order_id}" if name else ""))
    return found


routes = [order_list, order, balance]

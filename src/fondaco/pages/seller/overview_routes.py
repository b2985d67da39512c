"""The desk's first page: what was sold, what is owed, what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Response, get

from fondaco import catalog, inventory, orders, sellers
from fondaco.core.web import Call
from fondaco.orders import SalesDay, SellerBalance
from fondaco.pages.charts import Series
from fondaco.pages.seller.parts import HOME, can, desk

DAYS = 30


@get(HOME, permit="seller.see", include_in_schema=False)
async def overview(request: Call) -> Response[Any]:
    db, viewer, cursors = request.db, request.viewer, request.cursors
    currency = request.settings.currency
    sales = await orders.seller_sales(db, viewer, days=DAYS, currency=currency)
    recent = await orders.seller_orders(db, viewer, cursors, limit=6)
    listings = await catalog.own_listings(db, viewer, cursors, limit=1)
    low = await inventory.low_stock(db, viewer, limit=6)
    imports = await inventory.batches(db, viewer, cursors, limit=5)
    balances: list[SellerBalance] = []
    if can(viewer, "balance.read"):
        balances = await orders.seller_balance(db, viewer)
    days = sorted({row.day for row in sales})
    currencies = sorted({row.currency for row in sales})
    return await desk(
        request,
        "seller/overview.html",
        here=HOME,
        today=[row for row in sales if row.day == days[-1]],
        month=[(c, sum(r.gross for r in sales if r.currency == c)) for c in currencies],
        charts=[(c, sales_series(sales, c)) for c in currencies],
        labels=[f"{day.day} {day:%b}" for day in days],
        balances=balances or [SellerBalance(currency=currency, held=0, pending=0, available=0)],
        sees_balance=can(viewer, "balance.read"),
        recent=recent.items,
        low=low,
        open_imports=[batch for batch in imports.items if batch.open],
        steps=await _steps(request, listings.states, bool(imports.items), bool(recent.items)),
        writable=can(viewer, "catalog.write"),
    )


def sales_series(sales: Sequence[SalesDay], currency: str) -> list[Series]:
    """Gross and net per day in one currency."""
    mine = [row for row in sales if row.currency == currency]
    return [Series("Sales", [row.gross for row in mine]), Series("Your part", [row.net for row in mine])]


async def _steps(
    request: Call, states: Mapping[str, int], has_stock: bool, sold: bool
) -> list[tuple[str, str, str, bool]]:
    """What a new store does, in order: (words, address, why, done). Empty once all is done."""
    store = await sellers.my_store(request.db, request.viewer)
    published = states.get("PUBLISHED", 0) + states.get("PAUSED", 0) + states.get("ARCHIVED", 0)
    steps = [
        (
            "Say who you are",
            f"{HOME}/settings",
            "Buyers read it beside everything you sell.",
            bool(store.about),
        ),
        ("Create a listing", f"{HOME}/listings/new", "It stays a draft until you publish it.", bool(states)),
        (
            "Put it in stock",
            f"{HOME}/listings",
            "Open a listing, then its stock: paste keys or send a file. Of an article, say how many copies.",
            has_stock,
        ),
        ("Publish it", f"{HOME}/listings?state=DRAFT", "Buyers see it within seconds.", published > 0),
        ("Make your first sale", f"{HOME}/orders", "We write to you when it happens.", sold),
    ]
    return [] if all(done for *_, done in steps) else steps


routes = [overview]

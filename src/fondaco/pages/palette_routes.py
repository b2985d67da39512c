"""The command palette of both desks: pages, listings and orders that match what is typed."""

from litestar import Response, get
from msgspec import Struct

from fondaco import catalog, console, orders
from fondaco.core.viewer import Viewer
from fondaco.core.web import Call
from fondaco.identity.permissions import PERMISSIONS
from fondaco.pages.states import state_mark

MOST = 6  # of each kind
# Words, address, permission.
_PAGES = (
    ("Overview", "/seller", "seller.see"),
    ("Orders", "/seller/orders", "sales.read"),
    ("Cases", "/seller/cases", "sales.read"),
    ("Balance", "/seller/balance", "balance.read"),
    ("Payouts", "/seller/payouts", "balance.read"),
    ("Payout account", "/seller/payout-account", "balance.read"),
    ("Listings", "/seller/listings", "catalog.read"),
    ("New listing", "/seller/listings/new", "catalog.write"),
    ("Imports", "/seller/batches", "stock.read"),
    ("Store settings", "/seller/settings", "seller.see"),
    ("Team", "/seller/team", "team.see"),
    ("API keys", "/seller/api-keys", "api_keys.edit"),
    ("Console", "/console", "console.see"),
    ("Find", "/console/find", "console.see"),
    ("Orders", "/console/orders", "console.orders"),
    ("Cases", "/console/cases", "console.cases"),
    ("People", "/console/people", "console.people"),
    ("Stores", "/console/sellers", "console.see"),
    ("Listings", "/console/listings", "console.see"),
    ("Payments", "/console/fundings", "console.orders"),
    ("Refunds", "/console/refunds", "console.orders"),
    ("Payouts of sellers", "/console/payouts", "console.payouts"),
    ("Reconciliation", "/console/reconciliation", "console.reconcile"),
    ("Ledger", "/console/ledger", "console.ledger"),
    ("Trial balance", "/console/ledger/trial-balance", "console.ledger"),
    ("Inbox", "/console/inbox", "console.inbox"),
    ("Mails", "/console/mails", "console.mails"),
    ("Audit log", "/console/audit", "console.audit"),
    ("Checks", "/console/checks", "console.checks"),
)


class Item(Struct):
    """One line: words, what it is, where it leads."""

    label: str
    hint: str
    href: str


class Found(Struct):
    """What matches, best first."""

    items: list[Item]


@get("/palette", permit="account.own", include_in_schema=False)
async def palette(request: Call) -> Response[Found]:
    """`q` is part of a page's words, of a listing's title or an order's number, for staff anything that
    names something; empty: the pages."""
    typed = request.query_params.get("q", "").replace("\x00", "").strip()[:100]
    viewer = request.viewer
    items = _pages(viewer, typed)
    if typed and _may(viewer, "catalog.read"):
        items = await _goods(request, typed) + items
    if len(typed) > 1 and _may(viewer, "console.see"):
        items = await _console(request, typed) + items
    return Response(Found(items), headers={"Cache-Control": "no-store"})


def _may(viewer: Viewer, permission: str) -> bool:
    mine = viewer.roles & PERMISSIONS[permission]
    return any(viewer.mfa or not role.startswith("staff.") for role in mine)


def _pages(viewer: Viewer, typed: str) -> list[Item]:
    words = typed.casefold().split()
    return [
        Item(label, "Seller desk" if href.startswith("/seller") else "Console", href)
        for label, href, permission in _PAGES
        if _may(viewer, permission) and all(word in label.casefold() for word in words)
    ]


async def _goods(request: Call, typed: str) -> list[Item]:
    """The store's listings, and its orders by number or title."""
    db, viewer, cursors = request.db, request.viewer, request.cursors
    sold = await orders.seller_orders(db, viewer, cursors, q=typed, limit=MOST)
    found = await catalog.own_listings(db, viewer, cursors, q=typed, limit=MOST)
    listed = found.items if any(c.isalnum() for c in typed) else []
    return [
        *(
            Item(row.title, f"Listing, {state_mark(row.state, 'listing').words.lower()}", path)
            for row in listed
            if (path := f"/seller/listings/{row.id}")
        ),
        *(
            Item(o.number, f"{o.lines[0].title}, {state_mark(o.state).words.lower()}", path)
            for o in sold.items
            if (path := f"/seller/orders/{o.id}")
        ),
    ]


async def _console(request: Call, typed: str) -> list[Item]:
    """What the console finds by it. Never by a key: an address is kept in histories and logs."""
    found = await console.find(request.db, request.viewer, typed, limit=2 * MOST)
    return [Item(f.title, f"{f.kind.capitalize()}, {f.note}", f.href) for f in found]


routes = [palette]

"""What the seller desk's pages share: the sidebar, what the viewer may do, reading forms, words."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from litestar import Response

from fondaco import catalog, identity, sellers
from fondaco.catalog import OwnListing
from fondaco.core.money import BadAmount, parse_amount
from fondaco.core.problem import Invalid, Problem
from fondaco.core.viewer import Viewer
from fondaco.core.web import Call
from fondaco.identity.permissions import PERMISSIONS
from fondaco.pages.context import page
from fondaco.pages.listquery import ListQuery, ListSpec
from fondaco.pages.listquery import SavedView as ShownView
from fondaco.pages.render import Crumb, Link, LinkGroup, format_money

HOME = "/seller"
LIST = f"{HOME}/listings"
API_REFERENCE = "/api/docs"
ROLES: Mapping[str, tuple[str, str]] = {
    "owner": ("Owner", "Everything, the team included."),
    "manager": ("Manager", "Everything but the team."),
    "fulfilment": ("Fulfilment", "Hands keys in and takes them out; sees listings and orders."),
    "finance": ("Finance", "Sees orders and balances."),
    "read_only": ("Read only", "Sees everything, changes nothing."),
}
SCOPES: Mapping[str, str] = {
    "catalog.read": "See listings",
    "catalog.write": "Create, change and publish listings",
    "stock.read": "See stock and imports",
    "stock.write": "Hand keys in and take them out",
    "sales.read": "See orders and sales",
    "cases.answer": "Answer cases and offer to settle them",
    "balance.read": "See balances and payouts",
    "payouts.request": "Withdraw what is available",
}
# Sidebar: group, then (words, address, icon, permission).
_NAV = (
    (
        "",
        (("Overview", HOME, "layout-dashboard", "seller.see"),),
    ),
    (
        "Sales",
        (
            ("Orders", f"{HOME}/orders", "receipt", "sales.read"),
            ("Cases", f"{HOME}/cases", "flag", "sales.read"),
            ("Reported keys", f"{HOME}/reports", "key-round", "sales.read"),
            ("Chargebacks", f"{HOME}/chargebacks", "shield-x", "sales.read"),
        ),
    ),
    (
        "Money",
        (
            ("Balance", f"{HOME}/balance", "wallet", "balance.read"),
            ("Payouts", f"{HOME}/payouts", "banknote", "balance.read"),
            ("Payout account", f"{HOME}/payout-account", "landmark", "balance.read"),
            ("Papers", f"{HOME}/papers", "file-text", "balance.read"),
        ),
    ),
    (
        "Goods",
        (
            ("Listings", f"{HOME}/listings", "tags", "catalog.read"),
            ("Imports", f"{HOME}/batches", "upload", "stock.read"),
        ),
    ),
    (
        "Store",
        (
            ("Settings", f"{HOME}/settings", "settings", "seller.see"),
            ("Standing", f"{HOME}/standing", "shield-check", "balance.read"),
            ("Team", f"{HOME}/team", "users", "team.see"),
            ("API keys", f"{HOME}/api-keys", "key-round", "api_keys.edit"),
        ),
    ),
)


def can(viewer: Viewer, permission: str) -> bool:
    """Whether the table gives one of the viewer's roles this permission."""
    return bool(viewer.roles & PERMISSIONS[permission])


async def desk(
    request: Call, template: str, *, crumbs: Sequence[Crumb] = (), here: str = "", **context: Any
) -> Response[str]:
    """A page of the desk. `here`: the address of the sidebar's entry it belongs to."""
    viewer = request.viewer
    stores = await sellers.stores_of(request.db, viewer)
    way = [Crumb("Seller desk", HOME), *crumbs] if crumbs else []
    return await page(
        request,
        template,
        nav=_nav(viewer, here, len(stores)),
        crumbs=way,
        desk_name=viewer.seller_name or "Seller desk",
        desk_home=HOME,
        palette_url="/palette",
        **context,
    )


def _nav(viewer: Viewer, here: str, stores: int) -> list[LinkGroup]:
    groups = [
        LinkGroup(
            label,
            [
                Link(words, href, icon, current=href == here)
                for words, href, icon, needed in links
                if can(viewer, needed)
            ],
        )
        for label, links in _NAV
    ]
    more = [Link("Marketplace", "/", "shopping-bag")]
    if stores > 1:
        switch = f"{HOME}/stores"
        more.insert(0, Link("Switch store", switch, "arrow-left-right", count=stores, current=here == switch))
    return [g for g in (*groups, LinkGroup("Elsewhere", more)) if g.links]


def percent(bps: int) -> str:
    """Basis points in words: 1000 is "10 %", 1250 is "12.5 %"."""
    whole, rest = divmod(bps, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + " %"


async def choices(request: Call) -> dict[str, Any]:
    """What a listing's forms offer to choose from."""
    shelves = await catalog.categories(request.db)
    return {
        "categories": [(shelf.slug, shelf.name) for shelf in shelves],
        "regions": list(catalog.regions().items()),
        "platforms": catalog.PLATFORMS,
    }


def listing_tabs(viewer: Viewer, listing: OwnListing, current: str, available: int) -> list[dict[str, Any]]:
    """The pages of one listing. An article's content is for those who may write it."""
    own = f"{LIST}/{listing.id}"
    tabs: list[dict[str, Any]] = [
        {"label": "Listing", "href": own},
        {"label": "Stock", "href": f"{own}/stock", "count": available},
        {"label": "Orders", "href": f"{HOME}/orders?listing={listing.id}"},
    ]
    if listing.kind == "article" and can(viewer, "catalog.write"):
        tabs.insert(1, {"label": "Content", "href": f"{own}/content"})
    return [{**tab, "current": tab["href"] == current} for tab in tabs]


def read_query(request: Call, spec: ListSpec) -> ListQuery:
    """The list the address asks for."""
    return ListQuery.parse(spec, request.query_params.multi_items())


def read_price(faults: dict[str, str], text: str, currency: str, most: int) -> int:
    """Minor units from what was typed, 0 with words in `faults` when it is no price up to `most`."""
    try:
        found = parse_amount(text.strip(), currency)
    except BadAmount as problem:
        faults["price"] = problem.detail
        return 0
    if 1 <= found <= most:
        return found
    faults["price"] = f"Must be from {format_money(1, currency)} to {format_money(most, currency)}."
    return 0


def read_whole(faults: dict[str, str], name: str, text: str) -> int:
    """A whole number from what was typed, 0 with words in `faults` when it is none."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    faults[name] = "Write a whole number."
    return 0


def read_version(text: str) -> int:
    """The version a form was made of; 0, which no row has, for anything else."""
    return read_whole({}, "", text)


def with_faults(problem: Problem, faults: Mapping[str, str]) -> Problem:
    """The refusal with the words about how values were typed, which say more."""
    if isinstance(problem, Invalid) and faults:
        return Invalid(fields={**problem.fields, **faults})
    return problem


async def saved_views(request: Call, spec: ListSpec) -> list[tuple[UUID, ShownView]]:
    """The viewer's saved views of a list, which is known by its path."""
    found = await identity.list_views(request.db, request.viewer, list_name=spec.path)
    return [(view.id, ShownView(view.name, f"{spec.path}?{view.query}")) for view in found]

"""Sample data for the design gallery, and the gallery's pages as HTML."""

# ruff: noqa: E501 - one sample a line

from datetime import UTC, datetime, timedelta
from typing import Any

from fondaco.core.money import Money
from fondaco.pages.charts import Series
from fondaco.pages.listquery import Facet, FacetValue, ListQuery, ListSpec, SavedView
from fondaco.pages.render import Crumb, Flash, Link, LinkGroup, Shell, Theme, Viewer, environment, render_page
from fondaco.pages.states import KNOWN_STATES

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)

TITLES = [
    ("Starfarers: Deluxe Edition", "Game key", "Steam"), ("Lagoon Racer", "Game key", "GOG"),
    ("The Glass Cartographer", "Game key", "Steam"), ("Arcadia €50 Gift Card", "Gift card", "Arcadia"),
    ("Hollow Bastion", "Game key", "Epic"), ("Marrow & Salt", "Game key", "Steam"),
    ("Nightmarket", "Game key", "Xbox"), ("Photo Atelier 2026", "Software", "Windows"),
    ("Tiny Foundry", "Game key", "Steam"), ("1,000 Orbit Coins", "Game credit", "Orbit"),
    ("Winter of Crows: Complete Collection", "Game key", "GOG"), ("Music Pass, 12 months", "Subscription", ""),
    ("Kart Kingdom", "Game key", "Switch"), ("Deepwater", "Game key", "Steam"),
    ("Ledgerkeeper Pro", "Software", "macOS"), ("Sunken Choir", "Game key", "Steam"),
    ("Arcadia €20 Gift Card", "Gift card", "Arcadia"), ("Rails of Empire", "Game key", "Steam"),
    ("Paper Gods", "Game key", "GOG"), ("Botanica", "Game key", "Steam"),
    ("Skyward Post", "Game key", "Epic"), ("Cloud Vault 2 TB", "Software", "Web"),
    ("Velvet Protocol", "Game key", "Steam"), ("Dune Runner III", "Game key", "Steam"),
    ("Streambox €15", "Gift card", "Streambox"), ("Harbour Nights", "Game key", "PlayStation"),
    ("Ironwood", "Game key", "Steam"), ("The Last Gondolier", "Game key", "Steam"),
    ("Typesetter's Desk", "Software", "Windows"), ("Aurora Online, 60 days", "Subscription", "Aurora"),
]  # fmt: skip
SELLERS = ("Rialto Keys", "Northlight Games", "Ca' d'Oro Digital")
STOCK = (("good", "In stock"), ("wait", "Only 3 left"), ("good", "In stock"), ("bad", "Sold out"))


def items() -> list[dict[str, Any]]:
    return [
        {
            "title": title, "href": f"/l/{n}", "kind": kind, "platform": platform, "region": ("Europe", "Global")[n % 2],
            "seller": SELLERS[n % 3], "price_minor": 499 + n * 317, "currency": "EUR",
            "stock_tone": STOCK[n % 4][0], "stock_words": STOCK[n % 4][1], "listing_id": None if n % 4 == 3 else n,
        }
        for n, (title, kind, platform) in enumerate(TITLES)
    ]  # fmt: skip


def story() -> list[dict[str, Any]]:
    steps = (
        ("shopping-cart", "new", "Order placed", "ada@example.test", ""),
        (
            "credit-card",
            "good",
            "Card payment succeeded",
            "stripe",
            "€39.99 into the wallet, then into protection",
        ),
        ("key-round", "good", "Key delivered to the library", "worker", ""),
        ("mail", "quiet", "Delivery notice sent", "mail", ""),
        ("eye", "busy", "Key revealed", "ada@example.test", "From a browser in Trieste"),
    )
    return [
        {
            "icon": i,
            "tone": t,
            "what": w,
            "who": who,
            "detail": d,
            "when": NOW - timedelta(minutes=40 - 7 * n),
        }
        for n, (i, t, w, who, d) in enumerate(steps)
    ]


FACETS = [
    Facet("platform", "Platform", [FacetValue("steam", "Steam", 14), FacetValue("gog", "GOG", 4), FacetValue("epic", "Epic Games", 2)]),
    Facet("region", "Region", [FacetValue("eu", "Europe", 15), FacetValue("global", "Global", 15)]),
    Facet("stock", "Availability", [FacetValue("yes", "In stock", 22)]),
]  # fmt: skip
SPEC = ListSpec(
    "/browse",
    facets=("platform", "region", "stock"),
    sorts={"best": "Best match", "price": "Price, lowest first", "-price": "Price, highest first"},
    views=("cards", "table"),
)
DESK_SPEC = ListSpec(
    "/desk/orders",
    facets=("platform", "region", "stock"),
    sorts={
        "-new": "Newest first",
        "new": "Oldest first",
        "total": "Total, lowest",
        "-total": "Total, highest",
    },
)


def shop_shell(theme: Theme, signed_in: bool = True) -> Shell:
    return Shell(
        viewer=Viewer("Ada", "ada@example.test") if signed_in else None,
        wallet=Money(4210, "EUR") if signed_in else None,
        csrf_token="sample",
        cart_count=2,
        nav=[Link(w, f"/browse?kind={w}", current=w == "Game keys") for w in ("Game keys", "Gift cards", "Software", "Game credit", "Subscriptions", "New today")],
        account=[Link("Library", "/library", "library"), Link("Orders", "/orders", "receipt-text"), Link("Wallet", "/wallet", "wallet")],
        footer=[
            LinkGroup("Shop", [Link("Browse", "/browse"), Link("Gift cards", "/gift")]),
            LinkGroup("Help", [Link("Buyer protection", "/protection"), Link("Contact", "/contact")]),
            LinkGroup("Sell", [Link("Open a store", "/sell"), Link("API", "/api")]),
        ],
        flash=[Flash("good", "Lagoon Racer is in your cart.")],
        crumbs=[Crumb("Start", "/"), Crumb("Game keys", "/browse"), Crumb("Starfarers")],
        theme=theme,
    )  # fmt: skip


def desk_shell(theme: Theme) -> Shell:
    return Shell(
        viewer=Viewer("Bruno", "bruno@example.test", "Owner, Rialto Keys"),
        csrf_token="sample",
        nav=[
            LinkGroup("Selling", [Link("Overview", "/desk", "layout-dashboard"), Link("Orders", "/desk/orders", "receipt-text", 81, current=True), Link("Listings", "/desk/listings", "tags"), Link("Stock", "/desk/stock", "key-round", 12480)]),
            LinkGroup("Money", [Link("Balances", "/desk/money", "scale"), Link("Statements", "/desk/statements", "file-text")]),
            LinkGroup("Store", [Link("Members", "/desk/members", "users"), Link("API keys", "/desk/api", "plug"), Link("Settings", "/desk/settings", "settings")]),
        ],
        account=[Link("Storefront", "/", "store")],
        crumbs=[Crumb("Rialto Keys", "/desk"), Crumb("Orders")],
        desk_name="Seller desk",
        desk_home="/desk",
        palette_url="/palette",
        theme=theme,
    )  # fmt: skip


def rows() -> list[dict[str, Any]]:
    states = (("SUCCEEDED", "COMPLETED"), ("PROCESSING", "PENDING_PAYMENT"), ("SUCCEEDED", "DELIVERED"),
              ("SUCCEEDED", "NEEDS_ATTENTION"), ("FAILED", "EXPIRED"), ("REFUNDED", "REFUNDED"),
              ("SUCCEEDED", "FULFILLING"), ("SUCCEEDED", "COMPLETED"))  # fmt: skip
    return [
        {"number": 1042 - n, "title": TITLES[n * 3][0], "buyer": f"{('ada', 'cleo', 'dario')[n % 3]}@example.test",
         "payment": pay, "state": state, "total": 1999 + n * 871, "when": NOW - timedelta(minutes=3 + 190 * n)}
        for n, (pay, state) in enumerate(states)
    ]  # fmt: skip


def pages(theme: Theme = "auto") -> dict[str, str]:
    """Every gallery page by name."""
    env = environment(now=lambda: NOW)
    query = ListQuery.parse(SPEC, [("platform", "steam"), ("q", "star")])
    desk = ListQuery.parse(DESK_SPEC, [("stock", "yes")])
    goods = items()
    listing = {
        **goods[0],
        "text": "Chart the **outer routes** with a crew of your own.\n\n- 60 ships\n- co-op for four\n\n> One more jump.",
    }
    days = [f"{n} Mar" for n in range(1, 15)]
    return {
        "shop": render_page(env, "design/shop.html", shop_shell(theme), query=query, facets=FACETS, items=goods[:12],
                            listing=listing, lines=goods[:3], total=3999, story=story()),
        "desk": render_page(env, "design/gallery.html", desk_shell(theme), query=desk, facets=FACETS, rows=rows(), story=story(),
                            states=KNOWN_STATES, saved=[SavedView("Late deliveries", "/desk/orders?stock=yes")], labels=days,
                            series=[Series("Sales", [82000, 91000, 88000, 104000, 99000, 121000, 130500, 118000, 127000, 141000, 139000, 160000, 184000, 171000]),
                                    Series("Commission", [8200, 9100, 8800, 10400, 9900, 12100, 13050, 11800, 12700, 14100, 13900, 16000, 18400, 17100])],
                            counts=[Series("Sold", [120, 180, 90, 210, 260, 240]), Series("Revealed", [100, 160, 85, 170, 230, 200])]),
        "covers": render_page(env, "design/covers.html", Shell(theme=theme), titles=TITLES),
        "signin": render_page(env, "design/signin.html", Shell(theme=theme, csrf_token="sample")),
        "confirm": render_page(env, "layouts/confirm.html", Shell(theme=theme), heading="Cancel this order?", text="It cannot be undone.",
                               action="/x", fields=[("a", "b")], confirm_label="Cancel order", danger=True, back_href="/"),
        "error": render_page(env, "layouts/error.html", Shell(theme=theme), status=404, heading="There is nothing here",
                             detail="The page moved, or it is not yours to see.", action_href="/", action_label="To the start", reference="req_7f3a"),
    }  # fmt: skip

"""The control: the same purchase as one writes it at first, statement by statement in one transaction.

No ORM, the same framework, server, driver, pool and database, the same rows in the end; but the listing is
locked with SELECT ... FOR UPDATE, every row has its own INSERT, and each request its own commit. It runs as
the owner of the tables, because the application's role may not write them so.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

import msgspec
from litestar import Litestar, Request, get, post
from litestar.params import JSONBody
from msgspec import Meta

from fondaco import ledger
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import number, token_hash, uuid7
from fondaco.core.problem import Problem, SignInNeeded
from fondaco.orders.model import MATURITY_DAYS, SoldOut
from fondaco.settings import Settings, load


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A listing to buy, with the price that was seen."""

    listing_id: UUID
    price: Annotated[int, Meta(ge=1)]
    quantity: Annotated[int, Meta(ge=1, le=100)] = 1


class NewOrder(msgspec.Struct, forbid_unknown_fields=True):
    """A purchase of one line."""

    pay_with: Annotated[str, Meta(pattern="^wallet$")]
    lines: Annotated[list[Line], Meta(min_length=1, max_length=1)]


@get("/")
async def ready() -> str:
    """Answers as soon as it serves."""
    return "ready"


@post("/api/v1/orders")
async def place_order(request: Request[Any, Any, Any], data: JSONBody[NewOrder]) -> dict[str, Any]:
    """Session, purchase, answer."""
    db: Database = request.app.state.db
    settings: Settings = request.app.state.settings
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    async with db.transaction(SYSTEM) as conn:
        buyer = await conn.fetchval(
            """SELECT s.user_id FROM identity.sessions s JOIN identity.users u ON u.id = s.user_id
               WHERE s.token_hash = $1 AND s.expires_at > $2 AND u.banned_at IS NULL""",
            token_hash(token),
            now(),
        )
        if buyer is None:
            raise SignInNeeded()
        key = request.headers.get("idempotency-key") or uuid4().hex
        return await buy(conn, settings, buyer, data.lines[0], key)


async def buy(conn: Connection, settings: Settings, buyer: UUID, line: Line, key: str) -> dict[str, Any]:
    """All rows of one purchase, one after the other. Raises SoldOut, InsufficientFunds."""
    listing = await conn.fetchrow(
        """SELECT l.id, l.seller_id, l.title, l.slug, l.kind, l.platform, l.region, l.edition, l.activation,
             l.price, l.price_version, l.version, l.currency, l.state, s.name AS seller,
             s.slug AS seller_slug, s.commission_bps
           FROM catalog.listing l JOIN sellers.seller s ON s.id = l.seller_id
           WHERE l.id = $1 FOR UPDATE OF l""",
        line.listing_id,
    )
    if listing is None or listing["state"] != "PUBLISHED" or listing["price"] != line.price:
        raise SoldOut()
    group, order, row = uuid7(), uuid7(), uuid7()
    total = line.price * line.quantity
    bps = listing["commission_bps"] or settings.commission_bps
    order_number = number("ORD")
    unit = None
    if listing["kind"] == "article":
        version = await _count_down(conn, line)
    else:
        version = None
        unit = await _take(conn, line.listing_id, row)
    await conn.execute(
        """INSERT INTO orders.order_group (id, number, buyer_id, idem, fingerprint, funding_policy, total,
             currency) VALUES ($1, $2, $3, $4, $5, 'wallet', $6, $7)""",
        group, number("GRP"), buyer, key, token_hash(key), total, listing["currency"],
    )  # fmt: skip
    await conn.execute(
        """INSERT INTO orders.orders (id, number, group_id, buyer_id, seller_id, state, total, currency,
             paid_at, delivered_at) VALUES ($1, $2, $3, $4, $5, 'DELIVERED', $6, $7, now(), now())""",
        order, order_number, group, buyer, listing["seller_id"], total, listing["currency"],
    )  # fmt: skip
    await conn.execute(
        """INSERT INTO orders.order_line (id, order_id, buyer_id, seller_id, listing_id, quantity, unit_price,
             total, commission, currency, terms, delivery_state, escrow_state, release_at, delivered_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'DELIVERED', 'HELD',
             now() + make_interval(days => $12), now())""",
        row, order, buyer, listing["seller_id"], line.listing_id, line.quantity, line.price, total,
        total * bps // 10_000, listing["currency"], _terms(listing, bps, settings), settings.protection_days,
    )  # fmt: skip
    right = uuid4()
    await conn.execute(
        """INSERT INTO delivery.entitlement (id, buyer_id, seller_id, listing_id, order_id, line_id, unit_id,
             content_version, title, platform, region)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
        right, buyer, listing["seller_id"], line.listing_id, order, row, unit, version, listing["title"],
        listing["platform"], listing["region"],
    )  # fmt: skip
    await conn.fetchval(
        "SELECT audit.record('order.delivered', $1, $2, $3)",
        f"order:{order}",
        f"user:{buyer}",
        {"group_id": group, "buyer_id": buyer, "seller_id": listing["seller_id"], "funding": "wallet"},
    )
    legs = [
        (ledger.wallet_of(buyer, listing["currency"]), total),
        (ledger.escrow_of(row, listing["currency"]), -total),
    ]
    await ledger.post(
        conn, "purchase", idem=f"buy:{row}", ref=f"order:{order}", actor=f"user:{buyer}", legs=legs
    )
    made = await conn.fetchrow("SELECT state, created_at FROM orders.orders WHERE id = $1", order)
    assert made
    return {"id": group, "number": order_number, "entitlements": [right], "total": total, **dict(made)}


async def _take(conn: Connection, listing: UUID, row: UUID) -> UUID:
    """The next free unit; its listing is locked, so nobody else takes it."""
    unit: UUID | None = await conn.fetchval(
        """SELECT id FROM inventory.stock_unit WHERE listing_id = $1 AND state = 'AVAILABLE'
           ORDER BY id LIMIT 1 FOR UPDATE""",
        listing,
    )
    if unit is None:
        raise SoldOut()
    await conn.execute(
        "UPDATE inventory.stock_unit SET state = 'SOLD', line_id = $2 WHERE id = $1", unit, row
    )
    return unit


async def _count_down(conn: Connection, line: Line) -> int:
    version: int | None = await conn.fetchval(
        """UPDATE inventory.counted SET on_hand = on_hand - $2, sold = sold + $2
           WHERE listing_id = $1 AND on_hand >= $2 RETURNING content_version""",
        line.listing_id,
        line.quantity,
    )
    if version is None:
        raise SoldOut()
    return version


def _terms(listing: Any, bps: int, settings: Settings) -> dict[str, Any]:
    kept = (
        "title",
        "slug",
        "platform",
        "region",
        "edition",
        "activation",
        "seller",
        "seller_slug",
        "price_version",
    )
    return {
        **{name: listing[name] for name in kept},
        "listing_version": listing["version"],
        "commission_bps": bps,
        "funding": "wallet",
        "protection_days": settings.protection_days,
        "maturity_days": MATURITY_DAYS,
    }


def application() -> Any:
    """The application in one server process."""
    settings = load()
    assert settings.database_owner_url, "the control writes as the owner"
    db = Database(settings.database_owner_url.get_secret_value(), size=settings.database_pool_size)

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncGenerator[None]:
        await db.open()
        try:
            yield
        finally:
            await db.close()

    def refused(request: Request[Any, Any, Any], problem: Problem) -> Any:
        from litestar import Response

        return Response({"detail": problem.detail, "code": problem.code}, status_code=problem.status)

    app = Litestar(
        [ready, place_order], lifespan=[running], exception_handlers={Problem: refused}, openapi_config=None
    )
    app.state.db, app.state.settings = db, settings
    return app


def main(port: int) -> None:
    """Serve it as the product is served."""
    from granian.constants import Interfaces
    from granian.server import Server

    Server(
        "fondaco.bench.naive:application",
        factory=True,
        port=port,
        interface=Interfaces.ASGI,
        log_access=False,
        websockets=False,
    ).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))

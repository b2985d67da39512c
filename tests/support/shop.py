"""Builders for tests about buying: a store with a published listing and stock, purchases, the books."""

import os
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.inbox.settle import settle_facts
from fondaco.integrations.stripe_facts import PaymentFacts
from fondaco.orders.actions import give_up, reserve
from fondaco.orders.model import Policy, Purchase, Wish
from tests.support.money import make_buyer

POLICY = Policy(commission_bps=1000, protection_days=3)


@dataclass(frozen=True)
class Shop:
    """A store, its owner as a viewer working in it, and a published listing."""

    seller_id: UUID
    owner: Viewer
    listing_id: UUID
    price: int

    def wish(self, quantity: int = 1, price: int | None = None) -> Wish:
        return Wish(self.listing_id, quantity, self.price if price is None else price)


async def make_shop(db: Database, *, price: int = 1999, stock: int = 0, **listing: object) -> Shop:
    """A store with one published listing and `stock` units in it."""
    seller_id = uuid7()
    name = f"Store {seller_id.hex[-6:]}"
    owner = await make_buyer(db, seller_id=seller_id, seller_role="owner", seller_name=name)
    async with db.transaction(SYSTEM) as conn:
        await conn.execute(
            """INSERT INTO sellers.seller (id, slug, name, support_email, country, state)
               VALUES ($1, $2, $3, 'shop@example.test', 'DE', 'OPEN')""",
            seller_id,
            f"store-{seller_id.hex}",
            name,
        )
        await conn.execute(
            "INSERT INTO identity.membership (user_id, seller_id, role) VALUES ($1, $2, 'owner')",
            owner.user_id,
            seller_id,
        )
    listing_id = await make_listing(db, seller_id, price=price, stock=stock, **listing)
    return Shop(seller_id, owner, listing_id, price)


async def make_listing(
    db: Database,
    seller_id: UUID,
    *,
    price: int = 1999,
    stock: int = 0,
    currency: str = "EUR",
    region: str = "GLOBAL",
    max_per_order: int = 10,
    title: str | None = None,
    state: str = "PUBLISHED",
) -> UUID:
    """A listing with `stock` units (their sealed bytes are not a real secret)."""
    product_id, variant_id, listing_id = uuid7(), uuid7(), uuid7()
    title = title or f"Game {listing_id.hex[-6:]}"
    async with db.transaction(SYSTEM) as conn:
        await conn.execute(
            """INSERT INTO catalog.product (id, slug, title, category, created_by)
               VALUES ($1, $2, $3, 'games', $4)""",
            product_id,
            f"p-{product_id.hex}",
            title,
            seller_id,
        )
        await conn.execute(
            """INSERT INTO catalog.variant (id, product_id, platform, region) VALUES ($1, $2, 'Steam', $3)""",
            variant_id,
            product_id,
            region,
        )
        await conn.execute(
            """INSERT INTO catalog.listing (id, seller_id, variant_id, kind, slug, title, category, platform,
                 region, edition, price, currency, max_per_order, state, activation)
               VALUES ($1, $2, $3, 'stocked_secret', $4, $5, 'games', 'Steam', $6, 'Standard', $7, $8, $9,
                       'DRAFT', 'Open the client and enter the key.')""",
            listing_id,
            seller_id,
            variant_id,
            f"l-{listing_id.hex}",
            title,
            region,
            price,
            currency,
            max_per_order,
        )
        for step in {"DRAFT": (), "PUBLISHED": ("PUBLISHED",), "PAUSED": ("PUBLISHED", "PAUSED")}[state]:
            await conn.execute(
                "UPDATE catalog.listing SET state = $2, published_at = now() WHERE id = $1", listing_id, step
            )
    if stock:
        await add_units(db, listing_id, stock)
    return listing_id


async def add_units(db: Database, listing_id: UUID, n: int) -> list[UUID]:
    """n free units; returns their ids."""
    ids = [uuid4() for _ in range(n)]
    batch_id, key_id = uuid7(), uuid7()
    async with db.transaction(SYSTEM) as conn:
        seller_id = await conn.fetchval("SELECT seller_id FROM catalog.listing WHERE id = $1", listing_id)
        await conn.execute(
            "INSERT INTO vault.data_key (id, purpose, kek, wrapped) VALUES ($1, 'stock', 'none', '\\x00')",
            key_id,
        )
        await conn.execute(
            """INSERT INTO inventory.stock_batch (id, seller_id, listing_id, source, state, created_by)
               VALUES ($1, $2, $3, 'api', 'RECEIVED', 'test')""",
            batch_id,
            seller_id,
            listing_id,
        )
        for state in ("IMPORTING", "CLOSED"):
            await conn.execute(
                "UPDATE inventory.stock_batch SET state = $2, imported = $3, lines = $3 WHERE id = $1",
                batch_id,
                state,
                n,
            )
        await conn.executemany(
            """INSERT INTO inventory.stock_unit (id, seller_id, listing_id, batch_id, state, fingerprint,
                 key_id, sealed) VALUES ($1, $2, $3, $4, 'AVAILABLE', $5, $6, '\\x00')""",
            [(i, seller_id, listing_id, batch_id, os.urandom(32), key_id) for i in ids],
        )
        await conn.execute("UPDATE catalog.listing SET in_stock = true WHERE id = $1", listing_id)
    return ids


def purchase(buyer: Viewer, *wishes: Wish, idem: str | None = None, currency: str = "EUR") -> Purchase:
    """What a buyer asks for, with a key of its own unless one is given."""
    return Purchase(
        buyer_id=buyer.user(),
        country=buyer.country,
        actor=buyer.actor,
        idem=idem or uuid4().hex,
        currency=currency,
        wishes=wishes,
        policy=POLICY,
    )


async def books(db: Database) -> dict[str, int]:
    """Balances per account kind (normal side); raises when the ledger does not sum to zero."""
    rows = await db.fetch(
        SYSTEM, "SELECT kind, sum(amount)::bigint AS amount FROM ledger.account_balance GROUP BY kind"
    )
    wrong = await db.fetch(
        SYSTEM,
        """SELECT journal_id FROM ledger.entry GROUP BY journal_id, currency HAVING sum(amount) <> 0
           UNION ALL SELECT min(journal_id) FROM ledger.entry HAVING sum(amount) <> 0
           UNION ALL SELECT b.account_id FROM ledger.balance b LEFT JOIN (
             SELECT account_id, slot, sum(amount) AS s, count(*) AS n FROM ledger.entry GROUP BY 1, 2) e
             USING (account_id, slot)
             WHERE b.amount <> coalesce(e.s, 0) * b.side OR b.version <> coalesce(e.n, 0)""",
    )
    assert not wrong, "the ledger does not balance"
    return {r["kind"]: r["amount"] for r in rows}


async def stock_of(db: Database, listing_id: UUID) -> dict[str, int]:
    """Units per state."""
    rows = await db.fetch(
        SYSTEM,
        "SELECT state, count(*) AS n FROM inventory.stock_unit WHERE listing_id = $1 GROUP BY state",
        listing_id,
    )
    return {r["state"]: r["n"] for r in rows}


async def whole(db: Database) -> None:
    """Asserts the mirrors: units, entitlements, lines, escrow and journals all tell the same story."""
    faults = await db.fetch(
        SYSTEM,
        """SELECT 'entitlements of line' AS what, l.id::text AS id FROM orders.order_line l
             LEFT JOIN delivery.entitlement e ON e.line_id = l.id AND e.revoked_at IS NULL
             GROUP BY l.id
             HAVING count(e.id) <>
               CASE l.delivery_state WHEN 'DELIVERED' THEN l.quantity - l.taken_back ELSE 0 END
           UNION ALL SELECT 'units of line', l.id::text FROM orders.order_line l
             LEFT JOIN inventory.stock_unit u ON u.line_id = l.id AND u.state = ANY (CASE l.delivery_state
               WHEN 'DELIVERED' THEN ARRAY['SOLD', 'CONSUMED'] WHEN 'RESERVED' THEN ARRAY['RESERVED'] END)
             GROUP BY l.id
             HAVING count(u.id) <>
               CASE WHEN l.delivery_state IN ('DELIVERED', 'RESERVED') THEN l.quantity - l.taken_back
               ELSE 0 END
           UNION ALL SELECT 'unit without line', u.id::text FROM inventory.stock_unit u
             LEFT JOIN orders.order_line l ON l.id = u.line_id
             WHERE u.state IN ('RESERVED', 'SOLD', 'CONSUMED') AND l.id IS NULL
           UNION ALL SELECT 'unit without entitlement', u.id::text FROM inventory.stock_unit u
             LEFT JOIN delivery.entitlement e ON e.unit_id = u.id AND e.line_id = u.line_id
               AND e.back_at IS NULL
             WHERE u.state IN ('SOLD', 'CONSUMED') AND e.id IS NULL
           UNION ALL SELECT 'escrow of line', l.id::text FROM orders.order_line l
             LEFT JOIN ledger.account_balance b ON b.kind = 'escrow' AND b.owner = 'line:' || l.id
             WHERE coalesce(b.amount, 0) <>
               CASE WHEN l.escrow_state IN ('HELD', 'FROZEN') THEN l.total - l.refunded ELSE 0 END
           UNION ALL SELECT 'journal of line', l.id::text FROM orders.order_line l
             LEFT JOIN ledger.journal j ON j.idem IN ('buy:' || l.id, 'credit:' || l.id)
             WHERE (j.id IS NOT NULL) <> (l.delivery_state IN ('DELIVERED', 'REFUNDED'))
           UNION ALL SELECT 'total of order', o.id::text FROM orders.orders o
             JOIN orders.order_line l ON l.order_id = o.id GROUP BY o.id HAVING sum(l.total) <> o.total
           UNION ALL SELECT 'total of group', g.id::text FROM orders.order_group g
             JOIN orders.orders o ON o.group_id = g.id GROUP BY g.id HAVING sum(o.total) <> g.total""",
    )
    assert not faults, [dict(f) for f in faults]
    await books(db)


async def place(
    db: Database, buyer: Viewer, *wishes: Wish, minutes: int = 30, idem: str | None = None
) -> UUID:
    """A card checkout up to the payment page, which is not opened; returns the group's id."""
    bought, _ = await reserve(db, purchase(buyer, *wishes, idem=idem), now() + timedelta(minutes=minutes))
    return bought.group_id


async def pay(db: Database, group_id: UUID, **changes: object) -> str:
    """The card payment of a group arrives, as the gate learns of it; returns the gate's outcome."""
    row = await db.fetchrow(SYSTEM, "SELECT * FROM wallets.funding WHERE group_id = $1", group_id)
    assert row
    values: dict[str, object] = {
        "state": "paid",
        "amount": row["amount"],
        "currency": row["currency"],
        "livemode": False,
        "funding_ref": str(row["id"]),
        "user_ref": str(row["user_id"]),
        "intent_id": f"pi_{row['id'].hex}",
        "session_id": f"cs_{row['id'].hex}",
        "charge_id": f"ch_{row['id'].hex}",
    }
    facts = PaymentFacts(**{**values, **changes})  # type: ignore[arg-type]
    return (await settle_facts(db, facts, livemode=False)).outcome


async def close_payment(db: Database, group_id: UUID, state: str = "EXPIRED") -> None:
    """The group's payment page is closed at the provider."""
    await db.execute(SYSTEM, "UPDATE wallets.funding SET state = $2 WHERE group_id = $1", group_id, state)


async def expire(db: Database, group_id: UUID) -> str:
    """What the sweeper does once the payment page is closed; the group was placed with its time over."""
    await close_payment(db, group_id)
    return await give_up(db, group_id, "EXPIRED", "not paid in time", "system")


async def states(db: Database, group_id: UUID) -> set[tuple[str, str, str]]:
    """(order, delivery, escrow) states of a group's lines."""
    rows = await db.fetch(
        SYSTEM,
        """SELECT o.state, l.delivery_state, l.escrow_state FROM orders.orders o
           JOIN orders.order_line l ON l.order_id = o.id WHERE o.group_id = $1""",
        group_id,
    )
    return {(r["state"], r["delivery_state"], r["escrow_state"]) for r in rows}

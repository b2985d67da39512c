"""The market place the load is put on: a store, listings with stock, buyers with money and sessions.

Ids of buyers and listings count up, so that pgbench can name them. Most stock is copied inside the database:
such units can be bought but not revealed. `import_keys` makes real ones.
"""

import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from fondaco import catalog, inventory, ledger, sellers
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import token as new_token
from fondaco.core.ids import token_hash, uuid7
from fondaco.core.viewer import Viewer
from fondaco.identity import begin_session, create_user
from fondaco.identity.sessions import viewer_of
from fondaco.settings import Settings
from fondaco.vault import Vault

PRICE = 499
CURRENCY = "EUR"
MONEY = 10**9
FIRST = 10**11  # ids end in a number of twelve digits, as the last part of a UUID has
NO_PASSWORD = "-"  # noqa: S105 - nobody signs in with it

_BUYERS = """
WITH made AS (
  INSERT INTO identity.users (id, email, name, password_hash, country, email_verified_at)
  SELECT b.id, 'buyer' || b.n || '@bench.test', 'Buyer ' || b.n, '-', 'DE', now()
  FROM unnest($1::uuid[], $2::int[]) AS b(id, n)
  RETURNING id
)
INSERT INTO identity.sessions (token_hash, id, user_id, expires_at, ip, user_agent)
SELECT t.hash, t.session, t.buyer, $5, '127.0.0.1', 'bench'
FROM unnest($1::uuid[], $3::bytea[], $4::uuid[]) AS t(buyer, hash, session)
"""
_BATCHES = """
INSERT INTO inventory.stock_batch (id, seller_id, listing_id, source, state, created_by, unit_key, lines,
                                   done, imported)
SELECT b.id, l.seller_id, l.id, 'api', 'RECEIVED', 'bench', u.key_id, $3, $3, $3
FROM unnest($1::uuid[], $2::uuid[]) AS b(id, listing_id)
JOIN catalog.listing l ON l.id = b.listing_id
CROSS JOIN (SELECT key_id FROM inventory.stock_unit LIMIT 1) u
"""
_UNITS = """
INSERT INTO inventory.stock_unit (id, seller_id, listing_id, batch_id, state, fingerprint, key_id, sealed)
SELECT gen_random_uuid(), b.seller_id, b.listing_id, b.id, 'AVAILABLE',
       sha256(gen_random_uuid()::text::bytea), u.key_id, u.sealed
FROM inventory.stock_batch b
CROSS JOIN (SELECT key_id, sealed FROM inventory.stock_unit LIMIT 1) u
CROSS JOIN generate_series(1, $2)
WHERE b.id = ANY ($1)
"""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Somebody with money and a signed-in session."""

    id: UUID
    token: str


@dataclass
class Market:
    """Filled step by step; every step may be repeated for more."""

    db: Database
    owner: Any  # an asyncpg.Connection: the driver is not typed
    settings: Settings
    buyers: list[Buyer] = field(default_factory=list[Buyer])
    seller: Viewer = field(default_factory=Viewer)
    seller_token: str = ""
    template: UUID = field(default_factory=uuid7)
    _made: int = 0

    async def open(self, buyers: int) -> None:
        """The store with one published listing (`template`) and one real key in it; then the buyers."""
        async with self.db.transaction(SYSTEM) as conn:
            user = await create_user(
                conn, email="seller@bench.test", password_hash=NO_PASSWORD, name="Bench", verified=True
            )
        assert user
        owner = Viewer(user_id=user, verified=True, email="seller@bench.test")
        await sellers.open_store(
            self.db, owner, name="Bench", country="IT", support_email="seller@bench.test"
        )
        async with self.db.transaction(SYSTEM) as conn:
            self.seller_token, _ = await begin_session(conn, user, "127.0.0.1", "bench")
        self.seller = await viewer_of(self.db, self.seller_token, Viewer())
        self.template = await self._listing()
        await self.import_keys(self.template, 1)
        await self.add_buyers(buyers)

    async def add_buyers(self, wanted: int) -> None:
        """More people who buy, each with money enough."""
        numbers = range(len(self.buyers), len(self.buyers) + wanted)
        tokens = [new_token() for _ in numbers]
        fresh = [Buyer(buyer_id(n), token) for n, token in zip(numbers, tokens, strict=True)]
        await self.owner.execute(
            _BUYERS,
            [b.id for b in fresh],
            list(numbers),
            [token_hash(b.token) for b in fresh],
            [uuid7() for _ in fresh],
            now() + timedelta(days=7),
        )
        for begin in range(0, len(fresh), 200):
            async with self.db.transaction(SYSTEM) as conn:
                for buyer in fresh[begin : begin + 200]:
                    legs = [
                        (ledger.platform("psp_clearing", CURRENCY), MONEY),
                        (ledger.wallet_of(buyer.id, CURRENCY), -MONEY),
                    ]
                    idem, ref = f"topup:bench:{buyer.id}", f"user:{buyer.id}"
                    await ledger.post(conn, "top_up", idem=idem, ref=ref, actor="bench", legs=legs)
        self.buyers += fresh

    async def add_listings(self, wanted: int, kind: str = "stocked_secret") -> list[UUID]:
        """Published listings like the first one, without stock; an article comes with its content."""
        first, self._made = self._made, self._made + wanted
        columns = await self.owner.fetchval(
            """SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
               WHERE attrelid = 'catalog.listing'::regclass AND attnum > 0 AND NOT attisdropped
                 AND attgenerated = ''"""
        )
        ids = [listing_id(n) for n in range(first, self._made)]
        async with self.owner.transaction():
            await self.owner.execute(
                f"""INSERT INTO catalog.listing ({columns}) SELECT {columns} FROM (
                      SELECT (jsonb_populate_record(t, jsonb_build_object('id', n.id,
                        'slug', 'bench-' || n.id, 'state', 'DRAFT', 'kind', $3::text, 'in_stock', false))).*
                      FROM catalog.listing t, unnest($2::uuid[]) AS n(id) WHERE t.id = $1) made""",
                self.template,
                ids,
                kind,
            )
            if kind == "article":
                await self._contents(ids)
            await self.owner.execute(
                "UPDATE catalog.listing SET state = 'PUBLISHED' WHERE id = ANY ($1)", ids
            )
        return ids

    async def stock(self, listings: list[UUID], each: int) -> None:
        """Sees to it that every listing has at least so much free stock, by copies."""
        rows = await self.owner.fetch(
            """SELECT l.id, l.kind, CASE WHEN l.kind = 'article'
                 THEN (SELECT c.on_hand FROM inventory.counted c WHERE c.listing_id = l.id)
                 ELSE (SELECT count(*) FROM inventory.stock_unit u
                       WHERE u.listing_id = l.id AND u.state = 'AVAILABLE') END AS free
               FROM catalog.listing l WHERE l.id = ANY ($1)""",
            listings,
        )
        low = [row for row in rows if row["free"] < each]
        articles = [row["id"] for row in low if row["kind"] == "article"]
        secrets = [row["id"] for row in low if row["kind"] != "article"]
        if articles:
            await self._put_up(articles, each)
        if secrets:
            await self._copy_units(secrets, each)
        if low:
            await self.owner.execute(
                "SELECT inventory.refresh_in_stock(id) FROM unnest($1::uuid[]) AS t(id)", articles + secrets
            )
            await self.owner.execute("VACUUM (ANALYZE) inventory.stock_unit")

    async def _copy_units(self, listings: list[UUID], each: int) -> None:
        batches = [uuid7() for _ in listings]
        async with self.owner.transaction():
            await self.owner.execute(_BATCHES, batches, listings, each)
            for state in ("IMPORTING", "CLOSED"):
                await self.owner.execute(
                    """UPDATE inventory.stock_batch SET state = $2,
                         closed_at = CASE $2 WHEN 'CLOSED' THEN now() END WHERE id = ANY ($1)""",
                    batches,
                    state,
                )
            await self.owner.execute(_UNITS, batches, each)

    async def _contents(self, listings: list[UUID]) -> None:
        """The one thing every buyer of an article gets: here a sealed text nobody opens."""
        await self.owner.execute(
            """INSERT INTO inventory.content (listing_id, version, seller_id, key_id, sealed, created_by)
               SELECT l.id, 1, l.seller_id, u.key_id, u.sealed, 'bench' FROM catalog.listing l
               CROSS JOIN (SELECT key_id, sealed FROM inventory.stock_unit LIMIT 1) u
               WHERE l.id = ANY ($1)""",
            listings,
        )
        await self.owner.execute(
            "UPDATE inventory.counted SET content_version = 1 WHERE listing_id = ANY ($1)", listings
        )

    async def _put_up(self, listings: list[UUID], each: int) -> None:
        async with self.owner.transaction():
            await self.owner.execute(
                """INSERT INTO inventory.put_up (listing_id, seller_id, change, made_by)
                   SELECT listing_id, seller_id, $2, 'bench' FROM inventory.counted
                   WHERE listing_id = ANY ($1)""",
                listings,
                each,
            )
            await self.owner.execute(
                "UPDATE inventory.counted SET on_hand = on_hand + $2 WHERE listing_id = ANY ($1)",
                listings,
                each,
            )

    async def import_keys(self, listing: UUID, keys: int) -> None:
        """Real keys, through the product's own import."""
        vault = Vault(self.settings)
        batch = await inventory.receive(
            self.db, vault, self.seller, listing, source="paste", content=keys_text(keys)
        )
        await inventory.import_batch(self.db, vault, batch.id)

    async def _listing(self) -> UUID:
        made = await catalog.create_listing(
            self.db,
            self.seller,
            title="Popular",
            category="games",
            platform="Steam",
            region="GLOBAL",
            price=PRICE,
            currency=CURRENCY,
            summary="One of many.",
            description="A key.",
            activation="Enter it.",
        )
        await catalog.publish(self.db, self.seller, made.id)
        return made.id


def buyer_id(number: int) -> UUID:
    """The id of the buyer of this number."""
    return UUID(f"00000000-0000-7000-9000-{FIRST + number}")


def listing_id(number: int) -> UUID:
    """The id of the listing of this number."""
    return UUID(f"00000000-0000-7000-a000-{FIRST + number}")


def keys_text(count: int) -> str:
    """So many keys nobody has, one a line."""
    return "\n".join(f"BENCH-{os.urandom(4).hex()}-{os.urandom(4).hex()}".upper() for _ in range(count))

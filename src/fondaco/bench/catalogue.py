"""A big catalogue for measurements: plausible listings by the million, written by a few set-based statements.

Only for throw-away databases: the guard that lets a listing be born as a draft alone is off while it writes,
and the keys of its stocked secrets open nothing.
"""

from typing import Any, cast

import asyncpg

ROWS_AT_ONCE = 100_000
LISTINGS_A_STORE = 500
SECRETS_EVERY = 10  # every tenth listing sells stocked secrets, the others are articles
_WRITTEN = ("sellers.seller", "catalog.product", "catalog.variant", "catalog.listing", "inventory.counted",
            "inventory.stock_batch", "inventory.stock_unit")  # fmt: skip
_TITLES = """(ARRAY['Silent','Amber','Hollow','Crimson','Northern','Gilded','Drowned','Iron','Quiet','Velvet',
    'Broken','Golden','Winter','Salt','Copper','Hidden','Distant','Burning','Pale','Marble','Wandering','Little',
    'Last','Endless','Painted','Frozen','Lunar','Verdant','Paper','Clockwork'])[1 + n % 30] || ' ' ||
  (ARRAY['Harbour','Lantern','Archive','Kingdom','Orchard','Voyage','Arcade','Citadel','Signal','Garden',
    'Meridian','Frontier','Tide','Workshop','Bazaar','Observatory','Ledger','Causeway','Lagoon','Foundry',
    'Caravan','Atlas','Canopy','Echo','Horizon','Carnival','Monsoon','Parade','Refuge','Sanctuary'])
    [1 + (n / 30) % 30] || CASE WHEN n >= 900 THEN ' ' || n / 900 ELSE '' END"""


async def fill(owner_dsn: str, listings: int) -> None:
    """Write this many listings, nine in ten of them on sale and in stock, into an empty catalogue.

    `owner_dsn` is the database's owner; the stores, products, variants and stock they need are made too, one
    store for every 500 listings.
    """
    connection: Any = await cast(Any, asyncpg).connect(owner_dsn)
    try:
        await connection.execute("SET statement_timeout = 0")
        products = max(listings * 4 // 5, 1)
        stores = max(listings // LISTINGS_A_STORE, 1)
        async with connection.transaction():
            await _stores(connection, stores)
            await _products(connection, products)
        for first in range(0, listings, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, listings) - 1
            async with connection.transaction():
                await _listings(connection, first, last, stores, products)
                await _stock(connection, first, last)
        for table in _WRITTEN:
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()


def _id(kind: str, number: str) -> str:
    """An id that both this and the statements after it know."""
    return f"md5('{kind}' || ({number}))::uuid"


async def _stores(connection: Any, stores: int) -> None:
    await _unguarded(
        connection,
        "sellers.seller",
        f"""INSERT INTO sellers.seller (id, slug, name, about, support_email, country, state)
            SELECT {_id("store", "n")}, 'store-' || n, 'Store ' || n, 'Here since ' || 2000 + n % 25 || '.',
              'store' || n || '@bench.test', (ARRAY['IT', 'DE', 'FR', 'ES', 'PL'])[1 + n % 5], 'OPEN'
            FROM generate_series(0, {stores} - 1) n""",
    )


async def _products(connection: Any, products: int) -> None:
    await connection.execute(
        f"""INSERT INTO catalog.product (id, slug, title, category, created_by)
            SELECT {_id("product", "n")}, 'p-' || n, {_TITLES},
              (ARRAY['games', 'games', 'games', 'software', 'gift-cards', 'subscriptions', 'game-credit',
                'learning'])[1 + n % 8], {_id("store", "0")}
            FROM generate_series(0, {products} - 1) n"""
    )
    await connection.execute(
        f"""INSERT INTO catalog.variant (id, product_id, platform, region)
            SELECT {_id("variant", "n")}, {_id("product", "n")},
              (ARRAY['Steam', 'Steam', 'Steam', 'GOG', 'PlayStation', 'Xbox', 'Nintendo', 'Windows',
                'Epic Games'])[1 + n % 9],
              (ARRAY['GLOBAL', 'GLOBAL', 'GLOBAL', 'EU', 'US', 'DE', 'PL'])[1 + n % 7]
            FROM generate_series(0, {products} - 1) n"""
    )


async def _listings(connection: Any, first: int, last: int, stores: int, products: int) -> None:
    # 7919 is prime: neighbours in one column are far apart in the others.
    await _unguarded(
        connection,
        "catalog.listing",
        f"""INSERT INTO catalog.listing (id, seller_id, variant_id, kind, slug, title, summary, description,
              activation, category, platform, region, edition, price, currency, state, in_stock, sold,
              created_at, published_at)
            SELECT {_id("listing", "n")}, {_id("store", f"(n::bigint * 7919) % {stores}")}, v.id,
              CASE WHEN n % {SECRETS_EVERY} = 0 THEN 'stocked_secret' ELSE 'article' END, 'l-' || n, p.title,
              'The full version, ready in your library at once.',
              'A story of ' || p.title || E'.\\n\\n- hours of play\\n- no ads',
              'Open the client and enter the key.', p.category, v.platform, v.region, v.edition,
              99 + (n::bigint * 7919) % 9900, 'EUR', CASE WHEN n % 20 = 7 THEN 'PAUSED' ELSE 'PUBLISHED' END,
              n % 19 <> 3, CASE WHEN n % 3 = 0 THEN (n::bigint * 104729) % 5000 ELSE 0 END,
              timestamptz '2026-01-01' + n * interval '7 seconds',
              timestamptz '2026-01-02' + n * interval '7 seconds'
            FROM generate_series({first}, {last}) n
            JOIN catalog.variant v ON v.id = {_id("variant", f"n % {products}")}
            JOIN catalog.product p ON p.id = v.product_id""",
    )


async def _stock(connection: Any, first: int, last: int) -> None:
    """Copies of the articles; one to twelve units of each stocked secret."""
    await connection.execute(
        f"""UPDATE inventory.counted c SET on_hand = CASE WHEN n % 11 = 5 THEN 4 ELSE 1000 END
            FROM generate_series({first}, {last}) n JOIN catalog.listing l ON l.id = {_id("listing", "n")}
            WHERE l.id = c.listing_id AND l.in_stock"""
    )
    of_these = f"""FROM generate_series({first}, {last}) n
            JOIN catalog.listing l ON l.id = {_id("listing", "n")}
            WHERE l.kind = 'stocked_secret' AND l.in_stock"""
    await connection.execute(
        f"""INSERT INTO vault.data_key (id, purpose, kek, wrapped)
            VALUES ({_id("key", str(first))}, 'stock', 'none', '\\x00')"""
    )
    await _unguarded(
        connection,
        "inventory.stock_batch",
        f"""INSERT INTO inventory.stock_batch
              (id, seller_id, listing_id, source, state, unit_key, created_by)
            SELECT {_id("batch", "n")}, l.seller_id, l.id, 'api', 'CLOSED', {_id("key", str(first))}, 'bench'
            {of_these}""",
    )
    await connection.execute(
        f"""INSERT INTO inventory.stock_unit
              (id, seller_id, listing_id, batch_id, state, fingerprint, key_id, sealed)
            SELECT gen_random_uuid(), b.seller_id, b.listing_id, b.id, 'AVAILABLE',
              sha256((b.id::text || u)::bytea), b.unit_key, '\\x00'
            FROM generate_series({first}, {last}) n
            JOIN inventory.stock_batch b ON b.id = {_id("batch", "n")},
              generate_series(0, (n / {SECRETS_EVERY}) % 12) u"""
    )


async def _unguarded(connection: Any, table: str, insert: str) -> None:
    """The insert without the guard of states: what is made here was not moved there step by step."""
    await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER state_machine")
    await connection.execute(insert)
    await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER state_machine")

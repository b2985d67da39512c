"""Stores to be paid, with everything that led there: what was bought, delivered, released and has matured.

Set-based as in `books`, and whole: `fondaco verify` finds nothing wrong in it.
"""

from typing import Any

from fondaco.bench.books import LEDGER, account, open_accounts, owner_of, write_journals

LINES_A_STORE = 100
LINES_AN_ORDER = 10
PRICE, COMMISSION = 1000, 100
PAID = PRICE - COMMISSION
"""What the store gets of each line, minor units."""
_TABLES = (
    "identity.users", "sellers.seller", "payouts.account", "payouts.payable", "catalog.product",
    "catalog.variant", "catalog.listing", "vault.data_key", "inventory.counted", "inventory.put_up",
    "inventory.content", "orders.order_group", "orders.orders", "orders.order_line", "delivery.entitlement",
    "audit.event",
)  # fmt: skip


def _id(kind: str, number: str) -> str:
    """SQL: the id of this number; ids count up as those of the product do."""
    return f"('00000000-0000-7000-{kind}-' || lpad(({number})::text, 12, '0'))::uuid"


_BUYER, _STORE, _LISTING, _GROUP, _ORDER, _LINE, _GIVEN, _ONE = (
    "8001", "8002", "8003", "8004", "8005", "8006", "8007", "8008"
)  # fmt: skip


async def fill_payable(owner_dsn: str, stores: int) -> None:
    """Open stores with an account that can be paid, each with a hundred matured lines to be paid for."""
    buyers = max(stores // 10, 1)
    async with owner_of(owner_dsn, *_TABLES, *LEDGER) as owner:
        for step in (_people(stores, buyers), _goods(stores), _orders(stores, buyers), _events(stores)):
            for sql in step:
                await owner.execute(sql)
        await _accounts(owner, stores, buyers)
        await _journals(owner, stores, buyers)


def _people(stores: int, buyers: int) -> tuple[str, ...]:
    return (
        f"""INSERT INTO identity.users (id, email, name, password_hash, country)
            SELECT {_id(_BUYER, "n")}, 'buyer' || n || '@bench.test', 'Buyer ' || n, '-', 'DE'
            FROM generate_series(0, {buyers} - 1) n""",
        f"""INSERT INTO sellers.seller (id, slug, name, about, support_email, country, state)
            SELECT {_id(_STORE, "n")}, 'payee-' || n, 'Store ' || n, '', 'store@bench.test', 'DE', 'OPEN'
            FROM generate_series(0, {stores} - 1) n""",
        f"""INSERT INTO payouts.account (id, seller_id, state, provider_id, country, email, payouts_enabled,
              transfers_active)
            SELECT gen_random_uuid(), {_id(_STORE, "n")}, 'ACTIVE', 'acct_bench' || n, 'DE',
              'store@bench.test', true, true FROM generate_series(0, {stores} - 1) n""",
    )


def _goods(stores: int) -> tuple[str, ...]:
    """One article a store, of which a hundred copies were put up and sold."""
    each = f"FROM generate_series(0, {stores} - 1) n"
    one = _id(_ONE, "0")
    return (
        f"""INSERT INTO vault.data_key (id, purpose, kek, wrapped)
            VALUES ({one}, 'stock', 'none', '\\x00')""",
        f"""INSERT INTO catalog.product (id, slug, title, category, created_by)
            VALUES ({one}, 'paid', 'Paid', 'games', {_id(_STORE, "0")})""",
        f"""INSERT INTO catalog.variant (id, product_id, platform, region)
            VALUES ({one}, {one}, 'Steam', 'GLOBAL')""",
        f"""INSERT INTO catalog.listing (id, seller_id, variant_id, kind, slug, title, category, platform,
              region, edition, price, currency, state, sold, published_at)
            SELECT {_id(_LISTING, "n")}, {_id(_STORE, "n")}, {one}, 'article', 'paid-' || n, 'Paid', 'games',
              'Steam', 'GLOBAL', 'Standard', {PRICE}, 'EUR', 'PUBLISHED', {LINES_A_STORE}, now() {each}""",
        f"""INSERT INTO inventory.counted (listing_id, seller_id, sold, content_version)
            SELECT {_id(_LISTING, "n")}, {_id(_STORE, "n")}, {LINES_A_STORE}, 1 {each}""",
        f"""INSERT INTO inventory.put_up (listing_id, seller_id, change, made_by)
            SELECT {_id(_LISTING, "n")}, {_id(_STORE, "n")}, {LINES_A_STORE}, 'bench' {each}""",
        f"""INSERT INTO inventory.content (listing_id, version, seller_id, key_id, sealed, created_by)
            SELECT {_id(_LISTING, "n")}, 1, {_id(_STORE, "n")}, {one}, '\\x00', 'bench' {each}""",
    )


def _orders(stores: int, buyers: int) -> tuple[str, ...]:
    """Orders of ten lines each; a store's lie far apart. Each line is one copy, released and matured."""
    orders = stores * LINES_A_STORE // LINES_AN_ORDER
    each = f"FROM generate_series(0, {orders} - 1) n"
    # o: the order of line n
    o = f"LATERAL (SELECT n / {LINES_AN_ORDER} AS o) t"
    lines = f"FROM generate_series(0, {stores * LINES_A_STORE} - 1) n, {o}"
    total, at = PRICE * LINES_AN_ORDER, "now() - interval '20 days'"
    buyer, store = _id(_BUYER, f"n % {buyers}"), _id(_STORE, f"n % {stores}")
    its_buyer, its_store = _id(_BUYER, f"o % {buyers}"), _id(_STORE, f"o % {stores}")
    listing = _id(_LISTING, f"o % {stores}")
    return (
        f"""INSERT INTO orders.order_group (id, number, buyer_id, idem, fingerprint, funding_policy, total,
              currency, created_at)
            SELECT {_id(_GROUP, "n")}, 'G' || n, {buyer}, 'bench' || n, '\\x00', 'wallet', {total}, 'EUR',
              {at} {each}""",
        f"""INSERT INTO orders.orders (id, number, group_id, buyer_id, seller_id, state, total, currency,
              created_at, paid_at, delivered_at, completed_at)
            SELECT {_id(_ORDER, "n")}, 'O' || n, {_id(_GROUP, "n")}, {buyer}, {store}, 'COMPLETED', {total},
              'EUR', {at}, {at}, {at}, now() {each}""",
        f"""INSERT INTO orders.order_line (id, order_id, buyer_id, seller_id, listing_id, quantity,
              unit_price, total, commission, currency, terms, delivery_state, escrow_state, release_at,
              delivered_at, released_at, matures_at, matured_at)
            SELECT {_id(_LINE, "n")}, {_id(_ORDER, "o")}, {its_buyer}, {its_store}, {listing}, 1, {PRICE},
              {PRICE}, {COMMISSION}, 'EUR', '{{"title": "Paid", "protection_days": 3, "maturity_days": 7}}',
              'DELIVERED', 'RELEASED', {at}, {at}, {at}, {at}, now() {lines}""",
        f"""INSERT INTO delivery.entitlement (id, buyer_id, seller_id, listing_id, order_id, line_id, title,
              platform, region, delivered_at, content_version)
            SELECT {_id(_GIVEN, "n")}, {its_buyer}, {its_store}, {listing}, {_id(_ORDER, "o")},
              {_id(_LINE, "n")}, 'Paid', 'Steam', 'GLOBAL', {at}, 1 {lines}""",
        f"""INSERT INTO payouts.payable (line_id, seller_id, currency, matured_at, net)
            SELECT {_id(_LINE, "n")}, {its_store}, 'EUR', {at} + n * interval '1 second', {PAID} {lines}""",
    )


def _events(stores: int) -> tuple[str, ...]:
    orders = stores * LINES_A_STORE // LINES_AN_ORDER
    return (
        f"""INSERT INTO audit.event (kind, ref, actor, data)
            SELECT k.kind, 'order:' || {_id(_ORDER, "n")}, 'system', '{{}}'
            FROM generate_series(0, {orders} - 1) n,
              (VALUES ('order.delivered'), ('line.released'), ('order.completed')) k(kind)""",
    )


async def _accounts(owner: Any, stores: int, buyers: int) -> None:
    for kind in ("psp_clearing", "commission"):
        await open_accounts(owner, kind, "SELECT 'platform'")
    everyone = f"SELECT 'user:' || {_id(_BUYER, 'n')} FROM generate_series(0, {buyers} - 1) n ORDER BY n"
    await open_accounts(owner, "wallet", everyone)
    for kind in ("seller_pending", "seller_available"):
        all_stores = (
            f"SELECT 'seller:' || {_id(_STORE, 'n')} FROM generate_series(0, {stores} - 1) n ORDER BY n"
        )
        await open_accounts(owner, kind, all_stores)
    lines = stores * LINES_A_STORE
    all_lines = f"SELECT 'line:' || {_id(_LINE, 'n')} FROM generate_series(0, {lines} - 1) n ORDER BY n"
    await open_accounts(owner, "escrow", all_lines)
    await owner.execute("ANALYZE ledger.account")


async def _journals(owner: Any, stores: int, buyers: int) -> None:
    """Money into the wallets; each line paid for and released; each store's money matured."""
    lines = stores * LINES_A_STORE
    firsts = {
        kind: await owner.fetchval("SELECT min(id) FROM ledger.account WHERE kind = $1", kind)
        for kind in ("wallet", "escrow", "seller_pending", "seller_available")
    }
    wallet, escrow, pending, available = firsts.values()
    platform = {kind: account(kind, "'platform'") for kind in ("psp_clearing", "commission")}
    pocket = PRICE * (lines // buyers + LINES_AN_ORDER)
    await write_journals(
        owner,
        f"""SELECT n::bigint AS n, 'top_up' AS kind, 'topup:bench_' || n AS idem, 'bench' AS ref,
              ARRAY[{platform["psp_clearing"]}, {wallet} + n - 1] AS accounts,
              ARRAY[{pocket}, -{pocket}]::bigint[] AS amounts FROM generate_series(1, {buyers}) n""",
    )
    its = f"FROM generate_series(1::bigint, {lines}) n, LATERAL (SELECT (n - 1) / {LINES_AN_ORDER} AS o) t"
    line, order = _id(_LINE, "n - 1"), f"'order:' || {_id(_ORDER, 'o')}"
    await write_journals(
        owner,
        f"""SELECT n, 'purchase' AS kind, 'buy:' || {line} AS idem, {order} AS ref,
              ARRAY[{wallet} + o % {buyers}, {escrow} + n - 1] AS accounts,
              ARRAY[{PRICE}, -{PRICE}]::bigint[] AS amounts {its}""",
    )
    await write_journals(
        owner,
        f"""SELECT n, 'release' AS kind, 'release:' || {line} AS idem, {order} AS ref,
              ARRAY[{platform["commission"]}, {pending} + o % {stores}, {escrow} + n - 1] AS accounts,
              ARRAY[-{COMMISSION}, -{PAID}, {PRICE}]::bigint[] AS amounts {its}""",
    )
    store, net = _id(_STORE, "n - 1"), PAID * LINES_A_STORE
    await write_journals(
        owner,
        f"""SELECT n::bigint AS n, 'mature' AS kind, 'mature:' || {store} AS idem,
              'seller:' || {store} AS ref,
              ARRAY[{pending} + n - 1, {available} + n - 1] AS accounts,
              ARRAY[{net}, -{net}]::bigint[] AS amounts FROM generate_series(1, {stores}) n""",
    )

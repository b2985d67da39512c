"""Big books for measurements, written by a few set-based statements. Only for throw-away databases: guards
are off while it writes; the journals are real ones."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg

BUYER = "00000000-0000-7000-b000-000000000001"
SINCE_DAYS = 20


@asynccontextmanager
async def owner_of(owner_dsn: str, *tables: str) -> AsyncGenerator[Any]:
    """The database's owner; the guards of these tables are off meanwhile."""
    connection: Any = await cast(Any, asyncpg).connect(owner_dsn)
    try:
        await connection.execute("SET statement_timeout = 0")
        for table in tables:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield connection
        for table in tables:
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    finally:
        await connection.close()


async def open_pairs(owner: Any, pairs: int) -> list[list[int]]:
    """So many wallets with 1,000.00 each, and as many accounts to hold some of it; the ids of both."""
    kinds = ("wallet", "user"), ("wallet_hold", "user")
    wallets, holds = [
        await owner.fetchval(
            f"""SELECT ledger.open_accounts('{kind}', array_agg('{who}:' || gen_random_uuid()),
                  array_agg('EUR'::text)) FROM generate_series(1, $1)""",
            pairs,
        )
        for kind, who in kinds
    ]
    await owner.execute(
        """SELECT ledger.post('top_up', 'topup:bench_' || w, 'bench', 'bench',
             ARRAY[(SELECT ledger.open_account('psp_clearing', 'platform', 'EUR')), w],
             ARRAY[100000, -100000])
           FROM unnest($1::bigint[]) w""",
        wallets,
    )
    return [wallets, holds]


async def post_entries(owner: Any, accounts: list[list[int]], rounds: int) -> None:
    """Twice so many journals of two entries for each pair: money held, and let go."""
    wallets, holds = accounts
    for n in range(rounds):
        for kind, sign in (("chargeback_hold", 1), ("chargeback_unhold", -1)):
            await owner.execute(
                """SELECT ledger.post_many($1, array_agg($1 || ':bench:' || $2 || ':' || w ORDER BY n),
                     array_agg('bench'::text ORDER BY n), array_agg('bench'::text ORDER BY n),
                     $4::bigint[] || $5::bigint[],
                     array_fill($3::bigint, ARRAY[count(*)::int])
                       || array_fill(-$3::bigint, ARRAY[count(*)::int]))
                   FROM unnest($4::bigint[]) WITH ORDINALITY t(w, n)""",
                kind,
                str(n),
                sign * 500,
                wallets,
                holds,
            )


async def fill_payable(owner_dsn: str, sellers: int, lines: int) -> None:
    """Open stores with an account that can be paid, and so many released lines payable among them."""
    tables = ("sellers.seller", "payouts.account", "payouts.payable")
    async with owner_of(owner_dsn, *tables) as owner, owner.transaction():
        await owner.execute(
            f"""INSERT INTO sellers.seller (id, slug, name, about, support_email, country, state)
                SELECT md5('payee' || n)::uuid, 'payee-' || n, 'Store ' || n, '', 'store@bench.test', 'DE',
                  'OPEN'
                FROM generate_series(1, {sellers}) n"""
        )
        await owner.execute(
            f"""INSERT INTO payouts.account (id, seller_id, state, provider_id, country, email,
                  payouts_enabled, transfers_active)
                SELECT gen_random_uuid(), md5('payee' || n)::uuid, 'ACTIVE', 'acct_bench' || n, 'DE',
                  'store@bench.test', true, true FROM generate_series(1, {sellers}) n"""
        )
        await owner.execute(
            f"""INSERT INTO payouts.payable (line_id, seller_id, currency, matured_at, net)
                SELECT gen_random_uuid(), md5('payee' || (1 + n % {sellers}))::uuid, 'EUR',
                  now() - n * interval '1 second', 900 FROM generate_series(0, {lines} - 1) n"""
        )
        await owner.execute(
            """SELECT ledger.post('goodwill', 'bench:' || p.seller_id, 'bench', 'bench',
                 ARRAY[ledger.open_account('goodwill', 'platform', 'EUR'),
                       ledger.open_account('seller_available', 'seller:' || p.seller_id, 'EUR')],
                 ARRAY[p.net, -p.net])
               FROM (SELECT seller_id, sum(net)::bigint AS net FROM payouts.payable GROUP BY 1) p"""
        )
        await owner.execute("ANALYZE payouts.payable")


_AMOUNT = "(500 + (n::bigint * 7919) % 20000)"
_FEE = f"(({_AMOUNT} * 29 + 500) / 1000 + 30)"


async def fill_movements(owner_dsn: str, count: int) -> None:
    """The journals of `count` movements that the sandbox generates: charges, their fees, refunds."""
    tables = ("identity.users", "wallets.funding")
    async with owner_of(owner_dsn, *tables) as owner, owner.transaction():
        await owner.execute(
            f"""INSERT INTO identity.users (id, email, name, password_hash, country)
                VALUES ('{BUYER}', 'mover@bench.test', 'Mover', 'none', 'DE')"""
        )
        ids = [
            await owner.fetchval(f"SELECT ledger.open_account('{kind}', '{who}', 'EUR')")
            for kind, who in (
                ("psp_clearing", "platform"),
                ("wallet", f"user:{BUYER}"),
                ("psp_fees", "platform"),
                ("refund_in_flight", "refund:bench"),
            )
        ]
        clearing, wallet, fees, flight = ids
        await owner.execute(
            f"""INSERT INTO wallets.funding (id, user_id, purpose, amount, currency, lines, state, intent_id,
                  charge_id, expires_at, succeeded_at)
                SELECT gen_random_uuid(), '{BUYER}', 'top_up', {_AMOUNT}, 'EUR', '[]', 'SUCCEEDED',
                  'pi_gen' || lpad(n::text, 12, '0'), 'ch_gen' || lpad(n::text, 12, '0'), now(), now()
                FROM generate_series(1, {count}) n WHERE n % 10 <> 0"""
        )
        for kind, key, where, one, other, amount in (
            ("top_up", "topup:pi_gen", "n % 10 <> 0", clearing, wallet, _AMOUNT),
            ("provider_fee", "fee:txn_gen", "n % 10 <> 0", fees, clearing, _FEE),
            ("refund_intent", "rf:re_gen", "n % 10 = 0", wallet, flight, _AMOUNT),
            ("refund_done", "rfok:re_gen", "n % 10 = 0", flight, clearing, _AMOUNT),
        ):
            await owner.execute(
                f"""SELECT count(ledger.post('{kind}', '{key}' || lpad(n::text, 12, '0'), 'bench', 'bench',
                      ARRAY[{one}, {other}]::bigint[], ARRAY[{amount}, -{amount}]))
                    FROM generate_series(1, {count}) n WHERE {where}"""
            )
        await owner.execute("ANALYZE ledger.journal, ledger.entry, wallets.funding")

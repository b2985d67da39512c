"""Big books for measurements, written by a few set-based statements. Only for throw-away databases: guards,
references and plain indexes are away while it writes, and are there again, checked, afterwards. The journals
are what `ledger.post` would have made: `fondaco verify` recomputes each of them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, cast

import asyncpg

BUYER = "00000000-0000-7000-b000-000000000001"
SINCE_DAYS = 20
LEDGER = ("ledger.account", "ledger.balance", "ledger.journal", "ledger.entry")
_AWAY = """
SELECT format('ALTER TABLE %s DISABLE TRIGGER USER', t) AS away, NULL AS back
  FROM unnest($1::text[]) t
UNION ALL
SELECT NULL, format('ALTER TABLE %s ENABLE %s TRIGGER %I', tgrelid::regclass,
    CASE tgenabled WHEN 'A' THEN 'ALWAYS' ELSE '' END, tgname)
  FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY ($1::text[]::regclass[])
UNION ALL
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY ($1::text[]::regclass[])
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
  FROM pg_index i WHERE NOT indisunique AND indrelid = ANY ($1::text[]::regclass[])
"""


@asynccontextmanager
async def owner_of(owner_dsn: str, *tables: str) -> AsyncGenerator[Any]:
    """The database's owner; what guards these tables is away meanwhile."""
    connection: Any = await cast(Any, asyncpg).connect(owner_dsn)
    try:
        await connection.execute("SET statement_timeout = 0; SET work_mem = '256MB'")
        await connection.execute("SET maintenance_work_mem = '256MB'")
        await connection.execute(_BULK)
        steps = await connection.fetch(_AWAY, list(tables))
        for step in steps:
            if step["away"]:
                await connection.execute(step["away"])
        yield connection
        for table in tables:
            await connection.execute(f"ANALYZE {table}")
        for step in steps:
            if step["back"]:
                await connection.execute(step["back"])
    finally:
        await connection.close()


_BULK = resources.files("fondaco.ledger").joinpath("bulk.sql").read_text()


async def write_journals(owner: Any, moves: str) -> None:
    """The journals of a query with the columns n (1, 2, ... without a gap), kind, idem, ref, accounts (in
    order) and amounts; in order of n. Guards of LEDGER must be away, and nobody else may write."""
    async with owner.transaction():
        await owner.execute(f"INSERT INTO pg_temp.move {moves}")
        await owner.execute("ANALYZE pg_temp.move")
        await owner.execute("CALL pg_temp.write_moves()")


async def open_accounts(owner: Any, kind: str, owners: str) -> None:
    """An account in EUR for each owner this query answers (one column), in its order."""
    await owner.execute(f"SELECT pg_temp.open_many('{kind}', ARRAY({owners}))")


def account(kind: str, owner: str) -> str:
    """SQL: the id of an account in EUR; `owner` is SQL too."""
    which = f"a.kind = '{kind}' AND a.owner = {owner} AND a.currency = 'EUR'"
    return f"(SELECT a.id FROM ledger.account a WHERE {which})"


async def open_pairs(owner: Any, pairs: int) -> tuple[int, int]:
    """So many wallets with 1,000.00 each, and as many accounts to hold some of it; the first id of both,
    the others follow."""
    await open_accounts(owner, "psp_clearing", "SELECT 'platform'")
    firsts: list[int] = []
    for kind in ("wallet", "wallet_hold"):
        await open_accounts(
            owner, kind, f"SELECT 'user:' || gen_random_uuid() FROM generate_series(1, {pairs})"
        )
        firsts.append(await owner.fetchval("SELECT min(id) FROM ledger.account WHERE kind = $1", kind))
    await write_journals(
        owner,
        f"""SELECT n::bigint AS n, 'top_up' AS kind, 'topup:bench_' || n AS idem, 'bench' AS ref,
              ARRAY[{account("psp_clearing", "'platform'")}, {firsts[0]} + n - 1] AS accounts,
              ARRAY[100000, -100000]::bigint[] AS amounts FROM generate_series(1, {pairs}) n""",
    )
    return firsts[0], firsts[1]


async def fill_entries(owner_dsn: str, pairs: int, rounds: int) -> None:
    """In each round four entries for each pair of a wallet and what is held of it: held, and let go."""
    async with owner_of(owner_dsn, *LEDGER) as owner:
        wallet, hold = await open_pairs(owner, pairs)
        for first in range(0, rounds, 50):
            await write_journals(
                owner,
                f"""SELECT n::bigint AS n, CASE WHEN even THEN 'chargeback_hold' ELSE 'chargeback_unhold' END
                      AS kind, 'hold:bench_{first}_' || n AS idem, 'bench' AS ref,
                      ARRAY[{wallet} + n % {pairs}, {hold} + n % {pairs}] AS accounts,
                      CASE WHEN even THEN ARRAY[500, -500] ELSE ARRAY[-500, 500] END::bigint[] AS amounts
                    FROM generate_series(1::bigint, {min(50, rounds - first) * 2 * pairs}) n,
                      LATERAL (SELECT (n - 1) / {pairs} % 2 = 0 AS even) e""",
            )


_AMOUNT = "(500 + (n::bigint * 7919) % 20000)"
_FEE = f"(({_AMOUNT} * 29 + 500) / 1000 + 30)"
_NUMBER = "lpad(n::text, 12, '0')"


async def fill_movements(owner_dsn: str, count: int) -> None:
    """The journals of `count` movements that the sandbox generates: charges, their fees, refunds."""
    async with owner_of(owner_dsn, "identity.users", "wallets.funding", *LEDGER) as owner:
        await owner.execute(
            f"""INSERT INTO identity.users (id, email, name, password_hash, country)
                VALUES ('{BUYER}', 'mover@bench.test', 'Mover', 'none', 'DE')"""
        )
        await owner.execute(
            f"""INSERT INTO wallets.funding (id, user_id, purpose, amount, currency, lines, state, intent_id,
                  charge_id, expires_at, succeeded_at)
                SELECT gen_random_uuid(), '{BUYER}', 'top_up', {_AMOUNT}, 'EUR', '[]', 'SUCCEEDED',
                  'pi_gen' || {_NUMBER}, 'ch_gen' || {_NUMBER}, now(), now()
                FROM generate_series(1, {count}) n WHERE n % 10 <> 0"""
        )
        ids: list[int] = []
        for kind, who in (
            ("psp_clearing", "platform"),
            ("wallet", f"user:{BUYER}"),
            ("psp_fees", "platform"),
            ("refund_in_flight", "refund:bench"),
        ):
            await open_accounts(owner, kind, f"SELECT '{who}'")
            ids.append(await owner.fetchval("SELECT id FROM ledger.account WHERE kind = $1", kind))
        clearing, wallet, fees, flight = ids
        await write_journals(
            owner,
            f"""SELECT row_number() OVER (ORDER BY n, k.turn) AS n, k.kind, k.key || {_NUMBER} AS idem,
                  'bench' AS ref, k.accounts, ARRAY[k.amount, -k.amount] AS amounts
                FROM generate_series(1, {count}) n, LATERAL (VALUES
                  (1, n % 10 <> 0, 'top_up', 'topup:pi_gen', ARRAY[{clearing}, {wallet}]::bigint[],
                    {_AMOUNT}),
                  (2, n % 10 <> 0, 'provider_fee', 'fee:txn_gen', ARRAY[{clearing}, {fees}], -{_FEE}),
                  (3, n % 10 = 0, 'refund_intent', 'rf:re_gen', ARRAY[{wallet}, {flight}], {_AMOUNT}),
                  (4, n % 10 = 0, 'refund_done', 'rfok:re_gen', ARRAY[{clearing}, {flight}], -{_AMOUNT}))
                  k(turn, there, kind, key, accounts, amount)
                WHERE k.there""",
        )

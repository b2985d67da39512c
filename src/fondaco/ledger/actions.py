"""The verbs of the ledger: post, and what stands on an account."""

from collections.abc import Sequence

import asyncpg

from fondaco.core.db import Connection, Database
from fondaco.core.money import Money
from fondaco.core.viewer import Viewer
from fondaco.ledger.model import AccountRef, InsufficientFunds, LedgerKeyReused, wallet_of

Leg = tuple[AccountRef, int]

_POST = """
SELECT ledger.post($1, $2, $3, $4,
  ARRAY(SELECT ledger.open_account(kind, owner, currency)
        FROM unnest($5::text[], $6::text[], $7::text[]) WITH ORDINALITY AS t(kind, owner, currency, n)
        ORDER BY n),
  $8::bigint[], $9)
"""


async def post(
    conn: Connection,
    kind: str,
    *,
    idem: str,
    ref: str,
    actor: str,
    legs: Sequence[Leg],
    reverses: int | None = None,
) -> int:
    """Write one journal in the caller's transaction and return its id. Call it last before the commit.

    `legs`: account and minor units, debit above zero, credit below, summing to zero per currency. Accounts
    are opened as needed. The same `idem` with the same content moves nothing and returns the first journal.
    Raises InsufficientFunds when a balance would pass its floor, LedgerKeyReused when `idem` was used for
    other content. A lost race (deadlock, serialisation) is raised as such: `Database.run` tries again.
    """
    refs = [leg[0] for leg in legs]
    try:
        journal_id: int = await conn.fetchval(
            _POST,
            kind,
            idem,
            ref,
            actor,
            [r.kind for r in refs],
            [r.owner for r in refs],
            [r.currency for r in refs],
            [leg[1] for leg in legs],
            reverses,
        )
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "balance_floor":  # type: ignore[attr-defined]
            raise InsufficientFunds() from None
        raise
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "journal_other_content":  # type: ignore[attr-defined]
            raise LedgerKeyReused() from None
        raise
    return journal_id


async def post_alike(
    conn: Connection,
    kind: str,
    *,
    actor: str,
    journals: Sequence[tuple[str, str, int]],
    debit: AccountRef,
    credit: AccountRef,
) -> None:
    """Write several journals between the same two accounts in one statement, in the caller's transaction,
    as `post` would one by one. `journals`: key, reference and minor units of each. What moves slots of hot
    accounts in any order must be the only one of its kind at a time."""
    keys, refs, amounts = (list(column) for column in zip(*journals, strict=True))
    try:
        await conn.execute(
            """SELECT ledger.post($1, t.key, t.ref, $2, a.ids, ARRAY[t.amount, -t.amount])
               FROM (SELECT ARRAY[ledger.open_account($3, $4, $5), ledger.open_account($6, $7, $8)] AS ids
                     OFFSET 0) a,
                 unnest($9::text[], $10::text[], $11::bigint[]) t(key, ref, amount)""",
            kind,
            actor,
            debit.kind,
            debit.owner,
            debit.currency,
            credit.kind,
            credit.owner,
            credit.currency,
            keys,
            refs,
            amounts,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "journal_other_content":  # type: ignore[attr-defined]
            raise LedgerKeyReused() from None
        raise


async def open_account(conn: Connection, ref: AccountRef) -> int:
    """The account's id; opened when it is not there yet."""
    account_id: int = await conn.fetchval(
        "SELECT ledger.open_account($1, $2, $3)", ref.kind, ref.owner, ref.currency
    )
    return account_id


async def balance(conn: Connection, ref: AccountRef) -> int:
    """Minor units on the account's normal side; 0 when it was never used."""
    amount: int = await conn.fetchval(
        """SELECT coalesce(sum(b.amount), 0)::bigint FROM ledger.account a
           JOIN ledger.balance b ON b.account_id = a.id
           WHERE a.kind = $1 AND a.owner = $2 AND a.currency = $3""",
        ref.kind,
        ref.owner,
        ref.currency,
    )
    return amount


async def wallet_balance(db: Database, viewer: Viewer, currency: str) -> Money:
    """What the signed-in user can spend."""
    async with db.transaction(viewer.as_user) as conn:
        return Money(await balance(conn, wallet_of(viewer.user(), currency)), currency)

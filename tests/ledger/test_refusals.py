"""Everything PostgreSQL must refuse, tried with plain SQL as the application and as the tables' owner."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from fondaco.core.db import Database
from fondaco.embedded import Endpoints
from fondaco.ledger import verify
from tests.support.bouncer import direct_dsn
from tests.support.money import give_money, make_buyer

TABLES = ("ledger.journal", "ledger.entry", "ledger.balance")


class Book:
    """A small book: one wallet with 10.00, the provider's account, one escrow with 4.00 of it."""

    def __init__(self, app: asyncpg.Connection, wallet: int, psp: int, escrow: int, dollars: int) -> None:
        self.app, self.wallet, self.psp, self.escrow, self.dollars = app, wallet, psp, escrow, dollars

    async def post(
        self,
        kind: str,
        key: str,
        accounts: list[int],
        amounts: list[int],
        reverses: int | None = None,
        ref: str = "r",
    ) -> int:
        found: int = await self.app.fetchval(
            "SELECT ledger.post($1, $2, $3, 'test', $4, $5, $6)", kind, key, ref, accounts, amounts, reverses
        )
        return found


@pytest.fixture
async def book(db: Database, endpoints: Endpoints) -> AsyncIterator[Book]:
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 1000)
    app = await asyncpg.connect(direct_dsn(endpoints))

    async def account(kind: str, owner: str, currency: str = "EUR") -> int:
        return await app.fetchval("SELECT ledger.open_account($1, $2, $3)", kind, owner, currency)

    made = Book(
        app,
        wallet=await account("wallet", f"user:{buyer.user()}"),
        psp=await account("psp_clearing", "platform"),
        escrow=await account("escrow", "line:1"),
        dollars=await account("escrow", "line:2", "USD"),
    )
    await made.post("purchase", "buy:1", [made.wallet, made.escrow], [400, -400])
    try:
        yield made
    finally:
        await app.close()


async def refused(connection: asyncpg.Connection, sql: str, *args: object) -> asyncpg.PostgresError:
    with pytest.raises(asyncpg.PostgresError) as caught:
        async with connection.transaction():
            await connection.execute(sql, *args)
    return caught.value


WRITES = [
    "UPDATE {table} SET ctid = ctid",
    "DELETE FROM {table}",
    "TRUNCATE {table} CASCADE",
    "INSERT INTO {table} DEFAULT VALUES",
    "COPY {table} FROM PROGRAM 'true'",
]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("write", WRITES)
async def test_the_application_writes_no_table_itself(book: Book, table: str, write: str) -> None:
    column = {"ledger.journal": "actor", "ledger.entry": "amount", "ledger.balance": "amount"}[table]
    error = await refused(book.app, write.format(table=table).replace("ctid = ctid", f"{column} = {column}"))
    assert isinstance(error, asyncpg.InsufficientPrivilegeError)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger.journal SET actor = 'x'",
        "UPDATE ledger.journal SET kind = kind WHERE false",
        "DELETE FROM ledger.journal",
        "TRUNCATE ledger.journal CASCADE",
        "UPDATE ledger.entry SET amount = amount + 1",
        "DELETE FROM ledger.entry WHERE version = 1",
        "TRUNCATE ledger.entry",
        "DELETE FROM ledger.balance",
        "TRUNCATE ledger.balance",
        "DELETE FROM ledger.account",
        "UPDATE ledger.account SET owner = 'user:me' WHERE kind = 'escrow'",
        "UPDATE ledger.account SET currency = 'USD'",
        "UPDATE ledger.balance SET amount = amount + 100",
        "UPDATE ledger.balance SET amount = amount + 100, version = version + 1",
        "UPDATE ledger.balance SET version = version + 1",
        "UPDATE ledger.balance SET floor = NULL WHERE floor IS NOT NULL",
        "UPDATE ledger.balance SET side = -side",
        "INSERT INTO ledger.balance (account_id, slot, currency, side, floor, amount) "
        "SELECT id, 7, currency, -1, 0, 500 FROM ledger.account LIMIT 1",
        "INSERT INTO ledger.journal (kind, idem, fingerprint, ref, actor) "
        "VALUES ('top_up', 'x', '', 'r', 'a')",
        "INSERT INTO ledger.journal (kind, idem, fingerprint, ref, actor) "
        "VALUES ('reversal', 'x', '', 'r', 'a')",
        "INSERT INTO ledger.entry SELECT account_id, slot, version + 1, journal_id, currency, amount, "
        "balance_after, hash FROM ledger.entry",
    ],
)
async def test_the_owner_is_refused_too(
    book: Book, owner: asyncpg.Connection, db: Database, sql: str
) -> None:
    error = await refused(owner, sql)
    assert isinstance(error, asyncpg.IntegrityConstraintViolationError | asyncpg.CheckViolationError)
    assert await verify(db) == []


async def test_the_owner_cannot_switch_the_guards_off_by_replica_role(
    book: Book, owner: asyncpg.Connection
) -> None:
    error = await refused(owner, "SET session_replication_role = replica")
    assert isinstance(error, asyncpg.InsufficientPrivilegeError)


async def test_even_a_superuser_in_replica_role_is_refused(book: Book, endpoints: Endpoints) -> None:
    admin = await asyncpg.connect(endpoints.admin_dsn)
    try:
        await admin.execute("SET session_replication_role = replica")
        for sql in (
            "UPDATE ledger.entry SET amount = amount + 1",
            "DELETE FROM ledger.journal",
            "UPDATE ledger.balance SET amount = amount + 1",
            "DELETE FROM ledger.balance",
        ):
            error = await refused(admin, sql)
            assert isinstance(error, asyncpg.IntegrityConstraintViolationError)
    finally:
        await admin.close()


async def test_a_made_up_move_needs_its_entry_and_the_entry_its_amount(
    book: Book, owner: asyncpg.Connection
) -> None:
    """The owner writes a whole journal by hand, with amounts that do not fit the balance."""
    move = """
        WITH j AS (INSERT INTO ledger.journal (kind, idem, fingerprint, ref, actor)
                   VALUES ('purchase', 'made-up', '\\x00', 'r', 'a') RETURNING id),
        b AS (UPDATE ledger.balance SET amount = amount + 1000, version = version + 1
              WHERE account_id = $1 RETURNING *)
        INSERT INTO ledger.entry
        SELECT b.account_id, b.slot, b.version, j.id, b.currency, -1, b.amount, b.chain FROM j, b"""
    error = await refused(owner, move, book.escrow)
    assert isinstance(error, asyncpg.CheckViolationError | asyncpg.RaiseError)
    assert await book.app.fetchval("SELECT count(*) FROM ledger.journal WHERE idem = 'made-up'") == 0


async def test_nobody_adds_a_line_to_a_closed_journal(book: Book, owner: asyncpg.Connection) -> None:
    journal = await owner.fetchval("SELECT id FROM ledger.journal WHERE idem = 'buy:1'")
    error = await refused(
        owner,
        "INSERT INTO ledger.entry VALUES ($1, 0, 99, $2, 'EUR', 5, 5, '\\x00')",
        book.escrow,
        journal,
    )
    assert getattr(error, "constraint_name", None) == "journal_closed"


async def test_an_overdraft_is_refused_by_name(book: Book) -> None:
    error = await refused(
        book.app,
        "SELECT ledger.post('purchase', 'buy:2', 'r', 'a', $1, $2)",
        [book.wallet, book.escrow],
        [601, -601],
    )
    assert getattr(error, "constraint_name", None) == "balance_floor"
    await book.post("purchase", "buy:3", [book.wallet, book.escrow], [600, -600])


async def test_an_escrow_is_released_once(book: Book) -> None:
    pending = await book.app.fetchval("SELECT ledger.open_account('seller_pending', 'seller:1', 'EUR')")
    await book.post("release", "release:1", [book.escrow, pending], [400, -400])
    again = await book.post("release", "release:1", [book.escrow, pending], [400, -400])
    error = await refused(
        book.app,
        "SELECT ledger.post('release', 'release:other', 'r', 'a', $1, $2)",
        [book.escrow, pending],
        [1, -1],
    )
    assert getattr(error, "constraint_name", None) == "balance_floor"
    assert again == await book.app.fetchval("SELECT id FROM ledger.journal WHERE idem = 'release:1'")


@pytest.mark.parametrize(
    ("accounts", "amounts", "constraint"),
    [
        (("wallet", "escrow"), (100, -99), "journal_balanced"),
        (("wallet", "escrow"), (0, 0), "journal_balanced"),
        (("wallet", "wallet"), (50, -50), "journal_balanced"),
        (("wallet", "dollars"), (100, -100), "journal_balanced"),
    ],
)
async def test_unbalanced_empty_and_mixed_journals_are_refused(
    book: Book, accounts: tuple[str, str], amounts: tuple[int, int], constraint: str
) -> None:
    error = await refused(
        book.app,
        "SELECT ledger.post('purchase', 'k', 'r', 'a', $1, $2)",
        [getattr(book, a) for a in accounts],
        list(amounts),
    )
    assert getattr(error, "constraint_name", None) == constraint


@pytest.mark.parametrize(
    ("kind", "accounts", "amounts"),
    [
        ("top_up", ("wallet", "escrow"), (100, -100)),  # may not touch an escrow
        ("purchase", ("escrow", "wallet"), (100, -100)),  # the wrong way round
        ("release", ("wallet", "escrow"), (100, -100)),
        ("gift", ("wallet", "escrow"), (100, -100)),  # no such kind
        ("suspense", ("psp", "wallet"), (100, -100)),
    ],
)
async def test_a_journal_moves_only_what_its_kind_may(
    book: Book, kind: str, accounts: tuple[str, str], amounts: tuple[int, int]
) -> None:
    error = await refused(
        book.app,
        "SELECT ledger.post($1, 'k', 'r', 'a', $2, $3)",
        kind,
        [getattr(book, a) for a in accounts],
        list(amounts),
    )
    assert isinstance(error, asyncpg.InsufficientPrivilegeError)


async def test_a_frozen_account_does_not_move(book: Book, owner: asyncpg.Connection) -> None:
    await owner.execute("UPDATE ledger.account SET frozen = true WHERE id = $1", book.wallet)
    error = await refused(
        book.app,
        "SELECT ledger.post('purchase', 'k', 'r', 'a', $1, $2)",
        [book.wallet, book.escrow],
        [100, -100],
    )
    assert isinstance(error, asyncpg.InsufficientPrivilegeError)


async def test_a_key_works_once_and_for_one_content(book: Book) -> None:
    first = await book.app.fetchval("SELECT id FROM ledger.journal WHERE idem = 'buy:1'")
    assert await book.post("purchase", "buy:1", [book.wallet, book.escrow], [400, -400]) == first
    assert await book.post("purchase", "buy:1", [book.escrow, book.wallet], [-400, 400]) == first
    for kind, ref, amounts in (
        ("purchase", "r", [401, -401]),
        ("purchase", "other", [400, -400]),
        ("release", "r", [400, -400]),
    ):
        error = await refused(
            book.app,
            "SELECT ledger.post($1, 'buy:1', $2, 'a', $3, $4)",
            kind,
            ref,
            [book.wallet, book.escrow],
            amounts,
        )
        assert getattr(error, "constraint_name", None) == "journal_other_content"
    assert (
        await book.app.fetchval("SELECT amount FROM ledger.balance WHERE account_id = $1", book.escrow) == 400
    )


@pytest.mark.parametrize(
    ("accounts", "amounts"),
    [([], []), ([1], [1]), ([1, 2], [1]), ([1, 2, 3], [1, -1]), ([987654321, 987654322], [1, -1])],
)
async def test_the_verb_is_not_misused(book: Book, accounts: list[int], amounts: list[int]) -> None:
    error = await refused(
        book.app, "SELECT ledger.post('purchase', 'k', 'r', 'a', $1, $2)", accounts, amounts
    )
    assert isinstance(error, asyncpg.InvalidParameterValueError)


async def test_amounts_beyond_64_bits_are_refused(book: Book) -> None:
    error = await refused(
        book.app,
        "SELECT ledger.post('purchase', 'k', 'r', 'a', $1, $2)",
        [book.wallet, book.wallet, book.escrow, book.escrow],
        [2**63 - 1, 2**63 - 1, -(2**63 - 1), -(2**63 - 1)],
    )
    assert isinstance(error, asyncpg.NumericValueOutOfRangeError)


@pytest.mark.parametrize(
    ("kind", "currency"),
    [("no_such_kind", "EUR"), ("wallet", "eur"), ("wallet", "EURO"), ("wallet", "€")],
)
async def test_no_account_outside_the_chart(book: Book, kind: str, currency: str) -> None:
    await refused(book.app, "SELECT ledger.open_account($1, 'user:1', $2)", kind, currency)


async def test_a_reversal_is_the_exact_mirror_and_happens_once(book: Book, db: Database) -> None:
    top_up = await book.app.fetchval("SELECT id FROM ledger.journal WHERE kind = 'top_up'")
    pairs = await book.app.fetch("SELECT account_id, amount FROM ledger.entry WHERE journal_id = $1", top_up)
    accounts, amounts = [p["account_id"] for p in pairs], [p["amount"] for p in pairs]
    half = [a // 2 for a in amounts]
    sql = "SELECT ledger.post('reversal', $1, 'r', 'a', $2, $3, $4)"
    error = await refused(book.app, sql, "rev:half", accounts, [-a for a in half], top_up)
    assert getattr(error, "constraint_name", None) == "journal_mirror"
    error = await refused(book.app, sql, "rev:none", accounts, [-a for a in half], None)
    assert isinstance(error, asyncpg.CheckViolationError)
    await give_money(db, (await make_buyer(db)).user(), 1)
    error = await refused(book.app, sql, "rev:spent", accounts, [-a for a in amounts], top_up)
    assert getattr(error, "constraint_name", None) == "balance_floor"  # 4.00 of it are spent


async def test_the_functions_inside_are_nobodys_business(book: Book) -> None:
    for name in ("check_entries", "check_move", "check_balance", "check_journal", "check_account"):
        error = await refused(book.app, f"SELECT ledger.{name}()")
        assert isinstance(error, asyncpg.PostgresError)
    error = await refused(book.app, "CREATE FUNCTION ledger.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert isinstance(error, asyncpg.InsufficientPrivilegeError)
    error = await refused(book.app, "ALTER TABLE ledger.entry DISABLE TRIGGER ALL")
    assert isinstance(error, asyncpg.InsufficientPrivilegeError)


async def test_no_table_of_ones_own_can_stand_in(book: Book) -> None:
    """Without temporary tables and other schemas nothing can take a ledger table's place by its name."""
    for sql in (
        "CREATE TEMP TABLE posting_rule (journal_kind text, account_kind text, sign int)",
        "CREATE TABLE public.posting_rule (journal_kind text)",
        "CREATE SCHEMA mine",
    ):
        assert isinstance(await refused(book.app, sql), asyncpg.InsufficientPrivilegeError)

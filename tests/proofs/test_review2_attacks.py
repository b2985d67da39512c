"""What the application's role and the owner may not do to the newest tables and functions."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from fondaco.core.clock import now
from fondaco.core.db import PUBLIC, SYSTEM, Database, Scope
from fondaco.core.gather import Gather
from fondaco.core.viewer import Viewer
from fondaco.embedded import Endpoints
from fondaco.ledger import verify
from fondaco.orders.actions import reserve
from fondaco.orders.model import Wish
from fondaco.vault import Vault
from tests.conftest import make_settings
from tests.support.goods import make_article
from tests.support.money import give_money, make_buyer
from tests.support.shop import make_shop, purchase

REFUSED = (
    "UPDATE inventory.counted SET on_hand = 99",
    "UPDATE inventory.counted SET sold = 0",
    "DELETE FROM inventory.counted",
    "DELETE FROM inventory.hold",
    "UPDATE inventory.hold SET quantity = 1",
    "INSERT INTO inventory.put_up (listing_id, seller_id, change, made_by) "
    "SELECT listing_id, seller_id, 1, 'x' FROM inventory.counted",
    "DELETE FROM inventory.content",
    "UPDATE catalog.epoch SET n = 1",
    "DELETE FROM catalog.epoch",
    "SELECT ledger.post_many('purchase', '{a}', '{a}', '{a}', '{1,2}', '{1,-1}')",
    "SELECT ledger.open_accounts('wallet', '{a}', '{EUR}')",
    "SELECT audit.record_many('order.paid', '{a}', '{a}', ARRAY['{}'::jsonb])",
    "SELECT inventory.find_units('{}', '{}')",
    "SELECT inventory.find_copies('{}', '{}')",
    "SELECT inventory.settle_holds('{}', true)",
    "SELECT orders.look('[]', 'wallet', '{}')",
    "SELECT orders.hand_over('{}', '{}', 'wallet', false)",
    "SELECT orders.write_down('{}', 'wallet')",
    "SELECT orders.deal_out(NULL, '{}', '{}', NULL)",
    "SELECT orders.buy_all('[]', 'wallet', '{}')",
    "SELECT orders.note_empty('{}')",
    "UPDATE core.edge SET target = 'DELIVERED'",
)


async def test_the_application_is_refused_what_is_not_its_own(db: Database, endpoints: Endpoints) -> None:
    shop = await make_shop(db, price=500, stock=1)
    await make_article(db, Vault(make_settings(endpoints)), shop.owner)
    for sql in REFUSED:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(SYSTEM, sql)


async def test_stores_and_visitors_do_not_see_each_others_articles(
    db: Database, endpoints: Endpoints
) -> None:
    one, other, buyer = await make_shop(db), await make_shop(db), await make_buyer(db)
    article = await make_article(db, Vault(make_settings(endpoints)), one.owner, price=500)
    await reserve(db, purchase(buyer, Wish(article.id, 1, 500)), now())
    for name in ("counted", "hold", "put_up", "content"):
        sql = f"SELECT count(*) FROM inventory.{name}"
        for scope in (PUBLIC, buyer.as_user, Viewer(seller_id=other.seller_id).as_seller):
            assert await db.fetchval(scope, sql) == 0, name
        assert await db.fetchval(Scope("seller", seller=one.seller_id), sql) == 1, name
    for scope in (PUBLIC, Scope("seller", seller=other.seller_id)):
        assert await db.fetchval(scope, "SELECT inventory.set_copies($1, 5, 2, 'x')", article.id) is None
        for table in ("run", "fault"):
            assert await db.fetchval(scope, f"SELECT count(*) FROM checks.{table}") == 0


REFUSALS = (asyncpg.IntegrityConstraintViolationError, asyncpg.InsufficientPrivilegeError)


async def _cannot(owner: asyncpg.Connection, *steps: str) -> None:
    with pytest.raises(REFUSALS):
        await _in_one_transaction(owner, *steps)


async def _in_one_transaction(owner: asyncpg.Connection, *steps: str) -> None:
    async with owner.transaction():
        for sql in steps:
            await owner.execute(sql)


MOVE = "UPDATE ledger.balance SET amount = amount + 1, version = version + 1 WHERE account_id = {}"
ENTRY = (
    "INSERT INTO ledger.entry (account_id, slot, version, journal_id, currency, amount, balance_after, hash) "
    "SELECT account_id, slot, version + {}, (SELECT max(id) FROM ledger.journal), currency, {}, amount, "
    "chain FROM ledger.balance WHERE account_id = {}"
)
JOURNAL = (
    "INSERT INTO ledger.journal (kind, idem, fingerprint, ref, actor) VALUES ('top_up', 'forged', '', '', '')"
)


async def test_the_owner_cannot_forge_money_either(db: Database, owner: asyncpg.Connection) -> None:
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 1000)
    wallet = await owner.fetchval("SELECT id FROM ledger.account WHERE kind = 'wallet'")
    before = await owner.fetch("SELECT * FROM ledger.balance ORDER BY 1, 2")
    await _cannot(owner, JOURNAL)  # a journal without entries
    await _cannot(owner, MOVE.format(wallet))  # a move without its entry
    await _cannot(owner, JOURNAL, ENTRY.format(0, -1, wallet))  # an entry that is none of a move
    await _cannot(owner, JOURNAL, ENTRY.format(1, -1, wallet))
    await _cannot(owner, ENTRY.format(0, -1, wallet))  # in a journal that is closed
    # Two moves of one balance, and entries for both in one statement, and in two.
    both = f"{ENTRY.format(-1, -1, wallet)} UNION ALL {ENTRY.format(0, -1, wallet).partition(') ')[2]}"
    await _cannot(owner, JOURNAL, MOVE.format(wallet), MOVE.format(wallet), both)
    await _cannot(
        owner,
        JOURNAL,
        MOVE.format(wallet),
        MOVE.format(wallet),
        ENTRY.format(-1, -1, wallet),
        ENTRY.format(0, -1, wallet),
    )
    # One side only, its entry in order.
    await _cannot(owner, JOURNAL, MOVE.format(wallet), ENTRY.format(0, -1, wallet))
    twice = MOVE.format(wallet).replace(" WHERE", " FROM generate_series(1, 2) WHERE")
    await _cannot(owner, JOURNAL, twice, ENTRY.format(0, -2, wallet))
    assert await owner.fetch("SELECT * FROM ledger.balance ORDER BY 1, 2") == before
    assert await verify(db) == []


async def test_an_answer_too_few_leaves_nobody_waiting() -> None:
    """Who asks together is answered or told, also when the answers are not as many as the questions."""

    async def forgetful(keys: Sequence[int]) -> list[int]:
        return list(keys[:-1])

    gather: Gather[int, int] = Gather(forgetful)
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(gather.get(n) for n in range(3)), return_exceptions=True)
    assert all(isinstance(answer, ValueError) for answer in found)

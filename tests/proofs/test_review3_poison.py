"""What the clock brings, with some things among it that can never be done: the others are, all the same."""

from collections.abc import Iterator

import asyncpg
import pytest

from fondaco import inbox, wallets
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import refund_in_flight_of, seller_pending_of, wallet_of
from fondaco.ledger.model import AccountRef
from fondaco.orders.combiner import Combiner
from fondaco.orders.jobs import expire_orders, release_due
from fondaco.wallets import Funding, Refund
from tests.conftest import make_settings
from tests.support.money import Till, amount_on, give_money, make_buyer
from tests.support.sandbox import RunningSandbox, run_sandbox
from tests.support.shop import make_shop, place, purchase, states

AGO = "now() - interval '30 minutes'"
FREEZE = "UPDATE ledger.account SET frozen = $4 WHERE (kind, owner, currency) = ($1, $2, $3)"


@pytest.fixture(scope="session")
def poison_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def till(poison_sandbox: RunningSandbox, db: Database, endpoints: Endpoints) -> Till:
    poison_sandbox.reset()
    settings = make_settings(endpoints, stripe_api_base=poison_sandbox.url)
    return Till(db, settings, StripeGateway(settings), poison_sandbox)


async def freeze(owner: asyncpg.Connection, account: AccountRef, *, frozen: bool = True) -> None:
    """No journal may move this account."""
    done = await owner.execute(FREEZE, account.kind, account.owner, account.currency, frozen)
    assert done == "UPDATE 1"


async def test_a_payment_that_cannot_be_settled_holds_up_no_other(
    till: Till, owner: asyncpg.Connection
) -> None:
    buyers = [await make_buyer(till.db) for _ in range(6)]
    for buyer in buyers:
        await till.paid_top_up(buyer, 500)
        funding = await till.top_up(buyer, 700)
        till.sandbox.pay(funding.session_id or "")
    bad = [wallet_of(buyer.user(), "EUR") for buyer in buyers[::2]]
    for wallet in bad:
        await freeze(owner, wallet)
    await till.db.execute(SYSTEM, f"UPDATE wallets.funding SET created_at = {AGO}, checked_at = NULL")
    assert await inbox.sweep_fundings(till.db, till.gateway, till.settings) == 6
    assert [await till.wallet(buyer) for buyer in buyers] == [500, 1200] * 3
    for wallet in bad:
        await freeze(owner, wallet, frozen=False)
    await till.db.execute(SYSTEM, f"UPDATE wallets.funding SET checked_at = {AGO}")
    await inbox.sweep_fundings(till.db, till.gateway, till.settings)
    assert [await till.wallet(buyer) for buyer in buyers] == [1200] * 6
    await till.work()
    await till.whole()


async def refund_unheard(till: Till) -> tuple[Funding, Refund]:
    """A refund that the provider made, whose answer was lost."""
    funding = await till.paid_top_up(await make_buyer(till.db), 500)

    async def work(conn: Connection) -> None:
        await wallets.request_refund(conn, funding.id, 500, reason="test", actor="system")

    await till.db.run(SYSTEM, work)
    [refund] = await wallets.refunds_of(till.db, SYSTEM, funding.id)
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/refunds"})
    await wallets.send_refund(till.db, till.impatient, refund.id)
    return funding, refund


async def test_a_refund_that_cannot_be_noted_holds_up_no_other(till: Till, owner: asyncpg.Connection) -> None:
    made = [await refund_unheard(till) for _ in range(4)]
    bad = [refund_in_flight_of(refund.id, "EUR") for _, refund in made[::2]]
    for account in bad:
        await freeze(owner, account)
    assert await wallets.sweep_refunds(till.db, till.gateway) == 4

    async def seen() -> list[str]:
        return [(await wallets.refunds_of(till.db, SYSTEM, funding.id))[0].state for funding, _ in made]

    assert await seen() == ["UNKNOWN", "SUCCEEDED"] * 2
    for account in bad:
        await freeze(owner, account, frozen=False)
    assert await wallets.sweep_refunds(till.db, till.gateway) == 2
    assert await seen() == ["SUCCEEDED"] * 4
    await till.work()
    await till.whole()


async def test_an_order_that_cannot_expire_holds_up_no_other(till: Till, owner: asyncpg.Connection) -> None:
    shop = await make_shop(till.db, stock=3)
    groups = [await place(till.db, await make_buyer(till.db), shop.wish(), minutes=-n) for n in (3, 2, 1)]
    await owner.execute(
        f"""CREATE TRIGGER stuck BEFORE UPDATE ON orders.orders FOR EACH ROW
            WHEN (OLD.group_id = '{groups[0]}') EXECUTE FUNCTION core.deny()"""
    )
    await till.db.execute(SYSTEM, "UPDATE wallets.funding SET state = 'EXPIRED' WHERE state = 'CREATED'")
    await expire_orders(till.parts)
    found = [(await states(till.db, group)).pop()[0] for group in groups]
    assert found == ["PENDING_PAYMENT", "EXPIRED", "EXPIRED"]
    await owner.execute("DROP TRIGGER stuck ON orders.orders")
    await expire_orders(till.parts)
    assert (await states(till.db, groups[0])).pop()[0] == "EXPIRED"


async def test_a_seller_whose_account_is_frozen_holds_up_no_other(
    db: Database, parts: Parts, owner: asyncpg.Connection
) -> None:
    shops = [await make_shop(db, price=1000, stock=2) for _ in range(3)]
    pending = [seller_pending_of(shop.seller_id, "EUR") for shop in shops]
    combiner = Combiner(db)
    for shop, account in zip(shops, pending, strict=True):
        buyer = await make_buyer(db)
        await give_money(db, buyer.user(), 1000)
        await combiner.buy(purchase(buyer, shop.wish()))
        async with db.transaction(SYSTEM) as conn:
            await conn.execute(
                "SELECT ledger.open_account($1, $2, $3)", account.kind, account.owner, account.currency
            )
    await freeze(owner, pending[0])
    await freeze(owner, pending[2])
    await owner.execute(f"UPDATE orders.order_line SET release_at = {AGO}")
    await release_due(parts)
    assert [await amount_on(db, account) for account in pending] == [0, 900, 0]
    await freeze(owner, pending[0], frozen=False)
    await freeze(owner, pending[2], frozen=False)
    await release_due(parts)
    assert [await amount_on(db, account) for account in pending] == [900] * 3

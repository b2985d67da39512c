"""A marketplace that ran on the first version is migrated in the midst of things and goes on."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from fondaco import checks
from fondaco.core import migrate as migrations
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.viewer import Viewer
from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import CheckoutLine
from fondaco.orders.actions import give_up
from fondaco.orders.as_bought import as_bought
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import Wish
from fondaco.vault import Vault
from fondaco.wallets import fundings
from tests.conftest import make_settings
from tests.support.goods import make_article
from tests.support.money import give_money, make_buyer
from tests.support.postgres import Databases
from tests.support.shop import (
    books,
    close_payment,
    expire,
    make_listing,
    make_shop,
    pay,
    place,
    purchase,
    states,
    stock_of,
)


def _to_first(owner_dsn: str) -> None:
    """An empty database brought to revision 0001 only."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(owner_dsn), poolclass=NullPool
    )
    config = migrations._config()  # pyright: ignore[reportPrivateUsage]
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()


@pytest.fixture
async def old(databases: Databases) -> AsyncIterator[tuple[Endpoints, Database]]:
    name = "review2_first"
    endpoints = databases.cluster.create_database(name)
    _to_first(endpoints.owner_dsn)
    db = await Database(endpoints.app_dsn, size=4).open()
    try:
        yield endpoints, db
    finally:
        await db.close()
        databases.cluster.drop_database(name)


async def written_then(
    conn: Connection,
    viewer: Viewer,
    funding_id: UUID,
    *,
    amount: int,
    currency: str,
    expires_at: datetime,
    lines: Sequence[CheckoutLine],
    group_id: UUID | None = None,
    route: None = None,
) -> None:
    """A payment's row as the first version wrote it: no payment went to a seller's own account."""
    await conn.execute(
        """INSERT INTO wallets.funding
             (id, user_id, purpose, group_id, amount, currency, lines, state, expires_at)
           VALUES ($1, $2, 'order', $3, $4, $5, $6, 'CREATED', $7)""",
        funding_id,
        viewer.user(),
        group_id,
        amount,
        currency,
        msgspec.to_builtins(lines),
        expires_at,
    )


async def test_what_was_begun_on_the_first_version_ends_on_this(
    old: tuple[Endpoints, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints, db = old
    monkeypatch.setattr(fundings, "_insert", written_then)
    settings = make_settings(endpoints)
    shop = await make_shop(db, price=1000, stock=20)
    other = await make_listing(db, shop.seller_id, price=500, stock=1)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 100_000)
    combiner = Combiner(db)
    first = purchase(buyer, shop.wish(2), Wish(other, 1, 500), idem="first")
    bought = await combiner.buy(first)
    waiting = await place(db, buyer, shop.wish(2))
    giving_up = await place(db, buyer, shop.wish(1), minutes=-1)
    late = await place(db, buyer, shop.wish(3), minutes=-1)
    assert await expire(db, late) == "done"
    cancelled = await place(db, buyer, shop.wish(1))
    await close_payment(db, cancelled)
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 14, "RESERVED": 4, "SOLD": 2}

    monkeypatch.undo()
    assert migrations.migrate(endpoints.owner_dsn)[0] == "0002"
    # Connections of before are open still, with their prepared statements.
    again = await combiner.buy(purchase(buyer, shop.wish(2), Wish(other, 1, 500), idem="first"))
    assert again.again and again.group_id == bought.group_id
    told = await as_bought(db, buyer, bought.group_id)
    assert {line.kind for order in told.orders for line in order.lines} == {"stocked_secret"}
    assert await pay(db, waiting) == await pay(db, late) == "succeeded"
    assert await expire(db, giving_up) == "done"
    assert await give_up(db, cancelled, "CANCELLED", "given up", "system") == "done"
    assert await states(db, waiting) == await states(db, late) == {("DELIVERED", "DELIVERED", "HELD")}
    article = await make_article(db, Vault(settings), shop.owner, price=700, copies=3)
    await combiner.buy(purchase(buyer, shop.wish(1), Wish(article.id, 2, 700)))
    library = await db.fetch(SYSTEM, "SELECT id FROM delivery.entitlement WHERE content_version IS NOT NULL")
    assert len(library) == 2
    await db.execute(
        SYSTEM,
        "SELECT orders.release(array_agg(id), 'system') FROM orders.order_line WHERE escrow_state = 'HELD'",
    )
    assert (await books(db))["escrow"] == 0
    found = [str(f) for f in await checks.verify_all(db, settings)]
    assert found == []

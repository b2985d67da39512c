"""`fondaco verify` names refunds that somebody changed by hand."""

import asyncpg
import pytest

from fondaco import checks
from fondaco.core.db import Database
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.refunds.test_refund_line import give_back, release, sold
from tests.support.shop import make_shop

# What somebody with all rights does -> the check that must see it, and words of it.
TAMPERING = {
    "UPDATE orders.order_line SET refunded = refunded + 1": ("I14", "its refunds make"),
    "UPDATE orders.order_line SET refunded_commission = refunded_commission + 1": ("I14", "its refunds make"),
    "UPDATE refunds.refund SET amount = amount + 1, from_escrow = from_escrow + 1 WHERE NOT after_release": (
        "I16",
        "is not what its journal",
    ),
    "DELETE FROM refunds.refund": ("I16", "there is no such refund"),
    "UPDATE refunds.refund SET destination = 'source'": ("I16", "no refund of a payment"),
    "UPDATE orders.order_line SET delivery_state = 'REFUNDED'": ("I14", "do not go together"),
}


@pytest.mark.parametrize("sql", TAMPERING)
async def test_what_is_changed_by_hand_is_named(
    db: Database, settings: Settings, endpoints: Endpoints, sql: str
) -> None:
    shop = await make_shop(db, price=1000, stock=4)
    lines = [(await sold(db, shop))[2] for _ in range(2)]
    await release(db, lines[1])
    for line in lines:
        await give_back(db, line, 300)
    assert [str(f) for f in await checks.verify_all(db, settings)] == []
    admin = await asyncpg.connect(endpoints.admin_dsn)
    try:
        await admin.execute(f"SET session_replication_role = replica; {sql}")
    finally:
        await admin.close()
    name, words = TAMPERING[sql]
    found = [str(f) for f in await checks.verify_all(db, settings)]
    assert any(f.startswith(name) and words in f for f in found), found

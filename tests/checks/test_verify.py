"""`verify_all` is silent over a marketplace in every state, and names what somebody changes by hand."""

import asyncpg
import pytest

from fondaco import audit
from fondaco.checks import verify_all
from fondaco.embedded import Endpoints
from fondaco.orders.combiner import Combiner
from tests.support.money import Till, give_money, make_buyer
from tests.support.shop import make_shop, place, purchase

# name -> (what somebody with all rights does, the check that must see it, words of it)
TAMPERING = {
    "a delivery without its unit": (
        "DELETE FROM delivery.entitlement WHERE id = (SELECT min(id::text)::uuid FROM delivery.entitlement)",
        "I09",
        "delivered with",
    ),
    "a unit sold twice": (
        "DROP INDEX delivery.entitlement_unit; "
        "UPDATE delivery.entitlement SET unit_id = "
        "(SELECT min(unit_id::text)::uuid FROM delivery.entitlement)",
        "I09",
        "times",
    ),
    "somebody else's entitlement": (
        "UPDATE delivery.entitlement SET buyer_id = (SELECT min(id::text)::uuid FROM identity.users u "
        "WHERE NOT EXISTS (SELECT 1 FROM orders.order_line l WHERE l.buyer_id = u.id))",
        "I09",
        "another buyer",
    ),
    "a sold unit back in stock": (
        "UPDATE inventory.stock_unit SET state = 'AVAILABLE', line_id = NULL WHERE state = 'SOLD'",
        "I09",
        "not sold",
    ),
    "delivered without money": (
        "UPDATE orders.order_line SET delivery_state = 'DELIVERED', escrow_state = 'HELD' "
        "WHERE delivery_state = 'RESERVED'",
        "I10",
        "without its money",
    ),
    "a batch that lost units": (
        "UPDATE inventory.stock_batch SET imported = imported + 1",
        "I11",
        "were imported",
    ),
    "a reservation for nobody": (
        "UPDATE orders.orders SET state = 'CANCELLED' WHERE state = 'PENDING_PAYMENT'",
        "I12",
        "not waiting",
    ),
    "escrow that was emptied": (
        "UPDATE orders.order_line SET refunded = 1 WHERE escrow_state = 'HELD'",
        "I13",
        "in escrow",
    ),
    "released in words only": (
        "UPDATE orders.order_line SET escrow_state = 'RELEASED' WHERE escrow_state = 'HELD'",
        "I14",
        "released",
    ),
    "an order's total": ("UPDATE orders.orders SET total = total + 1", "I14", "its lines make"),
    "a refund that never was": (
        "UPDATE wallets.funding SET refunded = 1 WHERE state = 'SUCCEEDED'",
        "I15",
        "refunded",
    ),
    "a payment that never came": (
        "UPDATE wallets.funding SET state = 'SUCCEEDED', intent_id = 'pi_none' WHERE state = 'PROCESSING'",
        "I16",
        "not in the ledger",
    ),
    "a payment forgotten": (
        "UPDATE wallets.funding SET state = 'EXPIRED' WHERE state = 'SUCCEEDED'",
        "I16",
        "not paid",
    ),
    "a state that does not exist": (
        "UPDATE catalog.listing SET state = 'GOLDEN'",
        "I27",
        "no state of its machine",
    ),
    "a line of another store than its order": (
        "UPDATE orders.order_line SET seller_id = (SELECT min(id::text)::uuid FROM sellers.seller s "
        "WHERE s.id <> order_line.seller_id)",
        "I30",
        "another seller",
    ),
    "a payment of another buyer than its order": (
        "UPDATE wallets.funding SET user_id = (SELECT min(id::text)::uuid FROM identity.users u "
        "WHERE u.id <> funding.user_id AND u.id <> (SELECT buyer_id FROM orders.order_group g "
        "WHERE g.id = funding.group_id)) WHERE group_id IS NOT NULL",
        "I30",
        "another buyer",
    ),
    "a guard switched off": ("SELECT 1", "I35", "switched off"),
    "a wall taken down": (
        "ALTER TABLE orders.orders DISABLE ROW LEVEL SECURITY",
        "I35",
        "a wall",
    ),
    "an act that left no word": (
        "DELETE FROM audit.event WHERE kind = 'order.delivered'",
        "I26",
        "order.delivered",
    ),
    "a block that was changed": ("UPDATE audit.block SET root = sha256('x')", "I25", "was changed"),
    "a block that is gone": ("DELETE FROM audit.block WHERE number = 1", "I25", "is missing"),
    "a job whose worker died": (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('default', 'a.b', 'doing'); "
        "INSERT INTO procrastinate_events (job_id, type, at) SELECT max(id), 'started', "
        "now() - interval '2 minutes' FROM procrastinate_jobs",
        "I24",
        "without a living worker",
    ),
    "a job nobody takes": (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at) "
        "VALUES ('default', 'a.b', now() - interval '1 hour')",
        "I24",
        "no worker takes it",
    ),
    "a job given up": (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('default', 'a.b', 'failed')",
        "I24",
        "given up",
    ),
    "commission that was never earned": (
        "UPDATE ledger.balance SET amount = amount + 1 WHERE account_id = "
        "(SELECT id FROM ledger.account WHERE kind = 'wallet' LIMIT 1); "
        "INSERT INTO ledger.account (kind, owner, currency, slots) "
        "VALUES ('commission', 'platform', 'EUR', 1); "
        "INSERT INTO ledger.balance (account_id, slot, currency, side, amount) "
        "SELECT max(id), 0, 'EUR', -1, 5 FROM ledger.account",
        "I34",
        "commission",
    ),
    "money the provider never sent": (
        "UPDATE wallets.funding SET amount = amount + 1 WHERE state = 'SUCCEEDED'",
        "I17",
        "provider's account",
    ),
    "an amount in the books": ("UPDATE ledger.balance SET amount = amount + 1", "I03", "the entries say"),
}
TABLES = (
    "delivery.entitlement",
    "inventory.stock_unit",
    "inventory.stock_batch",
    "orders.order_line",
    "orders.orders",
    "wallets.funding",
    "catalog.listing",
    "ledger.balance",
    "ledger.account",
    "audit.event",
    "audit.block",
)


async def marketplace(till: Till) -> None:
    """Wallet purchases, an order awaiting its card payment, a settled and an open top-up."""
    shop = await make_shop(till.db, price=1999, stock=6)
    buyer, other = await make_buyer(till.db), await make_buyer(till.db)
    await give_money(till.db, buyer.user(), 10_000)
    combiner = Combiner(till.db)
    await combiner.buy(purchase(buyer, shop.wish(2)))
    await combiner.buy(purchase(buyer, shop.wish(1)))
    await audit.seal(till.db, till.settings)
    await place(till.db, other, shop.wish(1))
    await make_shop(till.db)
    await till.paid_top_up(buyer)
    await till.top_up(other)
    await audit.seal(till.db, till.settings)
    await give_money(till.db, other.user(), 100)


async def test_a_marketplace_in_every_state_has_no_fault(till: Till) -> None:
    await marketplace(till)
    told: list[str] = []
    assert [str(f) for f in await verify_all(till.db, till.settings, told.append)] == []
    assert len(told) > 30


@pytest.mark.parametrize("what", TAMPERING)
async def test_what_is_changed_by_hand_is_named(till: Till, endpoints: Endpoints, what: str) -> None:
    await marketplace(till)
    sql, check, words = TAMPERING[what]
    admin = await asyncpg.connect(endpoints.admin_dsn)
    try:
        for table in TABLES:
            await admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await admin.execute(sql)
    finally:
        await admin.close()
    faults = await verify_all(till.db, till.settings)
    assert [f for f in faults if f.check == check and words in f.words], [str(f) for f in faults]

"""Random histories of partial refunds, releases, maturity and payouts against plain integers, to the cent, in
currencies with none, two and three decimals; and many at once on one line."""

import asyncio
import uuid
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fondaco import orders, refunds
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.money import commission, share
from fondaco.core.problem import Problem
from fondaco.embedded import Endpoints
from fondaco.ledger import (
    platform,
    seller_available_of,
    seller_pending_of,
    seller_receivable_of,
    wallet_of,
)
from fondaco.orders.combiner import Combiner
from fondaco.orders.commission_tax import set_commission_tax
from fondaco.orders.model import Policy, Purchase
from fondaco.refunds import NotRefundable, RefundAboveRest
from tests.refunds.oracle import Books, Line
from tests.refunds.test_refund_line import give_back, line_of, release, sold
from tests.support.bouncer import database
from tests.support.money import amount_on, give_money, journals, make_buyer, make_staff
from tests.support.postgres import Databases
from tests.support.shop import Wish, books, make_listing, make_shop, whole

LINES = 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("refund"), st.integers(0, LINES - 1), st.one_of(st.none(), st.integers(1, 4000))),
        st.tuples(st.just("release"), st.integers(0, LINES - 1), st.none()),
        st.tuples(st.just("mature"), st.just(0), st.none()),
        st.tuples(st.just("pay_out"), st.just(0), st.integers(1, 3000)),
    ),
    min_size=3,
    max_size=14,
)


async def bought(
    db: Database,
    owner: asyncpg.Connection,
    currency: str,
    prices: list[int],
    bps: int,
    tax: int,
    tax_bps: int,
) -> tuple[UUID, UUID, list[UUID], Books]:
    """Three lines of one store bought in one order: buyer, seller, lines and what the books hold."""
    staff = await make_staff(db, "finance")
    await set_commission_tax(db, staff, country="DE", bps=tax_bps, reason="the law says so")
    shop = await make_shop(db, price=1, stock=0)
    listings = [await make_listing(db, shop.seller_id, price=p, stock=1, currency=currency) for p in prices]
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), sum(prices), currency)
    wishes = tuple(Wish(listing, 1, price) for listing, price in zip(listings, prices, strict=True))
    policy = Policy(commission_bps=bps, protection_days=3)
    asked = Purchase(buyer.user(), "DE", buyer.actor, uuid.uuid4().hex, currency, wishes, policy)
    await Combiner(db).buy(asked)
    rows = await db.fetch(
        SYSTEM,
        """SELECT l.id, l.total, l.commission, l.commission_tax FROM orders.order_line l
           WHERE l.buyer_id = $1 ORDER BY array_position($2::uuid[], l.listing_id)""",
        buyer.user(),
        listings,
    )
    made = Books()
    for row, price in zip(rows, prices, strict=True):
        assert row["commission"] == commission(price, 0, bps)
        on_commission = row["commission"] * tax_bps // 10_000
        assert row["commission_tax"] == on_commission
        part = min(tax, price - row["commission"] - on_commission)
        await owner.execute("UPDATE orders.order_line SET tax = $2 WHERE id = $1", row["id"], part)
        seller = price - row["commission"] - part - on_commission
        made.lines.append(Line(price, seller, row["commission"], part, on_commission))
    return buyer.user(), shop.seller_id, [r["id"] for r in rows], made


async def step(
    db: Database, owner: asyncpg.Connection, seller: UUID, line: UUID, what: str, n: object
) -> bool:
    """Does one step for real; False when it was refused."""
    if what == "refund":
        try:
            await give_back(db, line, n)  # type: ignore[arg-type]
        except (NotRefundable, RefundAboveRest):
            return False
    elif what == "release":
        await release(db, line)
    elif what == "mature":
        await owner.execute(
            "UPDATE orders.order_line SET matures_at = now() - interval '1 hour' WHERE seller_id = $1", seller
        )
        await db.fetchval(SYSTEM, "SELECT orders.mature_due(100)")
    else:
        currency = (await line_of(db, line))["currency"]
        amount = min(int(str(n)), await amount_on(db, seller_available_of(seller, currency)))
        if amount:
            await owner.fetchval(
                """SELECT ledger.post('payout_intent', 'po:' || gen_random_uuid(), 'x', 'x', ARRAY[
                     ledger.open_account('seller_available', 'seller:' || $1::uuid, $2),
                     ledger.open_account('payout_in_flight', 'payout:x', $2)], ARRAY[$3, -$3::bigint])""",
                seller,
                currency,
                amount,
            )
    return True


async def compare(
    db: Database, buyer: UUID, seller: UUID, lines: list[UUID], model: Books, currency: str
) -> None:
    there = {
        "wallet": await amount_on(db, wallet_of(buyer, currency)),
        "pending": await amount_on(db, seller_pending_of(seller, currency)),
        "available": await amount_on(db, seller_available_of(seller, currency)),
        "owed": await amount_on(db, seller_receivable_of(seller, currency)),
    }
    assert there == {name: getattr(model, name) for name in there}
    for line, wanted in zip(lines, model.lines, strict=True):
        row = await line_of(db, line)
        parts = [row[kind] - row[f"refunded_{kind}"] for kind in ("commission", "tax", "commission_tax")]
        assert parts == [wanted.commission, wanted.tax, wanted.commission_tax]
        assert row["total"] - row["refunded"] == wanted.left


async def history(
    db: Database,
    owner: asyncpg.Connection,
    currency: str,
    prices: list[int],
    bps: int,
    tax: int,
    tax_bps: int,
    steps: object,
) -> None:
    before = await books(db)
    buyer, seller, lines, model = await bought(db, owner, currency, prices, bps, tax, tax_bps)
    for what, k, n in steps:  # type: ignore[attr-defined]
        done = await step(db, owner, seller, lines[k], what, n)
        if what == "refund":
            assert done == model.refund(k, n)
        elif what == "release":
            model.release(k)
        elif what == "mature":
            model.mature()
        else:
            model.pay_out(n)
        await compare(db, buyer, seller, lines, model, currency)
    after = await books(db)
    for kind, wanted in (
        ("commission", model.commission),
        ("tax_payable", model.tax),
        ("escrow", model.escrow),
    ):
        assert after.get(kind, 0) - before.get(kind, 0) == wanted, kind
    await whole(db)


def test_random_histories_agree_to_the_cent(databases: Databases) -> None:
    with databases.cloned() as endpoints:
        loop = asyncio.new_event_loop()

        async def opened(endpoints: Endpoints) -> tuple[Database, asyncpg.Connection]:
            return await database(endpoints, size=4).open(), await asyncpg.connect(endpoints.owner_dsn)

        db, owner = loop.run_until_complete(opened(endpoints))

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.sampled_from(("EUR", "JPY", "KWD")),
            st.lists(st.integers(1, 3999), min_size=LINES, max_size=LINES),
            st.sampled_from((0, 1, 333, 1000, 5000)),
            st.integers(0, 700),
            st.sampled_from((0, 1, 700, 1900, 5000)),
            STEPS,
        )
        def run(currency: str, prices: list[int], bps: int, tax: int, tax_bps: int, steps: object) -> None:
            loop.run_until_complete(history(db, owner, currency, prices, bps, tax, tax_bps, steps))

        try:
            run()
        finally:
            loop.run_until_complete(db.close())
            loop.run_until_complete(owner.close())
            loop.close()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=5), st.integers(1, 10**12), st.data())
def test_a_share_is_whole_and_above_no_weight(weights: list[int], total: int, data: st.DataObject) -> None:
    if not sum(weights):
        return
    amount = min(total, sum(weights))
    parts = share(amount, weights)
    assert sum(parts) == amount and all(p <= w for p, w in zip(parts, weights, strict=True))


async def test_the_database_shares_as_python_does(owner: asyncpg.Connection) -> None:
    cases = [
        (7, [1, 1, 1]),
        (1, [0, 5, 5]),
        (10**15, [10**15, 3, 10**14]),
        (999, [1000, 99, 1]),
        (5, [0, 0, 5]),
    ]
    for total, weights in cases:
        there = await owner.fetchval("SELECT refunds.share($1, $2)", total, weights)
        assert there == share(total, weights)


async def at_once(*acts: object) -> list[object]:
    return await asyncio.gather(*acts, return_exceptions=True)  # type: ignore[call-overload, no-any-return]


async def test_twenty_refunds_of_sixty_percent_and_one_stands(db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=1)
    buyer, _, line = await sold(db, shop)
    outcomes = await at_once(*(give_back(db, line, 600) for _ in range(20)))
    assert sum(isinstance(o, UUID) for o in outcomes) == 1
    assert sum(isinstance(o, RefundAboveRest) for o in outcomes) == 19
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 9600
    assert len(await journals(db, "refund_line")) == 1
    await whole(db)


@pytest.mark.parametrize("released", [False, True])
async def test_refund_release_and_maturity_at_once(
    db: Database, owner: asyncpg.Connection, released: bool
) -> None:
    """Whatever comes first: the parts add up, nothing is paid twice, nothing is lost."""
    shop = await make_shop(db, price=1000, stock=8)
    made = [await sold(db, shop, 2) for _ in range(4)]
    lines = [line for _, _, line in made]
    if released:
        await release(db, *lines)
        await owner.execute("UPDATE orders.order_line SET matures_at = now() - interval '1 hour'")

    async def mature() -> None:
        async def work(conn: Connection) -> None:
            await conn.fetchval("SELECT orders.mature_due(2)")

        await db.run(SYSTEM, work)

    async def confirm(n: int) -> None:
        await orders.confirm_delivery(db, made[n][0], made[n][1])

    outcomes = await at_once(
        *(give_back(db, line, 1300) for line in lines),
        *(release(db, line) for line in lines),
        *(give_back(db, line, 1300) for line in lines),
        *(confirm(n) for n in range(4)),
        *(mature() for _ in range(3)),
    )
    assert [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, Problem)] == []
    assert sum(isinstance(o, UUID) for o in outcomes) == 4  # 1300 of 2000 once per line
    await whole(db)
    rows = await db.fetch(SYSTEM, "SELECT refunded, refunded_commission FROM orders.order_line")
    assert {(r["refunded"], r["refunded_commission"]) for r in rows} == {(1300, 130)}
    assert await amount_on(db, platform("commission", "EUR")) == 4 * 70
    money = await books(db)
    assert (
        money["seller_pending"] + money.get("seller_available", 0) - money.get("seller_receivable", 0)
        == 4 * 630
    )


async def test_a_reveal_and_a_refund_at_once(db: Database) -> None:
    """Either the key was seen and is never sold again, or it was not and can be."""
    shop = await make_shop(db, price=100, stock=12)
    made = [await sold(db, shop) for _ in range(12)]

    async def reveal(n: int) -> int:
        buyer, _, line = made[n]

        async def work(conn: Connection) -> int:
            rows = await conn.fetch(
                """SELECT r.* FROM delivery.entitlement e, LATERAL
                     delivery.reveal_unit(e.id, $2, '127.0.0.1', 'test', 'x') r WHERE e.line_id = $1""",
                line,
                buyer.user(),
            )
            return len(rows)

        return await db.run(SYSTEM, work)

    await at_once(*(act for n in range(12) for act in (reveal(n), give_back(db, made[n][2]))))
    wrong = await db.fetch(
        SYSTEM,
        """SELECT e.id FROM delivery.entitlement e JOIN inventory.stock_unit u ON u.id = e.unit_id
           WHERE (e.revealed_at IS NULL) <> (u.state = 'AVAILABLE') OR e.revoked_at IS NULL""",
    )
    assert not wrong
    await whole(db)


def test_every_reason_has_words() -> None:
    assert all(words and words[0].isupper() for words in refunds.REASONS.values())

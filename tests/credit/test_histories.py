"""Random histories of purchases on credit, payments, refunds and losses against plain integers; and many
purchases at one moment against the caps."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fondaco import credit, orders, refunds
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.credit.clock import sweep
from fondaco.ledger import platform, wallet_of
from fondaco.orders.on_credit import NoCredit
from fondaco.refunds import NotRefundable, RefundAboveRest
from tests.credit.builders import TERMS, age, allow, owed, take
from tests.support.bouncer import database
from tests.support.money import amount_on, give_money, make_buyer, make_staff
from tests.support.postgres import Databases
from tests.support.shop import Shop, books, make_shop

CAP, TOTAL, LATE = 500, 800, TERMS.days_to_pay + TERMS.write_off_days
PRICE = 100
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.integers(0, 1), st.integers(1, 6)),
        st.tuples(st.just("money"), st.integers(0, 1), st.integers(1, 400)),
        st.tuples(st.just("refund"), st.integers(0, 5), st.integers(1, 300)),
        st.tuples(st.just("release"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("days"), st.just(0), st.sampled_from((1, 13, 14, 30, 44))),
    ),
    min_size=3,
    max_size=16,
)


@dataclass
class Debt:
    """What one purchase on credit should look like."""

    buyer: int
    line: UUID
    group: UUID
    total: int
    owed: int
    old: int = 0
    lost: int = 0
    refunded: int = 0


@dataclass
class Model:
    """What two buyers have and owe, in whole cents."""

    wallets: list[int] = field(default_factory=lambda: [0, 0])
    debts: list[Debt] = field(default_factory=list[Debt])
    blocked: set[int] = field(default_factory=set[int])

    def owes(self, buyer: int | None = None) -> int:
        return sum(d.owed for d in self.debts if buyer in (None, d.buyer))

    def may(self, buyer: int, cost: int) -> bool:
        late = any(d.owed and d.old >= TERMS.days_to_pay for d in self.debts if d.buyer == buyer)
        fits = self.owes(buyer) + cost <= CAP and self.owes() + cost <= TOTAL
        return buyer not in self.blocked and not late and cost <= CAP and fits

    def pay(self, buyer: int) -> None:
        mine = [d for d in self.debts if d.buyer == buyer and d.owed]
        for debt in sorted(mine, key=lambda d: (-d.old, d.group)):
            part = min(debt.owed, self.wallets[buyer])
            debt.owed -= part
            self.wallets[buyer] -= part

    def refund(self, debt: Debt, amount: int) -> None:
        debt.refunded += amount
        others = [d for d in self.debts if d.buyer == debt.buyer and d is not debt and d.owed]
        part = min(debt.owed, amount)
        debt.owed, amount = debt.owed - part, amount - part
        part = min(debt.lost, amount)
        debt.lost, amount = debt.lost - part, amount - part
        for other in sorted(others, key=lambda d: (-d.old, d.group)):
            part = min(other.owed, amount)
            other.owed, amount = other.owed - part, amount - part
        self.wallets[debt.buyer] += amount

    def days(self, n: int) -> None:
        for debt in self.debts:
            debt.old += n
            if debt.owed and debt.old >= LATE:
                debt.lost, debt.owed = debt.owed, 0
                self.blocked.add(debt.buyer)


@dataclass
class World:
    """The same for real."""

    db: Database
    owner: asyncpg.Connection
    shop: Shop
    buyers: list[Viewer]
    model: Model
    bad: int

    async def step(self, what: str, who: int, n: int) -> None:
        model = self.model
        if what == "buy":
            await self.buy(who, n)
        elif what == "money":
            await give_money(self.db, self.buyers[who].user(), n)
            async with self.db.transaction(SYSTEM) as conn:
                await credit.settle(conn, self.buyers[who].user(), "EUR")
            model.wallets[who] += n
            model.pay(who)
        elif what == "days":
            for debt in model.debts:
                await age(self.owner, debt.group, n)
            await sweep(self.db)
            model.days(n)
        elif who < len(model.debts):
            await (self.refund(model.debts[who], n) if what == "refund" else self.release(model.debts[who]))

    async def buy(self, who: int, n: int) -> None:
        may = self.model.may(who, n * PRICE)
        try:
            group = await take(self.db, self.buyers[who], self.shop.wish(n))
        except NoCredit:
            assert not may
            return
        assert may
        line = await self.db.fetchval(
            SYSTEM,
            """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
               WHERE o.group_id = $1""",
            group,
        )
        self.model.debts.append(Debt(who, line, group, n * PRICE, n * PRICE))
        self.model.pay(who)

    async def refund(self, debt: Debt, amount: int) -> None:
        try:
            async with self.db.transaction(SYSTEM) as conn:
                await refunds.refund_line(
                    conn, debt.line, amount, reason="other", why="because", actor="user:x"
                )
        except (NotRefundable, RefundAboveRest):
            assert amount > debt.total - debt.refunded
            return
        self.model.refund(debt, amount)

    async def release(self, debt: Debt) -> None:
        async with self.db.transaction(SYSTEM) as conn:
            await orders.release_lines(conn, [debt.line], "system")

    async def same(self) -> None:
        model = self.model
        for n, buyer in enumerate(self.buyers):
            assert await owed(self.db, buyer) == model.owes(n)
            assert await amount_on(self.db, wallet_of(buyer.user(), "EUR")) == model.wallets[n]
        assert await amount_on(self.db, platform("bad_debt", "EUR")) - self.bad == sum(
            d.lost for d in model.debts
        )
        rows = await self.db.fetch(
            SYSTEM, "SELECT group_id, owed, written_off - recovered AS lost FROM credit.credit"
        )
        there = {r["group_id"]: (r["owed"], r["lost"]) for r in rows}
        assert {d.group: there[d.group] for d in model.debts} == {
            d.group: (d.owed, d.lost) for d in model.debts
        }


async def history(db: Database, owner: asyncpg.Connection, shop: Shop, steps: object) -> None:
    bad = await amount_on(db, platform("bad_debt", "EUR"))
    # What the examples before left owed is none of this one's: the cap of all is above it by so much.
    left = await db.fetchval(SYSTEM, "SELECT coalesce(sum(owed), 0)::bigint FROM credit.total")
    terms = msgspec.structs.replace(TERMS, cap=CAP, order_max=CAP, total_cap=TOTAL + left)
    await credit.set_policy(db, await make_staff(db, "finance"), terms)
    world = World(db, owner, shop, [await make_buyer(db), await make_buyer(db)], Model(), bad)
    for what, who, n in steps:  # type: ignore[attr-defined]
        await world.step(what, who, n)
        await world.same()
    await books(db)


def test_random_histories_agree_to_the_cent(databases: Databases) -> None:
    with databases.cloned() as endpoints:
        loop = asyncio.new_event_loop()

        async def opened() -> tuple[Database, asyncpg.Connection, Shop]:
            db = await database(endpoints, size=4).open()
            shop = await make_shop(db, price=PRICE, stock=2000)
            return db, await asyncpg.connect(endpoints.owner_dsn), shop

        db, owner, shop = loop.run_until_complete(opened())

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(STEPS)
        def run(steps: object) -> None:
            loop.run_until_complete(history(db, owner, shop, steps))

        try:
            run()
        finally:
            loop.run_until_complete(db.close())
            loop.run_until_complete(owner.close())
            loop.close()


async def let_go(db: Database, shop: Shop, buyers: list[Viewer]) -> list[object]:
    barrier = asyncio.Barrier(len(buyers))

    async def one(buyer: Viewer) -> UUID:
        await barrier.wait()
        return await take(db, buyer, shop.wish())

    return await asyncio.gather(*map(one, buyers), return_exceptions=True)


async def test_twenty_at_once_and_one_buyer_owes_no_more_than_they_may(db: Database) -> None:
    await allow(db)
    shop, buyer = await make_shop(db, price=100, stock=30), await make_buyer(db)
    outcomes = await let_go(db, shop, [buyer] * 20)
    assert sum(isinstance(o, UUID) for o in outcomes) == 5
    assert {o.extra["because"] for o in outcomes if isinstance(o, NoCredit)} == {"cap"}
    assert sum(isinstance(o, NoCredit) for o in outcomes) == 15
    assert await owed(db, buyer) == 500


async def test_twenty_at_once_and_all_together_owe_no_more_than_they_may(db: Database) -> None:
    await allow(db, msgspec.structs.replace(TERMS, total_cap=700))
    shop, buyers = await make_shop(db, price=100, stock=30), [await make_buyer(db) for _ in range(20)]
    outcomes = await let_go(db, shop, buyers)
    assert sum(isinstance(o, UUID) for o in outcomes) == 7
    assert {o.extra["because"] for o in outcomes if isinstance(o, NoCredit)} == {"full"}
    assert await db.fetchval(SYSTEM, "SELECT owed FROM credit.total WHERE currency = 'EUR'") == 700
    assert (await books(db))["credit_out"] == 700


async def test_buying_paying_refunding_and_giving_up_at_once(db: Database, owner: asyncpg.Connection) -> None:
    """Whoever comes first: the books and the mirrors agree, nothing is paid twice."""
    await allow(db)
    shop, buyer = await make_shop(db, price=100, stock=30), await make_buyer(db)
    groups = [await take(db, buyer, shop.wish()) for _ in range(4)]
    await age(owner, groups[0], LATE)
    rows = await db.fetch(SYSTEM, "SELECT l.id FROM orders.order_line l WHERE l.buyer_id = $1", buyer.user())

    async def refund(line: UUID) -> None:
        async def work(conn: object) -> None:
            await refunds.refund_line(conn, line, 60, reason="other", why="because", actor="user:x")  # type: ignore[arg-type]

        await db.run(SYSTEM, work)

    async def pay() -> None:
        await give_money(db, buyer.user(), 70)
        await sweep(db)

    outcomes = await asyncio.gather(
        *(refund(r["id"]) for r in rows),
        *(pay() for _ in range(4)),
        *(take(db, buyer, shop.wish()) for _ in range(3)),
        *(sweep(db) for _ in range(2)),
        return_exceptions=True,
    )
    assert [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, NoCredit)] == []
    await sweep(db)
    row = await db.fetchrow(
        SYSTEM,
        """SELECT sum(owed)::bigint AS owed, sum(paid)::bigint AS paid, sum(refunded)::bigint AS refunded,
             sum(amount)::bigint AS amount, sum(written_off)::bigint AS lost, sum(recovered)::bigint AS back
           FROM credit.credit""",
    )
    assert row and row["amount"] == row["owed"] + row["paid"] + row["refunded"] + row["lost"]
    assert row["owed"] == await owed(db, buyer)
    money = await books(db)
    assert money["wallet"] == 280 + 240 - row["paid"] - row["refunded"] - row["back"]

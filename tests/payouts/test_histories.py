"""Random histories of one seller's money against a plain count: earned, given, owed, decided, sent, refused,
cancelled, taken back. After each step the database agrees with the count, to the unit."""

import random
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest

from fondaco import checks, payouts
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import uuid7
from fondaco.integrations.stripe_connect import ReversalFacts, TransferFacts
from fondaco.ledger import seller_available_of, seller_receivable_of, seller_reserve_of
from fondaco.settings import Settings
from tests.support.money import amount_on, make_staff
from tests.support.payouts import activate, earn, give, owe
from tests.support.shop import Shop, make_shop

STEPS = (
    "earn",
    "earn",
    "give",
    "owe",
    "withdraw",
    "withdraw",
    "run",
    "send",
    "send",
    "refuse",
    "cancel",
    "back",
)


@dataclass
class Count:
    """What there must be, counted by hand."""

    available: int = 0
    debt: int = 0
    open: dict[UUID, int] = field(default_factory=dict[UUID, int])
    sent: dict[UUID, int] = field(default_factory=dict[UUID, int])

    def net(self) -> None:
        x = min(self.available, self.debt)
        self.available, self.debt = self.available - x, self.debt - x


@dataclass
class Seller:
    db: Database
    settings: Settings
    owner: asyncpg.Connection
    shop: Shop
    account: str
    dice: random.Random
    count: Count = field(default_factory=Count)

    async def earn(self) -> None:
        await earn(self.db, self.owner, self.shop, 1)
        paid = min(900, self.count.debt)  # what is owed comes first, at the release already
        self.count.debt -= paid
        self.count.available += 900 - paid

    async def give(self) -> None:
        amount = self.dice.randrange(1, 400)
        await give(self.db, self.shop, amount)
        self.count.available += amount

    async def owe(self) -> None:
        amount = self.dice.randrange(1, 700)
        await owe(self.db, self.shop, amount)
        self.count.debt += amount

    async def withdraw(self) -> None:
        payout_id, amount = uuid7(), self.dice.choice((None, 100, 450, 1000, 5000))
        self.count.net()
        wanted = self.count.available if amount is None else amount
        try:
            await payouts.withdraw(
                self.db, self.settings, self.shop.owner, payout_id, amount=amount, currency="EUR"
            )
        except (payouts.NotEnough, payouts.TooLittle, payouts.PayoutsClosed):
            assert self.count.debt or wanted > self.count.available or wanted < self.settings.payout_min
            return
        self.count.open[payout_id] = wanted
        self.count.available -= wanted

    async def run(self) -> None:
        await self.owner.execute("UPDATE payouts.run SET batch_date = batch_date - 1000")
        await self.owner.execute("DELETE FROM payouts.withheld")
        known = set(self.count.open) | set(self.count.sent)
        self.count.net()
        await payouts.run_due(self.db, self.settings)
        rows = await self.db.fetch(
            SYSTEM, "SELECT id, amount FROM payouts.payout WHERE kind = 'daily' AND state = 'CREATED'"
        )
        for row in rows:
            if row["id"] not in known:
                assert row["amount"] == self.count.available
                self.count.open[row["id"]] = row["amount"]
                self.count.available = 0

    def _one(self, of: dict[UUID, int]) -> UUID | None:
        return self.dice.choice(sorted(of)) if of else None

    async def _sending(self, payout_id: UUID) -> None:
        await self.db.execute(SYSTEM, "UPDATE payouts.payout SET state = 'SENDING' WHERE id = $1", payout_id)
        await self.db.execute(
            SYSTEM, "INSERT INTO payouts.attempt VALUES ($1, 1, $2, '{}')", payout_id, f"test:{payout_id}"
        )

    def facts(self, payout_id: UUID, amount: int, *back: tuple[str, int]) -> TransferFacts:
        transfer = f"tr_{payout_id.hex}"
        return TransferFacts(
            id=transfer,
            amount=amount,
            currency="EUR",
            destination=self.account,
            group=f"payout:{payout_id}",
            payout_ref=str(payout_id),
            reversed_amount=sum(n for _, n in back),
            created=1,
            reversals=[
                ReversalFacts(id=i, transfer_id=transfer, amount=n, currency="EUR", created=1)
                for i, n in back
            ],
        )

    async def _note(self, facts: TransferFacts) -> None:
        async def work(conn: Connection) -> None:
            await payouts.note_transfer(conn, facts)

        for _ in range(2):
            await self.db.run(SYSTEM, work)

    async def send(self) -> None:
        if payout_id := self._one(self.count.open):
            amount = self.count.open.pop(payout_id)
            await self._sending(payout_id)
            await self._note(self.facts(payout_id, amount))
            self.count.sent[payout_id] = amount

    async def refuse(self) -> None:
        if payout_id := self._one(self.count.open):
            self.count.available += self.count.open.pop(payout_id)
            await self._sending(payout_id)
            verb = "SELECT payouts.give_back($1, 'FAILED', 'account_closed', 'closed', 'stripe')"
            await self.db.execute(SYSTEM, verb, payout_id)

    async def cancel(self) -> None:
        if payout_id := self._one(self.count.open):
            self.count.available += self.count.open.pop(payout_id)
            await payouts.cancel(self.db, await make_staff(self.db, "finance"), payout_id, "for the test")
            self.count.net()

    async def back(self) -> None:
        if payout_id := self._one(self.count.sent):
            left = self.count.sent.pop(payout_id)
            amount = self.dice.randrange(1, left + 1)
            whole = await self.db.fetchval(
                SYSTEM, "SELECT amount FROM payouts.payout WHERE id = $1", payout_id
            )
            await self._note(self.facts(payout_id, whole, (f"trr_{uuid7().hex}", amount)))
            self.count.available += amount
            if left > amount:
                self.count.sent[payout_id] = left - amount

    async def agrees(self) -> None:
        seller = self.shop.seller_id
        assert await amount_on(self.db, seller_available_of(seller, "EUR")) == self.count.available
        assert await amount_on(self.db, seller_receivable_of(seller, "EUR")) == self.count.debt
        assert await amount_on(self.db, seller_reserve_of(seller, "EUR")) == 0
        flight = """SELECT coalesce(sum(amount), 0)::bigint FROM ledger.account_balance
                    WHERE kind = 'payout_in_flight'"""
        assert await self.db.fetchval(SYSTEM, flight) == sum(self.count.open.values())


@pytest.mark.parametrize("seed", range(6))
async def test_any_history_adds_up(
    db: Database, settings: Settings, owner: asyncpg.Connection, seed: int
) -> None:
    dice = random.Random(seed)
    shop = await make_shop(db, price=1000)
    seller = Seller(db, settings, owner, shop, await activate(db, shop.seller_id), dice)
    for _ in range(40):
        await getattr(seller, dice.choice(STEPS))()
        await seller.agrees()
    assert [str(f) for f in await checks.verify_all(db, settings)] == []

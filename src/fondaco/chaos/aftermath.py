"""What becomes of money once something is sold: buyers confirm, give back and complain, sellers refund and
are paid, desks decide, banks dispute; and the clock that would take days to bring it on."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx

from fondaco import cases, chargebacks, payouts, refunds
from fondaco.chaos.caller import DATABASE_AWAY, Caller, Scene
from fondaco.core.db import LOST, SYSTEM, Record
from fondaco.core.problem import Problem

THINK_S = (0.05, 0.4)
DIFFICULT = 6
"""Every so-many-th buyer is one whose bank disputes payments."""
OUTCOMES = ("SELLER", "SELLER", "SELLER", "SPLIT", "SPLIT", "BUYER")
_LINES = """SELECT l.id, l.order_id, l.buyer_id, l.seller_id, l.total, l.refunded,
    l.escrow_state = 'HELD' AS held,
    EXISTS (SELECT 1 FROM delivery.entitlement e WHERE e.line_id = l.id
      AND e.revealed_at IS NULL AND e.revoked_at IS NULL) AS unseen,
    NOT EXISTS (SELECT 1 FROM cases.case c WHERE c.order_id = o.id) AS uncontested,
    EXISTS (SELECT 1 FROM wallets.funding f WHERE f.group_id = o.group_id
      AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED')) AS by_card
  FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
  WHERE l.delivery_state = 'DELIVERED' AND l.refunded < l.total ORDER BY o.created_at DESC LIMIT 80"""
_DAY = (
    "LOCK TABLE payouts.run IN EXCLUSIVE MODE",
    "UPDATE payouts.payout SET batch_date = batch_date - $1::int WHERE kind = 'daily'",
    "UPDATE payouts.run SET batch_date = batch_date - $1::int",
    "DELETE FROM payouts.withheld WHERE $1::int > 0",
)


class Aftermath(Caller):
    """One act at a time, upon whatever there is at that moment."""

    def __init__(self, scene: Scene, http: httpx.AsyncClient, number: int) -> None:
        super().__init__(scene, http, "after", number)
        self.people = {p.viewer.user_id: p for p in scene.market.buyers}
        self.stores = {p.viewer.seller_id: p for p in scene.market.sellers}
        self.difficult = [p.viewer.user_id for p in scene.market.buyers[::DIFFICULT]]
        self.disputes: dict[str, str] = {}  # those that may still be decided, or decided otherwise

    async def run(self) -> None:
        """Until the run ends; then the banks decide what they have not decided."""
        acts: list[Callable[[], Awaitable[None]]] = [
            self.confirm, self.give_back, self.complain, self.withdraw_case, self.decide,
            self.refund_by_store, self.refund_to_card, self.withdraw_money, self.take_back,
            self.dispute, self.resolve, self.send_evidence, self.time_goes_by, self.day_goes_by,
        ]  # fmt: skip
        weights = (16, 5, 5, 2, 5, 5, 4, 9, 2, 3, 3, 2, 8, 2)
        while not self.scene.ending.is_set():
            self.steps += 1
            try:
                await self.dice.choices(acts, weights)[0]()
            except DATABASE_AWAY as error:
                self.scene.counts.lost += not isinstance(error, Problem)
            await asyncio.sleep(self.dice.uniform(*THINK_S))
        for dispute in [d for d, state in self.disputes.items() if state == "open"]:
            await self._end(dispute, "lost")
        self.records.close()

    async def _one(self, sql: str, *with_: Any) -> Record | None:
        """One of the rows, as the dice say."""
        rows = await self.scene.db.fetch(SYSTEM, sql, *with_)
        return self.dice.choice(rows) if rows else None

    async def _line(self, *marks: str) -> Record | None:
        """One of the newest lines that have money in them and all these marks."""
        rows = await self.scene.db.fetch(SYSTEM, _LINES)
        found = [row for row in rows if all(row[mark] for mark in marks)]
        return self.dice.choice(found) if found else None

    # ---- buyers
    async def confirm(self) -> None:
        """The buyer has what they paid for: the money is released."""
        one = await self._line("held")
        if one and (person := self.people.get(one["buyer_id"])):
            await self.post(person, f"/api/v1/orders/{one['order_id']}/confirm", {})

    async def give_back(self) -> None:
        """The buyer gives back what was not looked at; a look may be on its way."""
        one = await self._line("held", "unseen")
        if one and (person := self.people.get(one["buyer_id"])):
            await self.post(person, f"/api/v1/order-lines/{one['id']}/return", {})

    async def complain(self) -> None:
        """A case is opened: the money is frozen."""
        one = await self._line("uncontested")
        if one and (person := self.people.get(one["buyer_id"])):
            content: dict[str, object] = {"reason": "OTHER", "text": "It is not what I thought."}
            await self.post(person, "/api/v1/cases", {"order_id": str(one["order_id"]), **content})

    async def _case(self) -> Record | None:
        return await self._one(
            """SELECT c.id, c.buyer_id, array_agg(l.line_id) AS lines FROM cases.case c
               JOIN cases.case_line l ON l.case_id = c.id WHERE c.decided_at IS NULL
                 AND c.state NOT IN ('CLOSED') GROUP BY c.id ORDER BY c.id LIMIT 20"""
        )

    async def withdraw_case(self) -> None:
        """The buyer takes a case back."""
        case = await self._case()
        if case and (person := self.people.get(case["buyer_id"])):
            await self.post(person, f"/api/v1/cases/{case['id']}/withdraw", {})

    # ---- stores
    async def refund_by_store(self) -> None:
        """A store gives a part of a sale back, before or after release and payout."""
        one = await self._line()
        if one and (store := self.stores.get(one["seller_id"])):
            amount = self.dice.randrange(1, one["total"] - one["refunded"] + 1)
            content: dict[str, object] = {"reason": "goodwill", "why": "For you", "amount": amount}
            await self.post(store, f"/api/v1/seller/order-lines/{one['id']}/refund", content)

    async def withdraw_money(self) -> None:
        """A store has all or some of its money paid out."""
        store = self.dice.choice([*self.stores.values()])
        some: dict[str, object] = {"amount": self.dice.randrange(100, 3000)}
        await self.post(store, "/api/v1/seller/payouts", some if self.dice.random() < 0.6 else {})

    # ---- desks
    async def decide(self) -> None:
        """A case is decided; its money moves."""
        case, (support, finance) = await self._case(), self.scene.market.staff
        if case is None:
            return
        with contextlib.suppress(Problem):
            await cases.take(self.scene.db, support, case["id"])
        outcome = self.dice.choice(OUTCOMES)
        await cases.decide(
            self.scene.db,
            finance,
            case["id"],
            outcome=outcome,
            text="We have looked at it.",
            amounts=dict.fromkeys(case["lines"], 100) if outcome == "SPLIT" else None,
        )

    async def refund_to_card(self) -> None:
        """Finance gives a part of a line back to the card that paid it."""
        one = await self._line("by_card")
        if one:
            amount = self.dice.randrange(1, one["total"] - one["refunded"] + 1)
            how: dict[str, Any] = {"to": "source", "reason": "goodwill", "why": "It was right", "keep": True}
            finance, settings = self.scene.market.staff[1], self.scene.settings
            await refunds.refund_by_staff(self.scene.db, finance, settings, one["id"], amount, **how)

    async def take_back(self) -> None:
        """Finance has the provider take back a part of a payout."""
        one = await self._one(
            """SELECT id, amount FROM payouts.payout WHERE state IN ('SENT', 'PAID') AND reversed = 0
               ORDER BY sent_at DESC LIMIT 5"""
        )
        if one:
            amount = self.dice.randrange(1, max(one["amount"] // 4, 2))
            finance = self.scene.market.staff[1]
            await payouts.take_back(self.scene.db, finance, one["id"], amount=amount, because="too much")

    async def send_evidence(self) -> None:
        """Finance confirms what goes to the bank about a disputed payment."""
        one = await self._one(
            """SELECT c.id, max(e.version) AS version FROM chargebacks.chargeback c
               JOIN chargebacks.evidence e ON e.chargeback_id = c.id AND e.state = 'DRAFT' GROUP BY c.id"""
        )
        if one:
            await chargebacks.confirm(self.scene.db, self.scene.market.staff[1], one["id"], one["version"])

    # ---- banks
    async def dispute(self) -> None:
        """A bank disputes a payment of a difficult buyer."""
        one = await self._one(
            """SELECT intent_id FROM wallets.funding WHERE user_id = ANY ($1) AND intent_id IS NOT NULL
                 AND state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED') ORDER BY created_at DESC LIMIT 10""",
            self.difficult,
        )
        if one:
            status, body = await self.sandbox(f"charges/{one['intent_id']}/dispute")
            if status == 200:
                self.disputes[body["id"]] = "open"

    async def resolve(self) -> None:
        """A bank decides; one that decided for its customer may change its mind."""
        if self.disputes:
            dispute = self.dice.choice([*self.disputes])
            outcome = "won" if self.disputes[dispute] == "lost" else self.dice.choice(("won", "lost"))
            await self._end(dispute, outcome)

    async def _end(self, dispute: str, outcome: str) -> None:
        status, _ = await self.sandbox(f"disputes/{dispute}/resolve", outcome=outcome)
        assert status == 200, f"the dispute {dispute} cannot become {outcome}"
        self.disputes[dispute] = outcome
        if outcome == "won":
            del self.disputes[dispute]

    # ---- the clock
    async def _wind(self, *statements: str, days: int = 0) -> None:
        connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        connection = await connect(self.scene.owner_dsn, timeout=5)
        try:
            async with connection.transaction():
                for sql in statements:
                    await (connection.execute(sql, days) if "$1" in sql else connection.execute(sql))
        finally:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await connection.close(timeout=2)

    async def time_goes_by(self) -> None:
        """Days of maturity are over."""
        await self._wind("UPDATE orders.order_line SET matures_at = now() WHERE matures_at > now()")
        await self.scene.db.fetchval(SYSTEM, "SELECT orders.mature_due(200)")

    async def day_goes_by(self) -> None:
        """Yesterday's payouts are long ago: the daily run is due again."""
        if not await self.scene.db.fetchval(
            SYSTEM, "SELECT count(*) FROM payouts.run WHERE ended_at IS NULL"
        ):
            await self._wind(*_DAY, days=1000 + self.steps)

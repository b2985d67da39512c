"""The unhappy side of the demo: refunds, a case, a report, a chargeback, payouts, papers; so that no desk is
empty. Done with the verbs people use."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import structlog

from fondaco import cases, chargebacks, payouts, reconciliation, refunds, risk
from fondaco.core.db import SYSTEM, Connection, Record
from fondaco.core.ids import uuid7
from fondaco.core.problem import Problem
from fondaco.core.viewer import Viewer
from fondaco.statements.jobs import read_events

if TYPE_CHECKING:
    from fondaco.demo.seed import Seed

log = structlog.get_logger()
_LINES = """SELECT l.id, l.order_id, l.total, (SELECT e.id FROM delivery.entitlement e WHERE e.line_id = l.id
    ORDER BY e.id LIMIT 1) AS entitlement_id
  FROM orders.order_line l WHERE l.buyer_id = $1 AND l.seller_id = $2 AND l.escrow_state = 'HELD'
    AND l.terms->>'kind' = 'stocked_secret'
    AND EXISTS (SELECT 1 FROM delivery.entitlement e WHERE e.line_id = l.id AND e.revealed_at IS NOT NULL)
  ORDER BY l.delivered_at DESC, l.id"""


class Trouble:
    """What goes on after the sales of `seed`. What cannot be done (sold out, too late) is left out."""

    def __init__(self, seed: "Seed", store: Viewer, finance: Viewer) -> None:
        self.seed, self.db, self.settings = seed, seed.db, seed.settings
        self.store, self.finance = store, finance

    async def run(self, buyers: list[Viewer]) -> None:
        """All of it, one after the other."""
        for part in (
            self._refund(buyers[2]),
            self._case(buyers[1]),
            self._report(buyers[0]),
            self._pay_the_store(),
            self._dispute(buyers[5]),
            self._approval(buyers[3]),
        ):
            try:
                await part
            except Problem as problem:
                log.info("demo.left_out", code=problem.code)
        await read_events(self.seed.parts)
        while await risk.look_at_new(self.db):
            pass
        run_id = await reconciliation.begin(self.db, "clock")
        await reconciliation.run(self.db, self.seed.gateway, self.settings, run_id)

    async def _line(self, buyer: Viewer, nth: int = 0) -> Record:
        rows = await self.db.fetch(SYSTEM, _LINES, buyer.user(), self.store.seller())
        if len(rows) <= nth:
            raise Problem("Nothing of this store is held for this buyer.")
        return rows[nth]

    async def _refund(self, buyer: Viewer) -> None:
        line = await self._line(buyer)
        part = max(1, line["total"] // 4)
        why = "The bonus item of the edition was missing"
        await refunds.refund_by_seller(self.db, self.store, line["id"], part, reason="goodwill", why=why)

    async def _case(self, buyer: Viewer) -> None:
        line = await self._line(buyer)
        case_id = await cases.open_case(
            self.db,
            self.settings,
            buyer,
            line["order_id"],
            reason="ALREADY_USED",
            text="The platform says that this key was activated last month. I have a picture of the message.",
        )
        by = cases.Acting("seller", self.store)
        await cases.write(
            self.db, by, case_id, "We are looking into it with our supplier. Bear with us for a day."
        )

    async def _report(self, buyer: Viewer) -> None:
        line = await self._line(buyer)
        why = "It says: this code does not exist"
        await refunds.report_bad_key(self.db, buyer, self.settings, line["entitlement_id"], why)

    async def _pay_the_store(self) -> None:
        """The store's account at the provider is opened and filled in, and its first withdrawal is sent."""
        await payouts.connect(self.db, self.seed.gateway, self.settings, self.store)
        account = (await payouts.my_account(self.db, self.store)).provider_id
        if account is None:
            return
        await self._sandbox(f"accounts/{account}", choice="verified")
        await self._sandbox("available")
        await payouts.refresh(self.db, self.seed.gateway, account)
        await self.seed.mature_sales_of(self.store)
        payout_id = uuid7()
        currency = self.settings.currency
        await payouts.withdraw(self.db, self.settings, self.store, payout_id, amount=None, currency=currency)
        await payouts.send_payout(self.db, self.seed.gateway, payout_id)

    async def _dispute(self, buyer: Viewer) -> None:
        intent = await self.db.fetchval(
            SYSTEM,
            "SELECT intent_id FROM wallets.funding WHERE user_id = $1 AND state = 'SUCCEEDED'",
            buyer.user(),
        )
        made = await self._sandbox(f"charges/{intent}/dispute", reason="fraudulent")
        facts = await self.seed.gateway.retrieve_dispute(str(made["id"]))

        async def work(conn: Connection) -> None:
            await chargebacks.note_dispute(conn, facts)

        await self.db.run(SYSTEM, work)

    async def _approval(self, buyer: Viewer) -> None:
        """More goodwill than one person may give: it waits for a second one."""
        await refunds.pay_goodwill(
            self.db,
            self.finance,
            self.settings,
            key=uuid7(),
            amount=self.settings.goodwill_limit + 500,
            currency=self.settings.currency,
            why="Three keys in a row had to be replaced",
            user_id=buyer.user(),
        )

    async def _sandbox(self, path: str, **content: Any) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.post(f"{self.settings.stripe_api_base}/sandbox/{path}", json=content)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found


async def staff_viewer(seed: "Seed", role: str) -> Viewer:
    """The demo's member of staff with this role, as somebody signed in."""
    row = await seed.db.fetchrow(
        SYSTEM, "SELECT id, email, name FROM identity.users WHERE staff_role = $1 ORDER BY id LIMIT 1", role
    )
    assert row
    user_id: UUID = row["id"]
    who = {"email": row["email"], "name": row["name"]}
    return Viewer(user_id=user_id, verified=True, mfa=True, staff_role=role, **who)

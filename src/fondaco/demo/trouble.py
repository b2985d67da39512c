"""The unhappy side of the demo: refunds, cases, a report, chargebacks, payouts, papers, an appeal; so that no
desk is empty. Done with the verbs people use."""

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
SLOW_REFUNDS = "4000000000007726"
_LINES = """SELECT l.id, l.order_id, l.total, (SELECT e.id FROM delivery.entitlement e WHERE e.line_id = l.id
    ORDER BY e.id LIMIT 1) AS entitlement_id
  FROM orders.order_line l WHERE l.buyer_id = $1 AND l.seller_id = $2 AND l.escrow_state = ANY ($3)
    AND l.refunded = 0
    AND l.terms->>'kind' = 'stocked_secret'
    AND EXISTS (SELECT 1 FROM delivery.entitlement e WHERE e.line_id = l.id AND e.revealed_at IS NOT NULL)
  ORDER BY l.delivered_at DESC, l.id"""


class Trouble:
    """What goes on after the sales of `seed`. What cannot be done (sold out, too late) is left out."""

    def __init__(self, seed: "Seed", finance: Viewer, support: Viewer) -> None:
        self.seed, self.db, self.settings = seed, seed.db, seed.settings
        self.store, self.finance, self.support = seed.stores["rialto-keys"], finance, support

    async def run(self, buyers: list[Viewer]) -> None:
        """All of it, one after the other."""
        for part in (
            self._refund(buyers[2]),
            self._case(buyers[1]),
            self._report(buyers[0]),
            self._ended_cases(buyers),
            self._card_refund(buyers[3]),
            self._pay_the_store(),
            self._payout_on_hold(),
            self._dispute(buyers[5]),
            self._dispute(buyers[6], "won"),
            self._approval(buyers[3]),
        ):
            try:
                await part
            except Problem as problem:
                log.info("demo.left_out", code=problem.code)
        await read_events(self.seed.parts)
        while await risk.look_at_new(self.db):
            pass
        await self._appeal(buyers[5])
        run_id = await reconciliation.begin(self.db, "clock")
        await reconciliation.run(self.db, self.seed.gateway, self.settings, run_id)

    async def _line(self, buyer: Viewer, store: Viewer, *states: str) -> Record:
        rows = await self.db.fetch(SYSTEM, _LINES, buyer.user(), store.seller(), states or ("HELD",))
        if not rows:
            raise Problem("Nothing of this store is held for this buyer.")
        return rows[0]

    async def _refund(self, buyer: Viewer) -> None:
        line = await self._line(buyer, self.store)
        part = max(1, line["total"] // 4)
        why = "The bonus item of the edition was missing"
        await refunds.refund_by_seller(self.db, self.store, line["id"], part, reason="goodwill", why=why)

    async def _case(self, buyer: Viewer) -> None:
        text = "The platform says that this key was activated last month. I have a picture of the message."
        case_id = await self._open(buyer, self.store, "ALREADY_USED", text)
        by = cases.Acting("seller", self.store)
        await cases.write(
            self.db, by, case_id, "We are looking into it with our supplier. Bear with us for a day."
        )

    async def _open(self, buyer: Viewer, store: Viewer, reason: str, text: str) -> UUID:
        line = await self._line(buyer, store, "HELD", "RELEASED")
        lines = [line["id"]]
        return await cases.open_case(
            self.db, self.settings, buyer, line["order_id"], reason=reason, text=text, line_ids=lines
        )

    async def _ended_cases(self, buyers: list[Viewer]) -> None:
        """One settled, one withdrawn, two decided: once for the buyer, once for the seller."""
        games, software = (self.seed.stores[slug] for slug in ("northlight-games", "atelier-software"))
        text = "It starts, but the season that the title promises is not in it."
        settled = await self._open(buyers[3], games, "NOT_AS_DESCRIBED", text)
        offered = "You are right, the text was old. Two euros back for it?"
        await cases.offer(self.db, games, settled, amount=200, text=offered)
        await cases.accept_offer(self.db, buyers[3], settled)
        text = "The page says: not valid in your region."
        withdrawn = await self._open(buyers[0], games, "WRONG_REGION", text)
        await cases.withdraw(self.db, buyers[0], withdrawn)
        verdicts = (
            (buyers[4], games, "BUYER", "The log of the platform shows an earlier activation."),
            (buyers[2], software, "SELLER", "The key was shown and activated by this account the same day."),
        )
        for buyer, store, outcome, words in verdicts:
            case_id = await self._open(buyer, store, "NOT_WORKING", "It says that the key is not valid.")
            await cases.take(self.db, self.support, case_id)
            await cases.decide(self.db, self.finance, case_id, outcome=outcome, text=words)

    async def _card_refund(self, buyer: Viewer) -> None:
        """A sale given back to the card it came from; the card's bank takes its time."""
        pick = next(one for one in self.seed.listings if one[1].stock > 100 and one[1].region == "GLOBAL")
        group_id = await self.seed.order_by_card(buyer, pick, SLOW_REFUNDS)
        line_id = await self.db.fetchval(
            SYSTEM,
            """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
               WHERE o.group_id = $1""",
            group_id,
        )
        await refunds.refund_by_staff(
            self.db,
            self.finance,
            self.settings,
            line_id,
            None,
            to="source",
            reason="duplicate",
            why="Bought twice by accident",
        )

    async def _report(self, buyer: Viewer) -> None:
        line = await self._line(buyer, self.store)
        why = "It says: this code does not exist"
        await refunds.report_bad_key(self.db, buyer, self.settings, line["entitlement_id"], why)

    async def _pay_the_store(self) -> None:
        """The store's account at the provider is opened and filled in, and its first withdrawal is sent."""
        await payouts.send_payout(self.db, self.seed.gateway, await self._withdrawal(self.store))

    async def _payout_on_hold(self) -> None:
        """Another store's withdrawal waits for finance."""
        payout_id = await self._withdrawal(self.seed.stores["atelier-software"])
        await payouts.hold(self.db, self.finance, payout_id, "We look at two of its cases first")

    async def _withdrawal(self, store: Viewer) -> UUID:
        await payouts.connect(self.db, self.seed.gateway, self.settings, store)
        account = (await payouts.my_account(self.db, store)).provider_id
        if account is None:
            raise Problem("The provider made no account.")
        await self._sandbox(f"accounts/{account}", choice="verified")
        await self._sandbox("available")
        await payouts.refresh(self.db, self.seed.gateway, account)
        await self.seed.mature_sales_of(store)
        payout_id = uuid7()
        currency = self.settings.currency
        await payouts.withdraw(self.db, self.settings, store, payout_id, amount=None, currency=currency)
        return payout_id

    async def _dispute(self, buyer: Viewer, outcome: str = "") -> None:
        """The buyer's bank takes the top-up back; with `outcome` it has decided already."""
        intent = await self.db.fetchval(
            SYSTEM,
            "SELECT intent_id FROM wallets.funding WHERE user_id = $1 AND state = 'SUCCEEDED'",
            buyer.user(),
        )
        made = await self._sandbox(f"charges/{intent}/dispute", reason="fraudulent")
        await self._note(str(made["id"]))
        if outcome:
            await self._sandbox(f"disputes/{made['id']}/resolve", outcome=outcome)
            await self._note(str(made["id"]))

    async def _note(self, dispute_id: str) -> None:
        facts = await self.seed.gateway.retrieve_dispute(dispute_id)

        async def work(conn: Connection) -> None:
            await chargebacks.note_dispute(conn, facts)

        await self.db.run(SYSTEM, work)

    async def _appeal(self, buyer: Viewer) -> None:
        """Whoever is limited says why that is wrong."""
        words = "It was my bank: they mistook the payment for one of a shop they do not know. I told them."
        try:
            await risk.appeal(self.db, buyer, "user", words)
        except Problem as problem:
            log.info("demo.left_out", code=problem.code)

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

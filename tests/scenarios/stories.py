"""The stories: every way the money can go, told with the product's own verbs against the sandbox."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from fondaco import approvals, chargebacks, orders, refunds, wallets
from fondaco.core.db import SYSTEM, Connection
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.orders.actions import give_up
from fondaco.orders.combiner import Combiner
from fondaco.wallets import Funding
from tests.scenarios.book import Book
from tests.support.direct import Direct, at_sale
from tests.support.money import Till, make_buyer, make_staff
from tests.support.payouts import Paying, connected, mature, release
from tests.support.shop import Shop, make_shop, purchase

AT_ONCE = "4000000000000077"  # money that can be sent on at once


@dataclass
class Market:
    """A buyer, a store, and the book their story goes into."""

    book: Book
    owner: asyncpg.Connection
    buyer: Viewer
    shop: Shop

    @property
    def till(self) -> Till:
        return self.book.till

    async def run(self, work: Callable[[Connection], Awaitable[Any]]) -> Any:
        return await self.till.db.run(SYSTEM, work)

    async def pay_in(self, amount: int = 5000, card: str = AT_ONCE) -> Funding:
        funding = await self.till.paid_top_up(self.buyer, amount, card)
        await self.book.tell(f"The buyer pays {amount / 100:.2f} into the wallet by card")
        return funding

    async def buy(self, words: str = "The buyer buys a key for 20.00") -> UUID:
        bought = await Combiner(self.till.db).buy(purchase(self.buyer, self.shop.wish()))
        await self.book.tell(words)
        line: UUID = await self.till.db.fetchval(
            SYSTEM,
            """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
               WHERE o.group_id = $1""",
            bought.group_id,
        )
        return line

    async def see(self) -> None:
        """The buyer looks at what was bought."""
        for sql in (
            "UPDATE delivery.entitlement SET revealed_at = now() WHERE revealed_at IS NULL",
            "UPDATE inventory.stock_unit SET state = 'CONSUMED' WHERE state = 'SOLD'",
            """SELECT audit.record('secret.revealed', 'entitlement:' || id, 'system',
                 jsonb_build_object('line_id', line_id)) FROM delivery.entitlement""",
        ):
            await self.owner.execute(sql)

    async def release(self, line: UUID) -> None:
        await release(self.till.db, line)
        await self.book.tell("Buyer protection is over: the line is released")

    async def mature(self, line: UUID) -> None:
        await self.owner.execute("UPDATE orders.order_line SET matures_at = now() WHERE id = $1", line)
        await mature(self.till.db)
        await self.book.tell("The days of maturity are over")

    async def refund(self, line: UUID, amount: int | None, words: str, **how: Any) -> None:
        async def work(conn: Connection) -> None:
            known = {"reason": "goodwill", "why": "agreed", "actor": "system", "keep": True} | how
            await refunds.refund_line(conn, line, amount, **known)

        await self.run(work)
        await self.book.tell(words)

    async def to_card(self, funding: Funding, amount: int) -> None:
        async def work(conn: Connection) -> None:
            await wallets.request_refund(conn, funding.id, amount, reason="asked for", actor="system")

        await self.run(work)
        await self.book.tell(f"{amount / 100:.2f} is to go back to the card")

    async def paid(self) -> Paying:
        """The store's account at the provider, able to be paid."""
        return Paying(self.till, self.shop, await connected(self.till, self.shop))

    async def dispute(self, funding: Funding) -> str:
        intent = await self.till.db.fetchval(
            SYSTEM, "SELECT intent_id FROM wallets.funding WHERE id = $1", funding.id
        )
        made = self.till.sandbox.post(f"/sandbox/charges/{intent}/dispute")
        await self.till.deliver_all()
        return str(made["id"])

    async def resolve(self, dispute_id: str, outcome: str) -> None:
        self.till.sandbox.post(f"/sandbox/disputes/{dispute_id}/resolve", outcome=outcome)
        await self.till.deliver_all()


async def sale(m: Market) -> None:
    """From the card to the seller's payable money: a top-up, its fee, a purchase, release, maturity."""
    await m.pay_in()
    line = await m.buy()
    await m.release(line)
    await m.mature(line)


async def refund_before_release(m: Market) -> None:
    """A part goes back to the buyer while the money is in escrow; the rest is released to the seller."""
    await m.pay_in()
    line = await m.buy()
    await m.refund(line, 500, "5.00 of the line is refunded to the wallet")
    await m.release(line)


async def refund_after_release(m: Market) -> None:
    """Seller, marketplace and tax give their parts back, to the cent."""
    await m.pay_in()
    line = await m.buy()
    await m.release(line)
    await m.refund(line, 333, "3.33 of the line is refunded to the wallet")
    await m.refund(line, None, "All the rest is refunded")


async def refund_after_payout(m: Market) -> None:
    """The seller's money has left: the seller owes it, and the next sale pays it."""
    await m.pay_in(10_000)
    line = await m.buy()
    await m.release(line)
    await m.mature(line)
    rig = await m.paid()
    await rig.send(await rig.withdraw(), patient=True)
    await m.book.tell("All that is payable is paid out")
    await m.refund(line, None, "The line is refunded after that")
    again = await m.buy("Somebody buys another key for 20.00")
    await m.release(again)


async def refund_to_the_card(m: Market) -> None:
    """Money goes back where it came from, and days later the bank returns it."""
    funding = await m.pay_in()
    await m.to_card(funding, 2000)
    await m.till.work()
    await m.book.tell("The provider says it is done")
    refund = (await wallets.refunds_of(m.till.db, SYSTEM, funding.id))[-1]
    m.till.sandbox.post(f"/sandbox/refunds/{refund.provider_id}", status="failed")
    await m.till.deliver_all()
    await m.book.tell("Days later the bank returns it")


async def payout_and_back(m: Market) -> None:
    """A payout is sent; another is refused at once; the first is taken back."""
    await m.pay_in(10_000)
    for _ in range(2):
        line = await m.buy()
        await m.release(line)
        await m.mature(line)
    rig = await m.paid()
    first = await rig.withdraw(1800)
    await m.book.tell("A payout of 18.00 is decided")
    await rig.send(first, patient=True)
    await m.book.tell("The provider has made the transfer")
    second = await rig.withdraw()
    await m.book.tell("Another payout is decided")
    m.till.sandbox.post(f"/sandbox/accounts/{rig.account}", reject="fraud")
    await rig.send(second, patient=True)
    await m.book.tell("The provider refuses it: the account was closed")


async def chargeback_before_spending(m: Market) -> None:
    """The card network takes the money; it is all still in the wallet, and the chargeback is won."""
    funding = await m.pay_in()
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment")
    await m.resolve(found, "won")
    await m.book.tell("The bank decides for the marketplace")


async def chargeback_after_everything(m: Market) -> None:
    """The money was spent, released and paid out. The chargeback is lost: the buyer owes it, the seller keeps
    all. Later the bank reverses its decision."""
    funding = await m.pay_in()
    line = await m.buy()
    await m.see()
    await m.release(line)
    await m.mature(line)
    rig = await m.paid()
    await rig.send(await rig.withdraw(), patient=True)
    await m.book.tell("All that is payable is paid out")
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment: what is left in the wallet is held")
    await m.resolve(found, "lost")
    await m.book.tell("The bank decides for the buyer")
    await m.resolve(found, "won")
    await m.book.tell("The bank reverses its decision")


async def chargeback_on_unseen_goods(m: Market) -> None:
    """What nobody has seen is taken back first, so that the wallet covers all of it."""
    funding = await m.pay_in()
    await m.buy()
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment; nobody has seen the key yet")
    await m.resolve(found, "lost")
    await m.book.tell("The bank decides for the buyer")


async def hold_grows(m: Market) -> None:
    """A wallet that gains money while a chargeback is open covers more of it."""
    funding = await m.pay_in()
    await m.buy()
    await m.see()
    await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment: 30.00 of it can be held")
    await m.pay_in(1500)
    row = await m.till.db.fetchval(SYSTEM, "SELECT id FROM chargebacks.chargeback")

    async def work(conn: Connection) -> int:
        return await chargebacks.hold_more(conn, row)

    await m.run(work)
    await m.book.tell("Within a minute the new money is held too")


async def case_decided_in_parts(m: Market) -> None:
    """A case freezes the line; it ends with a part for the buyer and the rest for the seller."""
    await m.pay_in()
    line = await m.buy()
    await m.run(lambda conn: orders.freeze(conn, [line], "system"))
    await m.book.tell("A case is opened: the money is frozen where it is")
    await m.refund(line, 800, "The case is decided: 8.00 for the buyer", reason="case", even_frozen=True)
    await m.run(lambda conn: orders.release_lines(conn, [line], "system"))
    await m.book.tell("and the rest for the seller")


async def debt_repaid_and_written_off(m: Market) -> None:
    """What a lost chargeback leaves open is paid back from the next top-up; two people write off the rest."""
    funding = await m.pay_in()
    await m.buy()
    await m.see()
    await m.resolve(await m.dispute(funding), "lost")
    await m.book.tell("The payment is disputed and the bank decides for the buyer")
    await m.pay_in(1500)
    row = await m.till.db.fetchval(SYSTEM, "SELECT id FROM chargebacks.chargeback")
    await m.run(lambda conn: chargebacks.repay(conn, row))
    await m.book.tell("The buyer pays in again: it goes to the debt first")
    first, second = [await make_staff(m.till.db, "finance") for _ in range(2)]
    asked = await chargebacks.ask_write_off(m.till.db, first, row, "not worth a letter")
    await approvals.decide(m.till.db, second, asked, True, "agreed")
    await m.book.tell("Two people write off the rest")


async def goodwill_and_its_correction(m: Market) -> None:
    """A small present needs one person; undoing a journal needs two."""
    finance, second = [await make_staff(m.till.db, "finance") for _ in range(2)]
    await refunds.pay_goodwill(
        m.till.db,
        finance,
        m.till.settings,
        key=uuid7(),
        amount=500,
        currency="EUR",
        why="waited too long",
        user_id=m.buyer.user(),
    )
    await m.book.tell("The buyer gets 5.00 for a long wait")
    journal = await m.till.db.fetchval(SYSTEM, "SELECT id FROM ledger.journal WHERE kind = 'goodwill'")
    asked = await refunds.ask_reversal(m.till.db, finance, journal, "it was the wrong buyer")
    await approvals.decide(m.till.db, second, asked, True, "seen")
    await m.book.tell("It was the wrong buyer: two people undo it")


async def paid_at_the_sale(m: Market) -> None:
    """The card pays the store's own account and our share stays; a part is given back; the bank takes the
    rest back when the account is empty, so the store owes it, and later changes its mind."""
    one = Direct(m.till, m.shop, await at_sale(m.till, m.shop))
    group = await one.place(buyer=m.buyer)
    await one.pay(group)
    await m.till.deliver_all()
    await m.book.tell("The buyer pays the store directly, 20.00 by card, and has the key")
    await m.refund(await one.line(group), 500, "5.00 of it is to go back to the card")
    await m.till.work()
    await m.book.tell("The provider has sent it back, and taken the store's part from its account")
    one.empty()
    intent = (await one.funding(group))["intent_id"]
    found = m.till.sandbox.post(f"/sandbox/charges/{intent}/dispute")
    await m.till.deliver_all()
    await m.book.tell("The buyer's bank disputes the rest of the payment")
    await m.resolve(found["id"], "lost")
    await m.book.tell("The bank decides for the buyer; the store's account is empty")
    await m.resolve(found["id"], "won")
    await m.book.tell("The bank reverses its decision")


async def paid_at_the_sale_too_late(m: Market) -> None:
    """The payment comes when the order was cancelled: everything goes back, out of our account and the
    store's."""
    one = Direct(m.till, m.shop, await at_sale(m.till, m.shop))
    group = await one.place(buyer=m.buyer)
    await one.pay(group)
    await give_up(m.till.db, group, "CANCELLED", "cancelled by the buyer", "system")
    await m.till.deliver_all("payment_intent.succeeded")
    await m.book.tell("The payment of a cancelled order arrives, is sent back, and taken back from the store")


STORIES: dict[str, tuple[str, Callable[[Market], Awaitable[None]]]] = {
    "sale": ("A sale", sale),
    "refund-before-release": ("A refund before release", refund_before_release),
    "refund-after-release": ("A refund after release", refund_after_release),
    "refund-after-payout": ("A refund after the payout", refund_after_payout),
    "refund-to-the-card": ("A refund to the card that comes back", refund_to_the_card),
    "payout": ("A payout sent and one refused", payout_and_back),
    "chargeback-before-spending": ("A chargeback before spending", chargeback_before_spending),
    "chargeback-after-everything": (
        "A chargeback after spending, release and payout",
        chargeback_after_everything,
    ),
    "chargeback-on-unseen-goods": ("A chargeback on goods nobody has seen", chargeback_on_unseen_goods),
    "chargeback-and-a-wallet-that-grows": ("A chargeback and a wallet that grows", hold_grows),
    "debt-repaid-and-written-off": ("A debt repaid and written off", debt_repaid_and_written_off),
    "goodwill-and-its-correction": ("Goodwill and its correction", goodwill_and_its_correction),
    "paid-at-the-sale": ("A store that is paid at the sale", paid_at_the_sale),
    "paid-at-the-sale-too-late": ("A store that is paid at the sale, too late", paid_at_the_sale_too_late),
    "case-in-parts": ("A case decided in parts", case_decided_in_parts),
}


async def market(till: Till, owner: asyncpg.Connection, slug: str) -> Market:
    """Who a story is about."""
    title, story = STORIES[slug]
    buyer, shop = await make_buyer(till.db), await make_shop(till.db, price=2000, stock=5)
    book = Book(till, title, " ".join((story.__doc__ or "").split()))
    book.name("user", buyer.user(), "the buyer")
    book.name("seller", shop.seller_id, "the seller")
    return Market(book, owner, buyer, shop)

"""More stories: what goes wrong between two things that are each right, and currencies with other digits."""

from collections.abc import Awaitable, Callable

from fondaco import approvals, chargebacks, inbox, payouts, reconciliation, wallets
from fondaco.chargebacks import warned
from fondaco.core.db import SYSTEM, Connection
from fondaco.core.ids import uuid7
from fondaco.core.money import Money
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders import place_with_card, policy_of, purchase_of
from fondaco.orders.combiner import Combiner
from tests.reconciliation.test_pages import in_suspense
from tests.scenarios.stories import AT_ONCE, STORIES, Market
from tests.support.money import Till, make_buyer, make_staff
from tests.support.shop import make_shop, purchase


async def by_card(m: Market) -> None:
    """An order is paid by card: the money comes through the wallet in the same moment, so that a chargeback
    always meets a payment and never an order. It does, before release, and is won."""
    till = m.till
    wanted = purchase_of(m.buyer, policy_of(till.settings), [m.shop.wish()], currency="EUR", idem=uuid7().hex)
    placed = await place_with_card(till.db, till.gateway, till.settings, wanted)
    row = await till.db.fetchrow(
        SYSTEM, "SELECT id, session_id FROM wallets.funding WHERE group_id = $1", placed.group_id
    )
    assert row
    till.sandbox.pay(row["session_id"], AT_ONCE)
    await inbox.check_funding(till.db, till.gateway, row["id"])
    await till.work()
    await m.book.tell("The buyer pays a key for 20.00 by card")
    await m.see()
    found = await m.dispute(await wallets.read_funding(till.db, SYSTEM, row["id"]))
    await m.book.tell("The buyer's bank disputes the payment: nothing is left in the wallet to be held")
    await m.resolve(found, "won")
    await m.book.tell("The bank decides for the marketplace")


async def chargeback_after_spending(m: Market) -> None:
    """The money is spent and in escrow. The chargeback is lost: the buyer owes it, the line goes its way."""
    funding = await m.pay_in()
    line = await m.buy()
    await m.see()
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment: what is left in the wallet is held")
    await m.resolve(found, "lost")
    await m.book.tell("The bank decides for the buyer")
    await m.release(line)


async def chargeback_after_release(m: Market) -> None:
    """Released and not paid out yet: the seller's money does not move, and is paid out as ever."""
    funding = await m.pay_in()
    line = await m.buy()
    await m.see()
    await m.release(line)
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment")
    await m.mature(line)
    rig = await m.paid()
    await m.till.paid_top_up(await make_buyer(m.till.db), 5000, AT_ONCE)
    await m.book.tell("Somebody else pays 50.00 in: the marketplace has money to send")
    await rig.send(await rig.withdraw(), patient=True)
    await m.book.tell("All that is payable is paid out")
    await m.resolve(found, "won")
    await m.book.tell("The bank decides for the marketplace")


async def refund_meets_dispute(m: Market) -> None:
    """A refund to the card is on its way when the bank disputes the payment: the provider refuses to give the
    same money back twice."""
    funding = await m.pay_in()
    await m.to_card(funding, 2000)
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment; the provider refuses the refund")
    row = await m.till.db.fetchval(SYSTEM, "SELECT id FROM chargebacks.chargeback")

    async def more(conn: Connection) -> int:
        return await chargebacks.hold_more(conn, row)

    await m.run(more)
    await m.book.tell("Within a minute its money is held with the rest")
    await m.resolve(found, "lost")
    await m.book.tell("The bank decides for the buyer")


async def dispute_after_refund(m: Market) -> None:
    """A part went back to the card before the bank disputes the payment: only the rest can be disputed."""
    funding = await m.pay_in()
    await m.to_card(funding, 2000)
    await m.till.work()
    await m.book.tell("The provider says it is done")
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment: the rest of it")
    await m.resolve(found, "won")
    await m.book.tell("The bank decides for the marketplace")


async def refund_refused(m: Market) -> None:
    """A refund the provider takes and cannot make: the money is in the wallet again."""
    funding = await m.pay_in()
    m.till.sandbox.post("/sandbox/faults", refund_pends={"count": 1, "path": "/v1/refunds"})
    await m.to_card(funding, 2000)
    await m.till.work()
    await m.book.tell("The provider has it and waits for the bank")
    refund = (await wallets.refunds_of(m.till.db, SYSTEM, funding.id))[-1]
    m.till.sandbox.post(f"/sandbox/refunds/{refund.provider_id}", status="failed")
    await m.till.deliver_all()
    await m.book.tell("The bank takes no money for this card")


async def fraud_warning(m: Market) -> None:
    """The card network warns early: what is not spent goes back at once, so that nobody can dispute it."""
    funding = await m.pay_in()
    intent = await m.till.db.fetchval(
        SYSTEM, "SELECT intent_id FROM wallets.funding WHERE id = $1", funding.id
    )
    m.till.sandbox.post(f"/sandbox/charges/{intent}/warn")
    await m.till.deliver_all()
    warning = await m.till.db.fetchval(SYSTEM, "SELECT id FROM chargebacks.warning")
    await warned.answer_warning(m.till.db, m.till.settings, warning)
    await m.book.tell("The card network warns of fraud: all of the payment is sent back")
    await m.till.work()
    await m.till.deliver_all()
    await m.book.tell("The provider says it is done")


async def payout_cancelled_and_taken_back(m: Market) -> None:
    """A payout is cancelled before it leaves; another is sent and partly taken back."""
    await m.pay_in(10_000)
    line = await m.buy()
    await m.release(line)
    await m.mature(line)
    rig = await m.paid()
    finance = await make_staff(m.till.db, "finance")
    first = await rig.withdraw()
    await m.book.tell("All that is payable is to be paid out")
    await payouts.cancel(m.till.db, finance, first, "not today")
    await m.book.tell("Finance cancels it before it leaves")
    second = await rig.withdraw()
    await m.book.tell("The store asks again")
    await rig.send(second, patient=True)
    await m.book.tell("The provider has made the transfer")
    m.till.sandbox.post("/sandbox/available")
    back = await payouts.take_back(m.till.db, finance, second, amount=700, because="too much")
    await payouts.send_reversal(m.till.db, m.till.gateway, back)
    await m.book.tell("Finance has 7.00 of it taken back")


async def nobodys_money(m: Market) -> None:
    """A payment that names nothing of ours waits in suspense until two people send it back to its card."""
    finance, one = await in_suspense(m.till)
    await m.book.tell("33.00 arrive of which nothing is known")
    asked = await reconciliation.ask_to_settle(m.till.db, finance, one.journal_id, "card", why="Not ours")
    await approvals.decide(m.till.db, await make_staff(m.till.db, "finance"), asked, True, "seen")
    await reconciliation.send_back(m.till.db, m.till.gateway)
    await m.book.tell("Two people send it back to its card")


async def to_our_bank(m: Market) -> None:
    """What the provider pays to the marketplace's own bank, and a bank that returns it."""
    await m.pay_in()
    made = m.till.sandbox.post("/sandbox/payout", currency="eur")
    m.till.sandbox.post(f"/sandbox/payouts/{made['id']}/arrive")
    await m.till.deliver_all()
    await m.book.tell("All that the provider holds is paid to the marketplace's bank")
    m.till.sandbox.post(f"/sandbox/payouts/{made['id']}/fail", code="account_closed")
    await m.till.deliver_all()
    await m.book.tell("Days later the bank returns it")


async def reserve(m: Market) -> None:
    """Of a store at risk a part is kept back at maturity, and is payable once its time is over."""
    await m.pay_in()
    await m.owner.execute("ALTER TABLE risk.standing DISABLE TRIGGER USER")
    await m.owner.execute(
        "INSERT INTO risk.standing (party, tier, rules) VALUES ('seller:' || $1::uuid, 'AT_RISK', 'test')",
        m.shop.seller_id,
    )
    line = await m.buy()
    await m.release(line)
    await m.mature(line)
    await m.owner.execute("UPDATE payouts.reserve SET held_at = held_at - interval '1 year'")

    async def free(conn: Connection) -> None:
        await conn.execute("SELECT payouts.free_reserve($1, 100)", m.till.settings.reserve_days)

    await m.run(free)
    await m.book.tell("The time of the reserve is over")
    await m.owner.execute("DELETE FROM risk.standing; ALTER TABLE risk.standing ENABLE TRIGGER USER")


async def _in(m: Market, currency: str, price: int, paid: int) -> None:
    """The same marketplace in another currency: a sale, a refund in part, a payout, a chargeback."""
    settings = m.till.settings.model_copy(update={"currency": currency})
    m.book.till = till = Till(m.till.db, settings, StripeGateway(settings), m.till.sandbox)
    m.shop = await make_shop(till.db, price=price, stock=5, currency=currency)
    m.book.name("seller", m.shop.seller_id, "the seller")
    funding = await till.paid_top_up(m.buyer, paid, AT_ONCE)
    await m.book.tell(f"The buyer pays {Money(paid, currency)} into the wallet by card")
    bought = await Combiner(till.db).buy(purchase(m.buyer, m.shop.wish(), currency=currency))
    await m.book.tell(f"The buyer buys a key for {Money(price, currency)}")
    line = await till.db.fetchval(
        SYSTEM,
        """SELECT l.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
           WHERE o.group_id = $1""",
        bought.group_id,
    )
    await m.see()
    part = price // 3 + 1
    await m.refund(line, part, f"{Money(part, currency)} of the line is refunded to the wallet")
    await m.release(line)
    await m.refund(line, part, "The same again, after release")
    await m.mature(line)
    rig = await m.paid()
    payout = uuid7()
    await payouts.withdraw(till.db, settings, m.shop.owner, payout, amount=None, currency=currency)
    await rig.send(payout, patient=True)
    await m.book.tell("All that is payable is paid out")
    found = await m.dispute(funding)
    await m.book.tell("The buyer's bank disputes the payment")
    await m.resolve(found, "lost")
    await m.book.tell("The bank decides for the buyer")
    await m.resolve(found, "won")
    await m.book.tell("The bank reverses its decision")


async def in_yen(m: Market) -> None:
    """A currency without decimals: every part is a whole yen, and the parts are the whole."""
    await _in(m, "JPY", 1970, 5000)


async def in_dinars(m: Market) -> None:
    """A currency with three decimals: every part to the thousandth, and the parts are the whole."""
    await _in(m, "KWD", 19_990, 50_000)


MORE: dict[str, tuple[str, Callable[[Market], Awaitable[None]]]] = {
    "paid-by-card": ("An order paid by card, and disputed", by_card),
    "chargeback-after-spending": ("A chargeback after spending", chargeback_after_spending),
    "chargeback-after-release": ("A chargeback between release and payout", chargeback_after_release),
    "refund-meets-dispute": ("A refund that meets a dispute", refund_meets_dispute),
    "dispute-after-refund": ("A dispute after a refund", dispute_after_refund),
    "refund-refused": ("A refund the bank refuses", refund_refused),
    "fraud-warning": ("An early fraud warning", fraud_warning),
    "payout-cancelled-and-taken-back": (
        "A payout cancelled, and one taken back in part",
        payout_cancelled_and_taken_back,
    ),
    "nobodys-money": ("Money that is nobody's", nobodys_money),
    "to-our-bank": ("Money to the marketplace's own bank", to_our_bank),
    "reserve": ("A reserve kept back and freed", reserve),
    "in-yen": ("Everything in yen", in_yen),
    "in-dinars": ("Everything in dinars", in_dinars),
}
STORIES.update(MORE)

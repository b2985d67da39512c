"""How a purchase stands, in the buyer's words: one story per state, and what happened so far."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fondaco import wallets
from fondaco.core.clock import now
from fondaco.orders import Order, OrderGroup, OrderLine
from fondaco.pages.render import format_money, plural

_CLOSED = ("EXPIRED", "CANCELLED")
_PAID = {
    "card": "Payment received, kept in escrow",
    "instant_credit": "Bought on credit; the marketplace holds the money in escrow",
    "destination": "Paid directly to the store",
}


@dataclass(frozen=True, slots=True)
class Goods:
    """What was bought, in the buyer's words."""

    one: str
    many: str
    open: str
    icon: str
    question: str
    answer: str


_GOODS = {
    "stocked_secret": Goods(
        "key", "keys", "Open your keys", "key-round", "Do your keys work?", "Yes, they work"
    ),
    "article": Goods(
        "article", "articles", "Open your article", "book-open", "Is it what was promised?", "Yes, it is"
    ),
}
_MIXED = Goods(
    "thing", "things", "Open your library", "library", "Is everything as promised?", "Yes, everything is"
)


def goods_of(lines: Iterable[OrderLine]) -> Goods:
    """The words for lines that may be of one kind or of several."""
    kinds = {line.kind for line in lines}
    return _GOODS[kinds.pop()] if len(kinds) == 1 else _MIXED


def goods(group: OrderGroup) -> Goods:
    """The words for all of a purchase."""
    return goods_of(line for order in group.orders for line in order.lines)


@dataclass(frozen=True, slots=True)
class Story:
    """`step` counts the steps that are done; `live`: more may happen by itself soon."""

    tone: str
    heading: str
    words: str
    step: int
    live: bool
    can_pay: bool = False
    can_cancel: bool = False
    can_repeat: bool = False

    @property
    def steps(self) -> tuple[str, str, str]:
        """The names of the steps, done or ahead."""
        return (
            "Placed",
            "Paid" if self.step > 1 else "Payment",
            "Delivered" if self.step > 2 else "Delivery",
        )


def story(group: OrderGroup) -> Story:
    """What to tell the buyer first."""
    if group.state == "PENDING_PAYMENT":
        return _waiting(group)
    if group.state in _CLOSED:
        return _closed(group)
    if group.state == "REFUNDED":
        paid = group.payment
        sent_on = paid is not None and paid.refunded + paid.refund_pending >= group.total
        where = "where you paid from" if sent_on else "your wallet"
        if group.pay_with == "instant_credit":
            where = "you: it paid what you owed for it, and the rest is in your wallet"
        return Story("quiet", "Refunded", f"Your money was returned to {where}.", 3, live=False)
    count = sum(line.quantity for order in group.orders for line in order.lines)
    things = goods(group)
    if group.state == "COMPLETED":
        words = f"You have your {things.many}, and the money went to the seller. They stay in your library."
        return Story("good", "Completed", words, 3, live=False)
    they_are = f"{plural(count, things.one, things.many)} {'is' if count == 1 else 'are'}"
    return Story(
        "good",
        "Delivered",
        f"{they_are} in your library. Your money is protected until you confirm.",
        3,
        live=False,
    )


def _waiting(group: OrderGroup) -> Story:
    payment = group.payment
    until = next((o.expires_at for o in group.orders if o.expires_at), None)
    many = goods(group).many
    kept = f" Your {many} are kept for you until {until:%H:%M} UTC." if until else ""
    if payment and payment.state == "FAILED":
        words = f"{payment.failure or 'The bank refused it.'} Nothing was charged. You can order again."
        return Story("bad", "The payment did not go through", words, 1, live=True, can_repeat=True)
    if payment and payment.state in (*_CLOSED, "CANCELED"):
        words = "The payment page is closed and nothing was charged. This order ends in a moment."
        return Story("quiet", "Not paid", words, 1, live=True, can_repeat=True)
    if payment and payment.state == "PROCESSING" and not payment.url:
        words = (
            f"Your bank is moving the money. With some ways to pay this takes days. Your {many} stay "
            "reserved and are delivered by themselves when it arrives; we write to you then."
        )
        return Story("busy", "Your bank is confirming the payment", words, 1, live=True)
    return Story(
        "wait",
        "Waiting for your payment",
        f"Nothing has been charged yet.{kept} Once you have paid, this page shows your {many} by itself.",
        1,
        live=True,
        can_pay=True,
        can_cancel=True,
    )


def _closed(group: OrderGroup) -> Story:
    payment = group.payment
    if payment and payment.state in wallets.PAID:
        amount = format_money(payment.amount, payment.currency)
        if payment.refunded >= payment.amount:
            words = f"Your payment came too late for this order. {amount} went back to where you paid from."
            return Story("quiet", "Your money was returned", words, 1, live=False, can_repeat=True)
        words = (
            f"Your payment of {amount} came after this order was closed, and the {goods(group).many} could "
            "not be kept. It goes back to where you paid from by itself; banks take 5 to 10 days to show it."
        )
        return Story("busy", "Your money is on its way back", words, 1, live=True, can_repeat=True)
    because = next((o.closed_because for o in group.orders if o.closed_because), None)
    if group.state == "EXPIRED":
        words = f"It was not paid in time, so the {goods(group).many} went back on sale. Nothing was charged."
        return Story("quiet", "Expired", words, 1, live=False, can_repeat=True)
    words = f"{because[0].upper()}{because[1:]}. Nothing was charged." if because else "Nothing was charged."
    return Story("quiet", "Cancelled", words, 1, live=False, can_repeat=True)


def happened(group: OrderGroup) -> list[dict[str, Any]]:
    """The steps so far for the timeline, oldest first."""
    found: list[dict[str, Any]] = [
        {"icon": "shopping-cart", "tone": "good", "what": "Order placed", "when": group.created_at}
    ]
    for order in group.orders:
        who = order.seller if len(group.orders) > 1 else ""
        things = goods_of(order.lines)
        steps = (
            ("credit-card", order.paid_at, _PAID.get(group.pay_with, _PAID["card"])),
            (things.icon, order.delivered_at, f"{things.many.capitalize()} delivered to your library"),
            ("shield-check", order.completed_at, "Completed: the seller is paid"),
        )
        found += [
            {"icon": icon, "tone": "good", "what": what, "when": when, "who": who}
            for icon, when, what in steps
            if when
        ]
    return sorted(found, key=lambda step: step["when"])


def can_confirm(order: Order) -> bool:
    """Whether the buyer can hand the money over now."""
    return order.state == "DELIVERED" and any(line.escrow_state == "HELD" for line in order.lines)


def can_dispute(order: Order, case_days: int) -> bool:
    """Whether a case may be about any of it: delivered, and in escrow or released not long ago."""
    since = now() - timedelta(days=case_days)
    for line in order.lines:
        gone = order.delivered_at if line.escrow_state == "DIRECT" else line.released_at
        if line.delivery_state == "DELIVERED" and (line.escrow_state == "HELD" or (gone and gone > since)):
            return True
    return False


def can_return(line: OrderLine) -> bool:
    """Whether the buyer may still give back what they have not opened of it."""
    held = line.escrow_state == "HELD" and line.delivery_state == "DELIVERED"
    return held and line.return_until is not None and line.return_until > now()


def release_of(order: Order) -> Any:
    """When the money of an order goes to its seller by itself: the earliest of its lines, or None."""
    waiting = [x.release_at for x in order.lines if x.escrow_state == "HELD" and x.release_at]
    return min(waiting, default=None)


def contents(group: OrderGroup, limit: int = 3) -> str:
    """The titles of a purchase in one line."""
    lines: list[OrderLine] = [line for order in group.orders for line in order.lines]
    named = [f"{line.quantity} × {line.title}" if line.quantity > 1 else line.title for line in lines[:limit]]
    more = len(lines) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")

"""A wallet's moves and top-ups in a customer's words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from fondaco import orders, wallets
from fondaco.core.ids import parse_uuid
from fondaco.core.money import exponent
from fondaco.core.web import Call
from fondaco.settings import Settings
from fondaco.wallets import Funding, WalletEntry

_WORDS = {
    "top_up": "Payment by card",
    "purchase": "Order",
    "refund_line": "Refund for an order",
    "refund_intent": "Sent back to your card",
    "refund_failed": "Card refund that did not go through",
    "refund_late_failure": "Card refund your bank returned",
    "chargeback_opened": "Held: your bank disputes a payment",
    "chargeback_hold": "Held: your bank disputes a payment",
    "chargeback_unhold": "No longer held",
    "chargeback_won": "No longer held: the dispute ended",
    "chargeback_reversed": "Your bank gave a payment back",
    "chargeback_repaid": "Paid: owed after a dispute",
    "credit_paid": "Paid: owed for a purchase on credit",
    "goodwill": "Goodwill from the marketplace",
    "adjustment": "Adjusted by the marketplace",
    "reversal": "Correction",
}


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the wallet: what it was, where it leads ("" for nowhere), how much and what was left."""

    words: str
    href: str
    amount: int
    balance_after: int
    at: datetime


@dataclass(frozen=True, slots=True)
class TopUpStory:
    """How a top-up stands: tone, heading, what it means, and whether it can still change by itself."""

    tone: str
    heading: str
    words: str
    final: bool
    pay_href: str = ""
    again: bool = False


async def moves(request: Call, entries: Sequence[WalletEntry]) -> list[Move]:
    """The entries with what they were for: an order's number, a top-up, a card payment."""
    about: dict[str, list[UUID]] = {"order": [], "funding": []}
    for entry in entries:
        noun, _, text = entry.ref.partition(":")
        if noun in about and (found := parse_uuid(text)):
            about[noun].append(found)
    numbers = await orders.own_order_numbers(request.db, request.viewer, about["order"])
    fundings = await wallets.own_fundings(request.db, request.viewer, about["funding"])
    return [_move(entry, numbers, fundings) for entry in entries]


def _move(entry: WalletEntry, numbers: dict[UUID, str], fundings: dict[UUID, Funding]) -> Move:
    words, href = _WORDS.get(entry.kind, "Change"), ""
    about = parse_uuid(entry.ref.partition(":")[2])
    if about and about in numbers:
        href = f"/orders/{about}"
        words = f"Refund for order {numbers[about]}" if entry.amount > 0 else f"Order {numbers[about]}"
    elif about and about in fundings:
        funding = fundings[about]
        if entry.kind.startswith("chargeback_"):
            href = f"/wallet/top-ups/{funding.id}" if funding.purpose == "top_up" else ""
        elif funding.purpose == "top_up":
            words, href = "Top-up by card", f"/wallet/top-ups/{funding.id}"
        else:
            words, href = "Card payment for an order", f"/orders/{funding.group_id}"
    return Move(words, href, entry.amount, entry.balance_after, entry.at)


def quick_amounts(settings: Settings) -> list[int]:
    """Amounts people often take, in minor units, within the limits."""
    whole = 10 ** exponent(settings.currency)
    found = (n * whole for n in (10, 20, 50, 100, 200, 500))
    return [n for n in found if settings.top_up_min <= n <= settings.top_up_max][:4]


_BACK = TopUpStory("quiet", "Money went back to your card", "Banks take some days to show it.", True)
_OVER = TopUpStory(
    "quiet", "This top-up is over", "It was not paid and nothing was charged.", True, again=True
)
_DISPUTED = TopUpStory(
    "bad",
    "This payment is disputed at your bank",
    "Your bank asked for the money back. Until that is settled your wallet is blocked.",
    True,
)
_STORIES = {
    "SUCCEEDED": TopUpStory("good", "The money is in your wallet", "You can spend it at once.", True),
    "REFUNDED": _BACK,
    "PARTIALLY_REFUNDED": _BACK,
    "DISPUTED": _DISPUTED,
    "CHARGED_BACK": _DISPUTED,
    "FAILED": TopUpStory("bad", "The payment failed", "Nothing was charged.", True, again=True),
    "EXPIRED": _OVER,
    "CANCELED": _OVER,
    "PROCESSING": TopUpStory(
        "busy",
        "Your bank is confirming",
        "Some ways to pay take days. The money comes into your wallet by itself: you need not wait here.",
        False,
    ),
    "CREATED": TopUpStory(
        "wait",
        "The payment page is being opened",
        "The payment provider is slow to answer. Nothing was charged.",
        False,
        again=True,
    ),
}


def top_up_story(funding: Funding, *, came_back_unpaid: bool = False) -> TopUpStory:
    """What to tell whoever started this top-up."""
    if funding.payable_at and came_back_unpaid:
        words = "You came back without paying. Nothing was charged; you can still pay."
        return TopUpStory("wait", "Not paid yet", words, False, pay_href=funding.payable_at)
    if funding.payable_at:
        words = "As soon as the payment is confirmed the money is here. This page tells you by itself."
        return TopUpStory("wait", "Waiting for the payment", words, False, pay_href=funding.payable_at)
    story = _STORIES[funding.state]
    if funding.state == "FAILED" and funding.failure:
        return replace(story, words=f"{funding.failure} {story.words}")
    return story

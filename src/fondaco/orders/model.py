"""Orders: what is bought, errors, and the machines of order, line delivery and escrow."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from fondaco.core.ids import number, uuid7
from fondaco.core.machine import Machine, Move
from fondaco.core.money import Money
from fondaco.core.problem import Problem
from fondaco.ledger import InsufficientFunds
from fondaco.risk import TierForbids
from fondaco.wallets import WalletAtRisk

MATURITY_DAYS = 3  # from release until a seller's money is payable
MAX_LINES = 50
MAX_QUANTITY = 100

ORDER = Machine(
    "order",
    born=("PENDING_PAYMENT", "DELIVERED"),  # a wallet purchase is paid and delivered in one statement
    ends=("COMPLETED", "CANCELLED", "EXPIRED", "REFUNDED"),
    moves=(
        Move(
            "PENDING_PAYMENT",
            "DELIVERED",
            "payment",
            "paid in full; every unit delivered in the same transaction",
        ),
        Move("PENDING_PAYMENT", "EXPIRED", "sweeper", "not paid in time; units go back to stock"),
        Move("PENDING_PAYMENT", "CANCELLED", "buyer, support", "given up before paying"),
        Move("EXPIRED", "DELIVERED", "payment", "late payment, and the units could be taken again"),
        Move("DELIVERED", "COMPLETED", "buyer, sweeper", "every line is released"),
        Move("DELIVERED", "REFUNDED", "refund", "every line is refunded"),
        Move("COMPLETED", "REFUNDED", "refund", "every line is refunded, the last after its release"),
    ),
)

LINE_DELIVERY = Machine(
    "line_delivery",
    born=("RESERVED", "DELIVERED"),
    ends=("DELIVERED", "REFUNDED", "CANCELLED"),
    moves=(
        Move("RESERVED", "DELIVERED", "payment", "units sold and entitlements granted"),
        Move("RESERVED", "CANCELLED", "sweeper, buyer", "order expired or cancelled"),
        Move("CANCELLED", "DELIVERED", "payment", "late payment, units taken again"),
        Move("DELIVERED", "REFUNDED", "refund", "all the money went back; nothing is opened any more"),
        Move("DELIVERED", "REPLACED", "seller, support", "a bad unit is taken back and another one assigned"),
        Move("REPLACED", "DELIVERED", "seller, support", "the other unit is delivered, in the same step"),
    ),
)

ESCROW = Machine(
    "escrow",
    born=("EMPTY", "HELD"),
    ends=("EMPTY", "RELEASED", "REFUNDED", "SPLIT", "DIRECT"),
    moves=(
        Move("EMPTY", "HELD", "payment", "the line's money is on its escrow account"),
        Move("EMPTY", "DIRECT", "payment", "paid to the store's own account; nothing is held"),
        Move("DIRECT", "REFUNDED", "refund", "all back to the buyer"),
        Move("HELD", "RELEASED", "buyer, sweeper", "to the seller and the marketplace; account is 0"),
        Move("HELD", "REFUNDED", "refund", "all back to the buyer; account is 0"),
        Move("HELD", "SPLIT", "buyer, sweeper", "a part was refunded, the rest released; account is 0"),
        Move("HELD", "FROZEN", "case", "a case is open: the money stays, the release clock stands still"),
        Move("FROZEN", "HELD", "case", "the case ended without a decision about the money"),
        Move("FROZEN", "RELEASED", "finance", "decided for the seller; account is 0"),
        Move("FROZEN", "REFUNDED", "finance", "decided for the buyer; account is 0"),
        Move("FROZEN", "SPLIT", "finance", "a part to the buyer, the rest to the seller; account is 0"),
    ),
)


class SoldOut(Problem):
    """Somebody was faster: there is not enough stock left. Nothing was charged."""

    status = 409
    code = "sold_out"


class PriceChanged(Problem):
    """A price changed since you saw it. Nothing was charged; look at the new price and confirm it."""

    status = 409
    code = "price_changed"


class TooManyToday(Problem):
    """Your account's standing allows only so many items a day. Your standing page says why."""

    status = 409
    code = "too_many_today"


class NotForSale(Problem):
    """Something you want to buy is not for sale any more. Nothing was charged."""

    status = 409
    code = "not_for_sale"


class OtherRegion(Problem):
    """This key does not work in your country. Nothing was charged."""

    status = 409
    code = "other_region"


class PaidAtSale(Problem):
    """This store is paid at the sale: by card, in an order of its own. Nothing was charged."""

    status = 409
    code = "paid_at_sale"


class NotPayable(Problem):
    """Such goods are bought store by store, and this store's account cannot be paid just now. Nothing was
    charged."""

    status = 409
    code = "not_payable"


class OwnGoods(Problem):
    """You cannot buy from your own store. Nothing was charged."""

    status = 409
    code = "own_goods"


class TooManyUnits(Problem):
    """That is more than the seller sells in one order. Nothing was charged."""

    status = 409
    code = "too_many_units"


class OtherCurrency(Problem):
    """Everything in one purchase must have the same currency. Nothing was charged."""

    status = 409
    code = "other_currency"


class PurchaseKeyReused(Problem):
    """This purchase key was used for another purchase. Nothing was charged; start again from your cart."""

    status = 409
    code = "purchase_key_reused"


class EmptyCart(Problem):
    """There is nothing in your cart."""

    status = 409
    code = "empty_cart"


class NotWaiting(Problem):
    """This order does not await a payment any more, so it cannot be cancelled."""

    status = 409
    code = "not_waiting"


class PaymentUnderWay(Problem):
    """Your bank is already paying this order, so it cannot be cancelled now."""

    status = 409
    code = "payment_under_way"


class NotDelivered(Problem):
    """Only a delivered order can be confirmed."""

    status = 409
    code = "not_delivered"


@dataclass(frozen=True, slots=True)
class Policy:
    """The marketplace's terms at the moment of a purchase; frozen in its lines."""

    commission_bps: int
    protection_days: int
    maturity_days: int = MATURITY_DAYS
    release: Mapping[str, Any] | None = None  # see policies.release_terms; None: protection_days alone
    refund: Mapping[str, Any] | None = None  # see policies.refund_terms; None: buyers give nothing back


@dataclass(frozen=True, slots=True)
class Wish:
    """One line somebody wants to buy, with the price (minor units) or price version they saw."""

    listing_id: UUID
    quantity: int
    price: int | None = None
    price_version: int | None = None

    def wire(self) -> dict[str, Any]:
        """The JSON object the database takes."""
        return {
            "listing": self.listing_id,
            "quantity": self.quantity,
            "price": self.price,
            "price_version": self.price_version,
        }


@dataclass(frozen=True, slots=True)
class Purchase:
    """Everything `orders.buy` needs to know about one purchase."""

    buyer_id: UUID
    country: str | None
    actor: str
    idem: str
    currency: str
    wishes: tuple[Wish, ...]
    policy: Policy
    from_cart: bool = False
    group_id: UUID = field(default_factory=uuid7)

    def fingerprint(self, pay_with: str) -> str:
        """Of what is asked: the same key with another content is refused."""
        asked = sorted([str(w.listing_id), w.quantity, w.price, w.price_version] for w in self.wishes)
        return hashlib.sha256(msgspec.json.encode([pay_with, self.currency, asked])).hexdigest()

    def wire(self, pay_with: str, until: datetime | None = None) -> dict[str, Any]:
        """The JSON object the database takes."""
        return {
            "buyer": self.buyer_id,
            "country": self.country,
            "actor": self.actor,
            "idem": self.idem,
            "fingerprint": self.fingerprint(pay_with),
            "group": self.group_id,
            "number": number("GRP"),
            "currency": self.currency,
            "from_cart": self.from_cart,
            "bps": self.policy.commission_bps,
            "protection_days": self.policy.protection_days,
            "maturity_days": self.policy.maturity_days,
            "release": self.policy.release,
            "refund": self.policy.refund,
            "until": until,
            "orders": [{"id": uuid7(), "number": number("ORD")} for _ in self.wishes],
            "lines": [{"id": uuid7(), **w.wire()} for w in self.wishes],
        }


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase that stands. `again`: it was made before with the same key."""

    group_id: UUID
    again: bool = False


class PayOutcome(StrEnum):
    """What became of the order group a card funding was for. SOLD_OUT and CANCELLED: the money is in the
    buyer's wallet and goes back to the card. BLOCKED: the wallet was blocked meanwhile; it stays there."""

    DELIVERED = "delivered"
    ALREADY = "already"
    CANCELLED = "cancelled"
    SOLD_OUT = "sold_out"
    BLOCKED = "blocked"


def refusal(verdict: str, data: Mapping[str, Any]) -> Problem:
    """The problem a verdict means, in words that name what and say that nothing was charged."""
    if verdict == "key_reused":
        return PurchaseKeyReused()
    if verdict == "insufficient_funds":
        has, needs = Money(data["balance"], data["currency"]), Money(data["total"], data["currency"])
        return InsufficientFunds(
            f"This costs {needs.words()}, your wallet holds {has.words()}. "
            f"Top up {(needs - has).words()} or pay by card. Nothing was charged.",
            balance=has.minor,
            total=needs.minor,
            currency=needs.currency,
        )
    if verdict == "units_today":
        left: int = data["left"]
        words = f"{left} more {'item' if left == 1 else 'items'}" if left else "nothing more"
        return TooManyToday(
            f"Your account's standing allows {words} in these 24 hours. Nothing was charged. "
            "Your standing page says why and what you can do.",
            left=left,
        )
    lines: Sequence[Mapping[str, Any]] = data["lines"]
    chosen = [line for line in lines if line["fault"] == verdict]
    kinds: dict[str, type[Problem]] = {
        "sold_out": SoldOut,
        "price_changed": PriceChanged,
        "unavailable": NotForSale,
        "region": OtherRegion,
        "at_sale": PaidAtSale,
        "own_goods": OwnGoods,
        "too_many": TooManyUnits,
        "currency": OtherCurrency,
        "wallet_at_risk": WalletAtRisk,
        "tier_forbids": TierForbids,
    }
    words = " ".join(w for line in chosen if (w := difference_in_words(line)))
    detail = f"{words} Nothing was charged." if words else None
    return kinds[verdict](detail, lines=[dict(line) for line in lines])


def difference_in_words(line: Mapping[str, Any]) -> str:
    """One sentence about one line that cannot be bought as it was seen; '' when its name may not be told."""
    title = line.get("title")
    if not title or line["fault"] in ("wallet_at_risk", "tier_forbids"):
        return ""
    if line["fault"] == "price_changed":
        return f"“{title}” now costs {Money(line['price'], line['currency']).words()}."
    if line["fault"] == "sold_out" and line.get("left"):
        return f"Of “{title}” only {line['left']} are left."
    words = {
        "sold_out": f"“{title}” is sold out.",
        "region": f"“{title}” works in region {line['region']} only, not in your country.",
        "at_sale": f"“{title}” is sold and paid directly to its store: by card, in an order of its own.",
        "own_goods": f"“{title}” is sold by your own store.",
        "too_many": f"Of “{title}” at most {line['max_per_order']} can be bought in one order.",
        "currency": f"“{title}” is priced in {line['currency']}.",
    }
    return words.get(line["fault"], f"“{title}” is not for sale any more.")

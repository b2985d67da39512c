"""Test cards and test bank accounts: what paying with each of them does."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pays", "declines", "authenticates", "debits", "debit_fails"]
Later = Literal[
    "",
    "available_at_once",
    "disputed",
    "disputed_not_received",
    "disputed_twice",
    "inquiry",
    "refund_fails",
    "refund_pending",
    "warned",
]
BANK_DEBITS = {"sepa_debit": "SEPA direct debit", "us_bank_account": "ACH direct debit"}


@dataclass(frozen=True, slots=True)
class Card:
    """One way to pay. `number` is also the name by which the panel and the control API ask for it."""

    number: str
    meaning: str
    outcome: Outcome
    aliases: tuple[str, ...] = ()
    later: Later = ""
    brand: str = "visa"
    decline_code: str | None = None
    code: str | None = None
    message: str | None = None

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def is_bank(self) -> bool:
        return self.outcome in ("debits", "debit_fails")


_DECLINED = "Your card was declined."
CARDS = (
    Card("4242424242424242", "Payment succeeds", "pays", ("pm_card_visa", "tok_visa")),
    Card(
        "5555555555554444",
        "Payment succeeds (Mastercard)",
        "pays",
        ("pm_card_mastercard",),
        brand="mastercard",
    ),
    Card(
        "4000000000000002",
        "Card is declined",
        "declines",
        ("pm_card_visa_chargeDeclined", "pm_card_chargeDeclined"),
        decline_code="generic_decline",
        code="card_declined",
        message=_DECLINED,
    ),
    Card(
        "4000000000009995",
        "Declined: insufficient funds",
        "declines",
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedInsufficientFunds"),
        decline_code="insufficient_funds",
        code="card_declined",
        message="Your card has insufficient funds.",
    ),
    Card(
        "4000002500003155",
        "Asks for 3-D Secure",
        "authenticates",
        (
            "pm_card_authenticationRequiredOnSetup",
            "pm_card_authenticationRequired",
            "pm_card_threeDSecure2Required",
        ),
    ),
    Card(
        "4000000000000077",
        "Succeeds, the money can be used at once",
        "pays",
        ("pm_card_bypassPending", "tok_bypassPending"),
        later="available_at_once",
    ),
    Card(
        "4000000000000259",
        "Succeeds, is disputed later",
        "pays",
        ("pm_card_createDispute",),
        later="disputed",
    ),
    Card(
        "4000000000002685",
        "Succeeds, disputed later: not received",
        "pays",
        ("pm_card_createDisputeProductNotReceived",),
        later="disputed_not_received",
    ),
    Card(
        "4000000000001976",
        "Succeeds, the bank asks later (inquiry)",
        "pays",
        ("pm_card_createDisputeInquiry",),
        later="inquiry",
    ),
    Card(
        "4000000000005423",
        "Succeeds, early fraud warning later",
        "pays",
        ("pm_card_createIssuerFraudRecord",),
        later="warned",
    ),
    Card(
        "4000000404000079",
        "Succeeds, is disputed twice later",
        "pays",
        ("pm_card_createMultipleDisputes",),
        later="disputed_twice",
    ),
    Card(
        "4000000000005126",
        "Succeeds, a refund fails later",
        "pays",
        ("pm_card_refundFail",),
        later="refund_fails",
    ),
    Card(
        "4000000000007726",
        "Succeeds, a refund is pending first",
        "pays",
        ("pm_card_pendingRefund",),
        later="refund_pending",
    ),
)
UNKNOWN_CARD = Card(
    "0000000000000000",
    "Not a test card",
    "declines",
    decline_code="test_mode_live_card",
    code="card_declined",
    message="Your card was declined. Your request was in test mode, but used a non test card.",
)
BANK_PAYS = Card(
    "bank_debit_success",
    "Bank debit: paid some seconds later",
    "debits",
    ("pm_usBankAccount_success", "pm_sepaDebit_success"),
    later="refund_pending",
)
BANK_FAILS = Card(
    "bank_debit_failure",
    "Bank debit: fails some seconds later",
    "debit_fails",
    ("pm_usBankAccount_insufficientFunds", "pm_sepaDebit_failure"),
    decline_code=None,
    code="payment_intent_payment_attempt_failed",
    message="The customer's account has insufficient funds to cover this payment.",
)
ALL = (*CARDS, BANK_PAYS, BANK_FAILS)


def by_name(name: str) -> Card | None:
    """The card with this number (spaces allowed) or alias such as "pm_card_visa"."""
    bare = name.replace(" ", "").replace("-", "")
    return next((card for card in ALL if bare == card.number.replace("-", "") or name in card.aliases), None)


def plausible_number(number: str) -> bool:
    """Whether the digits pass the check that every card number passes."""
    digits = [int(digit) for digit in reversed(number)] if number.isdigit() else []
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2]]
    return 12 <= len(digits) <= 19 and (sum(digits[::2]) + sum(doubled)) % 10 == 0

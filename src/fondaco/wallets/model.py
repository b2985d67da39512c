"""Fundings and refunds: rows, errors and their machines."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

PAYMENT = Machine(
    "payment",
    born=("CREATED",),
    ends=("FAILED", "EXPIRED", "CANCELED", "REFUNDED", "SUCCEEDED", "CHARGED_BACK"),
    moves=(
        Move("CREATED", "PROCESSING", "system", "the provider's session exists"),
        Move("CREATED", "SUCCEEDED", "webhook, sweeper", "paid before our own note of the session"),
        Move("CREATED", "EXPIRED", "sweeper", "never reached the provider"),
        Move("CREATED", "CANCELED", "buyer, sweeper", "the provider confirms there is nothing to pay"),
        Move("CREATED", "FAILED", "system", "the provider refused for good"),
        Move("PROCESSING", "SUCCEEDED", "webhook, sweeper", "amount and currency equal; money on the ledger"),
        Move("PROCESSING", "FAILED", "webhook, sweeper", "a late debit did not go through"),
        Move("PROCESSING", "EXPIRED", "webhook, sweeper", "the session expired"),
        Move("PROCESSING", "CANCELED", "buyer, webhook", "given up"),
        Move("EXPIRED", "SUCCEEDED", "webhook, sweeper", "late success"),
        Move("FAILED", "SUCCEEDED", "webhook, sweeper", "tried again at the provider and paid"),
        Move("CANCELED", "SUCCEEDED", "webhook, sweeper", "late success after giving up"),
        Move("SUCCEEDED", "PARTIALLY_REFUNDED", "refund", "0 < refunded < amount"),
        Move("SUCCEEDED", "REFUNDED", "refund", "refunded = amount"),
        Move("PARTIALLY_REFUNDED", "REFUNDED", "refund", "refunded = amount"),
        Move("PARTIALLY_REFUNDED", "SUCCEEDED", "webhook, sweeper", "the only refund came back"),
        Move("REFUNDED", "PARTIALLY_REFUNDED", "webhook, sweeper", "one of several refunds came back"),
        Move("REFUNDED", "SUCCEEDED", "webhook, sweeper", "the only refund came back"),
        Move("SUCCEEDED", "DISPUTED", "webhook, sweeper", "a card network took the money back for now"),
        Move("PARTIALLY_REFUNDED", "DISPUTED", "webhook, sweeper", "the same, of what is left"),
        Move("REFUNDED", "DISPUTED", "webhook, sweeper", "disputed although refunded"),
        Move("DISPUTED", "SUCCEEDED", "webhook, sweeper", "won: the money came back"),
        Move("DISPUTED", "PARTIALLY_REFUNDED", "webhook, sweeper", "won, and partly refunded before"),
        Move("DISPUTED", "REFUNDED", "webhook, sweeper", "won, and refunded before"),
        Move("DISPUTED", "CHARGED_BACK", "webhook, sweeper", "lost"),
        Move("SUCCEEDED", "CHARGED_BACK", "webhook, sweeper", "lost before we heard of it"),
        Move("PARTIALLY_REFUNDED", "CHARGED_BACK", "webhook, sweeper", "lost before we heard of it"),
        Move("REFUNDED", "CHARGED_BACK", "webhook, sweeper", "lost before we heard of it"),
        Move("CHARGED_BACK", "DISPUTED", "webhook, sweeper", "another part is disputed"),
        Move("CHARGED_BACK", "SUCCEEDED", "webhook, sweeper", "reversed after it was lost"),
        Move("CHARGED_BACK", "PARTIALLY_REFUNDED", "webhook, sweeper", "the same, partly refunded before"),
        Move("CHARGED_BACK", "REFUNDED", "webhook, sweeper", "the same, refunded before"),
    ),
)

STANDING = Machine(
    "wallet_standing",
    born=("WALLET_AT_RISK", "LOCKED"),
    ends=("OK",),
    moves=(
        Move("OK", "WALLET_AT_RISK", "webhook", "a chargeback or inquiry is open on one of its top-ups"),
        Move("OK", "LOCKED", "webhook", "a chargeback was lost that the wallet could not cover"),
        Move("WALLET_AT_RISK", "OK", "webhook, admin", "all are won or closed, or somebody lets it go"),
        Move("WALLET_AT_RISK", "LOCKED", "system", "lost, and the buyer owes a part"),
        Move("LOCKED", "WALLET_AT_RISK", "admin, system", "repaid or written off"),
        Move("LOCKED", "OK", "webhook, admin", "reversed after it was lost, or let go once repaid"),
    ),
)

REFUND = Machine(
    "refund",
    born=("REQUESTED",),
    ends=("SUCCEEDED", "FAILED", "CANCELED"),
    moves=(
        Move("REQUESTED", "SENDING", "worker", "wallet → in flight is on the ledger; call about to start"),
        Move("SENDING", "PENDING", "worker", "the provider has it"),
        Move("SENDING", "SUCCEEDED", "worker", "done at once"),
        Move("SENDING", "FAILED", "worker", "definite refusal; back to the wallet"),
        Move("SENDING", "UNKNOWN", "worker, sweeper", "no answer: ask, never call with a new key"),
        Move("UNKNOWN", "PENDING", "sweeper", "found by listing"),
        Move("UNKNOWN", "SUCCEEDED", "sweeper", "found by listing"),
        Move("UNKNOWN", "FAILED", "sweeper", "found by listing"),
        Move("UNKNOWN", "SENDING", "sweeper", "provably absent"),
        Move("PENDING", "SUCCEEDED", "webhook, sweeper", "the money went back"),
        Move("PENDING", "FAILED", "webhook, sweeper", "back to the wallet"),
        Move("PENDING", "CANCELED", "webhook, sweeper", "back to the wallet"),
        Move("SUCCEEDED", "FAILED", "webhook, sweeper", "the bank returned it later; back to the wallet"),
    ),
)


class PaymentUnavailable(Problem):
    """The payment provider does not answer right now. Nothing was charged; please try again in a moment."""

    status = 503
    code = "payment_unavailable"


class PaymentRefused(Problem):
    """The payment provider would not open this payment. Nothing was charged; please start again."""

    status = 409
    code = "payment_refused"


class WalletAtRisk(Problem):
    """Your wallet is blocked because a bank disputes one of your payments, so nothing can be bought or sent
    back. Nothing was charged. Your wallet's page says what to do."""

    status = 409
    code = "wallet_at_risk"


class RefundTooLarge(Problem):
    """This is more than what is left of the payment to give back."""

    status = 409
    code = "refund_too_large"


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way in: a wallet top-up, or the card payment of an order group."""

    id: UUID
    user_id: UUID
    purpose: Literal["top_up", "order"]
    group_id: UUID | None
    amount: int
    """Minor units."""
    currency: str
    state: str
    session_id: str | None
    session_url: str | None
    intent_id: str | None
    charge_id: str | None
    refunded: int
    refund_pending: int
    failure: str | None
    created_at: datetime
    expires_at: datetime
    succeeded_at: datetime | None

    @property
    def payable_at(self) -> str | None:
        """Where the buyer can pay it now."""
        return self.session_url if self.state == "PROCESSING" and self.intent_id is None else None


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back to where it came from."""

    id: UUID
    funding_id: UUID
    user_id: UUID
    amount: int
    """Minor units."""
    currency: str
    reason: str
    state: str
    provider_id: str | None
    attempt: int
    failure: str | None
    created_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Route:
    """Where a payment goes that is not for a wallet: to a seller's own account at the provider, `passed_on`
    (minor units) of it; `kept` says which accounts of the marketplace get the rest: kind, owner, amount."""

    seller_id: UUID
    account: str
    passed_on: int
    kept: list[dict[str, Any]]


Outcome = Literal["succeeded", "already", "unmatched", "open", "processing", "failed", "closed", "not_ours"]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a payment's facts. `succeeded`: the money is in the wallet since this transaction;
    `already`: it was before; `unmatched`: it is in suspense and somebody is told; `not_ours`: nothing here
    speaks of it. `group_id` names the order group that it is to pay."""

    outcome: Outcome
    funding_id: UUID | None = None
    user_id: UUID | None = None
    group_id: UUID | None = None
    amount: int = 0
    currency: str = ""

"""Fundings and refunds: rows, errors and their machines."""

from fondaco.core.machine import Machine, Move

PAYMENT = Machine(
    "payment",
    born=("CREATED",),
    ends=("FAILED", "EXPIRED", "CANCELED", "REFUNDED", "SUCCEEDED"),
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

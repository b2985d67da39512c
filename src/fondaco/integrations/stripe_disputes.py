"""Disputes and early fraud warnings: what card issuers say. Amounts are minor units."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import msgspec

from fondaco.integrations.stripe_balance import BalanceTransactionFacts, movements_of
from fondaco.integrations.stripe_client import StripeCalls, asked, plain
from fondaco.integrations.stripe_facts import Json, id_of, part, text, whole

if TYPE_CHECKING:
    from stripe.params import DisputeUpdateParams, DisputeUpdateParamsEvidence


class DisputeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute as it stands now. `evidence_due_by` and `created`: Unix seconds."""

    id: str
    charge_id: str | None
    intent_id: str | None
    amount: int
    currency: str
    status: str
    """The provider's own word: warning_needs_response, needs_response, under_review, won, lost..."""
    reason: str
    evidence_due_by: int | None
    submission_count: int
    has_evidence: bool
    past_due: bool
    is_charge_refundable: bool
    livemode: bool
    created: int
    balance_transactions: list[BalanceTransactionFacts]
    """Funds withdrawn (negative, with the dispute's fee) and, when they came back, reinstated."""


class WarningFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A card issuer's early word that a payment may be fraud."""

    id: str
    charge_id: str | None
    intent_id: str | None
    actionable: bool
    """False once the payment was refunded or disputed: nothing is left to do."""
    fraud_type: str
    livemode: bool
    created: int


class DisputeCalls(StripeCalls):
    """Reading disputes and warnings, and answering."""

    async def retrieve_dispute(self, dispute_id: str) -> DisputeFacts:
        """A dispute as it stands now."""
        return dispute_facts(await self._retrieve(f"/v1/disputes/{quote(dispute_id, safe='')}"))

    async def list_disputes(self, *, intent_id: str = "", since: int = 0) -> list[DisputeFacts]:
        """Disputes of a payment, or all made at `since` (Unix seconds) or later; newest first."""
        query = f"&payment_intent={quote(intent_id, safe='')}" if intent_id else f"&created[gte]={since}"
        return [dispute_facts(found) async for found in self._pages("/v1/disputes", query)]

    async def submit_evidence(
        self, dispute_id: str, evidence: Mapping[str, str], submit: bool, key: str
    ) -> DisputeFacts:
        """Write evidence on a dispute; with `submit` it goes to the bank, which is possible only once.

        `evidence`: the provider's field names (product_description, uncategorized_text...) and their texts,
        150,000 characters in all. Refused when the dispute is closed or its time is over.
        """
        params: DisputeUpdateParams = {
            "evidence": cast("DisputeUpdateParamsEvidence", dict(evidence)),
            "submit": submit,
        }
        call = self.client.v1.disputes.update_async(dispute_id, params, {"idempotency_key": key})
        return dispute_facts(plain(await asked(call)))

    async def close_dispute(self, dispute_id: str, key: str) -> DisputeFacts:
        """Give a dispute up: it is lost at once, and this cannot be undone."""
        call = self.client.v1.disputes.close_async(dispute_id, None, {"idempotency_key": key})
        return dispute_facts(plain(await asked(call)))

    async def retrieve_warning(self, warning_id: str) -> WarningFacts:
        """An early fraud warning as it stands now."""
        found = await self._retrieve(f"/v1/radar/early_fraud_warnings/{quote(warning_id, safe='')}")
        return warning_facts(found)

    async def list_warnings(self, since: int) -> list[WarningFacts]:
        """Warnings made at `since` (Unix seconds) or later, newest first."""
        pages = self._pages("/v1/radar/early_fraud_warnings", f"&created[gte]={since}")
        return [warning_facts(found) async for found in pages]


def dispute_facts(dispute: Json) -> DisputeFacts:
    """Facts from a Dispute."""
    details = part(dispute.get("evidence_details"))
    return DisputeFacts(
        id=text(dispute.get("id")),
        charge_id=id_of(dispute.get("charge")),
        intent_id=id_of(dispute.get("payment_intent")),
        amount=whole(dispute.get("amount")),
        currency=text(dispute.get("currency")).upper(),
        status=text(dispute.get("status")),
        reason=text(dispute.get("reason")),
        evidence_due_by=whole(details.get("due_by")) or None,
        submission_count=whole(details.get("submission_count")),
        has_evidence=details.get("has_evidence") is True,
        past_due=details.get("past_due") is True,
        is_charge_refundable=dispute.get("is_charge_refundable") is True,
        livemode=dispute.get("livemode") is True,
        created=whole(dispute.get("created")),
        balance_transactions=movements_of(dispute.get("balance_transactions")),
    )


def warning_facts(warning: Json) -> WarningFacts:
    """Facts from an early fraud warning."""
    return WarningFacts(
        id=text(warning.get("id")),
        charge_id=id_of(warning.get("charge")),
        intent_id=id_of(warning.get("payment_intent")),
        actionable=warning.get("actionable") is True,
        fraud_type=text(warning.get("fraud_type")),
        livemode=warning.get("livemode") is True,
        created=whole(warning.get("created")),
    )

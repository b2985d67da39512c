"""Stripe: the only place that calls it. Never inside a database transaction.

Every call that changes something carries a key made from our own row, so that doing it again is harmless.
Failures are two: `ProviderRefused` (definite) and `ProviderUnknown` (ask again later what happened).
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec

from fondaco.core.clock import now
from fondaco.integrations.stripe_balance import BalanceCalls
from fondaco.integrations.stripe_client import all_pages, asked, plain
from fondaco.integrations.stripe_connect import ConnectCalls
from fondaco.integrations.stripe_disputes import DisputeCalls
from fondaco.integrations.stripe_facts import (
    BadDelivery,
    PaymentFacts,
    ProviderRefused,
    ProviderUnknown,
    RefundFacts,
    part,
    payment_of_intent,
    payment_of_session,
    refund_facts,
)
from fondaco.vault import mark

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams
    from stripe.params.checkout import SessionCreateParams

__all__ = ["MAX_BODY", "CheckoutLine", "ProviderRefused", "ProviderUnknown", "StripeGateway"]

MAX_BODY = 1024 * 1024
TOLERANCE_S = 300
_WHOLE_SESSION = "payment_intent.latest_charge.balance_transaction"
_WHOLE_INTENT = "latest_charge.balance_transaction"


class CheckoutLine(msgspec.Struct, frozen=True):
    """A line the buyer sees on the payment page; `unit_amount` in minor units."""

    name: str
    quantity: int
    unit_amount: int


class StripeGateway(ConnectCalls, DisputeCalls, BalanceCalls):
    """Calls to Stripe, or to the local sandbox when `settings.stripe_api_base` is set."""

    async def create_checkout_session(
        self,
        *,
        funding_id: UUID,
        user_id: UUID,
        email: str,
        currency: str,
        lines: Sequence[CheckoutLine],
        success_url: str,
        cancel_url: str,
        expires_at: int,
        attempt: int = 1,
        destination: str | None = None,
        application_fee: int | None = None,
        passed_on: int | None = None,
    ) -> PaymentFacts:
        """Open the payment page of a funding; the same funding and attempt always get the same session.

        `expires_at`: Unix seconds, 30 minutes to 24 hours ahead. Everything sent must come from the
        funding's row and its owner alone: the provider compares it when the call is repeated.
        `destination`: the seller's account that gets the payment at once: `passed_on` of it (minor units), or
        the whole less `application_fee`, which is ours.
        """
        names = {"funding_id": str(funding_id), "user_id": str(user_id)}
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": str(funding_id),
            "customer_email": email,
            "metadata": names,
            "payment_intent_data": {"metadata": names},
            "line_items": [
                {
                    "quantity": line.quantity,
                    "price_data": {
                        "currency": currency.lower(),
                        "unit_amount": line.unit_amount,
                        "product_data": {"name": line.name},
                    },
                }
                for line in lines
            ],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "expires_at": expires_at,
        }
        if destination:
            data = params["payment_intent_data"] = {"metadata": names}
            data["transfer_data"] = {"destination": destination}
            if application_fee:
                data["application_fee_amount"] = application_fee
            if passed_on:
                data["transfer_data"]["amount"] = passed_on
        key = f"funding:{funding_id}" if attempt == 1 else f"funding:{funding_id}:{attempt}"
        call = self.client.v1.checkout.sessions.create_async(params, {"idempotency_key": key})
        return self._marked(payment_of_session(plain(await asked(call))))

    async def retrieve_session(self, session_id: str) -> PaymentFacts:
        """A session as it stands now, with its payment and fee."""
        return (await self.retrieve_session_and_intent(session_id))[0]

    async def retrieve_session_and_intent(self, session_id: str) -> tuple[PaymentFacts, PaymentFacts | None]:
        """A session as it stands now and, from the same answer, its payment when it has one."""
        found = await self._retrieve(f"/v1/checkout/sessions/{quote(session_id, safe='')}", _WHOLE_SESSION)
        inner = part(found.get("payment_intent"))
        return self._marked(payment_of_session(found)), (
            self._marked(payment_of_intent(inner)) if inner else None
        )

    async def expire_session(self, session_id: str) -> PaymentFacts:
        """Close an open session so that it can no longer be paid; says how it stands if it is too late."""
        try:
            call = self.client.v1.checkout.sessions.expire_async(session_id, {"expand": [_WHOLE_SESSION]})
            return self._marked(payment_of_session(plain(await asked(call))))
        except ProviderRefused:
            return await self.retrieve_session(session_id)

    async def retrieve_intent(self, intent_id: str) -> PaymentFacts:
        """A payment as it stands now, with its fee."""
        path = f"/v1/payment_intents/{quote(intent_id, safe='')}"
        return self._marked(payment_of_intent(await self._retrieve(path, _WHOLE_INTENT)))

    def _marked(self, facts: PaymentFacts) -> PaymentFacts:
        """The same with our keyed mark of the card in place of the provider's fingerprint, which goes no
        further."""
        if not facts.card:
            return facts
        return msgspec.structs.replace(facts, card=mark(self._settings, "card", facts.card))

    async def create_refund(
        self,
        *,
        refund_id: UUID,
        attempt: int,
        intent_id: str,
        amount: int,
        reverse_transfer: bool = False,
        refund_fee: bool = False,
    ) -> RefundFacts:
        """Send money back to the card it came from; minor units.

        For a payment with a destination: `reverse_transfer` takes the same part back from the seller's
        account (refused with `balance_insufficient` when it has too little), `refund_fee` gives the same part
        of our fee back to the seller.
        """
        params: RefundCreateParams = {
            "payment_intent": intent_id,
            "amount": amount,
            "metadata": {"refund_id": str(refund_id)},
        }
        if reverse_transfer:
            params["reverse_transfer"] = True
        if refund_fee:
            params["refund_application_fee"] = True
        call = self.client.v1.refunds.create_async(
            params, {"idempotency_key": f"refund:{refund_id}:{attempt}"}
        )
        return refund_facts(plain(await asked(call)))

    async def retrieve_refund(self, provider_id: str) -> RefundFacts:
        """A refund as it stands now."""
        return refund_facts(plain(await asked(self.client.v1.refunds.retrieve_async(provider_id))))

    async def list_refunds(self, intent_id: str) -> list[RefundFacts]:
        """Every refund of a payment."""
        call = self.client.v1.refunds.list_async({"payment_intent": intent_id, "limit": 100})
        return [refund_facts(found) async for found in all_pages(call)]

    def list_events(
        self, since: int, types: Sequence[str], account: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Events of these types (at most 20) made at `since` (Unix seconds) or later, newest first. However
        many there are, a hundred of them are held. `account`: those of a connected account."""
        wanted = [("created[gte]", since), *(("types[]", kind) for kind in types)]
        return self._pages("/v1/events", f"&{urlencode(wanted)}", account=account)

    async def retrieve_balance(self) -> dict[str, Any]:
        """The account's balance: answers whether the key works."""
        return plain(await asked(self.client.v1.balance.retrieve_async()))

    def verify(self, body: bytes, header: str) -> dict[str, Any]:
        """The event in a delivery whose signature is right; raises BadDelivery.

        Tried with every active secret, in constant time, over the raw bytes; the stamp may be five minutes
        off either way.
        """
        if len(body) > MAX_BODY:
            raise BadDelivery("too_large")
        stamp, signatures = _signature(header)
        signed = str(stamp).encode() + b"." + body
        fits = False
        for secret in self._secrets:
            expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
            for signature in signatures:
                fits |= hmac.compare_digest(expected, signature)
        if not fits:
            raise BadDelivery("bad_signature")
        age = int(now().timestamp()) - stamp
        if abs(age) > TOLERANCE_S:
            raise BadDelivery("too_old" if age > 0 else "too_new")
        try:
            event: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadDelivery("malformed") from error
        if not isinstance(event, dict):
            raise BadDelivery("malformed")
        return cast(dict[str, Any], event)


def _signature(header: str) -> tuple[int, list[bytes]]:
    """Time stamp and v1 signatures of a Stripe-Signature header."""
    pairs = [item.strip().partition("=") for item in header.split(",")]
    stamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value.encode("utf-8", "replace") for name, _, value in pairs if name == "v1" and value]
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) <= 12):
        raise BadDelivery("no_signature")
    if not 1 <= len(signatures) <= 10:
        raise BadDelivery("no_signature")
    return int(stamps[0]), signatures

"""Payments' objects in Stripe's shape, freshly made: intents, methods, charges."""

import hashlib
from typing import TYPE_CHECKING

from fondaco_sandbox import ids
from fondaco_sandbox.cards import Card
from fondaco_sandbox.store import Obj

if TYPE_CHECKING:
    from fondaco_sandbox.payments import Payer


def no_address() -> Obj:
    return dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def payment_intent(now: int, intent_id: str) -> Obj:
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": 0,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{ids.letters(25)}",
        "confirmation_method": "automatic",
        "created": now,
        "currency": "usd",
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def payment_method(now: int, card: Card, method_type: str, payer: "Payer", customer: str | None) -> Obj:
    method: Obj = {
        "id": ids.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": billing_details(payer),
        "created": now,
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": method_type,
    }
    if method_type == "card":
        method["card"] = _card(card, payer)
    else:
        method[method_type] = _bank_account(method_type, card)
    return method


def nobody() -> Obj:
    """Billing details of a payment that no person made."""
    return {"address": no_address(), "email": None, "name": None, "phone": None, "tax_id": None}


def billing_details(payer: "Payer") -> Obj:
    return nobody() | {"email": payer.email, "name": payer.name}


def fingerprint(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()[:16]


def _card(card: Card, payer: "Payer") -> Obj:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": payer.expires[0],
        "exp_year": payer.expires[1],
        "fingerprint": fingerprint(card.number),
        "funding": "credit",
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _bank_account(method_type: str, card: Card) -> Obj:
    last4 = "3201" if card.outcome == "debits" else "3202"
    if method_type == "sepa_debit":
        return {
            "bank_code": "19043",
            "branch_code": "",
            "country": "AT",
            "fingerprint": fingerprint(card.number),
            "generated_from": {"charge": None, "setup_attempt": None},
            "last4": last4,
        }
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": fingerprint(card.number),
        "last4": last4,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": {},
    }


def charge(now: int, intent: Obj, method: Obj, status: str) -> Obj:
    is_card = method["type"] == "card"
    charge_id = ids.new_id("ch" if is_card else "py")
    return {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX" if is_card else None,
        "captured": status != "failed",
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome("approved_by_network", "Payment complete.", None),
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(intent, method),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": status,
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    }


def outcome(network_status: str, message: str, decline_code: str | None) -> Obj:
    approved = network_status == "approved_by_network"
    return {
        "advice_code": None if approved else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network" if approved else "declined_by_network",
        "reason": decline_code,
        "risk_level": "normal",
        "seller_message": message,
        "type": "authorized" if approved else "issuer_declined",
    }


def _details(intent: Obj, method: Obj) -> Obj:
    kind = method["type"]
    if kind == "card":
        return {"type": "card", "card": _card_details(intent, method["card"])}
    if kind == "stripe_account":
        return {"type": kind, kind: {}}
    account: Obj = method[kind]
    if kind == "sepa_debit":
        names = ("bank_code", "branch_code", "country", "fingerprint", "last4")
    else:
        names = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
    details: Obj = {name: account[name] for name in names} | {"mandate": ids.new_id("mandate")}
    if kind == "us_bank_account":
        details |= {"payment_reference": None}
    return {"type": kind, kind: details}


def _card_details(intent: Obj, card: Obj) -> Obj:
    names = (
        "brand",
        "checks",
        "country",
        "exp_month",
        "exp_year",
        "fingerprint",
        "funding",
        "last4",
        "wallet",
    )
    return {name: card[name] for name in names} | {
        "amount_authorized": intent["amount"],
        "authorization_code": f"{int(fingerprint(intent['id'])[:8], 16) % 1_000_000:06}",
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "transaction_link_id": None,
    }

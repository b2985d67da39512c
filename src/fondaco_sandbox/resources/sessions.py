"""Checkout Sessions in mode payment."""

from fondaco_sandbox import cards, ids, money, payments
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.cards import Card
from fondaco_sandbox.errors import ApiError, invalid, missing, unsupported
from fondaco_sandbox.objects import no_address
from fondaco_sandbox.params import is_web_address, metadata
from fondaco_sandbox.payments import Attempt, Payer
from fondaco_sandbox.resources.customers import new_customer
from fondaco_sandbox.resources.payment_intents import offered_types, routed
from fondaco_sandbox.resources.prices import line_item
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import listing, page

_CREATE = (
    "allowed_payment_method_types",
    "cancel_url",
    "client_reference_id",
    "currency",
    "customer",
    "customer_creation",
    "customer_email",
    "expires_at",
    "line_items",
    "locale",
    "metadata",
    "mode",
    "payment_intent_data",
    "payment_method_collection",
    "submit_type",
    "success_url",
    "ui_mode",
)
_INTENT_DATA = (
    "application_fee_amount",
    "capture_method",
    "description",
    "metadata",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
)
_DAY = 86_400
_EXPIRES_WITHIN = (30 * 60 - 10, _DAY + 10)
"""In seconds; clocks of two machines may differ a little."""


def create(call: Call) -> Obj:
    call.only(*_CREATE)
    box, params = call.box, call.params
    _check_mode(params)
    customer = call.named("customer", "customer")
    if customer and "customer_email" in params:
        raise invalid(
            "You may only specify one of these parameters: customer, customer_email.", "customer_email"
        )
    items = [line_item(box, item, n) for n, item in enumerate(params["line_items"])]
    currency: str = items[0]["currency"]
    if any(item["currency"] != currency for item in items):
        raise invalid("All line items must have the same currency.", "line_items")
    total = sum(item["amount_total"] for item in items)
    money.payable(total, currency, "line_items")
    intent_data = _intent_data(params)
    intent_data |= routed(box, intent_data, total, "payment_intent_data")
    expires_at = _expiry(box, params.get("expires_at"))
    session = _session(call, customer, currency, total, expires_at)
    hidden: Obj = {"line_items": items, "intent_data": intent_data, "base_url": call.base_url}
    box.store.insert("checkout.session", session, hidden)
    box.store.timer(expires_at * 1000, "expire_session", session["id"])
    box.on_work()
    return session


def _check_mode(params: Obj) -> None:
    if "mode" not in params:
        raise missing("mode")
    if params["mode"] != "payment":
        raise unsupported(f"mode={params['mode']}", "mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise unsupported(f"ui_mode={params['ui_mode']}", "ui_mode")
    for name in ("line_items", "success_url"):
        if not params.get(name):
            raise missing(name)
    if len(params["line_items"]) > 100:
        raise invalid("A Checkout Session can have at most 100 line items.", "line_items")
    for name in ("success_url", "cancel_url"):
        if name in params and not is_web_address(params[name]):
            raise invalid(f"Not a valid URL: {params[name]}", name, "url_invalid")


def _expiry(box: Sandbox, wanted: int | None) -> int:
    """When the session closes, on the sandbox's clock."""
    if wanted is None:
        return box.now() + _DAY
    shortest, longest = _EXPIRES_WITHIN
    ahead = wanted - box.now()
    if not shortest <= ahead <= longest and box.clock.offset_ms:
        # a client that lives in real time: it means so long from now
        ahead += box.clock.offset_ms // 1000
    if ahead > longest:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            "expires_at",
        )
    if ahead < shortest:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            "expires_at",
        )
    return box.now() + ahead


def _intent_data(params: Obj) -> Obj:
    data: Obj = params.get("payment_intent_data", {})
    for name in data:
        if name not in _INTENT_DATA:
            raise unsupported(f"payment_intent_data[{name}]", f"payment_intent_data[{name}]")
    if data.get("capture_method") == "manual":
        raise unsupported("capture_method=manual", "payment_intent_data[capture_method]")
    return {**data, "metadata": metadata(data.get("metadata"))}


def _session(call: Call, customer: Obj | None, currency: str, total: int, expires_at: int) -> Obj:
    params, session_id = call.params, ids.session_id()
    allowed: list[str] | None = params.get("allowed_payment_method_types")
    types = _usable_types(allowed, currency)
    return {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "allowed_payment_method_types": allowed,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": call.box.now(),
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer": customer["id"] if customer else None,
        "customer_account": None,
        "customer_creation": None if customer else params.get("customer_creation", "if_required"),
        "customer_details": _details(customer["email"], customer["name"]) if customer else None,
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "expires_at": expires_at,
        "integration_identifier": None,
        "invoice": None,
        "invoice_creation": _no_invoice(),
        "livemode": False,
        "locale": params.get("locale"),
        "managed_payments": {"enabled": False},
        "metadata": metadata(params.get("metadata")),
        "mode": "payment",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": types,
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "subscription": None,
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{call.base_url}/c/pay/{session_id}",
        "wallet_options": None,
    }


def _usable_types(allowed: list[str] | None, currency: str) -> list[str]:
    types = [name for name in offered_types(currency) if allowed is None or name in allowed]
    if not types:
        raise invalid(
            f"None of the allowed payment method types can be used in {currency}.",
            "allowed_payment_method_types",
        )
    return types


def _no_invoice() -> Obj:
    names = ("account_tax_ids", "custom_fields", "description", "footer", "issuer", "rendering_options")
    return {"enabled": False, "invoice_data": {**dict.fromkeys(names), "metadata": {}}}


def _details(email: str | None, name: str | None) -> Obj:
    return {
        "address": no_address(),
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def retrieve(call: Call) -> Obj:
    return call.object("checkout.session")


def update(call: Call) -> Obj:
    call.only("metadata")
    session = call.object("checkout.session")
    if "metadata" in call.params:
        session["metadata"] = metadata(call.params["metadata"], session["metadata"])
    return call.box.store.save(session)


def list_(call: Call) -> Obj:
    call.only(
        "created",
        "customer",
        "customer_details",
        "ending_before",
        "limit",
        "payment_intent",
        "starting_after",
        "status",
    )
    email = call.params.get("customer_details", {}).get("email")
    if email:
        call.params["customer_details"] = email
    filters = {name: name for name in ("customer", "payment_intent", "status")}
    return page(
        call,
        "checkout.session",
        "/v1/checkout/sessions",
        filters | {"customer_details": "customer_details.email"},
    )


def line_items(call: Call) -> Obj:
    session, params = call.object("checkout.session"), call.params
    items: list[Obj] = call.box.store.hidden(session["id"])["line_items"]
    names = [item["id"] for item in items]
    start = names.index(params["starting_after"]) + 1 if params.get("starting_after") in names else 0
    stop = names.index(params["ending_before"]) if params.get("ending_before") in names else len(items)
    limit = min(max(params.get("limit", 10), 1), 100)
    if "ending_before" in params:
        start = max(0, stop - limit)
    more = start > 0 if "ending_before" in params else stop - start > limit
    return listing(items[start:stop][:limit], f"/v1/checkout/sessions/{session['id']}/line_items", more=more)


def expire(call: Call) -> Obj:
    session = call.object("checkout.session")
    if session["status"] != "open":
        raise ApiError(
            400,
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a '
            f"status of `{session['status']}`.",
        )
    return expire_session(call.box, session)


def expire_session(box: Sandbox, session: Obj) -> Obj:
    """Close a session that was not paid; an attempt under way is over too."""
    session |= {"status": "expired", "url": None}
    box.store.save(session)
    if session["payment_intent"]:
        intent = box.store.need("payment_intent", session["payment_intent"])
        if intent["status"] in ("requires_payment_method", "requires_action"):
            payments.cancel(box, intent, "expired")
    box.emit("checkout.session.expired", session)
    return session


def pay(box: Sandbox, session: Obj, card: Card, payer: Payer, base_url: str) -> Obj:
    """Try to pay an open session; the session and its intent say what came of it."""
    intent = _intent(box, session, payer)
    debit = next((name for name in session["payment_method_types"] if name in cards.BANK_DEBITS), None)
    method_type = "card"
    if card.is_bank:
        if debit is None:
            raise invalid("This Checkout Session does not take bank debits.", "card")
        method_type = debit
    elif "card" not in session["payment_method_types"]:
        raise invalid("This Checkout Session does not take cards.", "card")
    made = Attempt(card, base_url, payer, method_type, f"{base_url}/c/pay/{session['id']}")
    return finish(box, session, payments.attempt(box, intent, made), payer)


def _intent(box: Sandbox, session: Obj, payer: Payer) -> Obj:
    """The session's intent, made at the first attempt."""
    if session["payment_intent"]:
        return box.store.need("payment_intent", session["payment_intent"])
    data: Obj = box.store.hidden(session["id"])["intent_data"]
    if session["customer"] is None and session["customer_creation"] == "always":
        session["customer"] = new_customer(box, {"email": payer.email, "name": payer.name})["id"]
    fields: Obj = {name: value for name, value in data.items() if name != "capture_method"} | {
        "amount": session["amount_total"],
        "currency": session["currency"],
        "customer": session["customer"],
        "payment_method_types": session["payment_method_types"],
    }
    intent = payments.create_intent(box, fields, session["id"])
    session["payment_intent"] = intent["id"]
    return box.store.save(session) and intent


def finish(box: Sandbox, session: Obj, intent: Obj, payer: Payer) -> Obj:
    """Bring the session in line with its intent after an attempt."""
    if intent["status"] in ("succeeded", "processing"):
        paid = intent["status"] == "succeeded"
        session |= {"status": "complete", "url": None, "payment_status": "paid" if paid else "unpaid"}
        session["customer_details"] = _details(payer.email or session["customer_email"], payer.name)
        box.store.save(session)
        box.emit("checkout.session.completed", session)
    return session


def debit_settled(box: Sandbox, session: Obj, intent: Obj) -> None:
    """Tell of the bank's late answer for a session that is complete already."""
    if intent["status"] == "succeeded":
        session["payment_status"] = "paid"
        box.store.save(session)
        box.emit("checkout.session.async_payment_succeeded", session)
    else:
        box.emit("checkout.session.async_payment_failed", session)

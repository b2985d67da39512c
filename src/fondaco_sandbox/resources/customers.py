"""Customers."""

from fondaco_sandbox import ids
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid
from fondaco_sandbox.params import metadata
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import Query, page

_TEXTS = ("description", "email", "name", "phone")
_SETTABLE = (*_TEXTS, "address", "metadata", "preferred_locales")


def new_customer(box: Sandbox, fields: Obj) -> Obj:
    """Make a customer and tell of it."""
    body: Obj = {
        "id": f"cus_{ids.letters(14)}",
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": box.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": ids.letters(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    box.store.insert("customer", body | fields)
    box.emit("customer.created", body | fields)
    return body | fields


def create(call: Call) -> Obj:
    call.only(*_SETTABLE)
    return new_customer(call.box, _fields(call.params, {}))


def retrieve(call: Call) -> Obj:
    body = call.object("customer")
    return {name: body[name] for name in ("id", "object", "deleted")} if body.get("deleted") else body


def update(call: Call) -> Obj:
    call.only(*_SETTABLE)
    before = call.object("customer")
    if before.get("deleted"):
        raise invalid(f"No such customer: '{call.id}'", "id", "resource_missing")
    fields = _fields(call.params, before)
    previous = {name: before[name] for name in fields if before[name] != fields[name]}
    after = call.box.store.save(before | fields)
    if previous:
        call.box.emit("customer.updated", after, previous)
    return after


def list_(call: Call) -> Obj:
    call.only("created", "email", "ending_before", "limit", "starting_after")
    query = Query("customer")
    query.add("json_extract(body, '$.deleted') is null")
    return page(call, "customer", "/v1/customers", {"email": "email"}, query)


def delete(call: Call) -> Obj:
    body = call.object("customer")
    if not body.get("deleted"):
        call.box.emit("customer.deleted", body)
        call.box.store.save(body | {"deleted": True})
    return {"id": call.id, "object": "customer", "deleted": True}


def _fields(params: Obj, before: Obj) -> Obj:
    fields: Obj = {name: params[name] or None for name in _TEXTS if name in params}
    email = fields.get("email")
    if email is not None and (
        "@" not in email or email.startswith("@") or email.endswith("@") or " " in email
    ):
        raise invalid(f"Invalid email address: {email}", "email", "email_invalid")
    if "address" in params:
        parts = ("city", "country", "line1", "line2", "postal_code", "state")
        given: Obj = params["address"] or {}
        fields["address"] = {name: given.get(name) for name in parts} if given else None
    if "preferred_locales" in params:
        fields["preferred_locales"] = params["preferred_locales"]
    if "metadata" in params:
        fields["metadata"] = metadata(params["metadata"], before.get("metadata"))
    return fields

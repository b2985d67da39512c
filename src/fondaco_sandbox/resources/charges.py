"""Charges and the balance: charges, balance transactions, balance."""

from fondaco_sandbox import balance
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid
from fondaco_sandbox.params import metadata
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import Query, page


def retrieve(call: Call) -> Obj:
    return call.object("charge")


def update(call: Call) -> Obj:
    call.only("description", "metadata")
    charge = call.object("charge")
    if "metadata" in call.params:
        charge["metadata"] = metadata(call.params["metadata"], charge["metadata"])
    if "description" in call.params:
        charge["description"] = call.params["description"] or None
    call.box.store.save(charge)
    call.box.emit("charge.updated", charge)
    return charge


def list_(call: Call) -> Obj:
    call.only("created", "customer", "ending_before", "limit", "payment_intent", "starting_after")
    filters = {"customer": "customer", "payment_intent": "payment_intent"}
    return page(call, "charge", "/v1/charges", filters)


def retrieve_balance_transaction(call: Call) -> Obj:
    return call.object("balance_transaction")


def list_balance_transactions(call: Call) -> Obj:
    query = Query(call.of("balance_transaction"))
    if "payout" in call.params:
        payout = call.named("payout", "payout")
        if payout and not payout["automatic"]:
            raise invalid(
                "Balance transaction history can only be filtered on automatic transfers, not manual.",
                "payout",
            )
        query.add("json_extract(hidden, '$.payout') = ?", call.params["payout"])
        query.few = True
    filters = {name: name for name in ("currency", "source", "type")}
    return page(call, "balance_transaction", "/v1/balance_transactions", filters, query)


def show_balance(call: Call) -> Obj:
    """What is on the account, per currency: available now, and still pending."""
    sums = balance.sums(call.box, call.account) or [("usd", 0, 0)]
    return {
        "object": "balance",
        "available": [_funds(available, currency) for currency, available, _ in sums],
        "connect_reserved": [{"amount": 0, "currency": currency} for currency, _, _ in sums],
        "livemode": False,
        "pending": [_funds(pending, currency) for currency, _, pending in sums],
    }


def _funds(amount: int, currency: str) -> Obj:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}

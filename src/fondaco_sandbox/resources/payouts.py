"""Payouts through the API: the platform's own and, with Stripe-Account, those of a connected account."""

from fondaco_sandbox import balance, money, payouts
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import invalid, unsupported
from fondaco_sandbox.params import metadata
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import Query, page


def create(call: Call) -> Obj:
    call.only("amount", "currency", "description", "metadata", "method", "statement_descriptor")
    params, box = call.params, call.box
    if params.get("method", "standard") != "standard":
        raise unsupported("method=instant", "method")
    currency = money.currency(params["currency"])
    if params["amount"] < 1:
        raise invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
    if call.account and not box.store.need("account", call.account)["payouts_enabled"]:
        raise invalid("Payouts are disabled on this account; it has to give more information first.")
    message = f"You have insufficient funds in your Stripe account for a payout of this amount in {currency}."
    balance.need(box, currency, params["amount"], message, call.account)
    fields: Obj = {"metadata": metadata(params.get("metadata"))}
    fields |= {name: params[name] for name in ("description", "statement_descriptor") if name in params}
    return payouts.make(box, call.account, params["amount"], currency, fields)


def retrieve(call: Call) -> Obj:
    return call.object("payout")


def update(call: Call) -> Obj:
    payout = call.object("payout")
    if "metadata" in call.params:
        payout["metadata"] = metadata(call.params["metadata"], payout["metadata"])
    call.box.store.save(payout)
    call.box.emit("payout.updated", payout, account=call.account)
    return payout


def list_(call: Call) -> Obj:
    query = Query(call.of("payout"))
    if "arrival_date" in call.params:
        query.between("json_extract(body, '$.arrival_date')", call.params["arrival_date"])
    return page(call, "payout", "/v1/payouts", {"destination": "destination", "status": "status"}, query)


def cancel(call: Call) -> Obj:
    payout = call.object("payout")
    if payout["status"] != "pending" or payout["automatic"]:
        raise invalid(
            f"Payouts can only be canceled while they are pending and were not made automatically; this one "
            f"has a status of {payout['status']}."
        )
    return payouts.cancel(call.box, payout)

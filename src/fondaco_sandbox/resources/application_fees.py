"""Application fees and what was given back of them."""

from fondaco_sandbox.call import Call
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import page


def retrieve(call: Call) -> Obj:
    return call.object("application_fee")


def list_(call: Call) -> Obj:
    return page(call, "application_fee", "/v1/application_fees", {"charge": "charge"})


def list_refunds(call: Call) -> Obj:
    fee = call.object("application_fee")
    call.params["fee"] = fee["id"]
    return page(call, "fee_refund", f"/v1/application_fees/{fee['id']}/refunds", {"fee": "fee"})

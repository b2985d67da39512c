"""Transfers to connected accounts, and their reversals."""

from fondaco_sandbox import balance, money, transfers
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import ApiError, invalid, missing
from fondaco_sandbox.params import metadata
from fondaco_sandbox.resources.accounts import destination
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import page


def create(call: Call) -> Obj:
    box, params = call.box, call.params
    if "amount" not in params:
        raise missing("amount")
    currency = money.currency(params["currency"])
    amount: int = params["amount"]
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
    account = destination(box, params["destination"])
    source = _source(call, amount, currency)
    if source is None:
        balance.need(box, currency, amount, balance.TEST_CARD_HINT)
    fields: Obj = {
        "description": params.get("description"),
        "metadata": metadata(params.get("metadata")),
        "source_type": params.get("source_type", "card"),
        "transfer_group": params.get("transfer_group"),
    }
    if source:
        fields |= {"source_transaction": source["id"]}
        fields["transfer_group"] = fields["transfer_group"] or source["transfer_group"]
    after = 0
    if source:
        paid = box.store.need("balance_transaction", source["balance_transaction"])
        after = max(0, paid["available_on"] - box.now())
    return transfers.make(box, account["id"], amount, currency, fields, after=after)


def _source(call: Call, amount: int, currency: str) -> Obj | None:
    """The charge that the transfer draws on: its money may still be pending."""
    charge = call.named("charge", "source_transaction")
    if charge is None:
        return None
    if charge["currency"] != currency:
        raise invalid(
            "The currency of source_transaction's balance transaction must be the same.", "currency"
        )
    drawn = sum(
        each["amount"] for each in call.box.store.where("transfer", "source_transaction", charge["id"])
    )
    if amount > charge["amount"] - drawn:
        raise ApiError(
            400,
            "Cannot use the same source_transaction for more than its amount less what was transferred from "
            "it.",
            code="transfer_source_balance_parameters_mismatch",
        )
    return charge


def retrieve(call: Call) -> Obj:
    return call.object("transfer")


def update(call: Call) -> Obj:
    transfer = call.object("transfer")
    if "metadata" in call.params:
        transfer["metadata"] = metadata(call.params["metadata"], transfer["metadata"])
    if "description" in call.params:
        transfer["description"] = call.params["description"]
    call.box.store.save(transfer)
    call.box.emit("transfer.updated", transfer)
    return transfer


def list_(call: Call) -> Obj:
    return page(
        call,
        "transfer",
        "/v1/transfers",
        {"destination": "destination", "transfer_group": "transfer_group"},
    )


def create_reversal(call: Call) -> Obj:
    box, params = call.box, call.params
    transfer = call.object("transfer")
    left: int = transfer["amount"] - transfer["amount_reversed"]
    amount: int = params.get("amount", left)
    if amount < 1:
        raise invalid(f"Transfer {transfer['id']} is already fully reversed.", "amount")
    if amount > left:
        asked, rest = (money.shown(each, transfer["currency"]) for each in (amount, left))
        raise invalid(f"Reversal amount ({asked}) is greater than unreversed amount ({rest})", "amount")
    if params.get("refund_application_fee"):
        raise invalid("There is no application fee on this transfer.", "refund_application_fee")
    fields: Obj = {"metadata": metadata(params.get("metadata"))}
    return transfers.reverse(box, transfer, amount, fields)


def list_reversals(call: Call) -> Obj:
    transfer = call.object("transfer")
    call.params["transfer"] = transfer["id"]
    return page(
        call, "transfer_reversal", f"/v1/transfers/{transfer['id']}/reversals", {"transfer": "transfer"}
    )

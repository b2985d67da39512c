"""Transfers to connected accounts, and their reversals."""

from fondaco_sandbox import balance, ids, money, objects, payouts
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.errors import ApiError, invalid, missing
from fondaco_sandbox.params import metadata
from fondaco_sandbox.resources.accounts import destination
from fondaco_sandbox.store import Obj, of
from fondaco_sandbox.views import listing, page

_NOT_ENOUGH_THERE = (
    "Insufficient funds in the connected account to reverse this transfer: what was paid out cannot be taken "
    "back."
)


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
    return make(box, account, amount, currency, fields)


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


def make(box: Sandbox, account: Obj, amount: int, currency: str, fields: Obj) -> Obj:
    """Move money from the platform to a connected account, where it arrives as a payment."""
    now, transfer_id = box.now(), ids.new_id("tr")
    transfer: Obj = {
        "id": transfer_id,
        "object": "transfer",
        "amount": amount,
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": now,
        "currency": currency,
        "description": None,
        "destination": account["id"],
        "destination_payment": None,
        "livemode": False,
        "metadata": {},
        "reversals": listing([], f"/v1/transfers/{transfer_id}/reversals", more=False),
        "reversed": False,
        "source_transaction": None,
        "source_type": "card",
        "transfer_group": None,
    } | fields
    entry = balance.transaction(now, transfer, "transfer", -amount)
    transfer["balance_transaction"] = balance.move(box, entry)["id"]
    transfer["destination_payment"] = _arrive(box, transfer, account["id"])["id"]
    box.store.insert("transfer", transfer)
    _write_down(box, "transfer.created", transfer)
    box.emit("transfer.created", transfer)
    payouts.expect(box, account["id"], currency)
    return transfer


def _arrive(box: Sandbox, transfer: Obj, account: str) -> Obj:
    """The payment that the connected account sees."""
    blank: Obj = {
        "id": None,
        "amount": transfer["amount"],
        "currency": transfer["currency"],
        "customer": None,
        "description": transfer["description"],
        "metadata": {},
        "receipt_email": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "transfer_group": None,
    }
    nobody: Obj = {"id": None, "type": "stripe_account", "billing_details": objects.nobody()}
    payment = objects.charge(box.now(), blank, nobody, "succeeded")
    entry = balance.transaction(box.now(), payment, "payment", transfer["amount"])
    entry["source"] = payment["id"]
    payment |= {
        "amount_captured": payment["amount"],
        "balance_transaction": balance.move(box, entry, account)["id"],
        "paid": True,
        "source_transfer": transfer["id"],
    }
    return box.store.insert(of(account, "charge"), payment)


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
    return reverse(box, transfer, amount, fields)


def reverse(box: Sandbox, transfer: Obj, amount: int, fields: Obj) -> Obj:
    """Bring money back from the connected account; refused when it does not have it any more."""
    account, now = transfer["destination"], box.now()
    balance.need(box, transfer["currency"], amount, _NOT_ENOUGH_THERE, account)
    reversal = _reversal(now, transfer, amount) | fields
    entry = balance.transaction(now, reversal, "transfer_refund", amount)
    reversal["balance_transaction"] = balance.move(box, entry)["id"]
    payment = box.store.need(of(account, "charge"), transfer["destination_payment"])
    back: Obj = {"id": ids.new_id("pyr"), "currency": transfer["currency"]}
    balance.move(box, balance.transaction(now, back, "payment_refund", -amount), account)
    payment["amount_refunded"] += amount
    payment["refunded"] = payment["amount_refunded"] == payment["amount"]
    box.store.save(payment)
    reversal["destination_payment_refund"] = back["id"]
    box.store.insert("transfer_reversal", reversal)
    before = transfer["amount_reversed"]
    transfer["amount_reversed"] += amount
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    known = box.store.where("transfer_reversal", "transfer", transfer["id"])[::-1]
    transfer["reversals"] |= {"data": known[:10], "has_more": len(known) > 10}
    box.store.save(transfer)
    _write_down(box, "transfer.reversed", transfer, reversal=reversal["id"], reversed=amount)
    box.emit("transfer.reversed", transfer, {"amount_reversed": before})
    return reversal


def _reversal(now: int, transfer: Obj, amount: int) -> Obj:
    return {
        "id": ids.new_id("trr"),
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": None,
        "created": now,
        "currency": transfer["currency"],
        "destination_payment_refund": None,
        "metadata": {},
        "source_refund": None,
        "transfer": transfer["id"],
    }


def list_reversals(call: Call) -> Obj:
    transfer = call.object("transfer")
    call.params["transfer"] = transfer["id"]
    return page(
        call, "transfer_reversal", f"/v1/transfers/{transfer['id']}/reversals", {"transfer": "transfer"}
    )


def _write_down(box: Sandbox, name: str, transfer: Obj, **more: object) -> None:
    names = ("amount", "amount_reversed", "currency", "destination", "transfer_group", "metadata")
    box.fact(name, transfer=transfer["id"], **{each: transfer[each] for each in names}, **more)

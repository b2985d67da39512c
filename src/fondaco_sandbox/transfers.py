"""Money between the platform and connected accounts: transfers, their reversals, and application fees.

The functions here never refuse, but for a reversal of money that is not there any more.
"""

from fondaco_sandbox import balance, ids, objects, payouts
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.store import Obj, of
from fondaco_sandbox.views import listing

NOT_ENOUGH_THERE = (
    "Insufficient funds in the connected account to reverse this transfer: what was paid out cannot be taken "
    "back."
)


def make(
    box: Sandbox, account: str, amount: int, currency: str, fields: Obj, *, after: int = 0, fee: int = 0
) -> Obj:
    """Move money from the platform to a connected account, where it arrives as a payment.

    `after`: seconds until it can be used, as the charge it comes from. `fee`: what of it is the platform's.
    """
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
        "destination": account,
        "destination_payment": None,
        "livemode": False,
        "metadata": {},
        "reversals": listing([], f"/v1/transfers/{transfer_id}/reversals", more=False),
        "reversed": False,
        "source_transaction": None,
        "source_type": "card",
        "transfer_group": None,
    } | fields
    entry = balance.transaction(now, transfer, "transfer", -amount, after=after)
    transfer["balance_transaction"] = balance.move(box, entry)["id"]
    transfer["destination_payment"] = _arrive(box, transfer, account, after, fee)["id"]
    box.store.insert("transfer", transfer)
    _write_down(box, "transfer.created", transfer)
    box.emit("transfer.created", transfer)
    payouts.expect(box, account, currency)
    return transfer


def _arrive(box: Sandbox, transfer: Obj, account: str, after: int, fee: int) -> Obj:
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
    entry = balance.transaction(box.now(), payment, "payment", transfer["amount"], fee=fee, after=after)
    for part in entry["fee_details"]:
        part |= {"description": "Application fee", "type": "application_fee"}
    payment |= {
        "application_fee_amount": fee or None,
        "amount_captured": payment["amount"],
        "balance_transaction": balance.move(box, entry, account)["id"],
        "paid": True,
        "source_transfer": transfer["id"],
    }
    return box.store.insert(of(account, "charge"), payment)


def reverse(box: Sandbox, transfer: Obj, amount: int, fields: Obj, *, fee: int = 0) -> Obj:
    """Bring money back from the connected account; refused when it does not have it any more.

    `fee`: what the account gets back of the application fee.
    """
    account, now = transfer["destination"], box.now()
    balance.need(box, transfer["currency"], amount - fee, NOT_ENOUGH_THERE, account)
    reversal = _reversal(now, transfer, amount) | fields
    entry = balance.transaction(now, reversal, "transfer_refund", amount)
    reversal["balance_transaction"] = balance.move(box, entry)["id"]
    payment = box.store.need(of(account, "charge"), transfer["destination_payment"])
    back: Obj = {"id": ids.new_id("pyr"), "currency": transfer["currency"]}
    balance.move(box, balance.transaction(now, back, "payment_refund", -amount, fee=-fee), account)
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


def _write_down(box: Sandbox, name: str, transfer: Obj, **more: object) -> None:
    names = ("amount", "amount_reversed", "currency", "destination", "transfer_group", "metadata")
    box.fact(name, transfer=transfer["id"], **{each: transfer[each] for each in names}, **more)


# Application fees: the platform's part of a payment that went to a connected account


def route(box: Sandbox, intent: Obj, charge: Obj, after: int) -> Obj:
    """Pass a destination charge on: the transfer, and the platform's fee out of it."""
    account: str = intent["transfer_data"]["destination"]
    amount: int = intent["transfer_data"].get("amount") or charge["amount"]
    fee: int = intent["application_fee_amount"] or 0
    group = intent["transfer_group"] or f"group_{intent['id']}"
    fields: Obj = {"source_transaction": charge["id"], "transfer_group": group}
    transfer = make(box, account, amount, charge["currency"], fields, after=after, fee=fee)
    charge |= {
        "transfer": transfer["id"],
        "transfer_data": {"amount": intent["transfer_data"].get("amount"), "destination": account},
        "transfer_group": group,
    }
    if fee:
        charge |= {
            "application_fee": _take_fee(box, transfer, charge, fee, after)["id"],
            "application_fee_amount": fee,
        }
    return box.store.save(charge)


def _take_fee(box: Sandbox, transfer: Obj, charge: Obj, amount: int, after: int) -> Obj:
    fee_id = ids.new_id("fee")
    fee: Obj = {
        "id": fee_id,
        "object": "application_fee",
        "account": transfer["destination"],
        "amount": amount,
        "amount_refunded": 0,
        "application": "ca_1SThePlatformItself",
        "balance_transaction": None,
        "charge": transfer["destination_payment"],
        "created": box.now(),
        "currency": charge["currency"],
        "fee_source": {"charge": transfer["destination_payment"], "type": "charge"},
        "livemode": False,
        "originating_transaction": charge["id"],
        "refunded": False,
        "refunds": listing([], f"/v1/application_fees/{fee_id}/refunds", more=False),
    }
    entry = balance.transaction(box.now(), fee, "application_fee", amount, after=after)
    fee["balance_transaction"] = balance.move(box, entry)["id"]
    box.store.insert("application_fee", fee)
    _write_fee(box, "application_fee.created", fee)
    box.emit("application_fee.created", fee)
    return fee


def share(part: Obj, charge: Obj, refund: Obj, gone: str) -> int:
    """What of a charge's transfer or fee goes back with a refund, in proportion; the last takes the rest.

    `gone`: the field of what went back of the part before.
    """
    before: int = charge["amount_refunded"]
    after = before + refund["amount"]
    whole: int = part["amount"]
    amount = whole * after // charge["amount"] - whole * before // charge["amount"]
    return min(amount, whole - part[gone])


def give_fee_back(box: Sandbox, charge: Obj, amount: int) -> None:
    """Refund a part of the application fee to the connected account."""
    fee = box.store.need("application_fee", charge["application_fee"])
    back: Obj = {
        "id": ids.new_id("fr"),
        "object": "fee_refund",
        "amount": amount,
        "balance_transaction": None,
        "created": box.now(),
        "currency": fee["currency"],
        "fee": fee["id"],
        "metadata": {},
    }
    entry = balance.transaction(box.now(), back, "application_fee_refund", -amount)
    back["balance_transaction"] = balance.move(box, entry)["id"]
    box.store.insert("fee_refund", back)
    fee["amount_refunded"] += amount
    fee["refunded"] = fee["amount_refunded"] == fee["amount"]
    known = box.store.where("fee_refund", "fee", fee["id"])[::-1]
    fee["refunds"] |= {"data": known[:10], "has_more": len(known) > 10}
    box.store.save(fee)
    _write_fee(box, "application_fee.refunded", fee, refund=back["id"], refunded=amount)
    box.emit("application_fee.refunded", fee)


def _write_fee(box: Sandbox, name: str, fee: Obj, **more: object) -> None:
    names = ("account", "amount", "amount_refunded", "currency", "originating_transaction")
    box.fact(name, application_fee=fee["id"], **{each: fee[each] for each in names}, **more)

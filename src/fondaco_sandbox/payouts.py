"""Payouts to banks: the platform's own, and those of connected accounts, which go out by themselves.

A payout arrives a day after it was made. One to a bank account that is made to fail arrives first and comes
back two days later: the money returns to the balance it came from.
"""

from fondaco_sandbox import balance, connect, ids
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.store import Obj, of

DAY = 86_400
ARRIVES_AFTER = DAY
FAILS_AFTER = 2 * DAY
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
    "debit_not_authorized": "Debit transactions are not approved on the bank account.",
    "insufficient_funds": "There are not enough funds in the account.",
    "invalid_currency": "The bank was unable to process this payout because of its currency.",
    "no_account": "The bank account details on file are probably incorrect. No bank account could be "
    "located with those details.",
}
PLATFORM_BANK = "ba_1SPlatformsOwnBankAccount"


def expect(box: Sandbox, account: str, currency: str) -> None:
    """Have what is on a connected account paid out with the next daily payout."""
    known = connect.standing(box, account)
    name = f"{account} {currency}"
    waiting = "select 1 from timers where action = 'pay_out' and subject = ? limit 1"
    if not known.manual_payouts and not box.store.db.execute(waiting, (name,)).fetchone():
        box.later(DAY, "pay_out", name)
        box.on_work()


def pay_out_later(box: Sandbox, subject: str) -> None:
    """The daily payout of a connected account: everything that can be used."""
    account, _, currency = subject.partition(" ")
    body = box.store.get("account", account)
    if body is None or not body["payouts_enabled"]:
        return  # begun again when the account is in order
    amount = balance.usable(box, currency, account)
    if amount > 0:
        make(box, account, amount, currency, {"automatic": True})
    if any(name == currency and pending for name, _, pending in balance.sums(box, account)):
        expect(box, account, currency)


def make(box: Sandbox, account: str | None, amount: int, currency: str, fields: Obj) -> Obj:
    """Send money to the bank; the balance must have been checked."""
    now = box.now()
    bank = PLATFORM_BANK
    if account:
        bank = connect.bank_id(account, connect.standing(box, account).bank)
    payout: Obj = {
        "id": ids.new_id("po"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": now + ARRIVES_AFTER,
        "automatic": False,
        "balance_transaction": None,
        "created": now,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": bank,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    } | fields
    if payout["automatic"]:
        payout["reconciliation_status"] = "completed"
        _gather(box, account, payout)
    entry = balance.transaction(now, payout, "payout", -amount)
    payout["balance_transaction"] = balance.move(box, entry, account)["id"]
    if payout["automatic"]:
        box.store.hide(entry["id"], payout=payout["id"])
    box.store.insert(of(account, "payout"), payout, {"account": account})
    _write_down(box, "payout.created", payout, account)
    box.emit("payout.created", payout, account=account)
    box.later(ARRIVES_AFTER, "payout_arrives", payout["id"])
    box.on_work()
    return payout


def _gather(box: Sandbox, account: str | None, payout: Obj) -> None:
    """Note the transactions that an automatic payout pays out: all usable ones that none paid out before."""
    box.store.db.execute(
        "update objects set hidden = json_set(hidden, '$.payout', ?) where kind = ?"
        " and json_extract(hidden, '$.payout') is null"
        " and json_extract(body, '$.currency') = ? and json_extract(body, '$.available_on') <= ?",
        (payout["id"], of(account, "balance_transaction"), payout["currency"], box.now()),
    )


def arrive_later(box: Sandbox, payout: Obj) -> None:
    """The bank has it."""
    if payout["status"] not in ("pending", "in_transit"):
        return
    account = account_of(box, payout)
    before = payout["status"]
    payout |= {"status": "paid", "trace_id": {"status": "supported", "value": ids.letters(16)}}
    box.store.save(payout)
    _write_down(box, "payout.paid", payout, account)
    box.emit("payout.paid", payout, {"status": before}, account)
    if _failure_of(box, account):
        box.later(FAILS_AFTER, "payout_fails", payout["id"])


def _failure_of(box: Sandbox, account: str | None) -> str:
    """With which code payouts to the account's bank fail; "" when they do not."""
    if account is None or box.store.get("account", account) is None:
        return ""
    return connect.BANKS.get(connect.standing(box, account).bank, "")


def fail_later(box: Sandbox, payout: Obj) -> None:
    """What was paid comes back after days, with the code of the account's bank."""
    fail(box, payout, _failure_of(box, account_of(box, payout)) or "could_not_process")


def fail(box: Sandbox, payout: Obj, code: str) -> Obj:
    """A payout comes back; the bank account is not used again until it is given anew."""
    if payout["status"] in ("failed", "canceled"):
        return payout
    account = account_of(box, payout)
    before = payout["status"]
    entry = balance.transaction(box.now(), payout, "payout_failure", payout["amount"])
    payout |= {
        "status": "failed",
        "failure_balance_transaction": balance.move(box, entry, account)["id"],
        "failure_code": code,
        "failure_message": FAILURES.get(code, "The payout failed."),
    }
    box.store.save(payout)
    _write_down(box, "payout.failed", payout, account)
    box.emit("payout.failed", payout, {"status": before}, account)
    body = box.store.get("account", account) if account else None
    if account and body:
        known = connect.standing(box, account)
        known.bank_fails = True
        connect.evaluate(box, body, known)
    return payout


def cancel(box: Sandbox, payout: Obj) -> Obj:
    """Call back a payout that the bank does not have yet."""
    account = account_of(box, payout)
    entry = balance.transaction(box.now(), payout, "payout_cancel", payout["amount"])
    payout |= {
        "status": "canceled",
        "failure_balance_transaction": balance.move(box, entry, account)["id"],
    }
    box.store.save(payout)
    _write_down(box, "payout.canceled", payout, account)
    box.emit("payout.canceled", payout, {"status": "pending"}, account)
    return payout


def account_of(box: Sandbox, payout: Obj) -> str | None:
    return box.store.hidden(payout["id"]).get("account")


def _write_down(box: Sandbox, name: str, payout: Obj, account: str | None) -> None:
    names = ("amount", "currency", "status", "automatic", "failure_code", "metadata")
    box.fact(name, payout=payout["id"], account=account, **{each: payout[each] for each in names})

"""The control API's part about money: what sellers, banks and card issuers would do."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from fondaco_sandbox import balance, connect, disputes, generate, money, onboarding, payouts
from fondaco_sandbox.box import Cause, Sandbox
from fondaco_sandbox.errors import invalid, no_such
from fondaco_sandbox.resources import refunds
from fondaco_sandbox.store import Obj
from fondaco_sandbox.web import Request

Action: TypeAlias = Callable[[Request, Obj, str], Awaitable[Obj]]
_Work: TypeAlias = Callable[[Sandbox, Obj, str], Obj]
_UNASKED = {
    "adjustment": "other_adjustment",
    "contribution": "contribution",
    "payout_minimum_balance_hold": "payout_minimum_balance_hold",
    "payout_minimum_balance_release": "payout_minimum_balance_release",
    "reserve_transaction": "risk_reserved_funds",
    "stripe_fee": "fee",
    "tax_fee": "tax",
    "topup": "topup",
}
"""Movements that nobody asked for through the API, and their reporting category."""
REJECTIONS = ("", "fraud", "incomplete_verification", "listed", "other", "terms_of_service")


def actions(box: Sandbox) -> dict[str, Action]:
    """What the control API does about money, each in one transaction."""
    steps = {name: _in_one_step(box, work) for name, work in WORKS.items()}
    return {**steps, "POST generate": _generating(box)}


def _generating(box: Sandbox) -> Action:
    async def act(_request: Request, content: Obj, _id: str) -> Obj:
        """{"count": 1000000, "first": 1, "currency": "eur", "since": s, "until": s}: see `generate`."""
        count, first = whole(content, "count"), whole(content, "first", 1)
        until = whole(content, "until", box.now())
        since = whole(content, "since", until - 86_400)
        if count > generate.MOST or not since < until <= box.now():
            raise invalid(f"count must be up to {generate.MOST}, since before until, until not to come.")
        known = box.store.find(f"txn_gen{first:012}") or box.store.find(f"txn_gen{first + count - 1:012}")
        if known:
            raise invalid("Some of these numbers are there already; begin behind them.", "first")
        currency = money.currency(str(content.get("currency", "eur")))
        return await generate.generate(box, count, first, currency, (since, until))

    return act


def _in_one_step(box: Sandbox, work: _Work) -> Action:
    async def act(_request: Request, content: Obj, object_id: str) -> Obj:
        with box.store.transaction():
            box.cause = Cause()
            result = work(box, content, object_id)
        box.on_work()
        return result

    return act


def needed(box: Sandbox, kind: str, object_id: str) -> Obj:
    """The object of this kind, on the platform or on a connected account; refused when there is none."""
    found = box.store.find(object_id)
    if found is None or found[1].get("object") != kind:
        raise no_such(kind, object_id)
    return found[1]


def whole(content: Obj, name: str, default: int | None = None) -> int:
    """A whole number above 0 from the request."""
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise invalid(f"{name} must be a whole number above 0.", name)
    return value


def chosen(content: Obj, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    """One of several words from the request."""
    value = content.get(name, default)
    if value not in allowed:
        raise invalid(f"{name} must be one of: {', '.join(allowed)}.", name)
    return str(value)


def words(content: Obj, name: str) -> list[str]:
    """Some words from the request: a list, or one word alone."""
    value: Any = content.get(name) or []
    return [str(each) for each in (cast(list[Any], value) if isinstance(value, list) else [value])]


def _change_account(box: Sandbox, content: Obj, account_id: str) -> Obj:
    """{"choice": "verified"} as on the onboarding page; {"require": [...], "past_due": true, "deadline": s};
    {"reject": "fraud"}; {"bank": "000123456789"}; several at once."""
    body = needed(box, "account", account_id)
    known = connect.standing(box, account_id)
    if "choice" in content:
        onboarding.choose(known, chosen(content, "choice", tuple(onboarding.CHOICES)), box.now())
    if "require" in content:
        known.extra = words(content, "require")
        known.extra_past_due = bool(content.get("past_due", False))
        known.extra_deadline = whole(content, "deadline") if "deadline" in content else None
    if "reject" in content:
        known.rejected = chosen(content, "reject", REJECTIONS)
    if "bank" in content:
        known.bank = chosen(content, "bank", tuple(connect.BANKS))
        known.bank_fails = False
    return onboarding.submit(box, body, known)


def _pay_out_account(box: Sandbox, content: Obj, account_id: str) -> Obj:
    """{"currency": "eur"}: the connected account's daily payout, now."""
    body = needed(box, "account", account_id)
    currency = money.currency(str(content.get("currency", body["default_currency"])))
    amount = balance.usable(box, currency, account_id)
    if amount < 1 or not body["payouts_enabled"]:
        raise invalid("There is nothing to pay out, or payouts of this account are disabled.")
    return payouts.make(box, account_id, amount, currency, {"automatic": True})


def _pay_out_platform(box: Sandbox, content: Obj, _id: str) -> Obj:
    """{"currency": "eur"}: an automatic payout of everything that the platform can use."""
    currency = money.currency(str(content.get("currency", "usd")))
    amount = balance.usable(box, currency)
    if amount < 1:
        raise invalid(f"There is nothing to pay out in {currency}.", "currency")
    return payouts.make(box, None, amount, currency, {"automatic": True})


def _fail_payout(box: Sandbox, content: Obj, payout_id: str) -> Obj:
    """{"code": "account_closed"}: a payout comes back, also one that was paid."""
    payout = needed(box, "payout", payout_id)
    code = chosen(content, "code", tuple(payouts.FAILURES), "could_not_process")
    return payouts.fail(box, payout, code)


def _arrive_payout(box: Sandbox, _content: Obj, payout_id: str) -> Obj:
    """The bank has a payout now."""
    payouts.arrive_later(box, needed(box, "payout", payout_id))
    return needed(box, "payout", payout_id)


def _move(box: Sandbox, content: Obj, _id: str) -> Obj:
    """{"amount": -250, "currency": "eur", "type": "stripe_fee", "description": "..."}: money that moves on
    the platform's balance without anything that the API was asked for, such as a monthly fee."""
    amount = content.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int) or amount == 0:
        raise invalid("amount must be a whole number other than 0.", "amount")
    kind = chosen(content, "type", tuple(_UNASKED), "adjustment")
    currency = money.currency(str(content.get("currency", "eur")))
    source: Obj = {"id": None, "currency": currency, "description": content.get("description")}
    entry = balance.transaction(box.now(), source, kind, amount)
    return balance.move(box, entry | {"reporting_category": _UNASKED[kind]})


def _hasten(box: Sandbox, _content: Obj, _id: str) -> Obj:
    """All pending money can be used now."""
    return {"changed": balance.hasten(box)}


def _dispute(box: Sandbox, content: Obj, charge_id: str) -> Obj:
    """{"reason": "fraudulent", "amount": 500, "inquiry": true, "answer_within": seconds}: dispute a payment.
    The id may be a charge's or a PaymentIntent's."""
    charge = _charge(box, charge_id)
    most = disputes.disputable(box, charge)
    amount = whole(content, "amount", most or None)
    if amount > most:
        raise invalid(f"Of this payment {most} can be disputed: it must be by card, paid, not refunded.")
    reason = chosen(content, "reason", tuple(disputes.REASONS), "fraudulent")
    within = whole(content, "answer_within", disputes.ANSWER_WITHIN)
    asked = bool(content.get("inquiry", False))
    return disputes.start(box, charge, amount, reason, inquiry=asked, answer_within=within)


def _warn(box: Sandbox, content: Obj, charge_id: str) -> Obj:
    """{"fraud_type": "made_with_stolen_card"}: an early fraud warning about a payment."""
    charge = _charge(box, charge_id)
    return disputes.warn(
        box, charge, chosen(content, "fraud_type", disputes.FRAUD_TYPES, "made_with_stolen_card")
    )


def _charge(box: Sandbox, object_id: str) -> Obj:
    intent = box.store.get("payment_intent", object_id)
    charge = needed(box, "charge", intent["latest_charge"] if intent else object_id)
    if charge["status"] != "succeeded":
        raise invalid("This payment has not succeeded.")
    return charge


def _change_refund(box: Sandbox, content: Obj, refund_id: str) -> Obj:
    """{"status": "failed", "reason": "declined"}: what the bank, the buyer or time makes of a refund."""
    refund = needed(box, "refund", refund_id)
    ways = refunds.can_become(refund)
    if not ways:
        raise invalid(f"This refund has a status of {refund['status']}; nothing more can become of it.")
    status = chosen(content, "status", ways)
    reason = chosen(content, "reason", refunds.REASONS, "expired_or_canceled_card")
    return refunds.become(box, refund, status, reason)


def _resolve(box: Sandbox, content: Obj, dispute_id: str) -> Obj:
    """{"outcome": "won", "return_fee": true}: end a dispute; won after lost is a late reversal."""
    dispute = needed(box, "dispute", dispute_id)
    ways = disputes.can_become(dispute)
    if not ways:
        raise invalid(f"This dispute has a status of {dispute['status']}; nothing more can become of it.")
    outcome = chosen(content, "outcome", ways)
    return disputes.resolve(box, dispute, outcome, return_fee=bool(content.get("return_fee", False)))


WORKS: dict[str, _Work] = {
    "POST accounts/{id}": _change_account,
    "POST accounts/{id}/payout": _pay_out_account,
    "POST payout": _pay_out_platform,
    "POST payouts/{id}/fail": _fail_payout,
    "POST payouts/{id}/arrive": _arrive_payout,
    "POST available": _hasten,
    "POST movement": _move,
    "POST charges/{id}/dispute": _dispute,
    "POST charges/{id}/warn": _warn,
    "POST disputes/{id}/resolve": _resolve,
    "POST refunds/{id}": _change_refund,
}

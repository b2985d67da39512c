"""The control API's part about money: what sellers, banks and card issuers would do."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from fondaco_sandbox import balance, connect, money, onboarding, payouts
from fondaco_sandbox.box import Cause, Sandbox
from fondaco_sandbox.errors import invalid, no_such
from fondaco_sandbox.store import Obj
from fondaco_sandbox.web import Request

Action: TypeAlias = Callable[[Request, Obj, str], Awaitable[Obj]]
_Work: TypeAlias = Callable[[Sandbox, Obj, str], Obj]
REJECTIONS = ("", "fraud", "incomplete_verification", "listed", "other", "terms_of_service")


def actions(box: Sandbox) -> dict[str, Action]:
    """What the control API does about money, each in one transaction."""
    return {name: _in_one_step(box, work) for name, work in _WORKS.items()}


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


def _hasten(box: Sandbox, _content: Obj, _id: str) -> Obj:
    """All pending money can be used now."""
    return {"changed": balance.hasten(box)}


_WORKS: dict[str, _Work] = {
    "POST accounts/{id}": _change_account,
    "POST accounts/{id}/payout": _pay_out_account,
    "POST payout": _pay_out_platform,
    "POST payouts/{id}/fail": _fail_payout,
    "POST payouts/{id}/arrive": _arrive_payout,
    "POST available": _hasten,
}

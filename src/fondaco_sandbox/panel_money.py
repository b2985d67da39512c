"""The panel's part about refunds, disputes, sellers' accounts and what is paid to them."""

from fondaco_sandbox import balance, connect, disputes, money, onboarding
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.html import table, text
from fondaco_sandbox.panel_parts import button, moment, recent, state
from fondaco_sandbox.resources import refunds
from fondaco_sandbox.store import Obj, of

_OUTCOMES = {
    "won": "Won",
    "lost": "Lost",
    "prevented": "Prevented",
    "escalated": "Escalate",
    "warning_closed": "Close",
}


def sections(box: Sandbox) -> list[str]:
    """The tables, in their order on the panel."""
    return [_balance(box), _refunds(box), _disputes(box), _warnings(box), _accounts(box), _transfers(box)]


def trouble(intent: Obj) -> str:
    """What the cardholder's bank can do about a payment."""
    if intent["status"] != "succeeded":
        return ""
    path, name = f"charges/{intent['id']}", intent["id"]
    return "".join(
        [
            button(f"{path}/dispute", "Dispute", f"Dispute {name}"),
            button(f"{path}/dispute", "Inquire", f"Open an inquiry about {name}", inquiry="1"),
            button(f"{path}/warn", "Warn", f"Early fraud warning about {name}"),
        ]
    )


def _balance(box: Sandbox) -> str:
    rows = [
        [text(currency.upper()), text(money.shown(usable, currency)), text(money.shown(pending, currency))]
        for currency, usable, pending in balance.sums(box)
    ]
    shown = table("Balance", ["Currency", "Available", "Pending"], rows, "Nothing was paid yet.")
    hasten = button("available", "Make everything available", "Make all pending money available now")
    return shown.removesuffix("</section>") + (f"{hasten}</section>" if rows else "</section>")


def _refunds(box: Sandbox) -> str:
    rows = [
        [
            moment(each["created"]),
            text(each["id"]),
            text(money.shown(each["amount"], each["currency"])),
            state(each["status"]),
            text(each["charge"]),
            "".join(
                button(f"refunds/{each['id']}", status, f"Let {each['id']} be {status}", status=status)
                for status in refunds.can_become(each)
            ),
        ]
        for each in recent(box, "refund")
    ]
    heads = ["Created (UTC)", "Refund", "Amount", "State", "Charge", "Becomes"]
    return table("Refunds", heads, rows, "None.")


def _disputes(box: Sandbox) -> str:
    rows = [
        [
            moment(each["created"]),
            text(each["id"]),
            text(money.shown(each["amount"], each["currency"])),
            text(each["reason"].replace("_", " ")),
            state(each["status"]),
            moment(each["evidence_details"]["due_by"]),
            "".join(
                button(f"disputes/{each['id']}/resolve", _OUTCOMES[way], f"{way}: {each['id']}", outcome=way)
                for way in disputes.can_become(each)
            ),
        ]
        for each in recent(box, "dispute")
    ]
    heads = ["Created (UTC)", "Dispute", "Amount", "Reason", "State", "Answer by (UTC)", "Ends"]
    return table("Disputes", heads, rows, "None.")


def _warnings(box: Sandbox) -> str:
    rows = [
        [
            moment(each["created"]),
            text(each["id"]),
            text(each["charge"]),
            text(each["fraud_type"].replace("_", " ")),
            state("to be answered" if each["actionable"] else "settled"),
        ]
        for each in recent(box, "radar.early_fraud_warning")
    ]
    heads = ["Created (UTC)", "Warning", "Charge", "Kind", "State"]
    return table("Early fraud warnings", heads, rows, "None.")


def _accounts(box: Sandbox) -> str:
    rows: list[list[str]] = []
    for each in recent(box, "account"):
        path = f"accounts/{each['id']}"
        known = connect.standing(box, each["id"])
        choices = [
            button(path, choice, f"{meaning}: {each['id']}", choice=choice)
            for choice, meaning in onboarding.CHOICES.items()
        ]
        reject = button(path, "reject", f"Reject {each['id']}", reject="fraud")
        funds = [money.shown(usable + later, name) for name, usable, later in balance.sums(box, each["id"])]
        asked = each["requirements"]
        rows.append(
            [
                text(each["id"]),
                text(each["email"] or ""),
                text(each["country"]),
                state(each["capabilities"].get("transfers", "inactive")),
                text(asked["disabled_reason"] or ", ".join(asked["currently_due"])),
                text(", ".join(funds)),
                "".join(choices) + ("" if known.rejected else reject),
            ]
        )
    heads = ["Account", "E-mail", "Country", "Transfers", "Asked", "Balance", "Becomes"]
    return table("Sellers' accounts", heads, rows, "None yet. The shop opens one when a seller wants it.")


def _transfers(box: Sandbox) -> str:
    rows = [
        [
            moment(each["created"]),
            text(each["id"]),
            text(money.shown(each["amount"], each["currency"])),
            text(money.shown(each["amount_reversed"], each["currency"])),
            text(each["destination"]),
            text(each["transfer_group"] or ""),
        ]
        for each in recent(box, "transfer")
    ]
    heads = ["Created (UTC)", "Transfer", "Amount", "Taken back", "To", "Group"]
    return table("Transfers", heads, rows, "None yet.") + _payouts(box)


def _payouts(box: Sandbox) -> str:
    accounts: list[str | None] = [None, *(each["id"] for each in recent(box, "account"))]
    rows = [
        [
            moment(each["created"]),
            text(each["id"]),
            text(account or "the platform"),
            text(money.shown(each["amount"], each["currency"])),
            state(each["status"]),
            text(each["failure_message"] or ""),
            _payout_buttons(each),
        ]
        for account in accounts
        for each in recent(box, of(account, "payout"))
    ]
    heads = ["Created (UTC)", "Payout", "From", "Amount", "State", "Failure", "Becomes"]
    return table("Payouts to banks", heads, rows, "None yet.")


def _payout_buttons(payout: Obj) -> str:
    path, name = f"payouts/{payout['id']}", payout["id"]
    arrive = button(f"{path}/arrive", "paid", f"Let {name} be paid")
    fail = button(f"{path}/fail", "failed", f"Let {name} fail", code="account_closed")
    return {"pending": arrive + fail, "in_transit": arrive + fail, "paid": fail}.get(payout["status"], "")

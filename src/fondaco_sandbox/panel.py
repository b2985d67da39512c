"""The panel at /: what was paid, what was told, and the switches."""

import sqlite3

from fondaco_sandbox import money, panel_money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.faults import COUNTED, RATES
from fondaco_sandbox.html import document, table, text
from fondaco_sandbox.panel_parts import button, moment, recent, state
from fondaco_sandbox.store import Obj
from fondaco_sandbox.web import Response

_LABELS = {
    "duplicate": "Deliver twice (%)",
    "drop": "Never deliver (%)",
    "delay": "Deliver late (%)",
    "delay_ms": "... by (ms)",
    "reorder": "Overtake (%)",
    "forge": "Forged copy (%)",
    "twin": "Second event (%)",
    "latency_ms": "Slow answers (ms)",
    "down": "API away (%)",
    "seed": "Seed",
    "lose_answer": "Lose answers",
    "fail_before": "500 before work",
    "fail_after": "500 after work",
    "rate_limit": "429",
    "refund_pends": "Refunds pending first",
    "refund_fails": "Refunds that fail later",
}


def panel(box: Sandbox) -> Response:
    body = "".join(
        [
            '<body class="panel"><header class="banner"><strong>Sandbox: no real money.</strong> '
            "Everything here is a rehearsal.</header><main><h1>Stripe sandbox</h1>",
            _clock(box),
            _faults(box),
            _sessions(box),
            _intents(box),
            *panel_money.sections(box),
            _events(box),
            _reset(),
            "</main></body>",
        ]
    )
    return document("Stripe sandbox", body)


def _clock(box: Sandbox) -> str:
    buttons = "".join(
        f'<button type="submit" name="advance" value="{seconds}">{label}</button>'
        for label, seconds in (("+10 s", 10), ("+1 hour", 3600), ("+1 day", 86_400), ("+10 days", 864_000))
    )
    return (
        f"<section><h2>Clock</h2><p>It is {moment(box.now())} UTC here, "
        f"{box.clock.offset_ms // 1000:,} s ahead of real time.</p>"
        f'<form method="post" action="/sandbox/clock" class="inline">{buttons}</form></section>'
    )


def _faults(box: Sandbox) -> str:
    known = box.faults.describe()
    fields: list[str] = []
    for name in (*RATES, *COUNTED):
        value: object = known[name]["count"] if name in COUNTED else known[name]
        fields.append(
            f'<p><label for="{name}">{text(_LABELS[name])}</label><input id="{name}" name="{name}" '
            f'inputmode="numeric" value="{text(value)}"></p>'
        )
    return (
        '<section><h2>Faults</h2><form method="post" action="/sandbox/faults" class="inline">'
        f'{"".join(fields)}<button type="submit">Set</button></form>'
        '<form method="post" action="/sandbox/faults">'
        '<button type="submit" name="clear" value="1">All off</button>'
        "</form></section>"
    )


def _sessions(box: Sandbox) -> str:
    rows: list[list[str]] = []
    for each in recent(box, "checkout.session"):
        link = f'<a href="{text(each["url"])}">Pay</a>' if each["url"] else ""
        rows.append(
            [
                moment(each["created"]),
                text(each["id"][:24] + "…"),
                text(money.shown(each["amount_total"], each["currency"])),
                state(each["status"]),
                text(each["payment_status"]),
                text(each["client_reference_id"] or ""),
                link,
            ]
        )
    heads = ["Created (UTC)", "Session", "Amount", "State", "Payment", "Reference", "Page"]
    return table("Checkout Sessions", heads, rows, "None yet. The shop makes one when a buyer pays.")


def _intents(box: Sandbox) -> str:
    rows = [
        [
            moment(each["created"]),
            text(each["id"]),
            text(money.shown(each["amount"], each["currency"])),
            state(each["status"]),
            text(error_of(each)),
            text(each["latest_charge"] or ""),
            panel_money.trouble(each),
        ]
        for each in recent(box, "payment_intent")
    ]
    heads = ["Created (UTC)", "PaymentIntent", "Amount", "State", "Last error", "Charge", "The bank"]
    return table("Payments", heads, rows, "Nothing was paid yet.")


def error_of(intent: Obj) -> str:
    """Why the last attempt failed, in words; empty when it did not."""
    error: Obj = intent["last_payment_error"] or {}
    return error.get("message", "")


def _events(box: Sandbox) -> str:
    rows: list[list[str]] = []
    for each in recent(box, "event"):
        sql = "select manner, state, attempts, last_answer from deliveries where event = ? order by seq"
        told = [
            f'<span class="told">{state(row["state"])} {_told(row)}</span>'
            for row in box.store.db.execute(sql, (each["id"],))
        ]
        again = button(f"events/{each['id']}/resend", "Send again", f"Send {each['type']} again")
        rows.append(
            [
                moment(each["created"]),
                text(each["type"]),
                text(each["id"]),
                "".join(told) or "nobody asked",
                again,
            ]
        )
    heads = ["Created (UTC)", "Type", "Event", "Deliveries", "Action"]
    return table("Events", heads, rows, "None yet.")


def _told(row: sqlite3.Row) -> str:
    """How a delivery went: its kind when it is not the plain one, the tries, the last answer."""
    words = [] if row["manner"] == "normal" else [row["manner"]]
    if row["attempts"]:
        words.append(f"tried {row['attempts']}×")
    if row["last_answer"]:
        words.append(f"answer: {row['last_answer']}")
    return text(", ".join(words))


def _reset() -> str:
    return (
        "<section><h2>Start over</h2><details><summary>Forget all customers, payments and events</summary>"
        "<p>The shop that uses this sandbox keeps what it knows and will not find it here any more. "
        "This cannot be undone.</p>"
        '<form method="post" action="/sandbox/reset"><input type="hidden" name="sure" value="1">'
        '<button type="submit">Forget everything</button></form></details></section>'
    )

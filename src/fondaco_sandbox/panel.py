"""The panel at /: what was paid, what was told, and the switches."""

import json
import sqlite3
from datetime import UTC, datetime

from fondaco_sandbox import money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.faults import COUNTED, RATES
from fondaco_sandbox.html import document, table, text
from fondaco_sandbox.store import Obj
from fondaco_sandbox.web import Response

_SHOWN = 50
_LABELS = {
    "duplicate": "Deliver twice (%)",
    "drop": "Never deliver (%)",
    "delay": "Deliver late (%)",
    "delay_ms": "... by (ms)",
    "reorder": "Overtake (%)",
    "forge": "Forged copy (%)",
    "twin": "Second event (%)",
    "latency_ms": "Slow answers (ms)",
    "seed": "Seed",
    "lose_answer": "Lose answers",
    "fail_before": "500 before work",
    "fail_after": "500 after work",
    "rate_limit": "429",
    "refund_pends": "Refunds pending first",
    "refund_fails": "Refunds that fail later",
}
_GOOD = ("complete", "succeeded", "delivered", "available")
_BAD = ("failed", "expired", "canceled", "dropped", "lost")


def panel(box: Sandbox) -> Response:
    body = "".join(
        [
            '<body class="panel"><header class="banner"><strong>Sandbox: no real money.</strong> '
            "Everything here is a rehearsal.</header><main><h1>Stripe sandbox</h1>",
            _clock(box),
            _faults(box),
            _sessions(box),
            _intents(box),
            _refunds(box),
            _events(box),
            _reset(),
            "</main></body>",
        ]
    )
    return document("Stripe sandbox", body)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _state(word: str) -> str:
    mark = "good" if word in _GOOD else "bad" if word in _BAD else "wait"
    return f'<span class="state {mark}">{text(word)}</span>'


def _recent(box: Sandbox, kind: str) -> list[Obj]:
    sql = "select body from objects where kind = ? order by seq desc limit ?"
    return [json.loads(row["body"]) for row in box.store.db.execute(sql, (kind, _SHOWN))]


def _clock(box: Sandbox) -> str:
    buttons = "".join(
        f'<button type="submit" name="advance" value="{seconds}">{label}</button>'
        for label, seconds in (("+10 s", 10), ("+1 hour", 3600), ("+1 day", 86_400), ("+10 days", 864_000))
    )
    return (
        f"<section><h2>Clock</h2><p>It is {_moment(box.now())} UTC here, "
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
    for each in _recent(box, "checkout.session"):
        link = f'<a href="{text(each["url"])}">Pay</a>' if each["url"] else ""
        rows.append(
            [
                _moment(each["created"]),
                text(each["id"][:24] + "…"),
                text(money.shown(each["amount_total"], each["currency"])),
                _state(each["status"]),
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
            _moment(each["created"]),
            text(each["id"]),
            text(money.shown(each["amount"], each["currency"])),
            _state(each["status"]),
            text(error_of(each)),
            text(each["latest_charge"] or ""),
        ]
        for each in _recent(box, "payment_intent")
    ]
    heads = ["Created (UTC)", "PaymentIntent", "Amount", "State", "Last error", "Charge"]
    return table("Payments", heads, rows, "Nothing was paid yet.")


def error_of(intent: Obj) -> str:
    """Why the last attempt failed, in words; empty when it did not."""
    error: Obj = intent["last_payment_error"] or {}
    return error.get("message", "")


def _refunds(box: Sandbox) -> str:
    rows = [
        [
            _moment(each["created"]),
            text(each["id"]),
            text(money.shown(each["amount"], each["currency"])),
            _state(each["status"]),
            text(each["charge"]),
        ]
        for each in [*_recent(box, "refund"), *_recent(box, "dispute")]
    ]
    heads = ["Created (UTC)", "Refund or dispute", "Amount", "State", "Charge"]
    return table("Refunds and disputes", heads, rows, "None.")


def _events(box: Sandbox) -> str:
    rows: list[list[str]] = []
    for each in _recent(box, "event"):
        sql = "select manner, state, attempts, last_answer from deliveries where event = ? order by seq"
        told = [
            f'<span class="told">{_state(row["state"])} {_told(row)}</span>'
            for row in box.store.db.execute(sql, (each["id"],))
        ]
        again = (
            f'<form method="post" action="/sandbox/events/{text(each["id"])}/resend">'
            '<input type="hidden" name="again" value="1">'
            f'<button type="submit" aria-label="Send {text(each["type"])} again">Send again</button></form>'
        )
        rows.append(
            [
                _moment(each["created"]),
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

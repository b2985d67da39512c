"""What the clock brings: expiry, late payments, disputes, late refunds."""

from collections.abc import Callable

from fondaco_sandbox import disputes, onboarding, payments, payouts, reports
from fondaco_sandbox.box import Cause, Sandbox
from fondaco_sandbox.resources import refunds, sessions
from fondaco_sandbox.store import Obj


def _expire_session(box: Sandbox, session: Obj) -> None:
    if session["status"] == "open":
        sessions.expire_session(box, session)


def _settle_debit(box: Sandbox, intent: Obj) -> None:
    if intent["status"] != "processing":
        return
    intent = payments.settle_debit(box, intent)
    session_id = box.store.hidden(intent["id"]).get("session")
    if session_id:
        sessions.debit_settled(box, box.store.need("checkout.session", session_id), intent)


ACTIONS: dict[str, tuple[str, Callable[[Sandbox, Obj], None]]] = {
    "expire_session": ("checkout.session", _expire_session),
    "settle_debit": ("payment_intent", _settle_debit),
    "dispute": ("charge", disputes.open_later),
    "dispute_not_received": ("charge", disputes.open_not_received),
    "dispute_twice": ("charge", disputes.open_twice),
    "inquire": ("charge", disputes.inquire_later),
    "warn": ("charge", disputes.warn_later),
    "lose_dispute": ("dispute", disputes.lose_later),
    "decide_dispute": ("dispute", disputes.decide_later),
    "close_inquiry": ("dispute", disputes.close_inquiry_later),
    "fail_refund": ("refund", refunds.fail_later),
    "finish_refund": ("refund", refunds.finish_later),
    "verify_account": ("account", onboarding.verify_later),
    "write_report": ("reporting.report_run", reports.finish_later),
    "payout_arrives": ("payout", payouts.arrive_later),
    "payout_fails": ("payout", payouts.fail_later),
}


SUBJECTS: dict[str, Callable[[Sandbox, str], None]] = {"pay_out": payouts.pay_out_later}
"""Actions about something that is not one object."""


def next_due(box: Sandbox) -> int | None:
    """When the next timer is due, in milliseconds of the sandbox's clock."""
    return box.store.db.execute("select min(due_ms) from timers").fetchone()[0]


def run_due(box: Sandbox) -> int:
    """Do everything that is due, oldest first, each in its own transaction; how much that was."""
    done = 0
    now = box.clock.peek_ms()
    while True:
        sql = "select seq, due_ms, action, subject from timers where due_ms <= ? order by due_ms, seq limit 1"
        row = box.store.db.execute(sql, (now,)).fetchone()
        if row is None:
            return done
        box.cause = Cause()
        box.clock.stand_at(row["due_ms"])
        try:
            with box.store.transaction():
                box.store.db.execute("delete from timers where seq = ?", (row["seq"],))
                _run(box, row["action"], row["subject"])
        finally:
            box.clock.stand_at(None)
        done += 1


def _run(box: Sandbox, name: str, subject: str) -> None:
    if name in SUBJECTS:
        SUBJECTS[name](box, subject)
        return
    kind, action = ACTIONS[name]
    found = box.store.find(subject)
    if found is not None and found[1]["object"] == kind:
        action(box, found[1])

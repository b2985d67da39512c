"""Named places where a test makes this process die, wait, fail, or lose its database connection.

Off unless `fondaco_failpoints` names points, and the settings refuse that in production and without
`fondaco_test_faults`. Off, a point costs one look at an empty dictionary:

    if failpoints.armed:
        await failpoints.reached("pay.session.before_call")

`fondaco_failpoints` is `point=action`, comma-separated; `point=action@3` acts the third time the point is
reached. Actions: `exit`, `kill` (SIGKILL to itself), `raise`, `lose_connection`, `sleep:500` (ms); each acts
once.
With `fondaco_failpoints_log` that holds for all processes sharing the file: what acted is written there,
synced, before it acts, so that a process started again with the same settings goes on instead of dying anew.
"""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POINTS: dict[str, str] = {
    "web.webhook.after_verify": "the delivery is genuine; nothing is kept",
    "web.webhook.after_insert_before_commit": "event and job are written, not committed",
    "web.webhook.after_commit_before_answer": "the event is kept; the provider was not answered",
    "web.checkout.after_debit_before_commit": "card: order, reservation and funding are not committed",
    "web.checkout.after_reserve": "card: they are committed; the provider was not called",
    "web.checkout.after_commit_before_answer": "the purchase stands; the buyer was not answered",
    "web.idempotency.after_effect_before_keep": "the call had its effect; its answer is not kept",
    "buy.before_call": "a batch of purchases is about to go to the database",
    "buy.after_call": "the batch is committed; nobody was told",
    "worker.claim.after": "a job is claimed and not begun",
    "worker.job.before_commit": "an event was handled; nothing is committed",
    "worker.job.after_commit_before_ack": "the job is done; the queue was not told",
    "inbox.after_ask": "the provider was asked about an event; nothing is written",
    "settle.after_money_before_order": "the money is in the wallet, the order not paid, nothing committed",
    "pay.session.before_call": "a payment page is about to be asked for",
    "pay.session.after_call_before_store": "the page exists; its address is not stored",
    "refund.before_call": "a refund is about to be asked for",
    "refund.after_call_before_store": "the refund exists; its outcome is not stored",
    "refund.after_store_before_commit": "the outcome is written, not committed",
    "direct_reversal.before_call": "money of a store's own account is about to be taken back",
    "direct_reversal.after_call_before_store": "the reversal exists; its outcome is not stored",
    "direct_reversal.after_store_before_commit": "the reversal's outcome is written, not committed",
    "payout.run.before_commit": "a step of the daily run set payouts aside, not committed",
    "payout.before_call": "a transfer is about to be asked for",
    "payout.after_call_before_store": "the transfer exists; its outcome is not stored",
    "payout.after_store_before_commit": "the transfer's outcome is written, not committed",
    "delivery.reveal.before_commit": "the reveal is written, not committed",
    "delivery.reveal.after_commit": "the reveal is committed; the secret is still sealed",
    "delivery.after_decrypt": "the secret is open; the buyer was not answered",
    "delivery.after_row_before_mail": "events were read and mails written, not committed",
    "mail.after_smtp_before_store": "the mail is sent; that is not stored",
    "stock.import.after_claim": "a batch is claimed; nothing is imported",
    "stock.import.mid_batch": "part of a batch is inserted, not committed",
    "sweeper.events.after_select": "due events are chosen, not yet queued again",
    "sweeper.fundings.after_select": "unfinished fundings are chosen, none looked at",
    "sweeper.refunds.after_select": "unfinished refunds are chosen, none looked at",
    "sweeper.payouts.after_select": "payouts to be sent or asked about are chosen, none touched",
    "sweeper.orders.after_select": "unpaid orders are chosen, none given up",
    "backfill.after_list": "a part of the provider's list is read; nothing of it is kept",
    "backfill.mid_list": "one missing event is kept, the others of its part not yet",
    "seal.after_block_before_sign": "an audit block is computed, not signed, not committed",
    "keyrotate.mid_batch": "a batch of data keys is rewrapped, not committed",
}
"""Every point and what is true there. Each stands in the code once."""

ACTIONS = ("exit", "kill", "raise", "lose_connection", "sleep")
EXIT_CODE = 86


class FailpointHit(RuntimeError):
    """A failpoint said `raise`."""


@dataclass(slots=True)
class Armed:
    """A point that acts the `turn`-th time it is reached from now."""

    action: str
    turn: int
    pause_ms: int = 0


armed: dict[str, Armed] = {}
_log: Path | None = None


def parse(text: str) -> dict[str, Armed]:
    """What `fondaco_failpoints` says; ValueError, in words, when it cannot be meant."""
    found: dict[str, Armed] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, what = part.partition("=")
        what, _, turn = what.partition("@")
        action, _, pause = what.partition(":")
        if name not in POINTS:
            raise ValueError(f"there is no failpoint {name!r}")
        if action not in ACTIONS or (action == "sleep") != bool(pause):
            raise ValueError(
                f"{part!r} is not point=action with exit, kill, raise, lose_connection, sleep:500"
            )
        try:
            found[name] = Armed(action, int(turn or 1), int(pause or 0))
        except ValueError:
            raise ValueError(f"{part!r}: pause and turn must be whole numbers") from None
        if found[name].turn < 1 or not 0 <= found[name].pause_ms <= 600_000:
            raise ValueError(f"{part!r}: turn must be at least 1, the pause from 0 to 600000 ms")
    return found


def arm(text: str, log: str | None = None) -> None:
    """Switch on what `text` says, and nothing else; '' switches everything off. What the file `log` says
    has acted stays off."""
    global _log  # noqa: PLW0603 - one per process, like the points themselves
    _log = Path(log) if log else None
    done = set(_log.read_text().splitlines()) if _log and _log.exists() else set[str]()
    armed.clear()
    armed.update({name: what for name, what in parse(text).items() if name not in done})


async def reached(point: str, connection: Any = None) -> None:
    """Act if this point is armed and its turn has come. `connection`: the one of the
    database in hand, if any; without one, losing it is a connection error."""
    found = armed.get(point)
    if found is None:
        return
    found.turn -= 1
    if found.turn > 0:
        return
    del armed[point]
    _write_down(point)
    if found.action == "kill":
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    elif found.action == "exit":
        os._exit(EXIT_CODE)
    elif found.action == "sleep":
        await asyncio.sleep(found.pause_ms / 1000)
    elif found.action == "raise":
        raise FailpointHit(point)
    elif connection is not None:
        connection.terminate()
    else:
        raise ConnectionResetError(f"lost at {point}")


def _write_down(point: str) -> None:
    if _log is None:
        return
    with _log.open("a") as out:
        out.write(point + "\n")
        out.flush()
        os.fsync(out.fileno())

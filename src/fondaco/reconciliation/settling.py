"""What two people decide: money of the provider that we had not booked gets its journal, and money in
suspense leaves it: into a wallet, back to the card it came from, or into the marketplace's income."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog

from fondaco import approvals, audit
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.money import Money
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown, RefundFacts
from fondaco.ledger import AccountRef, platform, post, wallet_of
from fondaco.reconciliation.model import BookedAlready, NotBookable

log = structlog.get_logger()
AS = {
    "fee": "A cost: what the provider charged",
    "suspense": "Money that matches nothing yet: into suspense",
    "bank": "Moved between the provider and our own bank",
}
"""As what a movement can be booked."""
HOW = {
    "wallet": "Into a person's wallet",
    "card": "Back to the card it came from",
    "income": "The marketplace keeps it",
}
"""Where money in suspense can go."""
_OPEN = """SELECT j.id, j.idem, j.ref, j.posted_at, a.currency::text AS currency, e.amount
  FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id AND e.amount > 0
  JOIN ledger.account a ON a.id = e.account_id AND a.kind = 'psp_clearing'
  WHERE j.kind = 'suspense'
    AND NOT EXISTS (SELECT 1 FROM ledger.journal r WHERE r.ref = 'journal:' || j.id
                    AND r.kind = 'suspense_resolved')
    AND NOT EXISTS (SELECT 1 FROM ledger.journal r WHERE r.reverses = j.id)"""


class Suspended(msgspec.Struct, frozen=True, kw_only=True):
    """Money that matches nothing. `intent_id`: the payment it came with; '' when it came without one."""

    journal_id: int
    ref: str
    intent_id: str
    amount: int
    currency: str
    since: datetime
    asked: bool
    """Whether somebody has asked to settle it."""


async def in_suspense(db: Database, viewer: Viewer, limit: int = 100) -> list[Suspended]:
    """Money in suspense, oldest first. For staff."""
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT s.*, EXISTS (SELECT 1 FROM approvals.request q WHERE q.ref = 'journal:' || s.id
              AND q.kind = 'suspense.settle' AND (q.state = 'OPEN' OR q.state = 'APPROVED')) AS asked
            FROM ({_OPEN}) s ORDER BY s.id LIMIT $1""",
        limit,
    )
    return [_suspended(row) for row in rows]


def _suspended(row: Record) -> Suspended:
    return Suspended(
        journal_id=row["id"],
        ref=row["ref"],
        intent_id=_intent(row["idem"]),
        amount=row["amount"],
        currency=row["currency"],
        since=row["posted_at"],
        asked=row["asked"],
    )


def _intent(key: str) -> str:
    return key.removeprefix("suspense:") if key.startswith("suspense:") else ""


async def _one(conn: Connection, journal_id: int) -> Record:
    row = await conn.fetchrow(f"{_OPEN} AND j.id = $1", journal_id)
    if row is None:
        raise NotFound("This money is not in suspense any more.")
    return row


async def ask_to_settle(
    db: Database, viewer: Viewer, journal_id: int, how: str, *, email: str = "", why: str = ""
) -> UUID:
    """Ask a second person to let money leave suspense; the request's id. `email`: whose wallet gets it.
    Raises NotFound, Invalid, AlreadyAsked."""
    words = approvals.said(why, "because", least=3)
    if how not in HOW:
        raise Invalid(fields={"how": "Choose where it goes."})

    async def work(conn: Connection) -> UUID:
        row = await _one(conn, journal_id)
        user = await conn.fetchval(
            "SELECT id FROM identity.users WHERE email = $1 AND banned_at IS NULL", email.strip().lower()
        )
        if how == "wallet" and user is None:
            raise Invalid(fields={"email": "No open account has this address."})
        if how == "card" and not _intent(row["idem"]):
            raise Invalid(fields={"how": "It came with no card payment that could be given back."})
        payload = {
            "journal_id": journal_id,
            "how": how,
            "user_id": str(user) if how == "wallet" else None,
            "email": email.strip().lower() if how == "wallet" else "",
            "amount": row["amount"],
            "currency": row["currency"],
            "why": words,
        }
        return await approvals.ask(conn, "suspense.settle", f"journal:{journal_id}", payload, words, viewer)

    return await db.run(viewer.as_staff, work)


def _settle_words(payload: Mapping[str, Any]) -> str:
    money = Money(payload["amount"], payload["currency"])
    if payload["how"] == "wallet":
        return f"{money} leave suspense into the wallet of {payload['email']}."
    if payload["how"] == "card":
        return f"{money} in suspense go back to the card they came from."
    return f"{money} in suspense become income of the marketplace."


@approvals.verb("suspense.settle", permission="console.resolve_break", words=_settle_words)
async def settle_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """Money leaves suspense as two people agreed; what goes back to a card is sent by `send_back`."""
    row = await _one(conn, payload["journal_id"])
    if payload["how"] == "card":
        return
    currency = row["currency"]
    target = platform("other_income", currency)
    if payload["user_id"]:
        target = wallet_of(UUID(payload["user_id"]), currency)
    await _leave(conn, row, f"settled:{row['id']}", target, request.actor)


async def _leave(conn: Connection, row: Record, key: str, target: AccountRef, actor: str) -> None:
    amount, currency, ref = row["amount"], row["currency"], f"journal:{row['id']}"
    await audit.record(conn, "suspense.settled", ref, actor, {"amount": amount, "currency": currency})
    legs = [(platform("suspense", currency), amount), (target, -amount)]
    await post(conn, "suspense_resolved", idem=key, ref=ref, actor=actor, legs=legs)


async def send_back(db: Database, gateway: StripeGateway) -> int:
    """Send back to its card what two people agreed to; answers how many were. Harmless to repeat: the
    provider is asked for what is there first, and always with the same key."""
    rows = await db.fetch(
        SYSTEM,
        f"""SELECT q.id AS request_id, s.* FROM approvals.request q JOIN ({_OPEN}) s
              ON q.ref = 'journal:' || s.id
            WHERE q.kind = 'suspense.settle' AND q.state = 'APPROVED' AND q.payload->>'how' = 'card'
            ORDER BY s.id LIMIT 100""",
    )
    sent = 0
    for row in rows:
        intent_id = _intent(row["idem"])
        try:
            there = await gateway.list_refunds(intent_id)
            known = [f for f in there if f.refund_ref == str(row["request_id"])]
            facts = (
                known[0]
                if known
                else await gateway.create_refund(
                    refund_id=row["request_id"], attempt=1, intent_id=intent_id, amount=row["amount"]
                )
            )
        except (ProviderRefused, ProviderUnknown) as error:
            log.warning("suspense.not_sent_back", journal=row["id"], why=str(error))
            continue

        async def work(conn: Connection, facts: RefundFacts = facts) -> None:
            await note_sent_back(conn, facts)

        await db.run(SYSTEM, work)
        sent += 1
    return sent


async def note_sent_back(conn: Connection, facts: RefundFacts) -> bool:
    """Book a refund of a payment in suspense, here or at the provider by hand; False when it is none, or
    not of the whole."""
    key = f"rfok:{facts.id}"
    if not facts.intent_id or facts.state not in ("pending", "succeeded"):
        return False
    known = await conn.fetchval(
        "SELECT kind FROM ledger.journal WHERE idem = $1 AND kind = 'suspense_resolved'", key
    )
    if known:
        return True
    row = await conn.fetchrow(f"{_OPEN} AND j.idem = $1", f"suspense:{facts.intent_id}")
    if row is None or (row["amount"], row["currency"]) != (facts.amount, facts.currency):
        return False
    await _leave(conn, row, key, platform("psp_clearing", facts.currency), "stripe")
    return True


async def ask_to_book(db: Database, viewer: Viewer, break_id: int, as_: str, why: str) -> UUID:
    """Ask a second person to give a movement that our books do not have its journal; the request's id.
    Raises NotFound, NotBookable, Invalid, AlreadyAsked."""
    words = approvals.said(why, "because", least=3)

    async def work(conn: Connection) -> UUID:
        row = await conn.fetchrow(
            """SELECT b.class, b.state, m.* FROM reconciliation.break b
               LEFT JOIN reconciliation.movement m ON m.id = b.movement_id WHERE b.id = $1""",
            break_id,
        )
        if row is None:
            raise NotFound()
        if row["class"] != "missing_here" or row["state"] == "RESOLVED":
            raise NotBookable()
        if as_ not in AS or (row["amount"] > 0 and as_ == "fee") or (row["amount"] < 0 and as_ == "suspense"):
            raise Invalid(
                fields={"as": "Money that left is a cost or went to the bank; money that came is not."}
            )
        payload = {
            "break_id": break_id,
            "movement_id": row["id"],
            "as": as_,
            "amount": row["amount"],
            "fee": row["fee"],
            "currency": row["currency"],
        }
        return await approvals.ask(conn, "break.book", f"break:{break_id}", payload, words, viewer)

    return await db.run(viewer.as_staff, work)


def _book_words(payload: Mapping[str, Any]) -> str:
    money, what = Money(payload["amount"], payload["currency"]), AS[payload["as"]].lower()
    return f"The provider's movement {payload['movement_id']} of {money} is booked. {what.capitalize()}."


@approvals.verb("break.book", permission="console.resolve_break", words=_book_words)
async def book_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """A movement gets its journal, and one for its fee; its break ends. Raises BookedAlready."""
    row = await conn.fetchrow(
        "SELECT * FROM reconciliation.movement WHERE id = $1 FOR UPDATE", payload["movement_id"]
    )
    assert row
    amount, currency, ref = row["amount"], row["currency"], f"break:{payload['break_id']}"
    clearing = platform("psp_clearing", currency)
    if amount and not row["journal_id"]:
        kind, other = {
            "fee": ("provider_fee", platform("psp_fees", currency)),
            "suspense": ("suspense", platform("suspense", currency)),
            "bank": ("sweep", platform("bank", currency)),
        }[payload["as"]]
        key = f"suspense:{row['intent_id']}" if kind == "suspense" and row["intent_id"] else None
        await post(
            conn,
            kind,
            idem=key or f"movement:{row['id']}",
            ref=ref,
            actor=request.actor,
            legs=[(clearing, amount), (other, -amount)],
        )
    if row["fee"] > 0 and not row["fee_journal_id"]:
        legs = [(platform("psp_fees", currency), row["fee"]), (clearing, -row["fee"])]
        await post(conn, "provider_fee", idem=f"fee:{row['id']}", ref=ref, actor=request.actor, legs=legs)
    if not await conn.fetchval("SELECT reconciliation.match(ARRAY[$1])", row["id"]):
        raise BookedAlready()
    await conn.execute(
        """UPDATE reconciliation.break SET state = 'RESOLVED', ended_at = now(), version = version + 1
           WHERE id = $1 AND state <> 'RESOLVED'""",
        payload["break_id"],
    )
    await audit.record(conn, "break.resolved", ref, request.actor, {"booked": AS[payload["as"]]})

"""Money given without owing it, and corrections of the books: with a reason, and two people if it weighs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fondaco import approvals, audit
from fondaco.core.db import Connection, Database
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.viewer import Viewer
from fondaco.ledger import AccountRef, Journal, platform, post, seller_available_of, wallet_of
from fondaco.refunds.model import words_of
from fondaco.settings import Settings

# Journals that mirror no state of an order, payment, payout or chargeback: they can be undone in the books.
REVERSIBLE = frozenset(
    {
        "adjustment",
        "debt_written_off",
        "exchange",
        "forfeit",
        "goodwill",
        "netting",
        "promo_grant",
        "suspense_resolved",
        "sweep",
        "tax_remitted",
    }
)


class NotReversible(Problem):
    """This journal belongs to an order, a payment or a payout. Undo it there, with a refund or a case."""

    status = 409
    code = "not_reversible"


class AlreadyReversed(Problem):
    """This journal was reversed already, or is a reversal itself."""

    status = 409
    code = "already_reversed"


async def pay_goodwill(
    db: Database,
    viewer: Viewer,
    settings: Settings,
    *,
    key: UUID,
    amount: int,
    currency: str,
    why: str,
    user_id: UUID | None = None,
    seller_id: UUID | None = None,
) -> bool:
    """Money from the marketplace to a buyer's wallet or to what a seller may be paid, without owing it; True
    when it happened, False when a second person was asked (above `goodwill_limit`).

    `key` names this payment: the same key again changes nothing. Raises NotFound, Invalid, AlreadyAsked.
    """
    words = approvals.said(why, "why", least=3)
    if amount < 1:
        raise Invalid(fields={"amount": "Must be above nothing."})
    if (user_id is None) == (seller_id is None):
        raise Invalid(fields={"to": "Name a buyer or a store."})

    async def work(conn: Connection) -> bool:
        name = await conn.fetchval(
            """SELECT email FROM identity.users WHERE id = $1 UNION ALL
               SELECT name FROM sellers.seller WHERE id = $2""",
            user_id,
            seller_id,
        )
        if name is None:
            raise NotFound()
        payload = {
            "key": str(key),
            "amount": amount,
            "currency": currency,
            "user_id": str(user_id) if user_id else None,
            "seller_id": str(seller_id) if seller_id else None,
            "name": name,
            "why": words,
        }
        if amount > settings.goodwill_limit:
            ref = f"user:{user_id}" if user_id else f"seller:{seller_id}"
            await approvals.ask(conn, "money.goodwill", ref, payload, words, viewer)
            return False
        await _pay(conn, payload, viewer.actor)
        return True

    return await db.run(viewer.as_staff, work)


async def _pay(conn: Connection, payload: Mapping[str, Any], actor: str) -> None:
    currency, amount = payload["currency"], payload["amount"]
    if payload["user_id"]:
        ref = f"user:{payload['user_id']}"
        target = wallet_of(UUID(payload["user_id"]), currency)
    else:
        ref = f"seller:{payload['seller_id']}"
        target = seller_available_of(UUID(payload["seller_id"]), currency)
    key = f"goodwill:{payload['key']}"
    if await conn.fetchval("SELECT 1 FROM ledger.journal WHERE idem = $1", key) is None:
        data = {"amount": amount, "currency": currency, "why": payload["why"]}
        await audit.record(conn, "money.goodwill_paid", ref, actor, data)
    legs = [(platform("goodwill", currency), amount), (target, -amount)]
    await post(conn, "goodwill", idem=key, ref=ref, actor=actor, legs=legs)


def _goodwill_words(payload: Mapping[str, Any]) -> str:
    to = f"the wallet of {payload['name']}" if payload["user_id"] else f"{payload['name']}, to be paid out"
    return f"{words_of(payload['amount'], payload['currency'])} of goodwill go to {to}."


@approvals.verb("money.goodwill", permission="console.adjust", words=_goodwill_words)
async def goodwill_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """Goodwill that two people agreed upon."""
    await _pay(conn, payload, request.actor)


def reversible(journal: Journal) -> bool:
    """Whether a journal can be undone in the books alone: for the page's button."""
    return journal.kind in REVERSIBLE and journal.reversed_by is None


async def ask_reversal(db: Database, viewer: Viewer, journal_id: int, why: str) -> UUID:
    """Ask a second person to undo a journal by its exact mirror; returns the request's id.

    Raises NotFound, NotReversible, AlreadyReversed, Invalid, AlreadyAsked.
    """
    words = approvals.said(why, "because", least=3)

    async def work(conn: Connection) -> UUID:
        journal = await conn.fetchrow(
            """SELECT j.id, j.kind, j.ref, (SELECT 1 FROM ledger.journal r WHERE r.reverses = j.id) AS undone
               FROM ledger.journal j WHERE j.id = $1""",
            journal_id,
        )
        if journal is None:
            raise NotFound()
        if journal["undone"] or journal["kind"] == "reversal":
            raise AlreadyReversed()
        if journal["kind"] not in REVERSIBLE:
            raise NotReversible()
        payload = {"journal_id": journal_id, "kind": journal["kind"], "about": journal["ref"], "why": words}
        return await approvals.ask(conn, "ledger.reversal", f"journal:{journal_id}", payload, words, viewer)

    return await db.run(viewer.as_staff, work)


def _reversal_words(payload: Mapping[str, Any]) -> str:
    kind = payload["kind"].replace("_", " ")
    return (
        f"Journal {payload['journal_id']} ({kind}, about {payload['about']}) is undone by its exact mirror."
    )


@approvals.verb("ledger.reversal", permission="console.adjust", words=_reversal_words)
async def reversal_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """The mirror of a journal, once. Raises InsufficientFunds when the money is not there any more."""
    journal_id: int = payload["journal_id"]
    rows = await conn.fetch(
        """SELECT a.kind, a.owner, a.currency::text AS currency, sum(e.amount)::bigint AS amount
           FROM ledger.entry e JOIN ledger.account a ON a.id = e.account_id
           WHERE e.journal_id = $1 GROUP BY a.id ORDER BY a.id""",
        journal_id,
    )
    await audit.record(conn, "journal.reversed", payload["about"], request.actor, {"why": payload["why"]})
    await post(
        conn,
        "reversal",
        idem=f"reversal:{journal_id}",
        ref=payload["about"],
        actor=request.actor,
        legs=[(AccountRef(r["kind"], r["owner"], r["currency"]), -r["amount"]) for r in rows],
        reverses=journal_id,
    )

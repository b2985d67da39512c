"""Giving money of a line back: one verb for everybody who may, before and after release."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fondaco import approvals, destination, wallets
from fondaco.core.db import SYSTEM, Connection, Database, Scope
from fondaco.core.ids import uuid7
from fondaco.core.problem import Conflict, Invalid, NotFound, Problem
from fondaco.core.viewer import Viewer
from fondaco.refunds.model import (
    REASONS,
    SELLER_REASONS,
    AlreadyRevealed,
    Destination,
    FrozenByCase,
    NoSource,
    NotRefundable,
    RefundAboveRest,
    words_of,
)
from fondaco.settings import Settings

_REFUND = """SELECT verdict, amount, remaining
  FROM refunds.refund_line($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
_FUNDING = """SELECT f.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
  JOIN wallets.funding f ON f.group_id = o.group_id AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED')
  WHERE l.id = $1 FOR UPDATE OF f"""
# The payment of a line whose buyer's tier lets money go back to its source only; none when the source cannot
# take all that is left, or the wallet between is blocked: then the money waits in the wallet. What was paid
# to the store's own account always goes back to its source.
_ONLY_SOURCE = """SELECT f.id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
  JOIN wallets.funding f ON f.group_id = o.group_id AND f.state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED')
  WHERE l.id = $1 AND (l.escrow_state = 'DIRECT' OR (risk.buyer_limits(l.buyer_id)).source_only
    AND f.amount - f.refunded - f.refund_pending - f.disputed >= l.total - l.refunded
    AND NOT EXISTS (SELECT 1 FROM wallets.standing s WHERE s.user_id = l.buyer_id AND s.state <> 'OK'))
  FOR UPDATE OF f"""


async def refund_line(
    conn: Connection,
    line_id: UUID,
    amount: int | None = None,
    *,
    to: Destination = "wallet",
    reason: str,
    why: str,
    actor: str,
    case_id: UUID | None = None,
    even_frozen: bool = False,
    entitlements: Sequence[UUID] | None = None,
    keep: bool = False,
    unseen: bool = False,
    refund_id: UUID | None = None,
) -> UUID:
    """Give `amount` (minor units, gross; None: all that is left) of one line back; returns the refund's id.

    Before release it comes out of escrow; after it the seller, the commission and the tax give back their
    shares, to the cent. `to`: the buyer's wallet, or 'source', on to the card that paid (the payment's own
    refund follows by itself). `entitlements`: what is taken back with a partial refund; a refund of all that
    is left takes everything back unless `keep`. What nobody has seen is for sale again. `unseen`: only when
    nobody has seen any of what is taken back, else AlreadyRevealed. `refund_id`: the caller's own new id.

    One transaction with the caller, which must see everything (SYSTEM). Raises NotFound, NotRefundable,
    RefundAboveRest, FrozenByCase (unless `even_frozen`), NoSource, wallets.RefundTooLarge.
    """
    if reason not in REASONS:
        raise Invalid(fields={"reason": "Choose a reason."})
    funding_id = None
    if to == "source":  # payments are locked before anything else, as everywhere
        funding_id = await conn.fetchval(_FUNDING, line_id)
        if funding_id is None:
            raise NoSource()
    elif funding_id := await conn.fetchval(_ONLY_SOURCE, line_id):
        to = "source"
    refund_id = refund_id or uuid7()
    row = await conn.fetchrow(
        _REFUND,
        refund_id,
        line_id,
        amount,
        to,
        reason,
        why,
        actor,
        case_id,
        even_frozen,
        list(entitlements) if entitlements else None,
        keep,
        unseen,
    )
    assert row
    if row["verdict"] != "refunded":
        raise await _refusal(conn, line_id, row)
    if funding_id:
        await _send_on(conn, refund_id, funding_id, REASONS[reason], actor)
    return refund_id


async def _refusal(conn: Connection, line_id: UUID, row: Mapping[str, Any]) -> Problem:
    verdict = row["verdict"]
    if verdict == "not_found":
        return NotFound()
    if verdict == "frozen":
        return FrozenByCase()
    if verdict == "no_source":
        return NoSource()
    if verdict == "seen":
        return AlreadyRevealed()
    if verdict == "not_paid" or not row["remaining"]:
        return NotRefundable()
    currency = await conn.fetchval("SELECT currency FROM orders.order_line WHERE id = $1", line_id)
    left: int = row["remaining"]
    return RefundAboveRest(
        f"At most {words_of(left, currency)} of this line are left to give back.", left=left
    )


async def _send_on(conn: Connection, refund_id: UUID, funding_id: UUID, reason: str, actor: str) -> None:
    row = await conn.fetchrow(
        """SELECT amount - promo - credit - recovered AS amount, direct, from_account
           FROM refunds.refund WHERE id = $1""",
        refund_id,
    )
    assert row
    if row["amount"]:
        source = await wallets.request_refund(
            conn,
            funding_id,
            row["amount"],
            reason=reason,
            actor=actor,
            even_at_risk=row["direct"],
            direct=row["direct"],
        )
        await conn.execute("SELECT refunds.note_source($1, $2)", refund_id, source)
    if row["direct"]:
        await destination.take_back(conn, funding_id, row["from_account"], cause=f"refund:{refund_id}")


async def refund_by_seller(
    db: Database,
    viewer: Viewer,
    line_id: UUID,
    amount: int | None,
    *,
    reason: str,
    why: str,
    refund_id: UUID | None = None,
) -> UUID:
    """The store gives money of its own sale back to the buyer's wallet. `refund_id`: the caller's own new id;
    asked again with it, nothing more happens. Raises what `refund_line` raises."""
    words = approvals.said(why, "why", least=0)
    if reason not in SELLER_REASONS:
        raise Invalid(fields={"reason": "Choose a reason."})
    await _known(db, viewer.as_seller, line_id, viewer.seller())

    async def work(conn: Connection) -> UUID:
        if refund_id and await _there(conn, refund_id, line_id, amount):
            return refund_id
        return await refund_line(
            conn, line_id, amount, reason=reason, why=words, actor=viewer.actor, refund_id=refund_id
        )

    return await db.run(SYSTEM, work)


async def _there(conn: Connection, refund_id: UUID, line_id: UUID, amount: int | None) -> bool:
    """Whether this refund has been made: its answer was lost, or its form was sent twice. Two at once wait
    for each other. Raises Conflict when it was made for something else."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('refund:' || $1::uuid, 0))", refund_id)
    made = await conn.fetchrow("SELECT line_id, amount FROM refunds.refund WHERE id = $1", refund_id)
    if made and (made["line_id"] != line_id or amount not in (None, made["amount"])):
        raise Conflict("This was sent before with something else in it. Nothing was given back now.")
    return made is not None


async def _known(db: Database, scope: Scope, line_id: UUID, seller_id: UUID) -> None:
    found = await db.fetchval(
        scope, "SELECT 1 FROM orders.order_line WHERE id = $1 AND seller_id = $2", line_id, seller_id
    )
    if found is None:
        raise NotFound()


async def refund_by_staff(
    db: Database,
    viewer: Viewer,
    settings: Settings,
    line_id: UUID,
    amount: int | None,
    *,
    to: Destination,
    reason: str,
    why: str,
    keep: bool = False,
    refund_id: UUID | None = None,
) -> bool:
    """A desk gives money of a line back; True when it happened, False when a second person was asked.
    `refund_id`: the caller's own new id; asked again with it, nothing more happens.

    Up to `refund_limit` finance and administrators do it alone; above it, and for every other role, it is
    asked for. Raises what `refund_line` raises, Invalid without words, AlreadyAsked.
    """
    words = approvals.said(why, "why", least=3)

    async def work(conn: Connection) -> bool:
        line = await conn.fetchrow(
            """SELECT l.*, o.number, l.terms->>'title' AS title FROM orders.order_line l
               JOIN orders.orders o ON o.id = l.order_id WHERE l.id = $1""",
            line_id,
        )
        if line is None:
            raise NotFound()
        sum_of = line["total"] - line["refunded"] if amount is None else amount
        alone = viewer.staff_role in ("finance", "admin") and sum_of <= settings.refund_limit
        if alone:
            if not (refund_id and await _there(conn, refund_id, line_id, amount)):
                await refund_line(
                    conn,
                    line_id,
                    amount,
                    to=to,
                    reason=reason,
                    why=words,
                    actor=viewer.actor,
                    keep=keep,
                    refund_id=refund_id,
                )
            return True
        if reason not in REASONS:
            raise Invalid(fields={"reason": "Choose a reason."})
        if not 0 < sum_of <= line["total"] - line["refunded"]:
            raise RefundAboveRest()
        payload = {
            "line_id": str(line_id),
            "amount": sum_of,
            "currency": line["currency"],
            "number": line["number"],
            "title": line["title"],
            "to": to,
            "reason": reason,
            "why": words,
            "keep": keep,
        }
        ref = f"order:{line['order_id']}"
        await approvals.ask(conn, "refund.line", ref, payload, f"{REASONS[reason]}: {words}", viewer)
        return False

    return await db.run(viewer.as_staff, work)


def _words(payload: Mapping[str, Any]) -> str:
    where = "the buyer's wallet" if payload["to"] == "wallet" else "where it was paid from"
    kept = " The buyer keeps it." if payload["keep"] else ""
    what = words_of(payload["amount"], payload["currency"])
    return f"{what} of “{payload['title']}” ({payload['number']}) go back to {where}.{kept}"


@approvals.verb("refund.line", permission="console.refund_approve", words=_words)
async def approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """A refund that two people agreed upon."""
    await refund_line(
        conn,
        UUID(payload["line_id"]),
        payload["amount"],
        to=payload["to"],
        reason=payload["reason"],
        why=payload["why"],
        actor=request.actor,
        keep=payload["keep"],
    )

"""Finance moves a balance: adjustments of a buyer's wallet or of what a store may be paid, and forfeits.

An adjustment has a reason and evidence; one person alone makes up to `goodwill_limit` a day, above it two
decide. A forfeit takes a banned store's money, and two people decide about it whatever the amount. Nothing
passes a floor.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from babel.numbers import is_currency
from msgspec import Meta

from fondaco import approvals, audit
from fondaco.core.db import Connection, Database
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.ledger import AccountRef, balance, platform, post, seller_available_of, wallet_of
from fondaco.refunds.model import words_of
from fondaco.settings import Settings

MOST = 10**15
EVIDENCE_MOST = 5000
_FORFEITED = ("seller_available", "seller_reserve", "seller_pending")  # in this order


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a balance."""

    id: UUID
    kind: Annotated[str, Meta(description="adjustment or forfeit.")]
    user_id: UUID | None
    seller_id: UUID | None
    name: str
    amount: Annotated[int, Meta(description="Minor units: above nothing to them, below nothing from them.")]
    currency: str
    why: str
    evidence: str
    actor: str
    journal_id: int
    created_at: datetime


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change somebody wants: of one buyer's wallet, or of one store's money."""

    key: Annotated[UUID, Meta(description="Names this change: the same key again changes nothing.")]
    amount: Annotated[
        int,
        Meta(ge=-MOST, le=MOST, description="Minor units: above nothing to them, below nothing from them."),
    ]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    why: Annotated[str, Meta(max_length=500, description="They read it.")]
    evidence: Annotated[
        str, Meta(max_length=EVIDENCE_MOST, description="For the books; they do not read it.")
    ]
    user_id: UUID | None = None
    seller_id: UUID | None = None


async def adjustments(db: Database, viewer: Viewer) -> list[Adjustment]:
    """The last 200 changes, newest first. For staff."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT a.id, a.kind, a.user_id, a.seller_id, coalesce(u.email, s.name, '') AS name, a.amount,
             a.currency::text AS currency, a.why, a.evidence, a.actor, a.journal_id, a.created_at
           FROM refunds.adjustment a LEFT JOIN identity.users u ON u.id = a.user_id
           LEFT JOIN sellers.seller s ON s.id = a.seller_id
           ORDER BY a.created_at DESC, a.id DESC LIMIT 200""",
    )
    return msgspec.convert([dict(r) for r in rows], list[Adjustment])


async def adjust(db: Database, viewer: Viewer, settings: Settings, wish: Change) -> bool:
    """Credit or debit a buyer's wallet, or what a store may be paid; True when it happened, False when a
    second person was asked: above `goodwill_limit`, either way, with what the viewer changed alone of the
    same party in the last 24 hours.

    Raises NotFound, Invalid, InsufficientFunds (nothing goes below its floor), AlreadyAsked, Conflict when
    the key was used for something else.
    """
    return await _wished(db, viewer, "adjustment", wish, alone_up_to=settings.goodwill_limit)


async def forfeit(db: Database, viewer: Viewer, wish: Change) -> None:
    """Ask a second person to take money of a banned store: what is payable first, then the reserve, then
    what is maturing. `amount` is below nothing, as for any change. Raises NotFound, Invalid, Conflict when
    the store is not banned, AlreadyAsked."""
    if wish.seller_id is None or wish.amount >= 0:
        raise Invalid(fields={"amount": "A forfeit takes money from a store."})
    await _wished(db, viewer, "forfeit", wish, alone_up_to=-1)


async def _wished(db: Database, viewer: Viewer, kind: str, wish: Change, *, alone_up_to: int) -> bool:
    why = approvals.said(wish.why, "why", least=3)
    evidence = wish.evidence.strip()
    if not 3 <= len(evidence) <= EVIDENCE_MOST or "\x00" in evidence:
        raise Invalid(
            fields={"evidence": f"Write 3 to {EVIDENCE_MOST} characters: what shows that it is right."}
        )
    if re.fullmatch("[A-Z]{3}", wish.currency) is None or not is_currency(wish.currency):
        raise Invalid(fields={"currency": "Write a currency such as EUR."})
    if not 0 < abs(wish.amount) <= MOST:
        raise Invalid(fields={"amount": "Must not be nothing."})
    if (wish.user_id is None) == (wish.seller_id is None):
        raise Invalid(fields={"to": "Name a buyer or a store."})
    payload = {
        **msgspec.to_builtins(wish),
        "kind": kind,
        "why": why,
        "evidence": evidence,
    }

    async def work(conn: Connection) -> bool:
        payload["name"] = await _name(conn, wish)
        # One at a time of a party, so that many small ones are not one person's way around the limit.
        await conn.execute(
            "SELECT pg_advisory_xact_lock(hashtext('refunds.adjust:' || $1::text))", _ref(payload)
        )
        if await _known(conn, payload):
            return True
        if kind == "forfeit":
            await _banned(conn, payload["seller_id"])
        if abs(wish.amount) + await _alone_today(conn, payload, viewer.actor) > alone_up_to:
            await approvals.ask(conn, f"money.{kind}", _ref(payload), payload, why, viewer)
            return False
        await _make(conn, payload, viewer.actor, None)
        return True

    return await db.run(viewer.as_staff, work)


async def _alone_today(conn: Connection, payload: Mapping[str, Any], actor: str) -> int:
    """What this person alone changed of the party's money in the last 24 hours, either way."""
    changed: int = await conn.fetchval(
        """SELECT coalesce(sum(abs(amount)), 0)::bigint FROM refunds.adjustment
           WHERE created_at > now() - interval '24 hours' AND actor = $1 AND approval_id IS NULL
             AND currency = $2 AND coalesce('user:' || user_id, 'seller:' || seller_id) = $3""",
        actor,
        payload["currency"],
        _ref(payload),
    )
    return changed


async def _name(conn: Connection, wish: Change) -> str:
    name: str | None = await conn.fetchval(
        """SELECT email FROM identity.users WHERE id = $1 UNION ALL
           SELECT name FROM sellers.seller WHERE id = $2""",
        wish.user_id,
        wish.seller_id,
    )
    if name is None:
        raise NotFound()
    return name


async def _banned(conn: Connection, seller_id: str) -> None:
    tier = await conn.fetchval("SELECT tier FROM risk.standing WHERE seller_id = $1", UUID(seller_id))
    if tier != "BANNED":
        raise Conflict("Only money of a banned store can be forfeited.")


def _ref(payload: Mapping[str, Any]) -> str:
    return f"user:{payload['user_id']}" if payload["user_id"] else f"seller:{payload['seller_id']}"


async def _known(conn: Connection, payload: Mapping[str, Any]) -> bool:
    """Whether it was made before. Raises Conflict when its key made something else."""
    row = await conn.fetchrow("SELECT * FROM refunds.adjustment WHERE id = $1", UUID(payload["key"]))
    if row is None:
        return False
    same = ("kind", "amount", "currency", "why", "evidence")
    ids = [str(row[name]) if row[name] else None for name in ("user_id", "seller_id")]
    if any(row[n] != payload[n] for n in same) or ids != [payload["user_id"], payload["seller_id"]]:
        raise Conflict("This was used for another change. Start again.")
    return True


async def _make(conn: Connection, payload: Mapping[str, Any], actor: str, approval_id: UUID | None) -> None:
    if await _known(conn, payload):
        return
    ref, key, kind = _ref(payload), payload["key"], payload["kind"]
    journal_id = await post(
        conn, kind, idem=f"{kind}:{key}", ref=ref, actor=actor, legs=await _legs(conn, payload)
    )
    made = await conn.execute(
        """INSERT INTO refunds.adjustment (id, kind, user_id, seller_id, amount, currency, why, evidence,
             actor, approval_id, journal_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
           ON CONFLICT (id) DO NOTHING""",
        UUID(key),
        kind,
        UUID(payload["user_id"]) if payload["user_id"] else None,
        UUID(payload["seller_id"]) if payload["seller_id"] else None,
        payload["amount"],
        payload["currency"],
        payload["why"],
        payload["evidence"],
        actor,
        approval_id,
        journal_id,
    )
    if made == "INSERT 0 0":  # by the same form sent twice at once
        return
    data = {name: payload[name] for name in ("amount", "currency", "why")} | {"adjustment_id": key}
    await audit.record(conn, f"money.{kind}_made", ref, actor, data)


async def _legs(conn: Connection, payload: Mapping[str, Any]) -> list[tuple[AccountRef, int]]:
    amount, currency = payload["amount"], payload["currency"]
    if payload["kind"] == "forfeit":
        return await _taken(conn, payload["seller_id"], -amount, currency)
    if payload["user_id"]:
        target = wallet_of(UUID(payload["user_id"]), currency)
    else:
        target = seller_available_of(UUID(payload["seller_id"]), currency)
    return [(platform("goodwill" if amount > 0 else "other_income", currency), amount), (target, -amount)]


async def _taken(
    conn: Connection, seller_id: str, amount: int, currency: str
) -> list[tuple[AccountRef, int]]:
    legs: list[tuple[AccountRef, int]] = [(platform("other_income", currency), -amount)]
    left = amount
    for kind in _FORFEITED:
        account = AccountRef(kind, f"seller:{seller_id}", currency)
        part = min(left, await balance(conn, account))
        if part > 0:
            legs.append((account, part))
            left -= part
    if left:
        raise Conflict(f"The store has {words_of(amount - left, currency)}, less than that.")
    return legs


def _adjustment_words(payload: Mapping[str, Any]) -> str:
    what = words_of(abs(payload["amount"]), payload["currency"])
    whose = "the wallet of" if payload["user_id"] else "what is payable to"
    way = "go to" if payload["amount"] > 0 else "are taken from"
    return f"{what} {way} {whose} {payload['name']}. Evidence: {payload['evidence']}"


@approvals.verb("money.adjustment", permission="console.adjust", words=_adjustment_words)
async def adjustment_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """An adjustment that two people agreed upon."""
    await _make(conn, payload, request.actor, request.id)


def _forfeit_words(payload: Mapping[str, Any]) -> str:
    what = words_of(-payload["amount"], payload["currency"])
    return (
        f"{payload['name']} loses {what}, for good: from what is payable, then from the reserve, then from "
        f"what is maturing. Evidence: {payload['evidence']}"
    )


@approvals.verb("money.forfeit", permission="console.risk_ban", words=_forfeit_words)
async def forfeit_approved(conn: Connection, payload: dict[str, Any], request: approvals.Request) -> None:
    """A forfeit that two people agreed upon. Raises Conflict when the store is banned no more or has less."""
    await _banned(conn, payload["seller_id"])
    await _make(conn, payload, request.actor, request.id)


async def find_party(db: Database, viewer: Viewer, text: str) -> tuple[UUID | None, UUID | None]:
    """A person by their mail address, or a store by its address: (user, store), one of them. For staff.
    Raises Invalid."""
    nobody = Invalid(fields={"who": "There is nobody and no store with this address."})
    if not text.isprintable():
        raise nobody
    row = await db.fetchrow(
        viewer.as_staff,
        """SELECT (SELECT id FROM identity.users WHERE lower(email) = lower($1)) AS user_id,
             (SELECT id FROM sellers.seller WHERE slug = $1) AS seller_id""",
        text.strip(),
    )
    assert row
    if row["user_id"] is None and row["seller_id"] is None:
        raise nobody
    return (row["user_id"], None) if row["user_id"] else (None, row["seller_id"])

"""What is said to the bank: assembled from what was so, added to by sellers, confirmed by finance.

A draft is made when the chargeback comes, with a snapshot of the lines the money had paid for. Sellers have a
window to add their words. It is sent when somebody of finance confirms it, or by itself shortly before its
time is over; `sending.py` does that, once.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fondaco import audit, cases
from fondaco.chargebacks.model import EvidenceMoved, WindowOver
from fondaco.chargebacks.standing import tell
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.money import Money
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.queue import defer
from fondaco.core.viewer import Viewer

WINDOW = timedelta(days=3)
MARGIN = timedelta(hours=36)  # before the bank's time is over, the sellers' is
MOST = 20_000  # characters of one field; the provider takes 150,000 of all
STATEMENTS = 20  # of one seller about one chargeback


def stage_of(state: str) -> str:
    """Which of the bank's two questions is open: an inquiry's, or the chargeback's own."""
    return "inquiry" if state.startswith("WARNING_") else "chargeback"


async def prepare(conn: Connection, row: Record) -> None:
    """Draft the evidence of an open chargeback that needs an answer, once for each stage."""
    if row["state"] not in ("NEEDS_RESPONSE", "WARNING_NEEDS_RESPONSE"):
        return
    stage = stage_of(row["state"])
    known = await conn.fetchval(
        "SELECT 1 FROM chargebacks.evidence WHERE chargeback_id = $1 AND stage = $2", row["id"], stage
    )
    if known:
        return
    snapshot_id, fields = await _assemble(conn, row)
    moment = now()
    ends = moment + WINDOW
    if row["due_by"]:
        ends = max(moment, min(ends, row["due_by"] - MARGIN))
    await conn.execute(
        """INSERT INTO chargebacks.evidence (id, chargeback_id, user_id, stage, state, snapshot_id, fields,
             window_ends) VALUES ($1, $2, $3, $4, 'DRAFT', $5, $6, $7)""",
        uuid7(),
        row["id"],
        row["user_id"],
        stage,
        snapshot_id,
        fields,
        ends,
    )
    sellers = await conn.fetch(
        "SELECT DISTINCT seller_id FROM chargebacks.line WHERE chargeback_id = $1", row["id"]
    )
    stores = sorted(str(s["seller_id"]) for s in sellers)
    await tell(conn, row, "chargeback.evidence_drafted", actor="system", stage=stage, stores=stores)


async def close_late(conn: Connection, chargeback_id: UUID) -> None:
    """The bank has decided: what was not sent is not sent any more."""
    await conn.execute(
        """UPDATE chargebacks.evidence SET state = 'CLOSED', ended_at = now(), version = version + 1
           WHERE chargeback_id = $1 AND state IN ('DRAFT', 'CONFIRMED')""",
        chargeback_id,
    )


async def _assemble(conn: Connection, row: Record) -> tuple[UUID | None, dict[str, str]]:
    """The provider's fields in our words, and the snapshot they are taken from."""
    lines = await conn.fetch(
        "SELECT line_id FROM chargebacks.line WHERE chargeback_id = $1 ORDER BY line_id", row["id"]
    )
    person = await conn.fetchrow(
        """SELECT u.name, u.email, f.purpose, f.amount, f.currency, f.succeeded_at
           FROM wallets.funding f JOIN identity.users u ON u.id = f.user_id WHERE f.id = $1""",
        row["funding_id"],
    )
    assert person
    fields = {
        "customer_name": person["name"],
        "customer_email_address": person["email"],
        "service_date": f"{person['succeeded_at'] or row['opened_at']:%Y-%m-%d}",
    }
    paid = Money(person["amount"], person["currency"])
    if not lines:
        fields["product_description"] = (
            f"{paid} put into the customer's wallet at this marketplace. Nothing was bought with it: the "
            "money is still in the wallet."
        )
        return None, fields
    snapshot_id = await cases.snapshot(conn, line_ids=[line["line_id"] for line in lines], why="chargeback")
    body = await conn.fetchval("SELECT body FROM cases.snapshot WHERE id = $1", snapshot_id)
    return snapshot_id, fields | told(json.loads(body), wallet=person["purpose"] == "top_up", paid=str(paid))


def told(snapshot: Mapping[str, Any], *, wallet: bool, paid: str) -> dict[str, str]:
    """A snapshot as the texts a bank reads. No key and no code is in it."""
    goods: list[str] = []
    shown: list[str] = []
    addresses: list[str] = []
    for order in snapshot["orders"]:
        for line in order["lines"]:
            price = Money(line["total"], line["currency"])
            goods.append(f"{line['quantity']} x {line['terms']['title']}, {price}, order {order['number']}")
            for thing in line["deliveries"]:
                shown.append(
                    f"{_moment(thing['delivered_at'])} delivered to the account: {line['terms']['title']}"
                )
                for reveal in thing["reveals"]:
                    addresses.append(str(reveal["ip"] or ""))
                    shown.append(
                        f"{_moment(reveal['at'])} opened by the customer from {reveal['ip']}, "
                        f"{reveal['user_agent']}"
                    )
    how = f"{paid} put into the customer's wallet, and spent on" if wallet else f"{paid} paid by card for"
    buyer = snapshot["orders"][0]["buyer"]
    since = f"The account exists since {_moment(buyer['since'])}."
    if buyer["address_proved"]:
        since += f" Its mail address was proved on {_moment(buyer['address_proved'])}."
    fields = {
        "product_description": f"Digital goods. {how}:\n" + "\n".join(goods),
        "access_activity_log": "\n".join(sorted(shown)),
        "customer_purchase_ip": next((a for a in addresses if a), ""),
        "refund_policy_disclosure": str(snapshot["policy"]["text"]),
        "uncategorized_text": since,
    }
    return {name: text[:MOST].replace("\x00", "") for name, text in fields.items() if text}


def _moment(text: str) -> str:
    """A snapshot's moment as a bank reads it: "2026-11-21 13:53:07 UTC"."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def final(fields: Mapping[str, str], words: str, statements: list[tuple[str, str]]) -> dict[str, str]:
    """Exactly what is sent: the draft, what each seller (name, words) adds, and what finance adds."""
    text = [fields.get("uncategorized_text", ""), words]
    text += [f"The seller {name} says: {body}" for name, body in statements]
    whole = "\n\n".join(t for t in text if t)[:MOST]
    return {**fields, **({"uncategorized_text": whole} if whole else {})}


async def add_statement(db: Database, viewer: Viewer, chargeback_id: UUID, text: str) -> None:
    """A seller's words for the bank, while the window is open. Raises NotFound, Invalid, WindowOver."""
    body = _said(text, "text", least=3, most=4000)

    async def work(conn: Connection) -> None:
        row = await conn.fetchrow(
            """SELECT c.*, e.window_ends, e.state AS evidence FROM chargebacks.chargeback c
               LEFT JOIN LATERAL (SELECT * FROM chargebacks.evidence e WHERE e.chargeback_id = c.id
                 ORDER BY e.made_at DESC, e.id DESC LIMIT 1) e ON true
               WHERE c.id = $1 AND EXISTS (SELECT 1 FROM chargebacks.line l
                 WHERE l.chargeback_id = c.id AND l.seller_id = $2) FOR UPDATE OF c""",
            chargeback_id,
            viewer.seller(),
        )
        if row is None:
            raise NotFound()
        if row["evidence"] != "DRAFT" or row["window_ends"] < await conn.fetchval("SELECT now()"):
            raise WindowOver()
        said = await conn.fetchval(
            "SELECT count(*) FROM chargebacks.statement WHERE chargeback_id = $1 AND seller_id = $2",
            chargeback_id,
            viewer.seller(),
        )
        if said >= STATEMENTS:
            raise Invalid(fields={"text": f"{STATEMENTS} are enough."})
        await conn.execute(
            """INSERT INTO chargebacks.statement (id, chargeback_id, seller_id, actor, body)
               VALUES ($1, $2, $3, $4, $5)""",
            uuid7(),
            chargeback_id,
            viewer.seller(),
            viewer.actor,
            body,
        )
        data = {"seller_id": str(viewer.seller())}
        await audit.record(
            conn, "chargeback.statement_added", f"chargeback:{chargeback_id}", viewer.actor, data
        )

    await db.run(SYSTEM, work)


async def write_words(db: Database, viewer: Viewer, chargeback_id: UUID, text: str, version: int) -> None:
    """What finance adds to a draft; replaces what was there. Raises NotFound, Invalid, EvidenceMoved."""
    body = _said(text, "words", least=0, most=10_000)

    async def work(conn: Connection) -> None:
        row = await _draft(conn, chargeback_id, version)
        await conn.execute(
            "UPDATE chargebacks.evidence SET words = $2, version = version + 1 WHERE id = $1",
            row["id"],
            body,
        )
        await audit.record(conn, "chargeback.words_written", f"chargeback:{chargeback_id}", viewer.actor)

    await db.run(SYSTEM, work)


async def confirm(db: Database, viewer: Viewer, chargeback_id: UUID, version: int) -> None:
    """Somebody of finance has read the draft: it goes to the bank now, and cannot be changed any more.
    Raises NotFound, EvidenceMoved."""

    async def work(conn: Connection) -> None:
        row = await _draft(conn, chargeback_id, version)
        await conn.execute(
            """UPDATE chargebacks.evidence SET state = 'CONFIRMED', confirmed_by = $2, confirmed_at = now(),
                 version = version + 1 WHERE id = $1""",
            row["id"],
            viewer.user(),
        )
        await audit.record(conn, "chargeback.evidence_confirmed", f"chargeback:{chargeback_id}", viewer.actor)
        await defer(conn, "chargebacks.send_evidence", {"evidence_id": str(row["id"])})

    await db.run(SYSTEM, work)


async def _draft(conn: Connection, chargeback_id: UUID, version: int) -> Record:
    """The newest evidence of a chargeback, locked; it must be the draft that was seen."""
    row = await conn.fetchrow(
        """SELECT id, state, version FROM chargebacks.evidence WHERE chargeback_id = $1
           ORDER BY made_at DESC, id DESC LIMIT 1 FOR UPDATE""",
        chargeback_id,
    )
    if row is None:
        raise NotFound()
    if row["state"] != "DRAFT" or row["version"] != version:
        raise EvidenceMoved()
    return row


def goes_out(due_by: datetime, hours: int) -> datetime:
    """When a draft nobody confirmed is sent by itself."""
    return due_by - timedelta(hours=hours)


def _said(text: str, field: str, *, least: int, most: int) -> str:
    body = text.strip()
    if "\x00" in body:
        raise Invalid(fields={field: "It holds what is no text."})
    if len(body) < least:
        raise Invalid(fields={field: "Say it in some words."})
    if len(body) > most:
        raise Invalid(fields={field: f"{most} characters are the most."})
    return body

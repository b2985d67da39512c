"""Evidence snapshots: what was so at one moment, as canonical JSON, hashed and never changed.

Terms, prices, deliveries, every reveal with its address, what the ledger and the audit log hold of the order,
and the text of the policy. No code is in it.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from fondaco.cases.model import POLICY, POLICY_VERSION
from fondaco.core.db import Connection, Record
from fondaco.core.ids import uuid7
from fondaco.core.problem import NotFound

FORMAT = "fondaco evidence snapshot 1"


def canonical(value: Any) -> bytes:
    """The one way to write data down: JSON with sorted keys, no spaces, UTF-8. Whole numbers, texts, booleans
    and nulls only, so that whoever reads it writes the same bytes again."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def plain(value: Any) -> Any:
    """A value as canonical JSON takes it: moments in UTC with microseconds, ids as text, bytes in hex."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in cast(dict[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in cast(list[Any], value)]
    return value


async def snapshot(
    conn: Connection, *, line_ids: Sequence[UUID] = (), order_ids: Sequence[UUID] = (), why: str = "case"
) -> UUID:
    """Keep what is so now about these lines (or all lines of these orders); returns the snapshot's id.

    In the caller's transaction, scope system. `why`: 'case' or 'chargeback'. Raises NotFound when there is no
    such line.
    """
    lines = await conn.fetch(
        """SELECT l.* FROM orders.order_line l WHERE l.id = ANY ($1) OR l.order_id = ANY ($2)
           ORDER BY l.order_id, l.id""",
        list(line_ids),
        list(order_ids),
    )
    if not lines:
        raise NotFound()
    body = canonical(
        {
            "format": FORMAT,
            "why": why,
            "taken_at": plain(await conn.fetchval("SELECT now()")),
            "policy": {"version": POLICY_VERSION, "text": POLICY},
            "orders": await _orders(conn, lines),
        }
    )
    snapshot_id = uuid7()
    await conn.execute(
        "INSERT INTO cases.snapshot (id, why, body, hash) VALUES ($1, $2, $3, $4)",
        snapshot_id,
        why,
        body,
        hashlib.sha256(body).digest(),
    )
    return snapshot_id


async def _orders(conn: Connection, lines: Sequence[Record]) -> list[dict[str, Any]]:
    ids = sorted({line["order_id"] for line in lines})
    orders = await conn.fetch(
        """SELECT o.id, o.number, o.state, o.total, o.currency, o.created_at, o.paid_at, o.delivered_at,
             o.completed_at, g.number AS purchase, g.funding_policy AS paid_from,
             o.buyer_id, u.name AS buyer_name, u.email AS buyer_email, u.country AS buyer_country,
             u.created_at AS buyer_since, u.email_verified_at AS buyer_proved,
             o.seller_id, s.name AS seller_name, s.country AS seller_country, s.support_email
           FROM orders.orders o JOIN orders.order_group g ON g.id = o.group_id
           JOIN identity.users u ON u.id = o.buyer_id JOIN sellers.seller s ON s.id = o.seller_id
           WHERE o.id = ANY ($1) ORDER BY o.id""",
        ids,
    )
    told = await _lines(conn, lines)
    log = await conn.fetch(
        """SELECT id, at, kind, ref, actor FROM audit.event
           WHERE ref = ANY ($1) ORDER BY ref, id LIMIT 2000""",
        [f"order:{i}" for i in ids],
    )
    journals = await _journals(conn, ids)
    found: list[dict[str, Any]] = []
    for row in orders:
        ref = f"order:{row['id']}"
        found.append(
            {
                "id": str(row["id"]),
                "number": row["number"],
                "purchase": row["purchase"],
                "state": row["state"],
                "total": row["total"],
                "currency": row["currency"],
                "paid_from": row["paid_from"],
                **{k: plain(row[k]) for k in ("created_at", "paid_at", "delivered_at", "completed_at")},
                "buyer": _person(row),
                "seller": {
                    "id": str(row["seller_id"]),
                    "name": row["seller_name"],
                    "country": row["seller_country"],
                    "support": row["support_email"],
                },
                "lines": told[row["id"]],
                "journals": journals[ref],
                "log": [
                    {"id": e["id"], "at": plain(e["at"]), "kind": e["kind"], "actor": e["actor"]}
                    for e in log
                    if e["ref"] == ref
                ],
            }
        )
    return found


def _person(row: Record) -> dict[str, Any]:
    return {
        "id": str(row["buyer_id"]),
        "name": row["buyer_name"],
        "email": row["buyer_email"],
        "country": row["buyer_country"],
        "since": plain(row["buyer_since"]),
        "address_proved": plain(row["buyer_proved"]),
    }


async def _lines(conn: Connection, lines: Sequence[Record]) -> dict[UUID, list[dict[str, Any]]]:
    """The lines by order, each with what was delivered of it, every reveal, and its listing's text now."""
    ids = [line["id"] for line in lines]
    units = await conn.fetch(
        """SELECT e.id, e.line_id, e.delivered_at, e.revealed_at, e.revoked_at, e.content_version,
             e.unit_id, u.state AS unit FROM delivery.entitlement e
           LEFT JOIN inventory.stock_unit u ON u.id = e.unit_id
           WHERE e.line_id = ANY ($1) ORDER BY e.id""",
        ids,
    )
    reveals = await conn.fetch(
        """SELECT r.entitlement_id, r.at, r.ip, r.user_agent, r.content_version
           FROM delivery.reveal r JOIN delivery.entitlement e ON e.id = r.entitlement_id
           WHERE e.line_id = ANY ($1) ORDER BY r.id LIMIT 2000""",
        ids,
    )
    texts = await conn.fetch(
        """SELECT l.id, l.title, l.summary, l.description, l.price, l.price_version, l.currency, l.state
           FROM catalog.listing l WHERE l.id = ANY ($1)""",
        [line["listing_id"] for line in lines],
    )
    listing = {row["id"]: {k: plain(v) for k, v in dict(row).items()} for row in texts}
    shown: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for r in reveals:
        shown[r["entitlement_id"]].append({k: plain(v) for k, v in dict(r).items() if k != "entitlement_id"})
    delivered: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for u in units:
        about = {k: plain(v) for k, v in dict(u).items() if k != "line_id"}
        delivered[u["line_id"]].append({**about, "reveals": shown[u["id"]]})
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        about = {k: plain(v) for k, v in dict(line).items() if k not in ("order_id", "buyer_id", "seller_id")}
        found[line["order_id"]].append(
            {**about, "deliveries": delivered[line["id"]], "listing_now": listing.get(line["listing_id"])}
        )
    return found


async def _journals(conn: Connection, order_ids: Sequence[UUID]) -> dict[str, list[dict[str, Any]]]:
    rows = await conn.fetch(
        """SELECT j.id, j.ref, j.kind, j.posted_at, j.idem,
             (SELECT json_agg(json_build_object('account', a.kind, 'owner', a.owner, 'amount', e.amount,
                'currency', e.currency) ORDER BY a.kind, a.owner, e.slot, e.version)
              FROM ledger.entry e
              JOIN ledger.account a ON a.id = e.account_id WHERE e.journal_id = j.id) AS entries
           FROM ledger.journal j WHERE j.ref = ANY ($1) ORDER BY j.id LIMIT 1000""",
        [f"order:{i}" for i in order_ids],
    )
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["ref"]].append({k: plain(v) for k, v in dict(row).items() if k != "ref"})
    return found

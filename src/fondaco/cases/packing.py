"""Evidence packs: what is known of a case or of a snapshot, signed, as JSON and as PDF.

The same facts give the same bytes. A pack is checked without fondaco by `verify_evidence.py`, which stands
beside this file and needs only the package `cryptography`.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, cast
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fondaco.cases.drawing import draw
from fondaco.cases.evidence import canonical, plain
from fondaco.cases.model import Acting, Side
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import NotFound
from fondaco.settings import Settings

FORMAT = "fondaco evidence pack 1"
_BOOKS = {"actor", "log", "journals"}  # the house's own
_HIDDEN: dict[Side, set[str]] = {
    "seller": {"buyer", "ip", "user_agent", *_BOOKS},
    "buyer": {*_BOOKS},
    "staff": set(),
}


@dataclass(frozen=True)
class Pack:
    """A signed pack. `facts` are what was signed, `name` is a stem for files."""

    facts: dict[str, Any]
    key: Ed25519PrivateKey
    name: str

    @cached_property
    def body(self) -> bytes:
        """The facts as canonical JSON."""
        return canonical(self.facts)

    @cached_property
    def sha256(self) -> str:
        """The hash of the facts, in hex."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def json(self) -> bytes:
        """The signed pack: one JSON object of the facts and the signature over them."""
        return canonical(
            {
                "facts": self.facts,
                "sha256": self.sha256,
                "signature": _sign(self.key, self.body),
                "public_key": public_key(self.key),
                "key_id": key_id(self.key),
            }
        )

    def pdf(self, marketplace: str) -> bytes:
        """The same facts as a PDF, with the signature over its bytes behind its end."""
        page = draw(self.facts, marketplace=marketplace, sha256=self.sha256, key_id=key_id(self.key))
        line = f"%fondaco-evidence {public_key(self.key)} {_sign(self.key, page)}\n"
        return page + line.encode()


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key packs are signed with: that of the audit log's blocks."""
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(settings.signing_key.get_secret_value()))


def public_key(key: Ed25519PrivateKey) -> str:
    """The public half in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def key_id(key: Ed25519PrivateKey) -> str:
    """A short name of the key: the start of the SHA-256 of its public half."""
    return hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]


def verifier() -> bytes:
    """The program that checks packs."""
    return files("fondaco.cases").joinpath("verify_evidence.py").read_bytes()


def _sign(key: Ed25519PrivateKey, body: bytes) -> str:
    return base64.b64encode(key.sign(FORMAT.encode() + b"\n" + body)).decode()


async def pack(
    conn: Connection,
    settings: Settings,
    *,
    case_id: UUID | None = None,
    snapshot_id: UUID | None = None,
    extra: Mapping[str, Any] | None = None,
    audience: Side = "staff",
) -> Pack:
    """The pack of a case, or of a snapshot alone, in the caller's transaction (scope system).

    `extra`: further facts of whole numbers, texts, booleans, moments and lists of them. For a party of the
    case the other's private data and the house's books are left out. Raises NotFound.
    """
    case: dict[str, Any] | None = None
    if case_id is not None:
        case = await _case(conn, case_id)
        snapshot_id = UUID(case["snapshot_id"])
    row = await conn.fetchrow("SELECT id, body, hash FROM cases.snapshot WHERE id = $1", snapshot_id)
    if row is None:
        raise NotFound()
    snapshot = json.loads(row["body"])
    facts: dict[str, Any] = {
        "format": FORMAT,
        "audience": audience,
        "snapshot": snapshot if audience == "staff" else _redacted(snapshot, audience),
        "snapshot_id": str(row["id"]),
        "snapshot_sha256": row["hash"].hex(),
    }
    if case is not None:
        facts["case"] = case
    if extra:
        facts["extra"] = plain(dict(extra))
    name = str(case["number"]) if case else f"snapshot-{row['id']}"
    return Pack(facts, signing_key(settings), f"evidence-{name}")


async def pack_for(db: Database, settings: Settings, by: Acting, case_id: UUID) -> Pack:
    """The pack of a case as that side may have it. Raises NotFound."""
    clause, whose = by.clause()
    async with db.transaction(SYSTEM) as conn:
        mine = await conn.fetchval(
            f"SELECT true FROM cases.case c WHERE c.id = $1 AND {clause}", case_id, whose
        )
        if not mine:
            raise NotFound()
        return await pack(conn, settings, case_id=case_id, audience=by.side)


async def pack_pdf(settings: Settings, made: Pack) -> bytes:
    """The PDF, drawn beside the loop."""
    return await asyncio.to_thread(made.pdf, settings.marketplace_name)


async def _case(conn: Connection, case_id: UUID) -> dict[str, Any]:
    row = await conn.fetchrow(
        """SELECT c.id, c.number, c.order_id, c.reason, c.wish, c.currency, c.snapshot_id, c.opened_at,
             c.state, c.outcome, c.version, c.decided_at, c.closed_at, c.appeal_by
           FROM cases.case c WHERE c.id = $1""",
        case_id,
    )
    if row is None:
        raise NotFound()
    parts = {
        "lines": "SELECT line_id, at_stake, refund FROM cases.case_line WHERE case_id = $1 ORDER BY line_id",
        "messages": """SELECT id, at, party, kind, body FROM cases.message
                       WHERE case_id = $1 AND NOT internal ORDER BY id""",
        "files": """SELECT id, at, party, name, media_type, size, hash AS sha256 FROM cases.attachment
                    WHERE case_id = $1 ORDER BY id""",
        "events": """SELECT version, at, kind, party, source, target, deadline FROM cases.event
                     WHERE case_id = $1 ORDER BY version""",
        "offers": """SELECT id, kind, amount, made_at, ended_at, ending FROM cases.offer
                     WHERE case_id = $1 ORDER BY id""",
    }
    found: dict[str, Any] = plain(dict(row))
    for name, sql in parts.items():
        found[name] = [plain(dict(r)) for r in await conn.fetch(sql, case_id)]
    return found


def _redacted(value: Any, audience: Side) -> Any:
    """Without what the other party and the house keep to themselves. A buyer sees their own person and
    addresses."""
    if isinstance(value, dict):
        pairs = cast(dict[str, Any], value)
        return {k: _redacted(v, audience) for k, v in pairs.items() if not _hidden(k, audience)}
    if isinstance(value, list):
        return [_redacted(v, audience) for v in cast(list[Any], value)]
    return value


def _hidden(name: str, audience: Side) -> bool:
    return name in _HIDDEN[audience] or (audience == "buyer" and "commission" in name)

"""Signed blocks over the events: sealing them, and checking all of them again."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.settings import Settings

_FIRST_PREVIOUS = bytes(32)
_PER_BLOCK = 10_000
_EVENTS = "SELECT id, xid::text AS xid, at, kind, ref, actor, data::text AS data FROM audit.event "
_BLOCKS = (
    "SELECT number, first_xid::text AS first_xid, first_id, last_xid::text AS last_xid, last_id, events, "
    "root, previous, hash, signature, key_id FROM audit.block "
)


async def seal(db: Database, settings: Settings) -> int:
    """Gather all finished, unsealed events into signed blocks; returns how many events were sealed."""
    key = _signing_key(settings)
    done = 0
    while count := await db.run(SYSTEM, lambda conn: _seal_block(conn, key)):
        done += count
    return done


async def _seal_block(conn: Connection, key: Ed25519PrivateKey) -> int:
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('audit.seal'))")
    last = await conn.fetchrow(f"{_BLOCKS} ORDER BY number DESC LIMIT 1")
    rows = await conn.fetch(
        f"{_EVENTS} WHERE (audit.event.xid, id) > ($1::text::xid8, $2) "
        "AND audit.event.xid < pg_snapshot_xmin(pg_current_snapshot()) "
        "ORDER BY audit.event.xid, id LIMIT $3",
        last["last_xid"] if last else "0",
        last["last_id"] if last else 0,
        _PER_BLOCK,
    )
    if not rows:
        return 0
    number = last["number"] + 1 if last else 1
    previous = last["hash"] if last else _FIRST_PREVIOUS
    place = (rows[0]["xid"], rows[0]["id"], rows[-1]["xid"], rows[-1]["id"])
    root = _root(rows)
    digest = _block_hash(number, place, len(rows), root, previous)
    if failpoints.armed:
        await failpoints.reached("seal.after_block_before_sign", conn)
    await conn.execute(
        "INSERT INTO audit.block (number, first_xid, first_id, last_xid, last_id, events, root, previous, "
        "hash, signature, key_id) "
        "VALUES ($1, $2::text::xid8, $3, $4::text::xid8, $5, $6, $7, $8, $9, $10, $11)",
        number,
        *place,
        len(rows),
        root,
        previous,
        digest,
        key.sign(digest),
        _key_id(key),
    )
    return len(rows)


async def check(
    db: Database, settings: Settings, progress: Callable[[int], object] | None = None
) -> list[str]:
    """Compute every block again from its events; sentences naming what is wrong, empty when all is well.

    `progress` gets the number of each block checked.
    """
    async with db.transaction(SYSTEM) as conn:
        return await check_on(conn, settings, progress)


async def check_on(
    conn: Connection, settings: Settings, progress: Callable[[int], object] | None = None
) -> list[str]:
    """The same in the caller's transaction."""
    key = _signing_key(settings)
    faults: list[str] = []
    number, previous, after = 0, _FIRST_PREVIOUS, ("0", 0)
    while True:
        block = await conn.fetchrow(f"{_BLOCKS} WHERE number > $1 ORDER BY number LIMIT 1", number)
        if block is None:
            return faults
        if block["number"] != number + 1:
            faults.append(f"audit block {number + 1} is missing")
        number = block["number"]
        rows = await conn.fetch(
            f"{_EVENTS} WHERE (audit.event.xid, id) > ($1::text::xid8, $2) "
            "AND (audit.event.xid, id) <= ($3::text::xid8, $4) ORDER BY audit.event.xid, id",
            *after,
            block["last_xid"],
            block["last_id"],
        )
        faults += [f"audit block {number}: {fault}" for fault in _faults(block, rows, previous, key)]
        previous, after = block["hash"], (block["last_xid"], block["last_id"])
        if progress:
            progress(number)


def _faults(block: Record, rows: Sequence[Record], previous: bytes, key: Ed25519PrivateKey) -> list[str]:
    found: list[str] = []
    if block["previous"] != previous:
        found.append("does not link to the block before it")
    if len(rows) != block["events"]:
        found.append(f"covers {block['events']} events, but {len(rows)} are there")
    elif _root(rows) != block["root"]:
        found.append(f"an event between {block['first_id']} and {block['last_id']} was changed")
    place = (block["first_xid"], block["first_id"], block["last_xid"], block["last_id"])
    if (
        _block_hash(block["number"], place, block["events"], block["root"], block["previous"])
        != block["hash"]
    ):
        found.append("its own values were changed")
    if block["key_id"] != _key_id(key):
        found.append(f"was signed with another key ({block['key_id']})")
        return found
    try:
        key.public_key().verify(block["signature"], block["hash"])
    except InvalidSignature:
        found.append("its signature is not ours")
    return found


def canonical(*parts: str | bytes | int) -> bytes:
    """The parts one after another, each with its length before it, so that no two lists look alike."""
    raw = [p if isinstance(p, bytes) else str(p).encode() for p in parts]
    return b"".join(len(p).to_bytes(8, "big") + p for p in raw)


def _root(rows: Sequence[Record]) -> bytes:
    whole = hashlib.sha256()
    for r in rows:
        at = r["at"].astimezone(UTC).isoformat(timespec="microseconds")
        event = canonical(r["id"], r["xid"], at, r["kind"], r["ref"], r["actor"], r["data"])
        whole.update(hashlib.sha256(event).digest())
    return whole.digest()


def _block_hash(
    number: int, place: tuple[str, int, str, int], events: int, root: bytes, previous: bytes
) -> bytes:
    return hashlib.sha256(canonical("fondaco audit block 1", number, *place, events, root, previous)).digest()


def _signing_key(settings: Settings) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(settings.signing_key.get_secret_value()))


def _key_id(key: Ed25519PrivateKey) -> str:
    return hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]

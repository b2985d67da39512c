"""Files of a case: what they are is told by their bytes, who may read them by the case."""

import hashlib
import os
import re
from dataclasses import dataclass
from uuid import UUID

from fondaco.cases.model import Acting, BadFile, CaseNotNow, required
from fondaco.cases.moving import locked, tell
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.integrations.blobs import Blobs

MAX_BYTES = 5 * 1024 * 1024
MAX_FILES = 10  # of one party in one case
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"%PDF-", "application/pdf"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class File:
    """A file with its bytes."""

    name: str
    media_type: str
    body: bytes


def sniffed(body: bytes) -> str:
    """The media type the bytes themselves say: PNG, JPEG, WebP, PDF or plain text. Raises BadFile."""
    if not body:
        raise BadFile(fields={"file": "The file is empty."})
    if len(body) > MAX_BYTES:
        raise BadFile(fields={"file": "A file may have 5 MB."})
    for magic, kind in _MAGIC:
        if body.startswith(magic):
            return kind
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if _CONTROLS.search(text):
        raise BadFile(fields={"file": "Only pictures (PNG, JPEG, WebP), PDF and plain text can be taken."})
    return "text/plain"


def clean_name(name: str) -> str:
    """The file's own name without folders and odd characters, at most 120 long."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c if c.isprintable() and c not in '"<>|:*?' else "_" for c in last).strip(" .")
    return kept[-120:] or "file"


async def attach(db: Database, blobs: Blobs, by: Acting, case_id: UUID, *, name: str, body: bytes) -> UUID:
    """Add a file to the case; returns its id. Raises NotFound, BadFile, CaseNotNow, OwnCase, Unavailable."""
    media_type = sniffed(body)

    async def allowed(conn: Connection) -> None:
        case = await locked(conn, case_id, by)
        required("attach", by, case)
        n = await conn.fetchval(
            "SELECT count(*) FROM cases.attachment WHERE case_id = $1 AND party = $2", case_id, by.side
        )
        if n >= MAX_FILES:
            raise CaseNotNow(f"A party may add {MAX_FILES} files to a case, and you have.")

    await db.run(SYSTEM, allowed)
    blob = f"cases/{os.urandom(20).hex()}"
    await blobs.put(blob, body, media_type)

    async def work(conn: Connection) -> UUID:
        await allowed(conn)
        file_id = uuid7()
        await conn.execute(
            """INSERT INTO cases.attachment (id, case_id, party, name, media_type, size, hash, blob)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
            file_id,
            case_id,
            by.side,
            clean_name(name),
            media_type,
            len(body),
            hashlib.sha256(body).digest(),
            blob,
        )
        case = await locked(conn, case_id, by)
        await tell(conn, case, "file_added", by.side, by.viewer.actor, file_id=file_id)
        return file_id

    return await db.run(SYSTEM, work)


async def read_file(db: Database, blobs: Blobs, viewer: Viewer, file_id: UUID, *, staff: bool) -> File:
    """A file of a case the viewer is a party of; `staff`: of any. Raises NotFound, Unavailable."""
    row = await db.fetchrow(
        viewer.as_staff if staff else SYSTEM,
        """SELECT a.name, a.media_type, a.blob FROM cases.attachment a JOIN cases.case c ON c.id = a.case_id
           WHERE a.id = $1 AND ($2 OR c.buyer_id = $3 OR c.seller_id = $4)""",
        file_id,
        staff,
        viewer.user_id,
        viewer.seller_id,
    )
    body = await blobs.get(row["blob"]) if row else None
    if row is None or body is None:
        raise NotFound()
    return File(row["name"], row["media_type"], body)

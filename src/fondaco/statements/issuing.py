"""Issuing papers: number, content and hash are kept in one transaction, and never change."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec

from fondaco import audit
from fondaco.core.clock import now
from fondaco.core.db import Connection
from fondaco.core.ids import uuid7
from fondaco.statements.model import TITLES, Content, DoesNotAddUp, Kind, PaperLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A paper before it has its number. `owner` is the buyer or, with `to_seller`, the store it is for."""

    kind: Kind
    ref: str
    owner: UUID
    to_seller: bool
    issuer: str
    receiver: str
    currency: str
    columns: list[str]
    lines: list[PaperLine]
    totals: list[PaperLine]
    facts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    opening: list[PaperLine] = field(default_factory=list[PaperLine])
    note: str = ""
    order_id: UUID | None = None
    period: str | None = None

    def content(self, number: str, moment: datetime) -> Content:
        """What will stand on the paper. Raises DoesNotAddUp."""
        content = Content(
            kind=self.kind,
            number=number,
            title=TITLES[self.kind][0],
            issued_at=moment,
            issuer=self.issuer,
            receiver=self.receiver,
            currency=self.currency,
            facts=self.facts,
            columns=self.columns,
            opening=self.opening,
            lines=self.lines,
            totals=self.totals,
            note=self.note,
        )
        if not content.adds_up():
            raise DoesNotAddUp()
        return content


def canonical(content: Content) -> str:
    """The one way a content is written: sorted keys, no spaces, times in UTC."""
    return msgspec.json.encode(content, order="sorted").decode()


def read(text: str) -> Content:
    """The content that was written by `canonical`."""
    return msgspec.json.decode(text, type=Content)


async def issue(conn: Connection, drafts: Sequence[Draft]) -> None:
    """Number the drafts in their order and keep them, in the caller's transaction. A paper of that kind about
    that thing that is there already stays as it is. Others who issue papers of these kinds wait until the
    transaction is over, so that no number is left out. Raises DoesNotAddUp."""
    moment = now().replace(microsecond=0)
    by_kind = sorted(drafts, key=lambda d: d.kind)  # also the order of the locks
    for kind, group in groupby(by_kind, key=lambda d: d.kind):
        await _issue_kind(conn, Kind(kind), list(group), moment)


async def _issue_kind(conn: Connection, kind: Kind, drafts: Sequence[Draft], moment: datetime) -> None:
    series = f"{TITLES[kind][1]}-{moment.year}"
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('statements'), hashtext($1))", series)
    known = await conn.fetch(
        "SELECT ref FROM statements.paper WHERE kind = $1 AND ref = ANY ($2)", kind, [d.ref for d in drafts]
    )
    fresh = {d.ref: d for d in reversed(drafts)}
    for row in known:
        del fresh[row["ref"]]
    wanted = list(reversed(fresh.values()))
    if not wanted:
        return
    last: int = await conn.fetchval("SELECT statements.draw($1, $2)", series, len(wanted))
    first = last - len(wanted) + 1
    rows = [_row(draft, series, first + i, moment) for i, draft in enumerate(wanted)]
    await conn.executemany(
        """INSERT INTO statements.paper (id, kind, series, seq, number, ref, buyer_id, seller_id, order_id,
             currency, total, period, content, hash, issued_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)""",
        rows,
    )
    for draft, row in zip(wanted, rows, strict=True):
        data: dict[str, Any] = {"kind": kind, "number": row[4], "about": draft.ref}
        data["seller_id" if draft.to_seller else "buyer_id"] = str(draft.owner)
        await audit.record(conn, "paper.issued", f"paper:{row[0]}", "system", data)


def _row(draft: Draft, series: str, seq: int, moment: datetime) -> tuple[Any, ...]:
    number = f"{series}-{seq:06d}"
    text = canonical(draft.content(number, moment))
    buyer, seller = (None, draft.owner) if draft.to_seller else (draft.owner, None)
    amount = draft.totals[-1].amounts[-1]
    return (
        *(uuid7(), draft.kind, series, seq, number, draft.ref, buyer, seller, draft.order_id, draft.currency),
        *(amount, draft.period, text, hashlib.sha256(text.encode()).digest(), moment),
    )

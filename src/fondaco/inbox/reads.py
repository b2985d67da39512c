"""What staff read of the inbox."""

from collections.abc import Sequence
from datetime import date
from typing import Any, cast

import msgspec

from fondaco.core import counting
from fondaco.core.db import Database, Scope
from fondaco.core.problem import NotFound
from fondaco.inbox.model import INBOX_EVENT, InboxEvent

_HIDDEN = ("client_secret", "secret")
_COLUMNS = """id, provider, event_id, type, object_id, livemode, source, state, attempts, failure,
  object_created, received_at, next_at, handled_at"""


class Refusals(msgspec.Struct, frozen=True):
    """Deliveries refused at the door on one day."""

    day: date
    reason: str
    n: int


async def list_events(
    db: Database,
    scope: Scope,
    *,
    states: Sequence[str] | None = None,
    type_: str | None = None,
    object_id: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[InboxEvent]:
    """Events, newest first; `before` is the id the last page ended with."""
    rows = await db.fetch(
        scope,
        f"""SELECT {_COLUMNS} FROM inbox.event
            WHERE ($1::text[] IS NULL OR state = ANY ($1)) AND ($2::text IS NULL OR type = $2)
              AND ($3::text IS NULL OR object_id = $3) AND ($4::bigint IS NULL OR id < $4)
            ORDER BY id DESC LIMIT $5""",
        list(states) if states else None,
        type_,
        object_id,
        before,
        limit,
    )
    return msgspec.convert([dict(r) for r in rows], list[InboxEvent])


async def events_about(db: Database, scope: Scope, object_ids: Sequence[str]) -> list[InboxEvent]:
    """The events about these provider objects (sessions, payments, charges, refunds), oldest first."""
    rows = await db.fetch(
        scope,
        f"SELECT {_COLUMNS} FROM inbox.event WHERE object_id = ANY ($1) ORDER BY id LIMIT 200",
        list(object_ids),
    )
    return msgspec.convert([dict(r) for r in rows], list[InboxEvent])


async def read_event(db: Database, scope: Scope, row_id: int) -> tuple[InboxEvent, dict[str, Any]]:
    """One event and its body as it arrived, without what opens a payment; raises NotFound."""
    row = await db.fetchrow(scope, f"SELECT {_COLUMNS}, body FROM inbox.event WHERE id = $1", row_id)
    if row is None:
        raise NotFound()
    found = dict(row)
    body: dict[str, Any] = found.pop("body")
    return msgspec.convert(found, InboxEvent), _without_secrets(body)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        pairs = cast(dict[str, Any], value).items()
        return {k: "hidden" if k in _HIDDEN and v else _without_secrets(v) for k, v in pairs}
    if isinstance(value, list):
        return [_without_secrets(v) for v in cast(list[Any], value)]
    return value


async def count_states(db: Database, scope: Scope) -> dict[str, int]:
    """How many events are in each state, up to `counting.MOST`."""
    sql = counting.by_state(sorted(INBOX_EVENT.states), "state", "SELECT 1 FROM inbox.event WHERE true")
    rows = await db.fetch(scope, sql)
    return {row["state"]: row["n"] for row in rows}


async def refusals(db: Database, scope: Scope, days: int = 7) -> list[Refusals]:
    """Refused deliveries of the last days, newest first."""
    rows = await db.fetch(
        scope,
        """SELECT day, reason, n FROM inbox.refusal WHERE day > current_date - $1::int
           ORDER BY day DESC, reason""",
        days,
    )
    return msgspec.convert([dict(r) for r in rows], list[Refusals])

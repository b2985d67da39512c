"""What the clock brings: tidying away what is over."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts


async def tidy(parts: Parts) -> None:
    """Delete sessions and links that ended a day ago, networks unused for half a year, old brakes."""
    db, day_ago = parts.get(Database), now() - timedelta(days=1)
    for sql, before in (
        ("DELETE FROM identity.sessions WHERE expires_at < $1", day_ago),
        ("DELETE FROM identity.mail_token WHERE expires_at < $1", day_ago),
        ("DELETE FROM identity.known_place WHERE seen_at < $1", now() - timedelta(days=180)),
        ("DELETE FROM core.throttle WHERE window_start < $1", day_ago),
    ):
        await db.execute(SYSTEM, sql, before)


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [("identity.tidy", 3600, tidy)]

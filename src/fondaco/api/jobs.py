"""What the clock brings: old idempotency keys and worn-out counters are dropped."""

from collections.abc import Awaitable, Callable

from fondaco.api.idempotency import forget_old_keys
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts


async def forget_old_counters(parts: Parts) -> None:
    """Drop rate-limit windows nobody has touched for two days."""
    await parts.get(Database).execute(
        SYSTEM, "DELETE FROM core.throttle WHERE window_start < now() - interval '2 days'"
    )


periodic: list[tuple[str, int, Callable[[Parts], Awaitable[None]]]] = [
    ("api.forget_old_keys", 600, forget_old_keys),
    ("api.forget_old_counters", 3600, forget_old_counters),
]

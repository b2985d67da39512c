"""What the clock brings: data keys wrapped by an old key-encryption key are wrapped anew."""

from collections.abc import Awaitable, Callable

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.vault.sealing import Vault


async def rewrap(parts: Parts) -> int:
    """Rewrap everything that is not under the first of `vault_keys`; returns how many data keys."""
    return await parts.get(Vault).rotate(parts.get(Database))


periodic: list[tuple[str, float, Callable[[Parts], Awaitable[object]]]] = [("vault.rewrap", 600.0, rewrap)]

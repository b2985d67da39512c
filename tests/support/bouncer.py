"""How tests reach a database, through a PgBouncer in transaction mode or not."""

from fondaco.chaos.pooler import Bouncer, Pooled, database_settings, program
from fondaco.core.db import Database
from fondaco.embedded import Endpoints

__all__ = ["Bouncer", "Pooled", "database", "database_settings", "direct_dsn", "program"]


def direct_dsn(endpoints: Endpoints) -> str:
    """The application's address of the server itself."""
    return endpoints.direct_dsn if isinstance(endpoints, Pooled) else endpoints.app_dsn


def database(endpoints: Endpoints, *, size: int = 10, timeout_s: float = 10) -> Database:
    """A pool of connections as the application's role, not yet opened."""
    return Database(endpoints.app_dsn, size=size, timeout_s=timeout_s, pooled=isinstance(endpoints, Pooled))

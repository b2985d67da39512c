"""THE ordered list of modules. A module imports only `core` and modules before it."""

import importlib
import pkgutil
from importlib.resources import files

from fondaco.core.machine import Machine, edges_sql

MODULES: tuple[str, ...] = (
    "core",
    "audit",
    "vault",
    "identity",
    "approvals",
    "ledger",
    "integrations",
    "sellers",
    "risk",
    "catalog",
    "inventory",
    "wallets",
    "delivery",
    "orders",
    "credit",
    "destination",
    "refunds",
    "cases",
    "chargebacks",
    "payouts",
    "statements",
    "reconciliation",
    "notifications",
    "inbox",
    "checks",
    "console",
    "api",
    "pages",
)


def machines() -> list[Machine]:
    """Every state machine of every module, by name."""
    found: dict[str, Machine] = {}
    for module in MODULES:
        package = importlib.import_module(f"fondaco.{module}")
        if "model" not in {m.name for m in pkgutil.iter_modules(package.__path__)}:
            continue
        model = importlib.import_module(f"fondaco.{module}.model")
        found |= {m.name: m for m in vars(model).values() if isinstance(m, Machine)}
    return [found[name] for name in sorted(found)]


def schema_sql() -> str:
    """The whole database as the modules declare it, in order. `procrastinate`'s own tables come first
    (in schema public), then each module's schema.sql, then the state machines' edges."""
    from procrastinate.schema import SchemaManager

    parts = [
        "-- The job queue's tables, as its package declares them.",
        SchemaManager.get_schema(),
        _QUEUE_GRANTS,
    ]
    for module in MODULES:
        source = files(f"fondaco.{module}").joinpath("schema.sql")
        if source.is_file():
            parts.append(source.read_text())
    parts.append("-- State machines\n" + edges_sql(machines()))
    return "\n".join(parts)


_QUEUE_GRANTS = """
GRANT USAGE ON SCHEMA public TO fondaco_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO fondaco_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO fondaco_app;
REVOKE ALL ON alembic_version FROM fondaco_app;
GRANT SELECT ON alembic_version TO fondaco_app;
"""

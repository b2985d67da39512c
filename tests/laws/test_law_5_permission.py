"""Law 5. Authorisation is a WHERE clause, declared on every route, with a second wall behind it."""

from fondaco.app import all_routes, create_app
from fondaco.core.db import PUBLIC, SYSTEM, Database
from fondaco.identity.permissions import PERMISSIONS, ROLES
from fondaco.settings import Settings

# Tables with a user's or seller's column that hold nothing private, with the reason.
OPEN_TABLES = {
    "identity.membership": "read before it is known who asks",
    "orders.cart": "a guest's cart is looked up by the hash of a secret",
}


def test_every_route_names_a_permission_of_the_table(settings: Settings) -> None:
    app = create_app(settings)
    missing = [
        f"{sorted(handler.http_methods)} {route.path}"
        for route in app.routes
        for handler in getattr(route, "route_handlers", [])
        if handler.opt.get("permit") not in PERMISSIONS and "OPTIONS" not in handler.http_methods
    ]
    assert all_routes()
    assert not missing


def test_the_table_speaks_of_known_roles_only() -> None:
    assert {role for roles in PERMISSIONS.values() for role in roles} <= set(ROLES)


async def test_every_private_table_has_the_wall(db: Database) -> None:
    rows = await db.fetch(
        SYSTEM,
        """SELECT DISTINCT n.nspname || '.' || c.relname AS name FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relkind = 'r' AND NOT c.relrowsecurity AND NOT a.attisdropped
             AND a.attname IN ('user_id', 'buyer_id', 'seller_id')""",
    )
    assert {r["name"] for r in rows} == set(OPEN_TABLES)


async def test_without_a_scope_the_walls_show_nothing(db: Database) -> None:
    tables = await db.fetch(
        SYSTEM,
        """SELECT n.nspname || '.' || c.relname AS name FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relrowsecurity
             AND c.relname <> 'listing'""",
    )
    assert len(tables) >= 8
    for table in tables:
        assert await db.fetchval(PUBLIC, f"SELECT count(*) FROM {table['name']}") == 0

"""Steps of a purchase as a person takes them, without scripts."""

from uuid import UUID

import httpx

from fondaco.core.db import SYSTEM, Database
from tests.pages.account.browser import send, submit


def origin(client: httpx.AsyncClient) -> dict[str, str]:
    return {"Origin": str(client.base_url).rstrip("/")}


async def into_cart(
    client: httpx.AsyncClient, db: Database, listing_id: UUID, **fields: str
) -> httpx.Response:
    """Open the listing and add it."""
    return await submit(client, f"/l/{await slug(db, listing_id)}", "/cart/add", then="stay", **fields)


async def slug(db: Database, listing_id: UUID) -> str:
    return str(await db.fetchval(SYSTEM, "SELECT slug FROM catalog.listing WHERE id = $1", listing_id))


async def buy(
    client: httpx.AsyncClient, pay_with: str, path: str = "/checkout", **fields: str
) -> httpx.Response:
    """Open the checkout and press a button."""
    return await submit(client, path, "/checkout", pay_with=pay_with, **fields)


async def press(client: httpx.AsyncClient, path: str, action: str, **fields: str) -> httpx.Response:
    """Open a page, send its form for `action`."""
    return await submit(client, path, action, **fields)


async def press_here(
    client: httpx.AsyncClient, seen: httpx.Response, action: str, **fields: str
) -> httpx.Response:
    return await send(client, seen, action, **fields)


async def newest_session(db: Database) -> str:
    """The payment page opened last."""
    return str(
        await db.fetchval(SYSTEM, "SELECT session_id FROM wallets.funding ORDER BY created_at DESC LIMIT 1")
    )


async def change_price(db: Database, listing_id: UUID, price: int) -> None:
    await db.execute(
        SYSTEM,
        "UPDATE catalog.listing SET price = $2, price_version = price_version + 1 WHERE id = $1",
        listing_id,
        price,
    )


async def groups(db: Database) -> int:
    return int(await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group"))

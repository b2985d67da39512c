"""Builders of goods: published listings and real keys, through the verbs themselves."""

import itertools
from collections.abc import Iterable

from fondaco import catalog, inventory
from fondaco.catalog import OwnListing
from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from fondaco.inventory import Batch
from fondaco.vault import Vault

_numbers = itertools.count(1)


async def make_listing(
    db: Database,
    seller: Viewer,
    *,
    price: int = 1999,
    currency: str = "EUR",
    title: str | None = None,
    state: str = "PUBLISHED",
    category: str = "games",
    platform: str = "Steam",
    region: str = "GLOBAL",
    edition: str = "Standard",
    key_format: str = "",
    max_per_order: int = 10,
    summary: str = "A game about tests.",
    description: str = "One key for the full game.",
) -> OwnListing:
    """A complete listing of the store `seller` works in, taken to `state`."""
    made = await catalog.create_listing(
        db,
        seller,
        title=title or f"Game {next(_numbers)}",
        category=category,
        platform=platform,
        region=region,
        edition=edition,
        price=price,
        currency=currency,
        summary=summary,
        description=description,
        activation="Open the client and enter the key.",
        key_format=key_format,
        max_per_order=max_per_order,
    )
    steps = {
        "DRAFT": (),
        "PUBLISHED": (catalog.publish,),
        "PAUSED": (catalog.publish, catalog.pause),
        "ARCHIVED": (catalog.archive,),
    }
    for step in steps[state]:
        made = await step(db, seller, made.id)
    return made


async def make_article(
    db: Database,
    vault: Vault,
    seller: Viewer,
    *,
    copies: int = 10,
    content: str = "# How it is done\n\nFirst this, **then that**.",
    price: int = 900,
    title: str | None = None,
    state: str = "PUBLISHED",
    max_per_order: int = 10,
) -> OwnListing:
    """An article of the store `seller` works in, written unless `content` is empty, taken to `state`."""
    made = await catalog.create_listing(
        db,
        seller,
        kind="article",
        title=title or f"Guide {next(_numbers)}",
        category="learning",
        platform="Web",
        region="GLOBAL",
        price=price,
        currency="EUR",
        summary="A guide about tests.",
        description="Everything in one text.",
        max_per_order=max_per_order,
    )
    if content:
        await inventory.save_content(db, vault, seller, made.id, content=content, version=0)
    if copies:
        await inventory.set_copies(db, seller, made.id, copies=copies, version=1)
    if state == "PUBLISHED":
        made = await catalog.publish(db, seller, made.id)
    return made


def some_keys(n: int) -> list[str]:
    """n different keys, new each time."""
    return [f"KEY{next(_numbers):07d}-TEST" for _ in range(n)]


async def add_keys(
    db: Database, vault: Vault, seller: Viewer, listing: OwnListing, keys: int | Iterable[str]
) -> Batch:
    """Hand keys in (or that many new ones) and import them as a worker does; the closed batch."""
    lines = some_keys(keys) if isinstance(keys, int) else keys
    received = await inventory.receive(
        db, vault, seller, listing.id, source="paste", content="\n".join(lines)
    )
    await inventory.import_batch(db, vault, received.id)
    return await inventory.batch(db, seller, received.id)

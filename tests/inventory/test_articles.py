"""Articles: content sealed by version, copies counted, nobody else's."""

import asyncpg
import pytest

from fondaco import catalog, inventory
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.web import Parts
from fondaco.inventory.jobs import correct_in_stock
from fondaco.vault import Vault
from tests.support.goods import make_article, make_listing
from tests.support.people import make_seller

TEXT = "# Bread\n\nFlour, water, salt.\n\nCANARY-DOUGH"


async def test_content_is_sealed_and_every_save_is_a_version(
    db: Database, vault: Vault, owner: asyncpg.Connection
) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, content="", copies=0, state="DRAFT")
    one = await inventory.save_content(db, vault, seller, listing.id, content=TEXT, version=0)
    assert (one.content_version, one.copies, one.sold, one.held) == (1, 0, 0, 0)
    again = await inventory.save_content(db, vault, seller, listing.id, content=f"{TEXT}\r\n", version=1)
    assert again.content_version == 1  # the same text
    two = await inventory.save_content(db, vault, seller, listing.id, content="# New", version=1)
    assert two.content_version == 2
    assert (await inventory.read_content(db, vault, seller, listing.id)).reveal() == b"# New"
    assert (await inventory.read_content(db, vault, seller, listing.id, 1)).reveal().decode() == TEXT
    assert [v.version for v in await inventory.content_versions(db, seller, listing.id)] == [2, 1]
    rows = await owner.fetch("SELECT * FROM inventory.content")
    assert not any(b"CANARY" in row["sealed"] for row in rows)
    said = await owner.fetch(
        "SELECT kind, data::text FROM audit.event WHERE ref = $1", f"listing:{listing.id}"
    )
    assert [r["kind"] for r in said].count("content.opened") == 2
    assert "CANARY" not in str(said)
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await owner.execute("UPDATE inventory.content SET sealed = '\\x00'")


async def test_a_save_that_did_not_see_the_newest_is_refused_and_loses_nothing(
    db: Database, vault: Vault
) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, content="# Mine")
    with pytest.raises(Conflict) as refused:
        await inventory.save_content(db, vault, seller, listing.id, content="# Theirs", version=0)
    assert refused.value.extra["current"].content_version == 1
    assert (await inventory.read_content(db, vault, seller, listing.id)).reveal() == b"# Mine"
    for bad in ("", "  \n", "x" * (inventory.MAX_CONTENT + 1), "a\x00b"):
        with pytest.raises(Invalid) as wrong:
            await inventory.save_content(db, vault, seller, listing.id, content=bad, version=1)
        assert "content" in wrong.value.fields


async def test_content_opens_only_where_it_belongs(
    db: Database, vault: Vault, owner: asyncpg.Connection
) -> None:
    seller = await make_seller(db)
    one = await make_article(db, vault, seller, content="# One")
    two = await make_article(db, vault, seller, content="# Two")
    moved = "INSERT INTO inventory.content SELECT $2, 2, seller_id, key_id, sealed, created_by FROM "
    await owner.execute(f"{moved} inventory.content WHERE listing_id = $1", one.id, two.id)
    with pytest.raises(Exception, match="cannot be opened"):
        await inventory.read_content(db, vault, seller, two.id)


async def test_copies_are_set_by_whoever_saw_the_last_number(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, copies=0)
    assert not (await catalog.own_listing(db, seller, listing.id)).in_stock
    up = await inventory.set_copies(db, seller, listing.id, copies=5, version=1)
    assert (up.copies, up.version) == (5, 2)
    assert (await catalog.own_listing(db, seller, listing.id)).in_stock
    with pytest.raises(Conflict) as refused:
        await inventory.set_copies(db, seller, listing.id, copies=9, version=1)
    assert refused.value.extra["current"].copies == 5
    same = await inventory.set_copies(db, seller, listing.id, copies=5, version=2)
    assert same.version == 2
    down = await inventory.set_copies(db, seller, listing.id, copies=0, version=2)
    assert (down.copies, down.version) == (0, 3)
    assert not (await catalog.own_listing(db, seller, listing.id)).in_stock
    changes = await db.fetch(SYSTEM, "SELECT change FROM inventory.put_up ORDER BY id")
    assert [r["change"] for r in changes] == [5, -5]
    for bad in (-1, inventory.MAX_COPIES + 1, True):
        with pytest.raises(Invalid):
            await inventory.set_copies(db, seller, listing.id, copies=bad, version=3)


async def test_publishing_needs_content_and_no_way_to_redeem(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, content="", state="DRAFT")
    with pytest.raises(Invalid) as refused:
        await catalog.publish(db, seller, listing.id)
    assert set(refused.value.fields) == {"content"}
    await inventory.save_content(db, vault, seller, listing.id, content=TEXT, version=0)
    assert (await catalog.publish(db, seller, listing.id)).state == "PUBLISHED"


async def test_an_article_takes_no_keys_and_a_key_listing_no_content(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    article = await make_article(db, vault, seller)
    keys = await make_listing(db, seller)
    with pytest.raises(Conflict, match="no keys"):
        await inventory.receive(db, vault, seller, article.id, source="paste", content="AAAA-BBBB")
    with pytest.raises(Conflict, match="no keys"):
        await inventory.withdraw(db, seller, article.id)
    with pytest.raises(NotFound):
        await inventory.article(db, seller, keys.id)
    with pytest.raises(NotFound):
        await inventory.save_content(db, vault, seller, keys.id, content="# No", version=0)
    with pytest.raises(NotFound):
        await inventory.set_copies(db, seller, keys.id, copies=1, version=1)
    with pytest.raises(Invalid) as refused:
        await catalog.edit(db, seller, article.id, version=article.version, key_format="AAAA-9999")
    assert "key_format" in refused.value.fields
    copy = await catalog.duplicate(db, seller, article.id)
    assert copy.kind == "article"
    assert (await inventory.article(db, seller, copy.id)).content_version == 0


async def test_a_kind_never_changes(db: Database, vault: Vault, owner: asyncpg.Connection) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller)
    with pytest.raises(asyncpg.CheckViolationError, match="keeps its kind"):
        await owner.execute("UPDATE catalog.listing SET kind = 'stocked_secret' WHERE id = $1", listing.id)


async def test_another_store_finds_nothing(db: Database, vault: Vault) -> None:
    listing = await make_article(db, vault, await make_seller(db))
    stranger = await make_seller(db)
    with pytest.raises(NotFound):
        await inventory.article(db, stranger, listing.id)
    with pytest.raises(NotFound):
        await inventory.read_content(db, vault, stranger, listing.id)
    with pytest.raises(NotFound):
        await inventory.set_copies(db, stranger, listing.id, copies=1, version=1)
    with pytest.raises(NotFound):
        await inventory.save_content(db, vault, stranger, listing.id, content="# x", version=1)
    assert await inventory.content_versions(db, stranger, listing.id) == []
    # The second wall: the functions themselves ask whose it is.
    async with db.transaction(stranger.as_seller) as conn:
        assert await conn.fetchval("SELECT inventory.set_copies($1, 9, 2, 'x')", listing.id) is None
        key = await vault.new_key(conn, "stock")
        taken = "SELECT inventory.add_content($1, 1, $2, '\\x00', 'x')"
        assert await conn.fetchval(taken, listing.id, key.id) is False
        assert await conn.fetch("SELECT * FROM inventory.counted") == []
        assert await conn.fetch("SELECT * FROM inventory.content") == []
    assert (await catalog.listing_page(db, listing.slug)).card.kind == "article"


async def test_the_application_writes_only_through_the_verbs(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller)
    for sql in (
        "UPDATE inventory.counted SET on_hand = 99 WHERE listing_id = $1",
        "DELETE FROM inventory.content WHERE listing_id = $1",
        "INSERT INTO inventory.put_up (listing_id, seller_id, change, made_by) VALUES ($1, $1, 1, 'x')",
        "INSERT INTO inventory.hold VALUES ($1, $1, $1, 1, now())",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(seller.as_seller, sql, listing.id)


async def test_counts_lists_and_stock_words_know_copies(db: Database, parts: Parts, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, copies=3)
    counts = await inventory.stock_counts(db, seller, listing.id)
    assert (counts.available, counts.reserved, counts.sold, counts.withdrawn) == (3, 0, 0, 0)
    assert await inventory.available(db, seller, [listing.id]) == {listing.id: 3}
    assert [(r.listing_id, r.available) for r in await inventory.low_stock(db, seller)] == [(listing.id, 3)]
    assert (await catalog.listing_page(db, listing.slug)).card.stock.text == "Only 3 left"
    await db.execute(SYSTEM, "UPDATE catalog.listing SET in_stock = false WHERE id = $1", listing.id)
    await correct_in_stock(parts)
    assert (await catalog.own_listing(db, seller, listing.id)).in_stock

"""Importing: whole or not at all, each key once in the whole marketplace, no key in plain anywhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fondaco import catalog, inventory
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Conflict, Invalid, NotFound, TooMany
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.inventory import Batch, importing, unit_binding
from fondaco.inventory.jobs import correct_in_stock, import_one, pick_up_batches
from fondaco.vault import Vault
from tests.support.goods import add_keys, make_listing, some_keys
from tests.support.people import make_seller


async def hand_in(db: Database, vault: Vault, seller: Viewer, listing_id: UUID, keys: list[str]) -> Batch:
    content = "\n".join(keys)
    return await inventory.receive(db, vault, seller, listing_id, source="paste", content=content)


async def units(db: Database, listing_id: UUID) -> int:
    found: int = await db.fetchval(
        SYSTEM, "SELECT count(*) FROM inventory.stock_unit WHERE listing_id = $1", listing_id
    )
    return found


async def everywhere(owner: asyncpg.Connection, needle: str) -> list[str]:
    """Every place in the whole database that holds this text, or its UTF-16 form, in any column."""
    tables = await owner.fetch(
        """SELECT table_schema AS s, table_name AS t FROM information_schema.tables
           WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"""
    )
    found: list[str] = []
    forms = [needle.encode().hex(), needle.encode("utf-16-le").hex()]
    for table in tables:
        name = f'"{table["s"]}"."{table["t"]}"'
        hits: int = await owner.fetchval(
            f"""SELECT count(*) FROM {name} AS t WHERE position($1 IN t::text) > 0
                OR position($2 IN t::text) > 0 OR position($3 IN t::text) > 0""",
            needle,
            *forms,
        )
        if hits:
            found.append(name)
    return found


async def test_a_batch_ends_with_a_report_and_sealed_units(
    db: Database, vault: Vault, cursors: Cursors
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, key_format="AAAA-9999")
    keys = ["GOOD-0001", "good-0001", "GOOD-0002", "wrong", "", "=CMD()-12", " GOOD-0003 ", "GOOD-0002"]
    received = await hand_in(db, vault, seller, listing.id, keys)
    assert (received.state, received.lines, received.percent) == ("RECEIVED", 7, 0)
    assert not (await catalog.own_listing(db, seller, listing.id)).in_stock
    await inventory.import_batch(db, vault, received.id)
    done = await inventory.batch(db, seller, received.id)
    assert (done.state, done.percent, done.failure) == ("CLOSED", 100, None)
    assert (done.imported, done.malformed, done.repeated, done.known_elsewhere) == (3, 2, 2, 0)
    assert (await catalog.own_listing(db, seller, listing.id)).in_stock
    problems = (await inventory.batch_problems(db, seller, cursors, done.id)).items
    assert [(p.line, p.problem, p.mask) for p in problems] == [
        (2, "repeated", "go•••••"),
        (4, "malformed", "w•••••"),
        (6, "malformed", "=C•••••"),
        (8, "repeated", "GO•••••"),
    ]
    table = (await inventory.problems_csv(db, seller, done.id)).decode("utf-8-sig")
    assert table.splitlines()[3] == "6,Not in the listing's key format,'=C•••••"
    async with db.transaction(SYSTEM) as conn:
        rows = await conn.fetch("SELECT id, key_id, sealed FROM inventory.stock_unit")
        opened = {
            (await vault.open(conn, r["key_id"], r["sealed"], unit_binding(r["id"]))).reveal() for r in rows
        }
        wiped = await conn.fetchrow("SELECT upload, upload_key FROM inventory.stock_batch")
    assert opened == {b"GOOD-0001", b"GOOD-0002", b"GOOD-0003"}
    assert wiped and wiped["upload"] is None and wiped["upload_key"] is None
    kinds = await db.fetch(
        SYSTEM, "SELECT kind, data FROM audit.event WHERE ref = $1 ORDER BY id", f"batch:{done.id}"
    )
    assert [k["kind"] for k in kinds] == ["batch.received", "batch.closed"]
    assert kinds[1]["data"]["created_by"] == seller.actor and kinds[1]["data"]["imported"] == 3


async def test_a_key_is_known_across_stores_without_its_text(
    db: Database, vault: Vault, cursors: Cursors, owner: asyncpg.Connection
) -> None:
    canary = "CANARYKEY-7Q2M-XW95"
    one, two = await make_seller(db), await make_seller(db)
    first = await make_listing(db, one)
    mine, other = await make_listing(db, two), await make_listing(db, two)
    waiting = await hand_in(db, vault, one, first.id, [canary, "wrong\x07" + canary])
    assert await everywhere(owner, canary) == [], "not even while it waits"
    await inventory.import_batch(db, vault, waiting.id)
    second = await add_keys(db, vault, two, mine, [f" {canary.lower()} ", "MINE-0001"])
    assert (second.imported, second.repeated, second.known_elsewhere) == (1, 0, 1)
    assert (await inventory.batch_problems(db, two, cursors, second.id)).items == [], "a count, never which"
    third = await add_keys(db, vault, two, other, ["mine-0001", "MINE-0002"])
    assert (third.imported, third.repeated, third.known_elsewhere) == (1, 1, 0)
    for needle in (canary, canary.lower(), canary[:9]):
        assert await everywhere(owner, needle) == []
    assert await everywhere(owner, first.title), "the search does find what is there"


async def test_an_import_that_breaks_leaves_nothing_and_runs_again(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    received = await hand_in(db, vault, seller, listing.id, [*some_keys(5000), "x"])

    async def broken(*_: object) -> None:
        raise RuntimeError("cut off at the very end")

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_close", broken)
        with pytest.raises(RuntimeError):
            await inventory.import_batch(db, vault, received.id)
    assert await units(db, listing.id) == 0
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM inventory.batch_problem") == 0
    assert (await inventory.batch(db, seller, received.id)).state == "IMPORTING"
    assert not (await catalog.own_listing(db, seller, listing.id)).in_stock
    await inventory.import_batch(db, vault, received.id)
    assert (await inventory.batch(db, seller, received.id)).imported == await units(db, listing.id) == 5000
    await inventory.import_batch(db, vault, received.id)
    assert await units(db, listing.id) == 5000, "a closed batch is left alone"


async def until(check: Callable[[], Any]) -> Any:
    """Waits for something that must come."""
    async with asyncio.timeout(30):
        while not (found := await check()):
            await asyncio.sleep(0.01)
    return found


WAITING = """SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'
  AND query LIKE 'INSERT INTO inventory.stock_unit%' AND datname = current_database()"""


async def hold_key(owner: asyncpg.Connection, db: Database, vault: Vault, key: str) -> None:
    """In the owner's open transaction, stock that key for a store, so that others must wait for the end."""
    source = await db.fetchrow(SYSTEM, "SELECT * FROM inventory.stock_unit LIMIT 1")
    assert source
    await owner.execute(
        """INSERT INTO inventory.stock_unit
             (id, seller_id, listing_id, batch_id, state, fingerprint, key_id, sealed)
           VALUES (gen_random_uuid(), $1, $2, $3, 'AVAILABLE', $4, $5, '\\x00')""",
        source["seller_id"],
        source["listing_id"],
        source["batch_id"],
        vault.fingerprint(key),
        source["key_id"],
    )


@asynccontextmanager
async def rolled_back(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def lost(work: Awaitable[None]) -> None:
    """The work ends by losing its connection."""
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await work


async def test_a_connection_lost_in_the_middle_leaves_nothing(
    db: Database, vault: Vault, owner: asyncpg.Connection
) -> None:
    one, two = await make_seller(db), await make_seller(db)
    await add_keys(db, vault, one, await make_listing(db, one), 1)
    listing = await make_listing(db, two)
    keys = some_keys(6000)
    received = await hand_in(db, vault, two, listing.id, keys)
    last = max(keys, key=vault.fingerprint)
    async with asyncio.TaskGroup() as group:
        async with rolled_back(owner):
            await hold_key(owner, db, vault, last)
            running = group.create_task(lost(inventory.import_batch(db, vault, received.id)))
            pid = await until(lambda: db.fetchval(SYSTEM, WAITING))
            await db.execute(SYSTEM, "SELECT pg_terminate_backend($1)", pid)
            await running
    assert await units(db, listing.id) == 0
    await inventory.import_batch(db, vault, received.id)
    assert (await inventory.batch(db, two, received.id)).imported == 6000


async def test_a_key_that_another_import_is_just_storing_is_waited_for(
    db: Database, vault: Vault, owner: asyncpg.Connection
) -> None:
    one, two = await make_seller(db), await make_seller(db)
    await add_keys(db, vault, one, await make_listing(db, one), 1)
    listing = await make_listing(db, two)
    received = await hand_in(db, vault, two, listing.id, ["RACE-0001", "RACE-0002"])
    async with owner.transaction():
        await hold_key(owner, db, vault, "RACE-0001")
        running = asyncio.create_task(inventory.import_batch(db, vault, received.id))
        await until(lambda: db.fetchval(SYSTEM, WAITING))
    await running
    done = await inventory.batch(db, two, received.id)
    assert (done.state, done.imported, done.known_elsewhere) == ("CLOSED", 1, 1)


async def test_batches_with_the_same_keys_at_once_share_them_out(db: Database, vault: Vault) -> None:
    keys = some_keys(3000)
    sellers = [await make_seller(db) for _ in range(3)]
    listings = [await make_listing(db, s) for s in sellers]
    received = [
        await hand_in(db, vault, s, li.id, list(order))
        for s, li, order in zip(
            sellers, listings, (keys, reversed(keys), [*keys[1500:], *keys[:1500]]), strict=True
        )
    ]
    twin = await hand_in(db, vault, sellers[0], listings[0].id, keys)
    await asyncio.gather(*(inventory.import_batch(db, vault, b.id) for b in (*received, twin)))
    done = [
        await inventory.batch(db, s, b.id)
        for s, b in zip([*sellers, sellers[0]], [*received, twin], strict=True)
    ]
    assert all(b.state == "CLOSED" and b.malformed == 0 for b in done)
    assert sum(b.imported for b in done) == 3000
    assert all(b.imported + b.repeated + b.known_elsewhere == 3000 for b in done)
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM inventory.stock_unit") == 3000


async def test_one_batch_taken_up_by_several_workers_is_stored_once(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    received = await hand_in(db, vault, seller, listing.id, some_keys(3000))
    await asyncio.gather(*(inventory.import_batch(db, vault, received.id) for _ in range(4)))
    done = await inventory.batch(db, seller, received.id)
    assert (done.state, done.imported, done.repeated) == ("CLOSED", 3000, 0)
    assert await units(db, listing.id) == 3000
    closed = "SELECT count(*) FROM audit.event WHERE kind = 'batch.closed'"
    assert await db.fetchval(SYSTEM, closed) == 1


async def test_progress_goes_forward_and_is_seen_from_outside(
    db: Database, vault: Vault, owner: asyncpg.Connection
) -> None:
    await owner.execute(
        """CREATE TABLE public.seen (n serial, done int);
           CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN INSERT INTO public.seen (done) VALUES (NEW.done); RETURN NEW; END $$;
           CREATE TRIGGER note AFTER UPDATE ON inventory.stock_batch
             FOR EACH ROW EXECUTE FUNCTION public.note()"""
    )
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    await add_keys(db, vault, seller, listing, 8001)
    seen = [r["done"] for r in await owner.fetch("SELECT done FROM public.seen ORDER BY n")]
    assert seen == [0, 1000, 2000, 3000, 4000, 4000, 5000, 6000, 7000, 8000, 8000, 8001] or (
        seen == sorted(seen) and len(seen) >= 10 and seen[-1] == 8001
    )


async def test_five_broken_tries_end_in_words(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch, owner: asyncpg.Connection
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    received = await hand_in(db, vault, seller, listing.id, some_keys(3))

    async def broken(*_: object) -> None:
        raise ConnectionError("again")

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_store", broken)
        for _ in range(4):
            with pytest.raises(ConnectionError):
                await inventory.import_batch(db, vault, received.id)
        await inventory.import_batch(db, vault, received.id)
    failed = await inventory.batch(db, seller, received.id)
    assert failed.state == "FAILED" and failed.failure and "Nothing was imported" in failed.failure
    row = await owner.fetchrow("SELECT upload, upload_key FROM inventory.stock_batch")
    assert row and row["upload"] is None
    event = await owner.fetchrow("SELECT data FROM audit.event WHERE kind = 'batch.failed'")
    assert event and str(listing.id) in event["data"]
    again = await add_keys(db, vault, seller, listing, 3)
    assert again.imported == 3


async def test_a_worker_that_died_each_time_ends_in_words(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    received = await hand_in(db, vault, seller, listing.id, some_keys(3))
    await db.execute(SYSTEM, "UPDATE inventory.stock_batch SET state = 'IMPORTING', attempts = 5")
    await inventory.import_batch(db, vault, received.id)
    assert (await inventory.batch(db, seller, received.id)).state == "FAILED"


async def test_a_changed_upload_fails_at_once(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    a = await hand_in(db, vault, seller, listing.id, some_keys(3))
    b = await hand_in(db, vault, seller, listing.id, some_keys(3))
    await db.execute(
        SYSTEM,
        """UPDATE inventory.stock_batch b SET upload = o.upload, upload_key = o.upload_key
           FROM inventory.stock_batch o WHERE b.id = $1 AND o.id = $2""",
        a.id,
        b.id,
    )
    await inventory.import_batch(db, vault, a.id)
    failed = await inventory.batch(db, seller, a.id)
    assert failed.state == "FAILED" and failed.failure and "cannot be opened" in failed.failure
    await inventory.import_batch(db, vault, b.id)
    assert (await inventory.batch(db, seller, b.id)).imported == 3


JOBS = (
    "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'inventory.import_batch' AND status = 'todo'"
)


async def test_handing_in_queues_one_job_and_a_lost_one_is_queued_again(
    db: Database, parts: Parts, vault: Vault
) -> None:
    parts.add(vault)
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    received = await hand_in(db, vault, seller, listing.id, some_keys(3))
    assert await db.fetchval(SYSTEM, JOBS) == 1
    await pick_up_batches(parts)
    assert await db.fetchval(SYSTEM, JOBS) == 1, "it is young"
    old = "UPDATE inventory.stock_batch SET touched_at = now() - interval '3 minutes'"
    await db.execute(SYSTEM, old)
    await pick_up_batches(parts)
    assert await db.fetchval(SYSTEM, JOBS) == 1, "it already waits"
    await db.execute(SYSTEM, "DELETE FROM procrastinate_jobs")
    await db.execute(SYSTEM, old)
    await pick_up_batches(parts)
    job = await db.fetchrow(SYSTEM, "SELECT args FROM procrastinate_jobs")
    assert job and await db.fetchval(SYSTEM, JOBS) == 1
    await import_one(parts, **job["args"])
    assert (await inventory.batch(db, seller, received.id)).imported == 3
    await db.execute(SYSTEM, "DELETE FROM procrastinate_jobs")
    await db.execute(SYSTEM, old)
    await pick_up_batches(parts)
    assert await db.fetchval(SYSTEM, JOBS) == 0, "closed ones are left alone"


async def test_a_wrong_word_about_stock_is_set_right(db: Database, parts: Parts, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    await add_keys(db, vault, seller, listing, 2)
    await db.execute(SYSTEM, "UPDATE catalog.listing SET in_stock = false")
    await correct_in_stock(parts)
    assert (await catalog.own_listing(db, seller, listing.id)).in_stock


async def test_what_cannot_be_handed_in(db: Database, vault: Vault) -> None:
    seller, foreign = await make_seller(db), await make_seller(db)
    listing = await make_listing(db, seller)
    archived = await make_listing(db, seller, state="ARCHIVED")
    for viewer, listing_id in ((foreign, listing.id), (seller, uuid7())):
        with pytest.raises(NotFound):
            await hand_in(db, vault, viewer, listing_id, ["AAAA-1"])
    with pytest.raises(Conflict):
        await hand_in(db, vault, seller, archived.id, ["AAAA-1"])
    for content in ("", " \n\n", "\ud800AAAA", "A" * (20 * 1024 * 1024 + 1), "A\n" * 200_001):
        with pytest.raises(Invalid) as refused:
            await hand_in(db, vault, seller, listing.id, [content])
        assert list(refused.value.fields) == ["keys"]
    with pytest.raises(Invalid):
        await inventory.receive(db, vault, seller, listing.id, source="fax", content="AAAA-1")
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM inventory.stock_batch") == 0
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM vault.data_key WHERE purpose = 'upload'") == 0


async def test_probing_for_keys_is_slowed_down(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fondaco.inventory.actions._UPLOADS", 3)
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    for i in range(3):
        await hand_in(db, vault, seller, listing.id, [f"PROBE-{i}"])
    with pytest.raises(TooMany):
        await hand_in(db, vault, seller, listing.id, ["PROBE-4"])


async def test_withdrawing_takes_the_latest_free_units_for_good(db: Database, vault: Vault) -> None:
    seller, foreign = await make_seller(db), await make_seller(db)
    listing = await make_listing(db, seller)
    first = await add_keys(db, vault, seller, listing, 5)
    second = await add_keys(db, vault, seller, listing, 5)
    for n in (0, -1, 2**40, True):
        with pytest.raises(Invalid):
            await inventory.withdraw(db, seller, listing.id, n)
    for viewer, listing_id in ((foreign, listing.id), (seller, uuid7())):
        with pytest.raises(NotFound):
            await inventory.withdraw(db, viewer, listing_id)
    assert await inventory.withdraw(db, seller, listing.id, 6) == 6
    rows = await db.fetch(
        SYSTEM,
        "SELECT batch_id, count(*) AS n FROM inventory.stock_unit WHERE state = 'AVAILABLE' GROUP BY 1",
    )
    assert [(r["batch_id"], r["n"]) for r in rows] == [(first.id, 4)] and second.imported == 5
    assert (await inventory.stock_counts(db, seller, listing.id)).withdrawn == 6
    assert (await catalog.own_listing(db, seller, listing.id)).in_stock
    assert await inventory.withdraw(db, seller, listing.id) == 4
    assert await inventory.withdraw(db, seller, listing.id) == 0
    assert not (await catalog.own_listing(db, seller, listing.id)).in_stock
    with pytest.raises(asyncpg.CheckViolationError):
        await db.execute(SYSTEM, "UPDATE inventory.stock_unit SET state = 'AVAILABLE'")
    data = [
        r["data"]["count"]
        for r in await db.fetch(
            SYSTEM, "SELECT data FROM audit.event WHERE kind = 'unit.withdrawn' ORDER BY id"
        )
    ]
    assert data == [6, 4]


async def test_lists_of_batches_counts_and_low_stock(db: Database, vault: Vault, cursors: Cursors) -> None:
    seller, foreign = await make_seller(db), await make_seller(db)
    full, low = await make_listing(db, seller, title="Full"), await make_listing(db, seller, title="Low")
    await make_listing(db, seller, title="Paused", state="PAUSED")
    made = [await add_keys(db, vault, seller, full, 10)]
    made += [await add_keys(db, vault, seller, low, 1) for _ in range(3)]
    seen: list[UUID] = []
    cursor = None
    while True:
        page = await inventory.batches(db, seller, cursors, limit=2, cursor=cursor)
        seen += [b.id for b in page.items]
        if (cursor := page.next) is None:
            break
    assert seen == [b.id for b in reversed(made)]
    only = await inventory.batches(db, seller, cursors, listing_id=low.id, states=["CLOSED"])
    assert len(only.items) == 3
    assert (await inventory.batches(db, foreign, cursors)).items == []
    with pytest.raises(NotFound):
        await inventory.batch_problems(db, foreign, cursors, made[0].id)
    with pytest.raises(NotFound):
        await inventory.problems_csv(db, foreign, made[0].id)
    assert await inventory.available(db, seller, [full.id, low.id]) == {full.id: 10, low.id: 3}
    assert await inventory.available(db, foreign, [full.id]) == {full.id: 0}
    assert [(i.title, i.available) for i in await inventory.low_stock(db, seller)] == [("Low", 3)]
    with pytest.raises(NotFound):
        await inventory.stock_counts(db, foreign, full.id)


@pytest.mark.slow
async def test_a_hundred_thousand_keys(db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    received = await hand_in(db, vault, seller, listing.id, some_keys(100_000))
    gaps: list[float] = []

    async def pulse() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)

    beating = asyncio.create_task(pulse())
    await inventory.import_batch(db, vault, received.id)
    beating.cancel()
    done = await inventory.batch(db, seller, received.id)
    assert (done.state, done.imported, done.done) == ("CLOSED", 100_000, 100_000)
    assert len(gaps) > 20, "the event loop stayed free"

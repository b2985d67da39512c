"""The shop's list: filters, facets, search, pages, and what must never show in it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fondaco import catalog
from fondaco.catalog import BrowseQuery, BrowseResult, Kept, counting
from fondaco.core.db import SYSTEM, Database
from fondaco.core.pagination import BadCursor, Cursors
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.vault import Vault
from tests.support.goods import add_keys, make_listing
from tests.support.people import make_seller

PLATFORMS = ["Steam", "GOG", "Xbox"]
REGIONS = ["GLOBAL", "EU", "US"]
CATEGORIES = ["games", "software"]
WORDS = ["lantern", "harbour", "storm", "quiet"]


@dataclass(frozen=True)
class Item:
    """One listing as the test's own model knows it."""

    title: str
    category: str
    platform: str
    region: str
    seller: str
    price: int
    stocked: bool
    sold: int
    state: str


async def stock(db: Database, listing_id: Any, n: int = 1) -> None:
    """n free units that hold no real secret, and the listing says so."""
    await db.execute(
        SYSTEM,
        """WITH k AS (INSERT INTO vault.data_key (id, purpose, kek, wrapped)
             VALUES (gen_random_uuid(), 'stock', 'none', '\\x00') RETURNING id),
           b AS (INSERT INTO inventory.stock_batch (id, seller_id, listing_id, source, state, created_by)
             SELECT gen_random_uuid(), seller_id, id, 'api', 'RECEIVED', 'test'
             FROM catalog.listing WHERE id = $1 RETURNING id, seller_id)
           INSERT INTO inventory.stock_unit
             (id, seller_id, listing_id, batch_id, state, fingerprint, key_id, sealed)
           SELECT gen_random_uuid(), b.seller_id, $1, b.id, 'AVAILABLE',
             sha256(gen_random_uuid()::text::bytea), k.id, '\\x00' FROM b, k, generate_series(1, $2)""",
        listing_id,
        n,
    )
    await db.execute(SYSTEM, "UPDATE catalog.listing SET in_stock = true WHERE id = $1", listing_id)


async def fill(db: Database, sellers: dict[str, Viewer], items: Iterable[Item]) -> None:
    for item in items:
        made = await make_listing(
            db,
            sellers[item.seller],
            title=item.title,
            category=item.category,
            platform=item.platform,
            region=item.region,
            price=item.price,
            state=item.state,
            summary="Plain words.",
        )
        await db.execute(SYSTEM, "UPDATE catalog.listing SET sold = $2 WHERE id = $1", made.id, item.sold)
        if item.stocked:
            await stock(db, made.id)


@pytest.fixture
async def sellers(db: Database) -> dict[str, Viewer]:
    found = [await make_seller(db, name) for name in ("Rialto", "Atelier")]
    slugs = await db.fetch(SYSTEM, "SELECT id, slug FROM sellers.seller")
    by_id = {r["id"]: r["slug"] for r in slugs}
    return {by_id[v.seller()]: v for v in found}


def counts(result: BrowseResult, facet: str) -> dict[str, int]:
    return next({v.value: v.count for v in f.values} for f in result.facets if f.name == facet)


def matches(item: Item, q: BrowseQuery, without: str = "") -> bool:
    words = q.q.split()
    has = [w.lower() for w in item.title.split()]
    return (
        item.state == "PUBLISHED"
        and all(w in has for w in words[:-1])
        and (not words or any(h.startswith(words[-1]) for h in has))
        and (without == "category" or not q.categories or item.category in q.categories)
        and (without == "platform" or not q.platforms or item.platform in q.platforms)
        and (without == "region" or not q.regions or item.region in q.regions)
        and (without == "seller" or not q.sellers or item.seller in q.sellers)
        and (q.price_min is None or item.price >= q.price_min)
        and (q.price_max is None or item.price <= q.price_max)
        and (without == "price" or not q.price_bands or band(item.price) in q.price_bands)
        and (without == "in_stock" or not q.in_stock or item.stocked)
    )


def band(price: int) -> str:
    return next(
        n for n, (low, high) in catalog.PRICE_BANDS.items() if price >= low and (not high or price <= high)
    )


def some(values: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


async def test_facets_totals_and_pages_equal_counting_by_hand(
    db: Database, cursors: Cursors, sellers: dict[str, Viewer]
) -> None:
    slugs = sorted(sellers)
    items = [
        Item(
            title=f"{WORDS[i % 4].title()} {WORDS[(i // 4 + 1) % 4].title()} {i}",
            category=CATEGORIES[i % 2],
            platform=PLATFORMS[i % 3],
            region=REGIONS[(i // 2) % 3],
            seller=slugs[(i // 3) % 2],
            price=(99, 499, 500, 1000, 1999, 2000, 7000)[i % 7],
            stocked=i % 3 != 0,
            sold=i % 4,
            state="DRAFT" if i % 9 == 0 else "PAUSED" if i % 10 == 0 else "PUBLISHED",
        )
        for i in range(30)
    ]
    await fill(db, sellers, items)
    queries = st.builds(
        BrowseQuery,
        q=st.sampled_from(["", "lan", "harbour", "storm qui", "lantern har", "zzz"]),
        categories=some(CATEGORIES),
        platforms=some([*PLATFORMS, "Nope"]),
        regions=some(REGIONS),
        sellers=some(slugs),
        price_min=st.sampled_from([None, 0, 300]),
        price_max=st.sampled_from([None, 5000, 500]),
        price_bands=some([*catalog.PRICE_BANDS]),
        in_stock=st.booleans(),
        sort=st.sampled_from(sorted(catalog.SORTS)),
        limit=st.sampled_from([3, 7, 100]),
    )
    tried: list[BrowseQuery] = []

    @given(queries)
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    def gather(query: BrowseQuery) -> None:
        tried.append(query)

    gather()
    for query in tried:
        await same_as_by_hand(db, cursors, items, query)
    assert len(tried) >= 50


async def same_as_by_hand(db: Database, cursors: Cursors, items: list[Item], query: BrowseQuery) -> None:
    expected = [i for i in items if matches(i, query)]
    first = await catalog.browse(db, cursors, query)
    assert (first.total, first.at_least) == (len(expected), False)
    for facet in ("category", "platform", "region", "seller"):
        left = [i for i in items if matches(i, query, without=facet)]
        assert counts(first, facet) == Counter(getattr(i, facet) for i in left), (facet, query)
    priced = [i for i in items if matches(i, query, without="price")]
    assert counts(first, "price") == Counter(band(i.price) for i in priced)
    stocked = [i for i in items if matches(i, query, without="in_stock") and i.stocked]
    assert counts(first, "in_stock") == ({"true": len(stocked)} if stocked else {})
    forward = await walk(db, cursors, query)
    assert Counter(forward) == Counter(i.title for i in expected)
    by_title = {i.title: i for i in items}
    shown = [by_title[t] for t in forward]
    if query.sort.startswith("price"):
        assert [i.price for i in shown] == sorted(
            (i.price for i in shown), reverse=query.sort == "price_down"
        )
    elif query.sort == "popular":
        assert [i.sold for i in shown] == sorted((i.sold for i in shown), reverse=True)
    else:
        assert forward == [i.title for i in reversed(items) if i in expected]


async def walk(db: Database, cursors: Cursors, query: BrowseQuery) -> list[str]:
    """Titles of all pages, forward; going back from the last page must give the same."""
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await catalog.browse(db, cursors, replace(query, cursor=cursor))
        pages.append([c.title for c in page.items])
        assert (page.previous is not None) == (cursor is not None and bool(page.items))
        if page.next is None:
            break
        cursor = page.next
    back = list(reversed(pages[:-1]))
    while page.previous:
        page = await catalog.browse(db, cursors, replace(query, cursor=page.previous))
        assert [c.title for c in page.items] == back.pop(0)
    assert not back
    return [t for titles in pages for t in titles]


async def test_a_walk_has_no_repeats_or_gaps_while_listings_arrive(
    db: Database, cursors: Cursors, sellers: dict[str, Viewer]
) -> None:
    seller = next(iter(sellers.values()))
    for i in range(12):
        await make_listing(db, seller, title=f"Old {i}", price=500)
    for sort in catalog.SORTS:
        there = {c.title for c in (await catalog.browse(db, cursors, BrowseQuery(limit=100))).items}
        seen: list[str] = []
        cursor = None
        for turn in range(100):
            page = await catalog.browse(db, cursors, BrowseQuery(sort=sort, limit=5, cursor=cursor))
            seen += [c.title for c in page.items]
            if page.next is None:
                break
            cursor = page.next
            await make_listing(db, seller, title=f"New {sort} {turn}", price=500 + turn % 3 - 1)
        assert len(seen) == len(set(seen)), sort
        assert there <= set(seen), sort


async def test_search_folds_accents_case_and_punctuation_and_completes_the_last_word(
    db: Database, cursors: Cursors, sellers: dict[str, Viewer]
) -> None:
    seller = next(iter(sellers.values()))
    for title in ("Café Salt-Lake: Node.js", "ПРИВЕТ мир", "Café Noir", "100% O'Reilly"):
        await make_listing(db, seller, title=title)

    async def find(q: str) -> set[str]:
        return {c.title for c in (await catalog.browse(db, cursors, BrowseQuery(q=q))).items}

    assert await find("cafe sal") == {"Café Salt-Lake: Node.js"}
    assert await find("CAFÉ") == {"Café Salt-Lake: Node.js", "Café Noir"}
    assert await find("node js") == await find("node.js") == {"Café Salt-Lake: Node.js"}
    assert await find("привет") == {"ПРИВЕТ мир"}
    assert await find("o'rei") == {"100% O'Reilly"}
    assert await find("noir cafe steam") == {"Café Noir"}
    assert await find("caf sal") == set(), "only the last word may be incomplete"
    for nasty in ("'", "a:*b", "!|&()", "\\", "x' | 'y", "a\x00b", "<->", "\ud7ff", "'" * 200):
        await find(nasty)
    assert len(await find("&&& !!!")) == 4, "no word at all filters nothing"


async def test_what_is_not_on_sale_is_nowhere(
    db: Database, cursors: Cursors, sellers: dict[str, Viewer], vault: Vault
) -> None:
    mine, other = list(sellers.values())
    public = await make_listing(db, mine, title="Public thing")
    secret = await make_listing(db, mine, title="Zanzibar secret", platform="Hidden Platform", state="PAUSED")
    draft = await make_listing(db, mine, title="Public thing", region="US", state="DRAFT")
    await add_keys(db, vault, mine, secret, 3)
    for query in (BrowseQuery(q="zanzibar"), BrowseQuery(), BrowseQuery(platforms=("Hidden Platform",))):
        result = await catalog.browse(db, cursors, query)
        assert all(c.title == "Public thing" for c in result.items)
        assert "Hidden Platform" not in counts(result, "platform")
        assert result.total <= 1
    page = await catalog.listing_page(db, public.slug)
    assert page.offers == []
    assert await catalog.related_kept(Kept(), db, page.card, 6) == []
    for hidden in (secret, draft):
        for viewer in (Viewer(), other):
            for key in (hidden.slug, str(hidden.id)):
                with pytest.raises(NotFound) as refused:
                    await catalog.listing_page(db, key, viewer)
                assert refused.value.body() == NotFound().body()
        assert (await catalog.listing_page(db, hidden.slug, mine)).own
    await db.execute(SYSTEM, "UPDATE sellers.seller SET state = 'SUSPENDED' WHERE id = $1", mine.seller())
    assert (await catalog.browse(db, cursors, BrowseQuery())).total == 0
    with pytest.raises(NotFound):
        await catalog.listing_page(db, public.slug)


async def test_the_page_tells_other_offers_and_never_the_raw_stock(
    db: Database, cursors: Cursors, sellers: dict[str, Viewer], vault: Vault
) -> None:
    mine, other = list(sellers.values())
    listing = await make_listing(db, mine, title="Salt", price=2000)
    cheaper = await make_listing(db, other, title="Salt", price=1500, region="EU")
    beside = await make_listing(db, other, title="Pepper", price=1)
    page = await catalog.listing_page(db, listing.slug)
    assert page.card.stock.text == "Sold out" and not page.own
    assert [o.id for o in page.offers] == [cheaper.id]
    await add_keys(db, vault, mine, listing, 4)
    page = await catalog.listing_page(db, str(listing.id))
    assert (page.card.stock.text, page.card.stock.left) == ("Only 4 left", 4)
    await add_keys(db, vault, mine, listing, 30)
    page = await catalog.listing_page(db, listing.slug)
    assert (page.card.stock.text, page.card.stock.left) == ("In stock", None)
    await stock(db, beside.id)
    kept = Kept()
    assert [c.id for c in await catalog.related_kept(kept, db, page.card, 6)] == [beside.id]


async def test_counts_stop_at_ten_thousand(
    db: Database, cursors: Cursors, sellers: dict[str, Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "COUNTED", 5)
    seller = next(iter(sellers.values()))
    for i in range(8):
        await make_listing(db, seller, platform="Steam" if i else "GOG")
    result = await catalog.browse(db, cursors, BrowseQuery(platforms=("GOG",)))
    assert (result.total, result.at_least) == (1, False)
    assert next(f.at_least for f in result.facets if f.name == "platform")
    assert not next(f.at_least for f in result.facets if f.name == "region")
    everything = await catalog.browse(db, cursors, BrowseQuery())
    assert (everything.total, everything.at_least) == (5, True)
    assert sum(counts(everything, "platform").values()) <= 6


async def test_hostile_queries_are_refused_in_words(db: Database, cursors: Cursors) -> None:
    faults: list[tuple[BrowseQuery, str]] = [
        (BrowseQuery(sort="rank; DROP"), "sort"),
        (BrowseQuery(price_min=-1), "price_min"),
        (BrowseQuery(price_max=2**63), "price_max"),
        (BrowseQuery(price_max=True), "price_max"),
        (BrowseQuery(q="x" * 201), "q"),
        (BrowseQuery(sellers=("s",) * 51), "sellers"),
        (BrowseQuery(limit=0), "limit"),
        (BrowseQuery(limit=101), "limit"),
    ]
    for query, field in faults:
        with pytest.raises(Invalid) as refused:
            await catalog.browse(db, cursors, query)
        assert list(refused.value.fields) == [field]
    made = cursors.make("shop-newest", ["on", "yesterday", "x"])
    other_list = cursors.make("batches", ["on", "2026-01-01T00:00:00+00:00", "x"])
    foreign_key = Cursors(b"another").make("shop-newest", ["on", 1, 2])
    for cursor in ("x", "é", "A" * 4000, made, other_list, foreign_key, "====", "-_-_"):
        with pytest.raises(BadCursor):
            await catalog.browse(db, cursors, BrowseQuery(cursor=cursor))
    nothing = await catalog.browse(db, cursors, BrowseQuery(platforms=("a'b\x00",), sellers=("';--",)))
    assert nothing.items == [] and nothing.total == 0

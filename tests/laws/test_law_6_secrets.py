"""Law 6. Secrets are in no table, log, queue, mail or error; only their owner's reveal opens them."""

import hashlib

import asyncpg
import httpx
import pytest

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.notifications.jobs import read_events
from fondaco.notifications.sending import send_due
from fondaco.vault import Vault
from tests.support.goods import add_keys, make_article, make_listing
from tests.support.money import give_money
from tests.support.people import PASSWORD, bearer, make_seller, make_user

KEY = "CANARY-9QX7-Z1LD-4WPT"


async def everywhere(owner: asyncpg.Connection) -> str:
    """Every row of every table as text; bytes read as text where they are text."""
    tables = await owner.fetch(
        """SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""
    )
    found: list[str] = []
    for table in tables:
        for row in await owner.fetch(f"SELECT * FROM {table['name']}"):
            for value in row.values():
                found.append(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
    return "\n".join(found)


async def test_a_key_is_nowhere_but_in_its_reveal(
    db: Database,
    parts: Parts,
    owner: asyncpg.Connection,
    client: httpx.AsyncClient,
    capfd: pytest.CaptureFixture[str],
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    await add_keys(db, parts.get(Vault), seller, listing, [KEY, KEY, "  bad\x00line", f"{KEY}-SECOND"])
    buyer = await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    mine, theirs = await bearer(db, buyer), await bearer(db, seller)
    order = {
        "pay_with": "wallet",
        "lines": [{"listing_id": str(listing.id), "quantity": 2, "price": listing.price}],
    }
    bought = await client.post("/api/v1/orders", headers=mine, json=order)
    assert bought.status_code == 201, bought.text
    await read_events(parts)
    await send_due(parts)
    library = (await client.get("/api/v1/library", headers=mine)).json()["items"]
    assert len(library) == 2
    shown: set[str] = set()
    for item in library:
        refused = await client.post(f"/api/v1/library/{item['id']}/reveal", headers=theirs)
        assert refused.status_code == 404
        assert "CANARY" not in refused.text
        answer = await client.post(f"/api/v1/library/{item['id']}/reveal", headers=mine)
        assert answer.headers["cache-control"] == "no-store"
        shown.add(answer.json()["secret"])
    assert shown == {KEY, f"{KEY}-SECOND"}
    bad = await client.post(f"/api/v1/library/{KEY}/reveal", headers=mine)
    assert KEY not in bad.text
    await client.post("/api/v1/session", json={"email": buyer.email, "password": PASSWORD + "x"})
    stored = await everywhere(owner)
    assert len(stored) > 10_000
    assert "CANARY" not in stored
    assert KEY.encode().hex() not in stored
    assert hashlib.sha256(KEY.encode()).hexdigest() not in stored  # a bare hash could be guessed at
    for token in (mine, theirs):
        assert token["Authorization"].removeprefix("Bearer ") not in stored
    said = "".join(capfd.readouterr())
    assert "CANARY" not in said
    assert PASSWORD not in said


async def test_an_article_is_nowhere_but_with_those_who_bought_it(
    db: Database,
    parts: Parts,
    owner: asyncpg.Connection,
    client: httpx.AsyncClient,
    capfd: pytest.CaptureFixture[str],
) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, parts.get(Vault), seller, content="# Title\n\nCANARY in the dough.")
    buyer = await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    mine, theirs = await bearer(db, buyer), await bearer(db, seller)
    late = {"content": "# CANARY of a save that came too late", "version": 0}
    refused = await client.put(f"/api/v1/seller/listings/{listing.id}/content", headers=theirs, json=late)
    assert (refused.status_code, "CANARY" in refused.text) == (409, False)
    line = {"listing_id": str(listing.id), "quantity": 1, "price": listing.price}
    order = {"pay_with": "wallet", "lines": [line]}
    bought = await client.post("/api/v1/orders", headers=mine, json=order)
    assert bought.status_code == 201, bought.text
    await read_events(parts)
    await send_due(parts)
    [item] = (await client.get("/api/v1/library", headers=mine)).json()["items"]
    for path in (f"/l/{listing.slug}", f"/api/v1/listings/{listing.slug}", "/browse?q=canary"):
        assert "CANARY in the dough" not in (await client.get(path)).text
    hidden = await client.post(f"/api/v1/library/{item['id']}/reveal", headers=theirs)
    assert hidden.status_code == 404
    shown = await client.post(f"/api/v1/library/{item['id']}/reveal", headers=mine)
    assert shown.json()["secret"] == "# Title\n\nCANARY in the dough."
    assert "CANARY" not in await everywhere(owner)
    assert "CANARY" not in "".join(capfd.readouterr())

"""The library and the reveal through the pages."""

import re
from dataclasses import dataclass

import httpx
import pytest

from fondaco import orders
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.orders import Wish
from fondaco.vault import Vault
from tests.pages.account.browser import send, submit, text_of
from tests.pages.account.conftest import Doors
from tests.support.goods import add_keys, make_listing
from tests.support.money import give_money
from tests.support.people import make_seller, make_user
from tests.support.shop import purchase

KEY = "AB<CD>-12&34-XYZW"
XSS = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Bought:
    buyer: Viewer
    path: str
    number: str


async def buy(
    db: Database,
    parts: Parts,
    title: str = "Harbour Lights",
    key: str = KEY,
    buyer: Viewer | None = None,
    region: str = "GLOBAL",
) -> Bought:
    """A real key, sold and delivered; the buyer is the one given, or new."""
    seller = await make_seller(db)
    listing = await make_listing(db, seller, title=title, region=region)
    await add_keys(db, parts.get(Vault), seller, listing, [key])
    buyer = buyer or await make_user(db)
    await give_money(db, buyer.user(), 5000)
    done = await orders.buy_with_wallet(
        parts.get(orders.Combiner), purchase(buyer, Wish(listing.id, 1, listing.price))
    )
    row = await db.fetchrow(
        SYSTEM,
        """SELECT e.id, o.number FROM delivery.entitlement e JOIN orders.orders o ON o.id = e.order_id
           WHERE o.group_id = $1""",
        done.group_id,
    )
    assert row
    return Bought(buyer, f"/library/{row['id']}", row["number"])


async def test_an_empty_library_says_what_to_do(client: httpx.AsyncClient, doors: Doors) -> None:
    await doors.enter()
    seen = await client.get("/library")
    assert seen.status_code == 200
    assert "Your library is empty" in seen.text and 'href="/browse"' in seen.text


@pytest.mark.parametrize("view", ["cards", "table"])
async def test_the_list_searches_and_counts(
    client: httpx.AsyncClient, db: Database, doors: Doors, parts: Parts, view: str
) -> None:
    first = await buy(db, parts, "Harbour Lights", "KEY-0000001")
    await buy(db, parts, XSS, "KEY-0000002", first.buyer)
    await buy(db, parts, "Not mine", "KEY-0000003")
    await doors.enter(first.buyer)
    seen = await client.get(f"/library?view={view}")
    assert "Harbour Lights" in seen.text and "Not mine" not in seen.text
    assert XSS not in seen.text and "&lt;script&gt;alert(1)" in seen.text
    assert "2 results" in text_of(seen.text)
    found = await client.get(f"/library?view={view}&q=harbour")
    assert first.path in found.text and "script&gt;alert" not in found.text
    assert "Nothing matches" in (await client.get("/library?q=zzz")).text
    assert "Nothing matches" in (await client.get("/library?key=revealed")).text
    assert first.path in (await client.get("/library?key=new")).text


async def test_the_key_is_shown_on_one_answer_only(
    client: httpx.AsyncClient, db: Database, doors: Doors, parts: Parts
) -> None:
    bought = await buy(db, parts)
    await doors.enter(bought.buyer)
    before = await client.get(bought.path)
    assert "It cannot be undone" in before.text and bought.number in before.text
    assert "Never so far." in before.text
    assert "Open the client and enter the key." in before.text
    assert await reveals(db) == 0  # looking is not revealing
    shown = await send(client, before, f"{bought.path}/reveal")
    assert shown.status_code == 200
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert "AB&lt;CD&gt;-12&amp;34-XYZW" in shown.text and KEY not in shown.text
    assert "<form" not in shown.text  # without a referrer no form of this page would be taken
    after = await client.get(bought.path)
    assert "You first had it shown" in after.text
    assert "AB&lt;CD&gt;" not in after.text
    assert re.search(r"<td[^>]*>127\.0\.0\.1</td>", after.text)
    again = await send(client, after, f"{bought.path}/reveal")
    assert "AB&lt;CD&gt;" in again.text
    assert await reveals(db) == 2
    assert "mark tone-quiet" in (await client.get("/library")).text


async def reveals(db: Database) -> int:
    count: int = await db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.reveal")
    return count


async def test_others_find_nothing(
    client: httpx.AsyncClient, db: Database, doors: Doors, parts: Parts
) -> None:
    bought = await buy(db, parts)
    await doors.enter(bought.buyer)
    form = await client.get(bought.path)
    await doors.enter()
    random = "/library/0190a5b0-0000-7000-8000-000000000000"
    await client.get("/account")
    token = {"_csrf_token": client.cookies["csrf"]}
    for path in (bought.path, random):
        assert (await client.get(path)).status_code == 404
        assert (await client.post(f"{path}/reveal", data=token)).status_code == 404
    assert (await client.get(bought.path)).text == (await client.get(random)).text
    client.cookies.clear()
    assert (await client.get(bought.path)).headers["location"].startswith("/sign-in?next=/library/")
    assert form.status_code == 200 and await reveals(db) == 0


async def test_showing_too_often_is_said_in_words(
    client: httpx.AsyncClient, db: Database, doors: Doors, parts: Parts
) -> None:
    bought = await buy(db, parts)
    await doors.enter(bought.buyer)
    seen = await client.get(bought.path)
    for _ in range(30):
        assert (await send(client, seen, f"{bought.path}/reveal")).status_code == 200
    slowed = await send(client, seen, f"{bought.path}/reveal")
    assert slowed.status_code == 429
    assert "You have shown many secrets just now." in slowed.text
    assert "AB&lt;CD&gt;" not in slowed.text


async def test_a_key_for_another_country_says_so(
    client: httpx.AsyncClient, db: Database, doors: Doors, parts: Parts
) -> None:
    bought = await buy(db, parts, buyer=await make_user(db, country="US"), region="US")
    await doors.enter(bought.buyer)
    assert "This key works in" not in (await client.get(bought.path)).text
    await submit(client, "/account", "/account", name="N", country="DE", theme="auto")
    assert "This key works in United States." in (await client.get(bought.path)).text

"""The wallet's pages, against the payment provider's sandbox."""

import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from fondaco import orders
from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from tests.conftest import make_settings
from tests.pages.account.browser import send, submit, text_of
from tests.pages.account.conftest import Doors
from tests.support.money import give_money
from tests.support.people import make_user
from tests.support.sandbox import RunningSandbox, run_sandbox
from tests.support.shop import make_shop, purchase


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def settings(endpoints: Endpoints, running: RunningSandbox) -> Settings:
    running.reset()
    return make_settings(endpoints, stripe_api_base=running.url)


async def begin(client: httpx.AsyncClient, db: Database, **fields: str) -> tuple[str, str]:
    """Start a top-up; its page here and its session at the provider."""
    done = await submit(client, "/wallet", "/wallet/top-ups", **fields)
    assert done.status_code == 303
    row = await db.fetchrow(
        SYSTEM, "SELECT id, session_id, session_url FROM wallets.funding ORDER BY created_at DESC LIMIT 1"
    )
    assert row and done.headers["location"] == row["session_url"]
    return f"/wallet/top-ups/{row['id']}", row["session_id"]


async def test_an_empty_wallet_says_what_to_do(client: httpx.AsyncClient, doors: Doors) -> None:
    await doors.enter()
    seen = await client.get("/wallet")
    assert seen.status_code == 200
    assert "Nothing has moved yet" in seen.text
    assert "€0.00" in seen.text


async def test_coming_back_alone_brings_the_money(
    client: httpx.AsyncClient, db: Database, doors: Doors, running: RunningSandbox
) -> None:
    await doors.enter()
    page, session = await begin(client, db, amount="25.00")
    waiting = await client.get(f"{page}?paid=0")
    assert "You came back without paying." in waiting.text
    assert "data-live-final" not in waiting.text
    assert 'http-equiv="refresh"' in waiting.text  # for readers without scripts
    assert "Waiting for payment" in (await client.get("/wallet")).text
    running.pay(session)
    seen = await client.get(f"{page}?paid=1")
    assert "The money is in your wallet" in seen.text
    assert "data-live-final" in seen.text
    live = await client.get(f"{page}/live")
    assert live.headers["content-type"].startswith("text/event-stream")
    assert "The money is in your wallet" in live.text and "data-live-final" in live.text
    wallet = text_of((await client.get("/wallet")).text)
    assert "Top-up by card" in wallet and "+€25.00" in wallet
    assert "Waiting for payment" not in wallet


async def test_a_usual_amount_is_one_click(
    client: httpx.AsyncClient, db: Database, doors: Doors, running: RunningSandbox
) -> None:
    await doors.enter()
    seen = await client.get("/wallet")
    assert re.findall(r'name="quick" value="([^"]+)"', seen.text) == ["10.00", "20.00", "50.00", "100.00"]
    page, session = await begin(client, db, quick="20.00")
    running.pay(session)
    assert "€20.00" in text_of((await client.get(f"{page}?paid=1")).text)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("", "Write the amount in digits"),
        ("1,50", "Write the amount in digits"),
        ("-5", "Write the amount in digits"),
        ("1.234", "EUR has 2 digits after the point."),
        ("1.00", "Between €5.00 and €500.00."),
        ("99999", "Between €5.00 and €500.00."),
        ("<b>5</b>", "Write the amount in digits"),
    ],
)
async def test_amounts_that_cannot_be_are_said_beside_the_field(
    client: httpx.AsyncClient, db: Database, doors: Doors, amount: str, words: str
) -> None:
    await doors.enter()
    seen = await submit(client, "/wallet", "/wallet/top-ups", amount=amount)
    assert seen.status_code == 422
    assert words in seen.text and "f-amount-error" in seen.text
    kept = re.findall(r'id="f-amount"[^>]* value="([^"]*)"', seen.text)
    assert [unescape(k) for k in kept] == [amount]
    assert "<b>5</b>" not in seen.text
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM wallets.funding") == 0


async def test_a_provider_that_is_away_costs_nothing(
    client: httpx.AsyncClient, doors: Doors, running: RunningSandbox
) -> None:
    await doors.enter()
    seen = await client.get("/wallet")
    running.kill()
    try:
        refused = await send(client, seen, "/wallet/top-ups", amount="20.00")
    finally:
        running.start()
    assert refused.status_code == 503
    assert "Nothing was charged" in refused.text
    assert 'value="20.00"' in refused.text


async def test_somebody_elses_top_up_does_not_exist(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await doors.enter()
    page, _ = await begin(client, db, amount="20.00")
    await doors.enter(await make_user(db))
    for path in (page, f"{page}?paid=1", f"{page}/live", "/wallet/top-ups/none"):
        assert (await client.get(path)).status_code == 404
    assert "On its way" not in (await client.get("/wallet")).text


async def test_moves_in_words_page_by_page(
    client: httpx.AsyncClient, db: Database, doors: Doors, parts: Parts
) -> None:
    viewer = await doors.enter()
    for _ in range(28):
        await give_money(db, viewer.user(), 100)
    shop = await make_shop(db, price=250, stock=1)
    bought = await orders.buy_with_wallet(parts.get(orders.Combiner), purchase(viewer, shop.wish()))
    order = await db.fetchrow(
        SYSTEM, "SELECT id, number FROM orders.orders WHERE group_id = $1", bought.group_id
    )
    assert order
    first = await client.get("/wallet")
    assert f'<a href="/orders/{order["id"]}">Order {order["number"]}</a>' in first.text
    assert "\N{MINUS SIGN}€2.50" in first.text
    assert first.text.count('data-label="What"') == 25
    following = re.findall(r'rel="next" href="([^"]+)"', first.text)
    assert len(following) == 1
    second = await client.get(unescape(following[0]))
    assert second.text.count('data-label="What"') == 4
    assert 'rel="next"' not in second.text
    assert (await client.get("/wallet?after=made-up")).status_code == 400

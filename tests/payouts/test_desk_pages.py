"""The payout desk: who sees it, what waits, the run with its preview, one payout and what is done with it."""

import asyncpg
import pytest

from fondaco.core.db import SYSTEM
from fondaco.core.viewer import Viewer
from fondaco.payouts.batch import run_due
from fondaco.settings import Settings
from tests.pages.account.browser import text_of
from tests.pages.seller.conftest import Desk, desk
from tests.support.payouts import earn, paid_shop, payouts_of
from tests.support.people import make_user
from tests.support.shop import Shop, make_shop

__all__ = ["desk"]
LIST = "/console/payouts"
ORIGIN = {"Origin": "http://127.0.0.1:8000"}


async def staff(desk: Desk, role: str) -> Viewer:
    viewer = await make_user(desk.db, staff_role=role)
    await desk.enter(viewer)
    return viewer


async def post(desk: Desk, path: str, status: int = 303, **fields: str) -> str:
    await desk.client.get("/console")
    fields["_csrf_token"] = desk.client.cookies.get("csrf") or ""
    answer = await desk.client.post(path, data=fields, headers=ORIGIN)
    assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
    return answer.text


@pytest.fixture
async def shop(desk: Desk, owner: asyncpg.Connection) -> Shop:
    return await paid_shop(desk.db, owner, 2)


async def test_the_run_says_beforehand_who_gets_what_and_who_does_not(
    desk: Desk, shop: Shop, owner: asyncpg.Connection, settings: Settings
) -> None:
    other = await make_shop(desk.db, price=1000)
    await earn(desk.db, owner, other)
    await staff(desk, "finance")
    words = text_of(await desk.see(f"{LIST}/run"))
    assert shop.owner.seller_name in words and "€18.00" in words
    assert other.owner.seller_name in words and "You have not set up where the money goes." in words
    assert "Runs before" not in words
    await post(desk, f"{LIST}/run")
    await run_due(desk.db, settings)
    words = text_of(await desk.see(f"{LIST}/run"))
    assert "Payouts made 1" in words and "Not paid 1" in words
    live = await desk.client.get(f"{LIST}/run/live")
    assert "data-live-final" in live.text
    await post(desk, f"{LIST}/run")
    await run_due(desk.db, settings)
    assert len(await payouts_of(desk.db, shop)) == 1


async def test_a_payout_is_held_let_go_and_cancelled_with_reasons(
    desk: Desk, shop: Shop, settings: Settings
) -> None:
    await run_due(desk.db, settings)
    (payout,) = await payouts_of(desk.db, shop)
    page = f"{LIST}/{payout['id']}"
    await staff(desk, "ops")
    assert "About to leave" in text_of(await desk.see(LIST))
    assert "Say why" in text_of(await post(desk, f"{page}/hold", 422, because=" "))
    await post(desk, f"{page}/hold", because="the amount looks odd")
    words = text_of(await desk.see(page))
    assert (
        "On hold" in words and "the amount looks odd" in words and "Payout decided, money set aside" in words
    )
    await post(desk, f"{page}/let-go", 403, because="all right again")
    await staff(desk, "finance")
    await post(desk, f"{page}/let-go", because="all right again")
    await desk.see(f"{page}/cancel")
    await post(desk, f"{page}/cancel", because="the seller asked for it")
    assert "no longer where" in text_of(await post(desk, f"{page}/cancel", 409, because="once more"))
    assert "no longer where" in text_of(await post(desk, f"{page}/take-back", 409, because="once more"))
    state = "SELECT state FROM payouts.payout"
    assert await desk.db.fetchval(SYSTEM, state) == "CANCELLED"
    assert "Cancelled" in text_of(await desk.see(f"{LIST}?state=CANCELLED&q={payout['id']}"))
    order = await desk.db.fetchval(SYSTEM, "SELECT order_id FROM orders.order_line LIMIT 1")
    assert "Payout decided" in text_of(await desk.see(f"/console/orders/{order}"))


@pytest.mark.parametrize(
    ("role", "sees", "runs"),
    [("support", 403, 403), ("auditor", 200, 403), ("ops", 200, 403), ("finance", 200, 303)],
)
async def test_who_may_see_it_and_who_may_run_it(desk: Desk, role: str, sees: int, runs: int) -> None:
    await staff(desk, role)
    await desk.see(LIST, sees)
    await desk.see(f"{LIST}/run", sees)
    await post(desk, f"{LIST}/run", runs)


async def test_an_empty_desk(desk: Desk) -> None:
    await staff(desk, "admin")
    assert "Nothing waits" in text_of(await desk.see(LIST))
    assert "No seller has available money" in text_of(await desk.see(f"{LIST}/run"))
    await desk.see(f"{LIST}/00000000-0000-0000-0000-000000000000", 404)

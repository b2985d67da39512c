"""Commission rules on the desk: tried, added, ended; and by whom."""

import pytest

from fondaco.core.db import SYSTEM
from tests.pages.console.conftest import Desk
from tests.support.shop import make_shop

HOME = "/console/commission"


async def test_a_rule_is_tried_added_and_ended(desk: Desk) -> None:
    await make_shop(desk.db, price=2000, stock=1)
    await desk.as_("finance")
    assert "No rules" in await desk.get(HOME)
    wish = {"percent": "7.5", "kind": "stocked_secret", "price_from": "10", "reason": "An offer <b>now</b>"}
    tried = (await desk.post(HOME, 200, **wish)).text
    assert "1 published listing of 1 store" in tried and "Add the rule" in tried
    assert await desk.db.fetchval(SYSTEM, "SELECT count(*) FROM orders.commission_rule") == 0
    await desk.post(HOME, **wish, act="add")
    row = await desk.db.fetchrow(SYSTEM, "SELECT * FROM orders.commission_rule")
    assert row and (row["bps"], row["price_from"], row["currency"], row["weight"]) == (750, 1000, "EUR", 3)
    page = await desk.get(HOME)
    assert "7.50 %" in page and "&lt;b&gt;now" in page and "<b>now" not in page
    assert "End this rule?" in await desk.get(f"{HOME}/{row['id']}/end")
    await desk.post(f"{HOME}/{row['id']}/end")
    assert "Rules that have ended" in await desk.get(HOME)


@pytest.mark.parametrize(
    ("field", "value"),
    [("percent", "lots"), ("percent", "51"), ("store", "nowhere"), ("price_from", "x"), ("reason", "")],
)
async def test_what_cannot_be_is_said_beside_the_field(desk: Desk, field: str, value: str) -> None:
    await desk.as_("admin")
    wish = {"percent": "5", "category": "games", "reason": "why"} | {field: value}
    answer = await desk.post(HOME, 422, **wish, act="add")
    assert f'id="f-{field}-error"' in answer.text
    assert await desk.db.fetchval(SYSTEM, "SELECT count(*) FROM orders.commission_rule") == 0


async def test_support_does_not_see_it(desk: Desk) -> None:
    await desk.as_("support")
    await desk.get(HOME, 403)


async def test_the_tax_on_the_share_is_set_by_country(desk: Desk) -> None:
    await make_shop(desk.db, price=2000, stock=1)
    await desk.as_("finance")
    assert "There is no tax on the commission" in await desk.get(HOME)
    rate = {"country": "de", "tax_percent": "19", "tax_reason": "The law of 2030"}
    for field, value in (
        ("country", "Germany"),
        ("tax_percent", "lots"),
        ("tax_percent", "51"),
        ("tax_reason", ""),
    ):
        answer = await desk.post(f"{HOME}/tax", 422, **(rate | {field: value}))
        assert f'id="f-{field}-error"' in answer.text
    await desk.post(f"{HOME}/tax", **rate)
    page = await desk.get(HOME)
    assert "19 %" in page and "The law of 2030" in page
    assert await desk.db.fetchval(SYSTEM, "SELECT commission_tax_bps FROM sellers.seller") == 1900
    await desk.post(f"{HOME}/tax", **(rate | {"tax_percent": "0"}))
    assert "Rates that have ended" in await desk.get(HOME)
    await desk.as_("support")
    await desk.post(f"{HOME}/tax", 403, **rate)

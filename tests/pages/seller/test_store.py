"""Opening a store, its settings, several stores, the team, API keys, who sees what."""

import re

import pytest

from fondaco import identity, sellers
from fondaco.core.db import SYSTEM
from tests.pages.account.browser import text_of
from tests.pages.seller.conftest import Desk
from tests.support.people import again, make_member, make_seller, make_user

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PAGES = (
    "/seller",
    "/seller/orders",
    "/seller/balance",
    "/seller/listings",
    "/seller/listings/new",
    "/seller/batches",
    "/seller/settings",
    "/seller/team",
    "/seller/api-keys",
    "/seller/stores",
)


async def test_guests_are_told_what_selling_is_and_sent_to_sign_in_by_the_desk(desk: Desk) -> None:
    html = await desk.see("/sell")
    assert "Open an account" in html and '<form class="form"' not in html
    for path in PAGES:
        answer = await desk.client.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in?next=/seller")


async def test_a_customer_without_a_store_finds_no_desk(desk: Desk) -> None:
    await desk.enter(await make_user(desk.db))
    for path in PAGES[:-1]:
        await desk.see(path, 404)
    assert (await desk.client.get("/seller/stores")).headers["location"] == "/sell"


async def test_an_address_must_be_confirmed_before_a_store_opens(desk: Desk) -> None:
    await desk.enter(await make_user(desk.db, verified=False))
    assert "Confirm your address first" in await desk.see("/sell")
    answer = await desk.send("/sell", "/sell", name="Early Keys", country="DE", support_email="", about="")
    assert answer.status_code == 422 and "prove your mail address" in text_of(answer.text)


async def test_opening_a_store_leads_to_its_desk(desk: Desk) -> None:
    await desk.enter(await make_user(desk.db))
    wrong = await desk.send("/sell", "/sell", name="X", country="", support_email="no", about="kept")
    assert wrong.status_code == 422
    assert "Give the country" in wrong.text and ">\nkept</textarea>" in wrong.text
    answer = await desk.send("/sell", "/sell", name="Ponte Keys", country="IT", support_email="", about="")
    assert (answer.status_code, answer.headers["location"]) == (303, "/seller")
    words = text_of(await desk.see("/seller"))
    assert "Ponte Keys is open" in words and "What to do next" in words and "No order yet" in words


async def test_every_page_of_an_empty_store_says_what_to_do(desk: Desk) -> None:
    await desk.enter(await make_seller(desk.db))
    for path in PAGES:
        await desk.see(path)
    assert "No listing yet" in await desk.see("/seller/listings")
    assert "No order yet" in await desk.see("/seller/orders")
    assert "Nothing was handed in yet" in await desk.see("/seller/batches")
    assert "Nothing matches" in await desk.see("/seller/orders?q=nothing")


async def test_settings_are_saved_and_escaped(desk: Desk) -> None:
    await desk.enter(await make_seller(desk.db))
    values = {"name": "Rialto <b>Keys", "support_email": "help@example.com", "country": "IT", "about": XSS}
    answer = await desk.send("/seller/settings", "/seller/settings", **values)
    assert answer.status_code == 303
    html = await desk.see("/seller/settings")
    assert (
        "Saved." in html
        and "<b>Keys" not in html
        and "<script>alert" not in html
        and "<img src=x" not in html
    )
    bad = await desk.send("/seller/settings", "/seller/settings", **{**values, "name": "", "about": "stays"})
    assert bad.status_code == 422 and "stays</textarea>" in bad.text and 'id="f-name-error"' in bad.text


async def test_two_people_saving_settings_see_both_values(desk: Desk) -> None:
    owner = await make_seller(desk.db, "First Name")
    await desk.enter(owner)
    store = await sellers.my_store(desk.db, owner)
    values = {"name": "Second Name", "support_email": store.support_email, "country": "DE", "about": ""}
    await sellers.edit_store(desk.db, owner, version=store.version, **values)
    late = await desk.client.post(
        "/seller/settings",
        data={
            **values,
            "name": "Third Name",
            "version": str(store.version),
            "_csrf_token": _token(await desk.see("/seller/settings")),
        },
    )
    assert late.status_code == 409
    words = text_of(late.text)
    assert "Somebody saved this meanwhile" in words and "Third Name Second Name" in words
    version = re.search(r'name="version" value="(\d+)"', late.text)
    assert version and int(version[1]) == store.version + 1  # saving once more puts ours in place


def _token(html: str) -> str:
    found = re.search(r'name="_csrf_token" value="([^"]+)"', html)
    assert found
    return found[1]


async def test_the_about_text_can_be_previewed_without_scripts(desk: Desk) -> None:
    await desk.enter(await make_seller(desk.db))
    values = {"name": "N", "support_email": "a@example.com", "country": "DE", "about": "**bold** " + XSS}
    shown = await desk.send("/seller/settings", "/seller/settings", preview="yes", **values)
    assert shown.status_code == 200 and "<strong>bold</strong>" in shown.text
    assert "<script>alert" not in shown.text and "<img src=x" not in shown.text


async def test_somebody_with_two_stores_switches_between_them(desk: Desk) -> None:
    first = await make_seller(desk.db, "Store One")
    await sellers.open_store(desk.db, first, name="Store Two", country="DE")
    viewer = await again(desk.db, first)
    await desk.enter(viewer)
    assert "Switch store" in await desk.see("/seller")
    html = await desk.see("/seller/stores")
    assert "Store One" in html and "Store Two" in html
    answer = await desk.send("/seller/stores", "/seller/stores/switch", store=str(first.seller_id))
    assert answer.status_code == 303
    assert "Store One" in text_of(await desk.see("/seller"))
    other = await make_seller(desk.db)
    token = _token(await desk.see("/seller/stores"))
    gone = await desk.client.post(
        "/seller/stores/switch", data={"store": str(other.seller_id), "_csrf_token": token}
    )
    assert gone.status_code == 404


async def test_the_team_is_kept_by_its_owners(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    friend = await make_user(desk.db, "friend@example.com", name="A Friend")
    await desk.enter(owner)
    nobody = await desk.send("/seller/team", "/seller/team", email="nobody@example.com", role="manager")
    assert nobody.status_code == 422 and "No proved account" in nobody.text
    assert 'value="nobody@example.com"' in nobody.text
    added = await desk.send("/seller/team", "/seller/team", email="friend@example.com", role="manager")
    assert added.status_code == 303
    role = f"/seller/team/{friend.user_id}/role"
    assert (await desk.send("/seller/team", role, role="finance")).status_code == 303
    assert {m.role for m in await sellers.list_team(desk.db, owner)} == {"owner", "finance"}
    remove = f"/seller/team/{friend.user_id}/remove"
    assert "Remove A Friend from the team?" in await desk.see(remove)
    assert (await desk.send(remove, remove)).status_code == 303
    assert len(await sellers.list_team(desk.db, owner)) == 1


async def test_the_last_owner_stays(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    await desk.enter(owner)
    remove = f"/seller/team/{owner.user_id}/remove"
    assert (await desk.send(remove, remove)).headers["location"] == "/seller/team"
    assert "keeps at least one owner" in await desk.see("/seller/team")
    await desk.send("/seller/team", f"/seller/team/{owner.user_id}/role", role="read_only")
    assert "keeps at least one owner" in await desk.see("/seller/team")
    assert [m.role for m in await sellers.list_team(desk.db, owner)] == ["owner"]


async def test_roles_see_what_they_may_and_no_more(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    await desk.enter(await make_member(desk.db, owner, "fulfilment"))
    html = await desk.see("/seller")
    assert "/seller/balance" not in html and "/seller/api-keys" not in html and "New listing" not in html
    await desk.see("/seller/balance", 403)
    await desk.see("/seller/api-keys", 403)
    await desk.see("/seller/listings/new", 403)
    assert "Add somebody" not in await desk.see("/seller/team")
    assert "Owners and managers change this" in await desk.see("/seller/settings")


async def test_a_key_is_shown_once_and_revoked(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    await desk.enter(owner)
    empty = await desk.send("/seller/api-keys", "/seller/api-keys", name="Sync", days="30")
    assert empty.status_code == 422 and "Choose at least one permission" in empty.text
    made = await desk.send(
        "/seller/api-keys", "/seller/api-keys", name="Sync", days="30", scopes=["stock.read", "stock.write"]
    )
    found = re.search(r'id="new-key"[^>]*>(fk_[^<]+)<', made.text)
    assert made.status_code == 200 and found and made.headers["cache-control"] == "no-store"
    [key] = await identity.list_api_keys(desk.db, owner)
    assert set(key.scopes) == {"stock.read", "stock.write"} and key.expires_at
    page = await desk.see("/seller/api-keys")
    assert found[1] not in page and key.prefix in page
    answer = await desk.client.get("/api/v1/seller/batches", headers={"Authorization": f"Bearer {found[1]}"})
    assert answer.status_code == 200
    revoke = f"/seller/api-keys/{key.id}/revoke"
    assert "Revoke" in await desk.see(revoke)
    assert (await desk.send(revoke, revoke)).status_code == 303
    assert await identity.list_api_keys(desk.db, owner) == []


async def test_another_stores_things_do_not_exist(desk: Desk) -> None:
    owner, other = await make_seller(desk.db), await make_seller(desk.db)
    made = await identity.create_api_key(desk.db, other, name="theirs", scopes=["stock.read"])
    await desk.enter(owner)
    await desk.see(f"/seller/api-keys/{made.id}/revoke", 404)
    await desk.see(f"/seller/team/{other.user_id}/remove", 404)


@pytest.mark.parametrize("path", ["/seller/listings", "/seller/orders"])
async def test_a_filter_is_kept_under_a_name(desk: Desk, path: str) -> None:
    owner = await make_seller(desk.db)
    await desk.enter(owner)
    answer = await desk.send(f"{path}?q=steam", "/views", name="My steam <b>")
    assert answer.status_code == 303 and answer.headers["location"] == f"{path}?q=steam"
    html = await desk.see(path)
    assert "My steam &lt;b&gt;" in html and f'href="{path}?q=steam"' in html
    [view] = await identity.list_views(desk.db, owner, list_name=path)
    assert (await desk.send(path, f"/views/{view.id}/delete")).status_code == 303
    assert await identity.list_views(desk.db, owner, list_name=path) == []


async def test_a_closed_membership_ends_the_desk(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    member = await make_member(desk.db, owner, "manager")
    await desk.enter(member)
    await desk.see("/seller")
    await desk.db.execute(SYSTEM, "DELETE FROM identity.membership WHERE user_id = $1", member.user_id)
    await desk.see("/seller", 404)

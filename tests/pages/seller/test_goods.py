"""Listings and their stock through the pages."""

import io
import re
from uuid import UUID, uuid4

import pytest
from PIL import Image

from fondaco import catalog, inventory
from fondaco.core.pagination import Cursors
from tests.pages.account.browser import hidden_fields, text_of
from tests.pages.seller.conftest import Desk
from tests.support.goods import add_keys, make_listing, some_keys
from tests.support.people import make_member, make_seller

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
NEW = {
    "title": "Lagoon Racer",
    "category": "games",
    "platform": "Steam",
    "region": "EU",
    "edition": "Deluxe",
    "price": "24.99",
    "max_per_order": "5",
    "key_format": "",
    "summary": "",
    "description": "",
    "activation": "",
}


async def test_from_a_draft_to_the_shop(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    await desk.enter(owner)
    made = await desk.send("/seller/listings/new", "/seller/listings/new", **NEW)
    assert made.status_code == 303
    [row] = (await catalog.own_listings(desk.db, owner, desk.parts.get(Cursors))).items
    here = f"/seller/listings/{row.id}"
    assert made.headers["location"] == f"{here}/stock" and (row.price, row.max_per_order) == (2499, 5)

    missing = await desk.send(here, f"{here}/do/publish")
    assert missing.status_code == 422 and "Say how the key is redeemed." in missing.text
    texts = {"summary": "Boats.", "description": "Fast **boats**.", "activation": "Enter it."}
    assert (await desk.send(here, f"{here}/texts", **texts)).status_code == 303
    assert (await desk.send(f"{here}/do/publish", f"{here}/do/publish")).status_code == 303
    html = await desk.see(here)
    assert "It is on sale." in html and f'href="/l/{row.slug}"' in html
    assert 'name="platform"' not in html and "These are fixed" in html

    for act, state in (("pause", "PAUSED"), ("archive", "ARCHIVED")):
        assert (await desk.send(here, f"{here}/do/{act}")).status_code == 303
        assert (await catalog.own_listing(desk.db, owner, row.id)).state == state
    assert "This listing is archived" in await desk.see(here)
    copied = await desk.send(here, f"{here}/do/duplicate")
    assert copied.status_code == 303 and copied.headers["location"] != here
    await desk.see(copied.headers["location"])


async def test_a_wrong_form_keeps_what_was_typed(desk: Desk) -> None:
    await desk.enter(await make_seller(desk.db))
    typed = {
        **NEW,
        "title": "",
        "price": "12,5x",
        "max_per_order": "many",
        "category": "",
        "description": XSS,
    }
    answer = await desk.send("/seller/listings/new", "/seller/listings/new", **typed)
    assert answer.status_code == 422
    for name in ("title", "price", "max_per_order", "category"):
        assert f'id="f-{name}-error"' in answer.text
    assert 'value="12,5x"' in answer.text and "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text
    high = await desk.send("/seller/listings/new", "/seller/listings/new", **{**NEW, "price": "9999999"})
    assert high.status_code == 422 and "€1,000,000.00" in high.text


async def test_texts_are_previewed_and_not_kept(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner, state="DRAFT")
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}"
    shown = await desk.send(
        here, f"{here}/texts", preview="yes", summary="s", description="**new** " + XSS, activation="a"
    )
    assert shown.status_code == 200 and "<strong>new</strong>" in shown.text
    assert "<script>alert" not in shown.text and "<img src=x" not in shown.text
    assert (await catalog.own_listing(desk.db, owner, listing.id)).description == listing.description


async def test_two_people_editing_see_both_values(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner, title="As it was")
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}"
    open_form = hidden_fields(await desk.see(here), f"{here}/details")
    await catalog.edit(desk.db, owner, listing.id, version=listing.version, title="Theirs")
    typed = {"title": "Mine", "max_per_order": "10", "key_format": ""}
    late = await desk.client.post(f"{here}/details", data={**open_form, **typed})
    assert late.status_code == 409
    words = text_of(late.text)
    assert "Somebody saved this meanwhile" in words and "Title Mine Theirs" in words
    assert 'value="Mine"' in late.text
    again = await desk.client.post(
        f"{here}/details", data={**hidden_fields(late.text, f"{here}/details"), **typed}
    )
    assert again.status_code == 303
    assert (await catalog.own_listing(desk.db, owner, listing.id)).title == "Mine"


async def test_the_price_has_its_own_form_and_its_own_conflict(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner, price=1999)
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}"
    open_form = hidden_fields(await desk.see(here), f"{here}/price")
    assert (await desk.send(here, f"{here}/price", price="17.50")).status_code == 303
    assert (await catalog.own_listing(desk.db, owner, listing.id)).price == 1750
    late = await desk.client.post(f"{here}/price", data={**open_form, "price": "16.00"})
    assert late.status_code == 409 and "Price 16.00 €17.50" in text_of(late.text)
    wrong = await desk.send(here, f"{here}/price", price="free")
    assert wrong.status_code == 422 and 'value="free"' in wrong.text


async def test_a_picture_of_ones_own(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner)
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}"
    none = await desk.send(here, f"{here}/cover", files={"cover": ("", b"", "application/octet-stream")})
    assert none.status_code == 422 and "Choose a picture first." in none.text
    bad = await desk.send(here, f"{here}/cover", files={"cover": ("a.png", b"no picture", "image/png")})
    assert bad.status_code == 422 and 'id="f-cover-error"' in bad.text
    out = io.BytesIO()
    Image.new("RGB", (800, 600), (20, 90, 90)).save(out, "PNG")
    good = await desk.send(here, f"{here}/cover", files={"cover": ("a.png", out.getvalue(), "image/png")})
    assert good.status_code == 303
    cover = re.search(r'src="(/media/[^"]+)"', await desk.see(here))
    assert cover and (await desk.client.get(cover[1])).status_code == 200


async def test_the_list_filters_counts_and_sorts(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    cheap = await make_listing(desk.db, owner, title="Cheap Boat", price=100)
    await make_listing(desk.db, owner, title="Dear Boat", price=9000, state="DRAFT")
    await make_listing(desk.db, owner, title=f"Third {XSS}", price=500, state="PAUSED")
    await add_keys(desk.db, desk.vault, owner, cheap, 12)
    await desk.enter(owner)
    html = await desk.see("/seller/listings")
    assert "<script>alert" not in html and "12 keys" in html and "3 results" in html
    by_price = text_of(await desk.see("/seller/listings?sort=-price"))
    assert by_price.index("Dear Boat") < by_price.index("Third") < by_price.index("Cheap Boat")
    drafts = await desk.see("/seller/listings?state=DRAFT")
    assert "Dear Boat" in drafts and "Cheap Boat" not in drafts and "1 result<" in drafts
    stocked = await desk.see("/seller/listings?stock=in")
    assert "Cheap Boat" in stocked and "Dear Boat" not in stocked
    assert "Nothing matches" in await desk.see("/seller/listings?q=zeppelin")
    await desk.see("/seller/listings?state=NONSENSE&sort=nonsense&stock=x&size=7")


async def test_pages_of_the_list_follow_on(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    for n in range(27):
        await make_listing(desk.db, owner, title=f"Game number {n:02}", state="DRAFT")
    await desk.enter(owner)
    first = await desk.see("/seller/listings?sort=title")
    assert "Game number 24" in first and "Game number 25" not in first
    link = re.search(r'rel="next" href="([^"]+)"', first)
    assert link
    second = await desk.see(link[1].replace("&amp;", "&"))
    assert "Game number 25" in second and "Game number 24" not in second


async def test_pasting_keys_leads_to_a_report(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner, key_format="AAAA-AAAA")
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}/stock"
    empty = await desk.send(here, here, keys="  \n ")
    assert empty.status_code == 422 and "There is no key in it." in empty.text
    secret = "ABCD-EFGH"
    answer = await desk.send(here, here, keys=f"{secret}\nJKLM-NPQR\n{secret}\nwrong-format-here-too\n")
    assert answer.status_code == 303
    path = answer.headers["location"]
    waiting = await desk.see(path)
    assert "data-live-url" in waiting and '<noscript><meta http-equiv="refresh"' in waiting
    batch_id = path.rsplit("/", 1)[-1]
    await inventory.import_batch(desk.db, desk.vault, UUID(batch_id))
    done = await desk.see(path)
    assert "2 keys are in stock now." in done and "data-live-final" in done
    assert "wron•••••" in done and secret not in done and "wrong-format" not in done
    sheet = await desk.client.get(f"{path}/problems.csv")
    assert sheet.status_code == 200 and "attachment" in sheet.headers["content-disposition"]
    assert secret not in sheet.text and len(sheet.text.strip().splitlines()) == 3
    assert "2" in text_of(await desk.see(here)) and listing.title in await desk.see("/seller/batches")


async def test_the_live_part_of_an_import_ends_with_it(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner)
    batch = await add_keys(desk.db, desk.vault, owner, listing, 3)
    await desk.enter(owner)
    answer = await desk.client.get(f"/seller/batches/{batch.id}/live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert 'data: <section class="stack" id="batch" data-live-final' in answer.text
    await desk.enter(await make_seller(desk.db))
    assert (await desk.client.get(f"/seller/batches/{batch.id}/live")).status_code == 404


async def test_a_file_is_read_by_its_kind(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner)
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}/stock"
    one, two = some_keys(2)
    sheet = f"product;key\nBoat;{one}\nBoat;{two}\n".encode()
    both = await desk.send(here, here, keys="x", files={"file": ("keys.csv", sheet, "text/csv")})
    assert both.status_code == 422 and "not both at once" in both.text
    sent = await desk.send(here, here, keys="", files={"file": ("keys.csv", sheet, "text/csv")})
    assert sent.status_code == 303
    batch_id = UUID(sent.headers["location"].rsplit("/", 1)[-1])
    await inventory.import_batch(desk.db, desk.vault, batch_id)
    assert (await inventory.batch(desk.db, owner, batch_id)).imported == 2


async def test_taking_keys_out_asks_first(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner)
    await add_keys(desk.db, desk.vault, owner, listing, 5)
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}/stock"
    wrong = await desk.see(f"{here}/withdraw?n=-1", 422)
    assert "Write how many keys" in wrong
    ask = await desk.see(f"{here}/withdraw?n=2")
    assert "Take 2 keys out of sale?" in ask
    assert (await inventory.stock_counts(desk.db, owner, listing.id)).available == 5
    assert (await desk.send(f"{here}/withdraw?n=2", f"{here}/withdraw")).status_code == 303
    counts = await inventory.stock_counts(desk.db, owner, listing.id)
    assert (counts.available, counts.withdrawn) == (3, 2)
    assert "Take 3 keys out of sale?" in await desk.see(f"{here}/withdraw?n=")


async def test_a_reader_sees_and_changes_nothing(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner)
    await desk.enter(await make_member(desk.db, owner, "read_only"))
    here = f"/seller/listings/{listing.id}"
    html = await desk.see(here) + await desk.see(f"{here}/stock")
    posts = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', html)
    assert set(posts) <= {"/sign-out"}
    await desk.see(f"{here}/do/pause", 403)


async def test_another_stores_goods_do_not_exist(desk: Desk) -> None:
    other = await make_seller(desk.db)
    listing = await make_listing(desk.db, other)
    batch = await add_keys(desk.db, desk.vault, other, listing, 1)
    await desk.enter(await make_seller(desk.db))
    for path in (
        f"/seller/listings/{listing.id}",
        f"/seller/listings/{listing.id}/stock",
        f"/seller/listings/{listing.id}/stock/withdraw",
        f"/seller/listings/{listing.id}/do/pause",
        f"/seller/listings/{listing.id}/do/nonsense",
        f"/seller/batches/{batch.id}",
        f"/seller/batches/{batch.id}/problems.csv",
        f"/seller/listings/{uuid4()}",
        "/seller/listings/nonsense",
    ):
        await desk.see(path, 404)


@pytest.mark.parametrize("act", ["publish", "pause", "archive", "duplicate"])
async def test_each_act_is_asked_for_on_a_page_too(desk: Desk, act: str) -> None:
    owner = await make_seller(desk.db)
    listing = await make_listing(desk.db, owner)
    await desk.enter(owner)
    html = await desk.see(f"/seller/listings/{listing.id}/do/{act}")
    assert listing.title in html and f'action="/seller/listings/{listing.id}/do/{act}"' in html

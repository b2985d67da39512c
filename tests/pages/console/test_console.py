"""The console's pages with a real story in the books: who sees what, and what is done there."""

import html
import itertools
import re
from uuid import uuid4

import pytest

from fondaco import inbox
from fondaco.core.db import SYSTEM
from fondaco.core.web import Parts
from fondaco.identity.permissions import PERMISSIONS
from tests.approvals.test_approvals import acted, ask
from tests.pages.console.conftest import Desk
from tests.support.money import Till, make_buyer
from tests.support.people import make_user
from tests.support.shop import make_shop, place, states
from tests.support.story import KEYS, Story, tell

PAGES = {
    "/console": "console.see",
    "/console/find": "console.see",
    "/console/orders": "console.orders",
    "/console/people": "console.people",
    "/console/sellers": "console.see",
    "/console/listings": "console.see",
    "/console/fundings": "console.orders",
    "/console/refunds": "console.orders",
    "/console/ledger": "console.ledger",
    "/console/ledger/trial-balance": "console.ledger",
    "/console/ledger/trial-balance.csv": "console.ledger",
    "/console/inbox": "console.inbox",
    "/console/mails": "console.mails",
    "/console/audit": "console.audit",
    "/console/audit/blocks": "console.audit",
    "/console/checks": "console.checks",
}
ROLES = ("support", "ops", "finance", "admin", "auditor")


async def everything(till: Till, story: Story) -> dict[str, str]:
    """Every page about one thing, with its permission."""
    row = await till.db.fetchrow(
        SYSTEM,
        """SELECT f.id AS funding, (SELECT min(id) FROM inbox.event) AS event,
             (SELECT id FROM notifications.mail ORDER BY id LIMIT 1) AS mail,
             (SELECT min(id) FROM ledger.account) AS account, (SELECT min(id) FROM ledger.journal) AS journal
           FROM wallets.funding f WHERE f.group_id = $1""",
        story.group.id,
    )
    assert row
    return {
        f"/console/orders/{story.order_id}": "console.orders",
        f"/console/orders/{story.group.id}": "console.orders",
        f"/console/people/{story.buyer.user_id}": "console.people",
        f"/console/people/{story.seller.user_id}": "console.people",
        f"/console/fundings/{row['funding']}": "console.orders",
        f"/console/inbox/{row['event']}": "console.inbox",
        f"/console/mails/{row['mail']}": "console.mails",
        f"/console/mails/{row['mail']}/body": "console.mails",
        f"/console/ledger/accounts/{row['account']}": "console.ledger",
        f"/console/ledger/journals/{row['journal']}": "console.ledger",
    }


async def test_each_role_sees_its_pages_and_no_others(till: Till, desk: Desk) -> None:
    pages = PAGES | await everything(till, await tell(till))
    for role in ROLES:
        await desk.as_(role)
        menu = await desk.get("/console")
        for path, permission in pages.items():
            allowed = f"staff.{role}" in PERMISSIONS[permission]
            text = await desk.get(path, 200 if allowed else 403)
            assert not any(key in text for key in KEYS)
            if path in PAGES and path.count("/") == 2:
                assert (f'href="{path}"' in menu) == allowed, (role, path)


async def test_customers_sellers_and_guests_find_no_console(till: Till, desk: Desk) -> None:
    story = await tell(till)
    pages = [*PAGES, *(await everything(till, story))]
    for viewer in (story.buyer, story.seller):
        await desk.enter(viewer)
        for path in pages:
            await desk.get(path, 404)
    desk.client.cookies.clear()
    answer = await desk.client.get("/console/orders")
    assert answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")


async def test_without_the_second_factor_nobody_gets_in(desk: Desk) -> None:
    await desk.enter(await make_user(desk.db, staff_role="admin", mfa=False))
    answer = await desk.client.get("/console")
    assert answer.status_code in (303, 401) and "What waits" not in answer.text


async def test_an_empty_marketplace_says_so(desk: Desk) -> None:
    await desk.as_("admin")
    for path, words in {
        "/console/orders": "No orders yet",
        "/console/sellers": "No stores yet",
        "/console/listings": "No listings yet",
        "/console/fundings": "No payments yet",
        "/console/refunds": "No refunds yet",
        "/console/ledger": "The books are empty",
        "/console/ledger/trial-balance": "Nothing was posted up to then",
        "/console/inbox": "No events yet",
        "/console/mails": "No mails yet",
        "/console/audit/blocks": "No blocks yet",
        "/console/checks": "Nothing was looked at yet",
    }.items():
        assert words in await desk.get(path), path


async def test_texts_of_others_are_escaped(till: Till, desk: Desk) -> None:
    attack = '"><script>alert(1)</script>{{7*7}}<img src=x onerror=alert(1)>'
    story = await tell(till, attack)
    await till.db.execute(
        SYSTEM, "UPDATE identity.users SET name = $2 WHERE id = $1", story.buyer.user_id, attack
    )
    await desk.as_("admin")
    for path in (*PAGES, *(await everything(till, story))):
        text = await desk.get(path)
        assert "<script>alert" not in text and "<img src=x" not in text and ">49<" not in text, path
    found = (await desk.post("/console/find", 200, text=attack)).text
    assert "<script>alert" not in found and html.escape(attack) in found.replace("&#34;", "&quot;")


async def test_lists_narrow_and_turn_their_pages(till: Till, desk: Desk) -> None:
    shop = await make_shop(till.db, price=100, stock=60)
    buyer = await make_buyer(till.db)
    for _ in range(27):
        await place(till.db, buyer, shop.wish())
    await desk.as_("support")
    first = await desk.get("/console/orders?state=PENDING_PAYMENT&when=today")
    assert "27 results" in first and first.count('data-label="Order"') == 25
    following = html.unescape(re.findall(r'rel="next" href="([^"]+)"', first)[0])
    second = await desk.get(following)
    assert second.count('data-label="Order"') == 2
    back = html.unescape(re.findall(r'rel="prev" href="([^"]+)"', second)[0])
    assert (await desk.get(back)).count('data-label="Order"') == 25
    for empty in ("state=DELIVERED", "when=2001-01-01", f"seller={uuid4()}", "q=nothing-like-it"):
        assert "No orders match" in await desk.get(f"/console/orders?{empty}")
    for odd in (
        "when=soon",
        "when=9999-12-31",
        "when=0001-01-01",
        "sort=drop",
        "state=NONE",
        "seller=x",
        "size=7",
        "q=%25",
    ):
        await desk.get(f"/console/orders?{odd}")
    await desk.get("/console/orders?after=made-up", 400)


async def test_support_cancels_an_unpaid_order_with_a_reason(till: Till, desk: Desk) -> None:
    shop = await make_shop(till.db, stock=1)
    group = await place(till.db, await make_buyer(till.db), shop.wish())
    order = await till.db.fetchval(SYSTEM, "SELECT id FROM orders.orders WHERE group_id = $1", group)
    path = f"/console/orders/{order}"
    await desk.as_("finance")
    assert f"{path}/cancel" not in await desk.get(path)
    await desk.get(f"{path}/cancel", 403)
    await desk.post(f"{path}/cancel", 403, because="no right to do so")
    await desk.as_("support")
    assert f"{path}/cancel" in await desk.get(path)
    assert "cannot be undone" in await desk.get(f"{path}/cancel")
    refused = await desk.post(f"{path}/cancel", 422, because=" x ")
    assert "Say why in 3 to 200 characters" in refused.text
    await desk.post(f"{path}/cancel", 422, because="a zero byte \x00 in it")
    assert await states(till.db, group) == {("PENDING_PAYMENT", "RESERVED", "EMPTY")}
    await desk.post(f"{path}/cancel", because="The buyer asked by phone")
    assert await states(till.db, group) == {("CANCELLED", "CANCELLED", "EMPTY")}
    after = await desk.get(path)
    assert "The buyer asked by phone" in after and "The keys are back in stock" in after
    again = await desk.post(f"{path}/cancel", 409, because="The buyer asked by phone")
    assert "does not await a payment any more" in again.text


async def test_ops_pauses_a_listing_with_a_reason(till: Till, desk: Desk) -> None:
    shop = await make_shop(till.db, stock=1)
    path = f"/console/listings/{shop.listing_id}/pause"
    await desk.as_("support")
    assert path not in await desk.get("/console/listings")
    await desk.post(path, 403, because="no right to do so")
    await desk.as_("ops")
    assert path in await desk.get("/console/listings")
    assert "Say why" in (await desk.post(path, 422, because="")).text
    await desk.post(path, because="Title misleads buyers")
    state = await till.db.fetchval(SYSTEM, "SELECT state FROM catalog.listing WHERE id = $1", shop.listing_id)
    assert state == "PAUSED"
    event = await till.db.fetchrow(SYSTEM, "SELECT data FROM audit.event WHERE kind = 'listing.paused'")
    assert event and event["data"]["because"] == "Title misleads buyers"
    await desk.get(f"/console/listings/{uuid4()}/pause", 404)


async def test_admins_give_and_take_roles(till: Till, desk: Desk) -> None:
    person = await make_user(till.db)
    path = f"/console/people/{person.user_id}"
    await desk.as_("support")
    assert "Staff role" not in await desk.get(path)
    await desk.get(f"{path}/role?role=ops", 403)
    await desk.post(f"{path}/role", 403, role="ops")
    await desk.post(f"{path}/close", 403)
    admin = await desk.as_("admin")
    assert "Staff role" in await desk.get(path)
    assert "pause listings" in await desk.get(f"{path}/role?role=ops")
    await desk.get(f"{path}/role?role=emperor", 404)
    await desk.post(f"{path}/role", role="ops")
    assert "Staff: Operations" in await desk.get(path)
    assert "no longer sees the console" in await desk.get(f"{path}/role")
    await desk.post(f"{path}/role", role="")
    assert "Staff: Operations" not in await desk.get(path)
    assert "Choose one of" in await admin.get((await desk.post(f"{path}/role", role="x")).headers["location"])
    assert "sessions end at once" in await desk.get(f"{path}/close")
    await desk.post(f"{path}/close")
    assert "Open it again" in await desk.get(path)
    await desk.post(f"{path}/open")
    assert "Close the account" in await desk.get(path)


async def test_a_dead_event_is_replayed_by_ops(till: Till, desk: Desk) -> None:
    await till.paid_top_up(await make_buyer(till.db))
    event = (await till.events("checkout.session.completed"))[0]
    await till.deliver(event)
    row = await till.db.fetchval(SYSTEM, "SELECT max(id) FROM inbox.event")
    for state in ("FAILED", "DEAD"):
        await till.db.execute(SYSTEM, "UPDATE inbox.event SET state = $2 WHERE id = $1", row, state)
    await desk.as_("finance")
    assert "Provider&#39;s events given up" in await desk.get("/console")
    assert "Handle it again" not in await desk.get(f"/console/inbox/{row}")
    await desk.post(f"/console/inbox/{row}/replay", 403)
    await desk.as_("ops")
    assert "Handle it again" in await desk.get(f"/console/inbox/{row}")
    assert "each effect is booked once" in await desk.get(f"/console/inbox/{row}/replay")
    await desk.post(f"/console/inbox/{row}/replay")
    await till.work()
    found, _ = await inbox.read_event(till.db, SYSTEM, row)
    assert found.state == "PROCESSED"
    await desk.post(f"/console/inbox/{row}/replay")
    assert "Only a dead event is replayed" in await desk.get(f"/console/inbox/{row}")


async def test_an_events_body_shows_nothing_that_opens_a_payment(till: Till, desk: Desk) -> None:
    await tell(till)
    await desk.as_("ops")
    rows = await till.db.fetch(SYSTEM, "SELECT id, body::text AS body FROM inbox.event ORDER BY id")
    assert any("client_secret" in r["body"] for r in rows)
    for row in rows:
        assert "_secret_" not in await desk.get(f"/console/inbox/{row['id']}")


async def test_a_mail_is_shown_in_a_frame_that_can_do_nothing(till: Till, desk: Desk) -> None:
    await tell(till)
    mail = await till.db.fetchval(SYSTEM, "SELECT id FROM notifications.mail ORDER BY id LIMIT 1")
    await desk.as_("support")
    page = await desk.get(f"/console/mails/{mail}")
    assert re.search(r'<iframe class="letter" src="/console/mails/[^"]+/body" sandbox title=', page)
    body = await desk.client.get(f"/console/mails/{mail}/body")
    policy = body.headers["content-security-policy"]
    assert (
        "default-src 'none'" in policy and policy.endswith("sandbox") and "frame-ancestors 'self'" in policy
    )
    assert body.headers["cache-control"] == "no-store"


async def test_a_failed_mail_is_sent_again(till: Till, desk: Desk) -> None:
    await tell(till)
    mail = await till.db.fetchval(SYSTEM, "SELECT id FROM notifications.mail ORDER BY id LIMIT 1")
    path = f"/console/mails/{mail}"
    await desk.as_("auditor")
    await desk.post(f"{path}/again", 403)
    await desk.as_("support")
    assert "Send again" not in await desk.get(path)
    await desk.post(f"{path}/again")
    assert "Only a mail that failed can be sent again" in await desk.get(path)


async def test_the_trial_balance_is_a_sheet_too(till: Till, desk: Desk) -> None:
    await tell(till)
    await desk.as_("finance")
    page = await desk.get("/console/ledger/trial-balance")
    assert "Balanced" in page and "Does not balance" not in page
    sheet = await desk.client.get("/console/ledger/trial-balance.csv")
    assert (
        sheet.headers["content-type"].startswith("text/csv")
        and "attachment" in sheet.headers["content-disposition"]
    )
    head, *lines = [line.split(",") for line in sheet.text.splitlines() if "," in line]
    assert head[0] == "account" and {line[0] for line in lines} >= {"psp_clearing", "commission"}
    cells = [c.strip('"') for line in lines for c in line]
    assert not [
        c for c in cells if c.startswith(("=", "+", "@")) or (c.startswith("-") and not c[1:2].isdigit())
    ]
    assert "Nothing was posted" in await desk.get("/console/ledger/trial-balance?as_of=2001-01-31")
    assert "year-month-day" in await desk.get("/console/ledger/trial-balance?as_of=soon", 422)


async def test_running_balances_end_where_the_account_stands(till: Till, desk: Desk) -> None:
    for amount in (2500, 3000, 4100):
        await till.paid_top_up(await make_buyer(till.db), amount)
    account = await till.db.fetchrow(
        SYSTEM, "SELECT account_id, amount FROM ledger.account_balance WHERE kind = 'psp_clearing'"
    )
    assert account and len(await slots(till, account["account_id"])) > 1
    from fondaco import console
    from fondaco.core.pagination import Cursors
    from tests.support.money import make_staff

    finance, cursors = await make_staff(till.db, "finance"), Cursors(till.settings.key)
    seen, cursor = [], None
    while True:
        page = await console.account_lines(
            till.db, finance, cursors, account["account_id"], limit=2, cursor=cursor
        )
        seen += page.items
        if (cursor := page.next) is None:
            break
    assert seen[0].running == account["amount"] and seen[-1].running == seen[-1].amount
    assert all(a.running - a.amount == b.running for a, b in itertools.pairwise(seen))


async def slots(till: Till, account_id: int) -> set[int]:
    rows = await till.db.fetch(
        SYSTEM, "SELECT DISTINCT slot FROM ledger.entry WHERE account_id = $1", account_id
    )
    return {r["slot"] for r in rows}


async def test_blocks_are_checked_and_a_change_shows(
    till: Till, desk: Desk, owner: object, site: Parts
) -> None:
    await tell(till)
    await desk.as_("auditor")
    assert "all is as it was signed" in (await desk.post("/console/audit/blocks", 200)).text
    import asyncpg

    assert isinstance(owner, asyncpg.Connection)
    await owner.execute("ALTER TABLE audit.event DISABLE TRIGGER append_only")
    await owner.execute("UPDATE audit.event SET actor = 'nobody' WHERE kind = 'order.delivered'")
    assert "was changed or is not whole" in (await desk.post("/console/audit/blocks", 200)).text


@pytest.mark.parametrize("wanted", ["orders", "people", "fundings", "mails"])
async def test_what_is_not_there_is_not_there(desk: Desk, wanted: str) -> None:
    await desk.as_("admin")
    await desk.get(f"/console/{wanted}/{uuid4()}", 404)


async def test_the_palette_finds_what_the_console_finds(till: Till, desk: Desk) -> None:
    story = await tell(till)
    await desk.as_("support")
    found = (await desk.client.get("/palette", params={"q": story.buyer.email})).json()["items"]
    assert f"/console/people/{story.buyer.user_id}" in {item["href"] for item in found}
    keyed = (await desk.client.get("/palette", params={"q": KEYS[0]})).json()["items"]
    assert not keyed


async def test_the_api_tells_the_same(till: Till, desk: Desk) -> None:
    from tests.support.people import bearer

    story = await tell(till)
    client = desk.client
    headers = await bearer(till.db, await make_user(till.db, staff_role="support"))
    listed = (
        await client.get("/api/v1/console/orders", params={"q": story.buyer.email}, headers=headers)
    ).json()
    assert [o["id"] for o in listed["items"]] == [str(story.order_id)] and listed["states"] == {
        "COMPLETED": 1
    }
    told = await client.get(f"/api/v1/console/orders/{story.order_id}/timeline", headers=headers)
    assert told.status_code == 200 and {"journal", "reveal", "mail"} <= {i["source"] for i in told.json()}
    hit = await client.post("/api/v1/console/find", json={"text": KEYS[0]}, headers=headers)
    assert [f["kind"] for f in hit.json()] == ["key"]
    queues = (await client.get("/api/v1/console/queues", headers=headers)).json()
    assert {"unpaid", "mails_failed"} <= {q["key"] for q in queues}
    assert not {"events_dead", "unsealed"} & {q["key"] for q in queues}
    late = await client.post(
        f"/api/v1/console/orders/{story.order_id}/cancel", json={"because": "too late"}, headers=headers
    )
    assert late.status_code == 409 and late.json()["code"] == "not_waiting"
    pause = f"/api/v1/console/listings/{story.listing_id}/pause"
    assert (await client.post(pause, json={"because": "not mine"}, headers=headers)).status_code == 403
    other = await bearer(till.db, story.seller)
    for path in ("orders", "queues", f"orders/{story.order_id}/timeline"):
        assert (await client.get(f"/api/v1/console/{path}", headers=other)).status_code == 404


async def test_a_second_person_decides_on_the_page(desk: Desk) -> None:
    asked = await ask(desk.db, None)
    await desk.as_("admin")
    assert "Act upon clay." in await desk.get("/console/approvals")
    assert "Act upon clay." in await desk.get(f"/console/approvals/{asked}")
    await desk.post(f"/console/approvals/{asked}/refuse")  # without a note: nothing is decided
    assert "Waits for a second person" in await desk.get(f"/console/approvals/{asked}")
    await desk.post(f"/console/approvals/{asked}/approve", note="fine")
    assert await acted(desk.db) == 1
    assert "Approved and done" in await desk.get(f"/console/approvals/{asked}")
    assert "Nothing waits for a second person" in await desk.get("/console/approvals")
    await desk.post(f"/console/approvals/{asked}/else", status=404)

"""Mails: one per cause, no secrets in rows, what a broken mail server does and does not do."""

import asyncio
import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from fondaco import audit
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Conflict, NotFound
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.identity import reset_password, verify_email
from fondaco.identity.model import DeadLink
from fondaco.integrations.mailer import Mailer
from fondaco.notifications import count_mails, list_mails, mail_by_id, send_again
from fondaco.notifications.jobs import read_events
from fondaco.notifications.letters import LINK
from fondaco.notifications.sending import TRIES, send_due, send_one
from fondaco.orders.combiner import Combiner
from fondaco.settings import Mode, Settings
from fondaco.vault import Vault
from tests.conftest import make_settings
from tests.notifications.server import Mailbox, mail_server
from tests.support.money import give_money, make_buyer, make_staff
from tests.support.shop import make_shop, purchase


def parts_with(settings: Settings, db: Database) -> Parts:
    return Parts(settings, db, Vault(settings))


@pytest.fixture
def own(settings: Settings, db: Database) -> Parts:
    """No mail server: mails are captured."""
    return parts_with(settings, db)


@pytest.fixture
def box() -> Any:
    with mail_server() as found:
        yield found


@pytest.fixture
def sending(endpoints: Endpoints, db: Database, box: Mailbox) -> Parts:
    settings = make_settings(
        endpoints,
        smtp_host=box.host,
        smtp_port=box.port,
        smtp_starttls=False,
        mail_from="Shop <no-reply@example.test>",
    )
    return parts_with(settings, db)


async def happened(db: Database, kind: str, ref: str, **data: Any) -> None:
    async with db.transaction(SYSTEM) as conn:
        await audit.record(conn, kind, ref, "system", data)


async def mails(db: Database) -> list[Any]:
    return await db.fetch(SYSTEM, "SELECT * FROM notifications.mail ORDER BY created_at, id")


async def bring_forward(db: Database) -> None:
    """Make everything that waits due now, as time would."""
    await db.execute(SYSTEM, "UPDATE notifications.mail SET next_at = now() - interval '1 s'")


def link_in(text: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:8000/(?:verify|reset)\?token=([\w-]+)", text)
    assert found, text
    return found[1]


async def bought(db: Database) -> tuple[UUID, UUID, Any]:
    """A wallet purchase through the real verb: buyer, group, shop."""
    shop = await make_shop(db, stock=3)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    done = await Combiner(db).buy(purchase(buyer, shop.wish(2)))
    return buyer.user(), done.group_id, shop


async def test_a_sign_up_makes_one_mail_whose_link_is_only_sealed(own: Parts, db: Database) -> None:
    buyer = await make_buyer(db)
    await happened(db, "user.signed_up", f"user:{buyer.user_id}")
    await read_events(own)
    await read_events(own)
    (mail,) = await mails(db)
    assert (mail["state"], mail["template"], mail["recipient"]) == ("CAPTURED", "verify_address", buyer.email)
    assert LINK in mail["html"]
    assert LINK in mail["plain"]
    assert "token=" not in str(dict(mail))
    staff = await make_staff(db, "support")
    shown = await mail_by_id(db, own.get(Settings), own.get(Vault), staff, mail["id"])
    token = link_in(shown.plain)
    assert link_in(shown.html) == token
    assert await verify_email(db, token) == buyer.user_id
    with pytest.raises(DeadLink):
        await verify_email(db, token)


async def test_in_production_the_console_never_shows_a_link(own: Parts, db: Database) -> None:
    buyer = await make_buyer(db)
    await happened(db, "user.reset_asked", f"user:{buyer.user_id}")
    await read_events(own)
    (mail,) = await mails(db)
    settings = own.get(Settings).model_copy(update={"fondaco_mode": Mode.PRODUCTION})
    shown = await mail_by_id(db, settings, own.get(Vault), await make_staff(db, "support"), mail["id"])
    assert "token=" not in shown.plain + shown.html


async def test_asking_twice_makes_two_reset_mails_and_each_link_works(own: Parts, db: Database) -> None:
    buyer = await make_buyer(db)
    for _ in range(2):
        await happened(db, "user.reset_asked", f"user:{buyer.user_id}")
    await read_events(own)
    first, second = await mails(db)
    staff = await make_staff(db, "support")
    texts = [await mail_by_id(db, own.get(Settings), own.get(Vault), staff, m["id"]) for m in (first, second)]
    tokens = [link_in(t.plain) for t in texts]
    assert tokens[0] != tokens[1]
    await reset_password(db, tokens[0], password="a quite new phrase")
    await read_events(own)
    assert (await mails(db))[-1]["template"] == "password_changed"


async def test_a_purchase_makes_one_mail_to_the_buyer_and_one_to_each_of_the_team(
    own: Parts, db: Database
) -> None:
    buyer, group, shop = await bought(db)
    for role in ("manager", "fulfilment", "finance", "read_only"):
        member = await make_buyer(db)
        await db.execute(
            SYSTEM,
            "INSERT INTO identity.membership (user_id, seller_id, role) VALUES ($1, $2, $3)",
            member.user_id,
            shop.seller_id,
            role,
        )
    await asyncio.gather(read_events(own), read_events(own), read_events(own))
    order = await db.fetchrow(SYSTEM, "SELECT id, number FROM orders.orders WHERE group_id = $1", group)
    assert order
    await happened(db, "order.delivered", f"order:{order['id']}", group_id=str(group))  # told twice
    await read_events(own)
    rows = await mails(db)
    assert sorted(r["template"] for r in rows) == ["new_order"] * 3 + ["order_delivered"]
    to_buyer = next(r for r in rows if r["template"] == "order_delivered")
    assert to_buyer["user_id"] == buyer
    assert to_buyer["ref"] == f"group:{group}"
    assert "€39.98" in to_buyer["plain"]
    assert "€39.98" in to_buyer["html"]
    assert "/library" in to_buyer["plain"]
    to_seller = next(r for r in rows if r["template"] == "new_order")
    assert order["number"] in to_seller["subject"]
    address = await db.fetchval(SYSTEM, "SELECT email FROM identity.users WHERE id = $1", buyer)
    assert address not in to_seller["html"] + to_seller["plain"]


async def test_a_cart_over_two_stores_is_one_mail_to_the_buyer(own: Parts, db: Database) -> None:
    one, two = await make_shop(db, stock=1), await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    await Combiner(db).buy(purchase(buyer, one.wish(), two.wish()))
    await read_events(own)
    rows = await mails(db)
    assert sorted(r["template"] for r in rows) == ["new_order", "new_order", "order_delivered"]


async def test_the_receipt_comes_along_as_pdf(sending: Parts, db: Database, box: Mailbox) -> None:
    buyer, group, _ = await bought(db)
    await read_events(sending)
    await send_due(sending)
    address = await db.fetchval(SYSTEM, "SELECT email FROM identity.users WHERE id = $1", buyer)
    number = await db.fetchval(SYSTEM, "SELECT number FROM orders.orders WHERE group_id = $1", group)
    to_buyer, to_seller = sorted(box.messages, key=lambda m: m["To"] != address)
    (file,) = to_buyer.iter_attachments()
    assert (file.get_content_type(), file.get_filename()) == ("application/pdf", f"receipt-{number}.pdf")
    assert file.get_content().startswith(b"%PDF-")
    assert not list(to_seller.iter_attachments())


async def test_hostile_names_stay_words(own: Parts, db: Database) -> None:
    shop = await make_shop(db, stock=1)
    nasty = "<script>alert(1)</script>{{ 7*7 }}\"'&"
    await db.execute(SYSTEM, "UPDATE catalog.listing SET title = $2 WHERE id = $1", shop.listing_id, nasty)
    await db.execute(SYSTEM, "UPDATE sellers.seller SET name = $2 WHERE id = $1", shop.seller_id, nasty)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    await Combiner(db).buy(purchase(buyer, shop.wish()))
    await read_events(own)
    rows = await mails(db)
    assert len(rows) == 2
    for row in rows:
        assert "<script" not in row["html"]
        assert "{{ 7*7 }}" in row["html"]
        assert "\n" not in row["subject"]


async def test_an_event_whose_mail_cannot_be_made_holds_up_no_other(own: Parts, db: Database) -> None:
    await happened(db, "order.delivered", f"order:{uuid4()}")
    await happened(db, "user.signed_up", "user:not-a-uuid")
    buyer = await make_buyer(db)
    await happened(db, "user.signed_up", f"user:{buyer.user_id}")
    assert await read_events(own) >= 3
    assert [m["recipient"] for m in await mails(db)] == [buyer.email]
    told = await db.fetchval(SYSTEM, "SELECT count(*) FROM audit.event WHERE kind = 'mail.undeliverable'")
    assert told == 2


async def test_sent_mails_arrive_whole_once_and_their_link_is_wiped(
    sending: Parts, db: Database, box: Mailbox
) -> None:
    buyer = await make_buyer(db)
    await happened(db, "user.signed_up", f"user:{buyer.user_id}")
    await read_events(sending)
    assert await send_due(sending) == 1
    assert await send_due(sending) == 0
    (message,) = box.messages
    (mail,) = await mails(db)
    assert box.recipients == [buyer.email]
    assert message["Message-ID"] == f"<{mail['id']}@example.test>"
    assert message["From"] == "Shop <no-reply@example.test>"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain
    assert html
    assert await verify_email(db, link_in(plain.get_content())) == buyer.user_id
    assert mail["state"] == "SENT"
    assert mail["link_key"] is None
    assert mail["link_sealed"] is None
    assert "style=" in html.get_content()


async def test_a_mail_server_that_is_down_undoes_nothing(endpoints: Endpoints, db: Database) -> None:
    settings = make_settings(endpoints, smtp_host="127.0.0.1", smtp_port=9, smtp_starttls=False)
    down = parts_with(settings, db)
    buyer, group, _ = await bought(db)
    await read_events(down)
    await send_due(down)
    rows = await mails(db)
    assert {r["state"] for r in rows} == {"FAILED"}
    assert all(r["next_at"] > now() + timedelta(seconds=30) for r in rows)
    state = await db.fetchval(SYSTEM, "SELECT state FROM orders.orders WHERE group_id = $1", group)
    assert state == "DELIVERED"
    assert (
        await db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.entitlement WHERE buyer_id = $1", buyer) == 2
    )
    for _ in range(TRIES):
        await bring_forward(db)
        await send_due(down)
    rows = await mails(db)
    assert {(r["state"], r["attempts"]) for r in rows} == {("UNDELIVERABLE", TRIES)}
    told = await db.fetch(SYSTEM, "SELECT data FROM audit.event WHERE kind = 'mail.undeliverable'")
    assert len(told) == len(rows)
    assert buyer and all("@" not in str(t["data"]) for t in told)


async def test_a_refused_mail_is_not_tried_again_and_can_be_sent_again(
    sending: Parts, db: Database, box: Mailbox
) -> None:
    buyer = await make_buyer(db)
    await happened(db, "user.sign_up_repeated", f"user:{buyer.user_id}")
    await read_events(sending)
    box.answers = ["550 no such person here canary@example.test"]
    await send_due(sending)
    (mail,) = await mails(db)
    assert (mail["state"], mail["attempts"]) == ("UNDELIVERABLE", 1)
    assert "canary" not in mail["failure"]
    staff = await make_staff(db, "ops")
    await db.execute(
        SYSTEM, "UPDATE identity.users SET email = 'right@example.test' WHERE id = $1", buyer.user_id
    )
    again = await send_again(db, staff, mail["id"])
    assert (again.state, again.recipient) == ("QUEUED", "right@example.test")
    await send_due(sending)
    assert box.recipients == ["right@example.test"]
    with pytest.raises(Conflict):
        await send_again(db, staff, mail["id"])
    with pytest.raises(NotFound):
        await send_again(db, staff, uuid4())


async def test_a_busy_server_gets_the_mail_later(sending: Parts, db: Database, box: Mailbox) -> None:
    buyer = await make_buyer(db)
    await happened(db, "user.sign_up_repeated", f"user:{buyer.user_id}")
    await read_events(sending)
    box.answers = ["451 come back later"]
    await send_due(sending)
    assert (await mails(db))[0]["state"] == "FAILED"
    assert await send_due(sending) == 0
    await bring_forward(db)
    await send_due(sending)
    assert (await mails(db))[0]["state"] == "SENT"
    assert len(box.messages) == 1


async def test_many_senders_at_once_send_each_mail_once(sending: Parts, db: Database, box: Mailbox) -> None:
    for _ in range(8):
        buyer = await make_buyer(db)
        await happened(db, "user.sign_up_repeated", f"user:{buyer.user_id}")
    await read_events(sending)
    await asyncio.gather(*(send_due(sending) for _ in range(4)))
    assert len(box.messages) == 8
    assert len({m["Message-ID"] for m in box.messages}) == 8


async def test_a_sender_that_died_in_between_is_followed_by_the_same_message(
    sending: Parts, db: Database, box: Mailbox
) -> None:
    buyer = await make_buyer(db)
    await happened(db, "user.sign_up_repeated", f"user:{buyer.user_id}")
    await read_events(sending)
    mailer = Mailer(sending.get(Settings))
    real = mailer.send

    async def dies(letter: Any) -> None:
        await real(letter)
        raise asyncio.CancelledError

    mailer.send = dies  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await send_one(sending, mailer)
    assert await send_due(sending) == 0  # the lease still runs
    await bring_forward(db)
    assert await send_due(sending) == 1
    first, second = box.messages
    assert first["Message-ID"] == second["Message-ID"]


async def test_top_ups_refunds_and_expired_orders_are_told(own: Parts, db: Database) -> None:
    user_id, group, _ = await bought(db)
    await read_events(own)
    funding, refund = uuid4(), uuid4()
    await db.execute(
        SYSTEM,
        "INSERT INTO wallets.funding (id, user_id, purpose, amount, currency, lines, state, expires_at) "
        "VALUES ($1, $2, 'top_up', 2500, 'EUR', '[]', 'CREATED', now())",
        funding,
        user_id,
    )
    await db.execute(
        SYSTEM,
        "INSERT INTO wallets.refund (id, funding_id, user_id, amount, currency, reason, state) "
        "VALUES ($1, $2, $3, 700, 'EUR', 'Sold out meanwhile', 'REQUESTED')",
        refund,
        funding,
        user_id,
    )
    order = await db.fetchval(SYSTEM, "SELECT id FROM orders.orders WHERE group_id = $1", group)
    await happened(db, "funding.succeeded", f"funding:{funding}")
    await happened(db, "refund.succeeded", f"refund:{refund}")
    await happened(db, "order.expired", f"order:{order}")
    await read_events(own)
    top_up, back, expired = (await mails(db))[-3:]
    assert top_up["subject"] == "€25.00 are in your wallet"
    assert back["subject"] == "€7.00 are on their way back to you"
    assert "Sold out meanwhile" in back["plain"]
    assert expired["template"] == "order_expired"
    assert expired["ref"] == f"group:{group}"


@pytest.mark.parametrize(
    ("source", "kind", "template"),
    [
        ("csv", "batch.closed", "import_closed"),
        ("csv", "batch.failed", "import_failed"),
        ("api", "batch.closed", None),
        ("api", "batch.failed", "import_failed"),
    ],
)
async def test_whoever_imported_is_told(
    own: Parts, db: Database, source: str, kind: str, template: str | None
) -> None:
    shop = await make_shop(db, stock=1)
    batch = await db.fetchval(
        SYSTEM,
        "UPDATE inventory.stock_batch SET created_by = $1, source = $2 RETURNING id",
        f"user:{shop.owner.user_id}",
        source,
    )
    await happened(db, kind, f"batch:{batch}")
    await read_events(own)
    assert [(m["template"], m["recipient"]) for m in await mails(db)] == (
        [(template, shop.owner.email)] if template else []
    )


async def test_the_list_walks_both_ways_without_gaps(own: Parts, db: Database) -> None:
    for _ in range(7):
        buyer = await make_buyer(db)
        await happened(db, "user.sign_up_repeated", f"user:{buyer.user_id}")
    await read_events(own)
    staff = await make_staff(db, "support")
    cursors = Cursors(b"k" * 32)
    first = await list_mails(db, cursors, staff, limit=3)
    second = await list_mails(db, cursors, staff, limit=3, cursor=first.next)
    third = await list_mails(db, cursors, staff, limit=3, cursor=second.next)
    ids = [m.id for page in (first, second, third) for m in page.items]
    assert ids == [m["id"] for m in reversed(await mails(db))]
    assert first.previous is None
    assert third.next is None
    back = await list_mails(db, cursors, staff, limit=3, cursor=third.previous)
    assert [m.id for m in back.items] == [m.id for m in second.items]
    one = first.items[0]
    assert [m.id for m in (await list_mails(db, cursors, staff, q=one.recipient.upper())).items] == [one.id]
    assert not (await list_mails(db, cursors, staff, state="SENT")).items
    assert (await count_mails(db, staff))["CAPTURED"] == 7

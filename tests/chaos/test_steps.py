"""Every step that commits something, cut off at each of its failpoints: killed, failed, its connection lost.
Then it is made again, as the restarted process does, and everything has happened exactly once."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fondaco import inventory, wallets
from fondaco.core.db import SYSTEM
from fondaco.core.failpoints import POINTS
from fondaco.core.viewer import Viewer
from fondaco.inbox.door import enqueue
from fondaco.orders import own_order_group
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.chaos import steps
from tests.chaos.steps import Step, perform, strike
from tests.conftest import key as new_key
from tests.notifications.server import Mailbox, mail_server
from tests.support.direct import direct
from tests.support.goods import add_keys, make_listing, some_keys
from tests.support.money import Till, make_buyer, signature
from tests.support.payouts import paying, payouts_of
from tests.support.people import make_seller, make_user_and_token

ACTIONS = ("kill", "raise", "lose_connection")
KILLED, NOT_REACHED = -9, 7


@dataclass
class Scene:
    """What a step needs, and what must be so in the end."""

    step: Step
    given: dict[str, Any]
    after: Callable[[Any], Awaitable[None]]
    settings: Settings
    between: str = ""  # SQL as the owner: the time that passes until the step is made again
    last: list[Any] = field(default_factory=list)


class Stage:
    """Sets scenes."""

    def __init__(self, till: Till, owner: asyncpg.Connection) -> None:
        self.till, self.owner, self.db = till, owner, till.db

    async def goods(self, keys: int = 3) -> tuple[Viewer, UUID, int]:
        seller = await make_seller(self.db)
        listing = await make_listing(self.db, seller, price=1999)
        if keys:
            await add_keys(self.db, Vault(self.till.settings), seller, listing, keys)
        return seller, listing.id, listing.price

    async def count(self, sql: str, *args: Any) -> int:
        return await self.db.fetchval(SYSTEM, sql, *args)

    async def order(self, pay_with: str) -> Scene:
        """A purchase over the API, made again with the same key."""
        _, listing, price = await self.goods()
        buyer, token = await make_user_and_token(self.db, "chaos@example.test")
        if pay_with == "wallet":
            await self.till.paid_top_up(buyer, 5000)
        line = {"listing_id": str(listing), "quantity": 1, "price": price}
        given = {"path": "/api/v1/orders", "token": token, "key": "once", "content": None}
        given["content"] = {"pay_with": pay_with, "lines": [line]}

        async def after(answer: tuple[int, Any]) -> None:
            assert answer[0] == 201, answer
            assert await self.count("SELECT count(*) FROM orders.order_group") == 1
            if pay_with == "wallet":
                assert await self.till.wallet(buyer) == 5000 - price
                return
            (session,) = (await self.till.gateway.client.v1.checkout.sessions.list_async()).data
            assert session.url == answer[1]["checkout_url"]
            self.till.sandbox.pay(session.id)
            await self.till.deliver_all()
            group = await own_order_group(self.db, buyer, UUID(answer[1]["order"]["id"]))
            assert group.state == "DELIVERED"

        waiting = "UPDATE core.idempotency SET created_at = created_at - interval '3 minutes'"
        return Scene(steps.api_post, given, after, self.till.settings, waiting)

    async def card_order(self) -> Scene:
        return await self.order("card")

    async def wallet_order(self) -> Scene:
        return await self.order("wallet")

    async def _paid_order(self) -> tuple[Viewer, dict[str, Any], dict[str, Any]]:
        """A card order paid at the provider; nobody was told. Its scene's given, its event."""
        scene = await self.order("card")
        status, placed = await perform(self.till.settings, scene.step, scene.given)
        assert status == 201
        group = placed["order"]
        (session,) = (await self.till.gateway.client.v1.checkout.sessions.list_async()).data
        self.till.sandbox.pay(session.id)
        (event,) = await self.till.events("checkout.session.completed")
        return Viewer(user_id=UUID(group["buyer_id"])), group, event

    async def _delivered_once(self, buyer: Viewer, group: dict[str, Any]) -> None:
        await self.till.work()
        assert (await own_order_group(self.db, buyer, UUID(group["id"]))).state == "DELIVERED"
        assert await self.count("SELECT count(*) FROM inbox.event WHERE state = 'PROCESSED'") == 1
        assert await self.count("SELECT count(*) FROM ledger.journal WHERE kind = 'top_up'") == 1

    async def webhook(self) -> Scene:
        buyer, group, event = await self._paid_order()
        body = json.dumps(event).encode()
        given = {"event": event, "signature": signature(body, self.till.secret)}

        async def after(_: Any) -> None:
            assert await self.count("SELECT count(*) FROM inbox.event") == 1
            assert await self.count("SELECT count(*) FROM inbox.event WHERE state = 'RECEIVED'") == 1
            await self._delivered_once(buyer, group)

        return Scene(steps.webhook, given, after, self.till.settings)

    async def handling(self) -> Scene:
        buyer, group, event = await self._paid_order()
        await self.till.deliver(event)
        row = await self.count("SELECT id FROM inbox.event")

        async def after(_: Any) -> None:
            await self._delivered_once(buyer, group)

        return Scene(steps.handle, {"row": row}, after, self.till.settings)

    async def queue(self) -> Scene:
        buyer, group, event = await self._paid_order()
        await self.till.deliver(event)
        async with self.db.transaction(SYSTEM) as conn:
            await enqueue(conn, await conn.fetchval("SELECT id FROM inbox.event"))

        async def after(_: Any) -> None:
            await self._delivered_once(buyer, group)
            assert await self.count(_JOBS) == 0

        # The dead worker's heartbeat ends; its job is put back as `worker.rescue` does every five seconds.
        dead = """UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL, scheduled_at = NULL
                  WHERE status IN ('doing', 'todo')"""
        return Scene(steps.work_queue, {}, after, self.till.settings, dead)

    async def session(self) -> Scene:
        buyer = await make_buyer(self.db)
        async with self.db.transaction(SYSTEM) as conn:
            seller, _, _ = await self.goods(0)
            assert seller
            funding = await conn.fetchval(
                """INSERT INTO wallets.funding
                     (id, user_id, purpose, amount, currency, lines, state, expires_at)
                   VALUES (gen_random_uuid(), $1, 'top_up', 2500, 'EUR', $2, 'CREATED',
                           now() + interval '1 hour') RETURNING id""",
                buyer.user_id,
                [{"name": "Top-up", "quantity": 1, "unit_amount": 2500}],
            )

        async def after(_: Any) -> None:
            (made,) = (await self.till.gateway.client.v1.checkout.sessions.list_async()).data
            now = await wallets.read_funding(self.db, SYSTEM, funding)
            assert (now.state, now.session_id, now.session_url) == ("PROCESSING", made.id, made.url)

        return Scene(steps.open_session, {"funding": str(funding)}, after, self.till.settings)

    async def fundings(self) -> Scene:
        scene = await self.session()
        waiting = "UPDATE wallets.funding SET created_at = now() - interval '5 minutes', checked_at = NULL"
        await self.owner.execute(waiting)
        return Scene(steps.sweep_fundings, {}, scene.after, self.till.settings, waiting)

    async def _refund(self) -> UUID:
        buyer = await make_buyer(self.db)
        funding = await self.till.paid_top_up(buyer, 2500)
        async with self.db.transaction(SYSTEM) as conn:
            return await wallets.request_refund(conn, funding.id, 700, reason="test", actor="system")

    async def _refunded_once(self, refund: UUID) -> None:
        state = await self.db.fetchval(SYSTEM, "SELECT state FROM wallets.refund WHERE id = $1", refund)
        assert state == "SUCCEEDED"
        (made,) = (await self.till.gateway.client.v1.refunds.list_async()).data
        assert made.amount == 700
        assert await self.till.psp() == await self.till.provider_balance()

    async def refund(self) -> Scene:
        refund = await self._refund()

        async def after(_: Any) -> None:
            await perform(self.till.settings, steps.sweep_refunds, {})
            await self._refunded_once(refund)

        waiting = "UPDATE wallets.refund SET called_at = now() - interval '5 minutes', checked_at = NULL"
        return Scene(steps.send_refund, {"refund": str(refund)}, after, self.till.settings, waiting)

    async def refunds(self) -> Scene:
        refund = await self._refund()
        waiting = "UPDATE wallets.refund SET created_at = now() - interval '5 minutes', checked_at = NULL"
        await self.owner.execute(waiting)

        async def after(_: Any) -> None:
            await self._refunded_once(refund)

        return Scene(steps.sweep_refunds, {}, after, self.till.settings, waiting)

    async def reversal(self) -> Scene:
        one = await direct(self.till, price=2000)
        await one.refund(await one.line(await one.sell()), 1000)
        reversal = await self.db.fetchval(SYSTEM, "SELECT id FROM destination.reversal")

        async def after(_: Any) -> None:
            await perform(self.till.settings, steps.sweep_reversals, {})
            await self.till.work()
            assert await one.reversals() == [(900, "DONE")]
            assert one.moved("transfer.reversed") == [900]

        waiting = """UPDATE destination.reversal SET called_at = called_at - interval '5 minutes',
                       checked_at = checked_at - interval '5 minutes'"""
        return Scene(steps.send_reversal, {"reversal": str(reversal)}, after, self.till.settings, waiting)

    async def payout(self) -> Scene:
        one = await paying(self.till, self.owner)
        payout = await one.withdraw()

        async def after(_: Any) -> None:
            await perform(self.till.settings, steps.sweep_payouts, {})
            assert await one.state(payout) == "SENT"
            assert one.transfers == [1800]

        waiting = """UPDATE payouts.payout SET called_at = called_at - interval '5 minutes',
                       checked_at = checked_at - interval '5 minutes',
                       lease_until = now() - interval '1 minute'"""
        return Scene(steps.send_payout, {"payout": str(payout)}, after, self.till.settings, waiting)

    async def payouts(self) -> Scene:
        scene = await self.payout()
        return Scene(steps.sweep_payouts, {}, scene.after, scene.settings, scene.between)

    async def payout_run(self) -> Scene:
        one = await paying(self.till, self.owner)

        async def after(_: Any) -> None:
            assert [p["amount"] for p in await payouts_of(self.db, one.shop)] == [1800]
            assert await self.count("SELECT count(*) FROM payouts.run WHERE ended_at IS NOT NULL") == 1

        return Scene(steps.payout_run, {}, after, self.till.settings)

    async def reveal(self) -> Scene:
        scene = await self.order("wallet")
        _, placed = await perform(self.till.settings, scene.step, scene.given)
        (entitlement,) = placed["order"]["orders"][0]["lines"][0]["entitlements"]

        async def after(secret: str) -> None:
            assert secret.endswith("-TEST")
            consumed = "SELECT count(*) FROM inventory.stock_unit WHERE state = 'CONSUMED'"
            assert await self.count(consumed) == 1
            assert await self.count("SELECT count(*) FROM delivery.reveal") in (1, 2)

        given = {"buyer": placed["order"]["buyer_id"], "entitlement": entitlement}
        return Scene(steps.reveal, given, after, self.till.settings)

    async def mails(self) -> Scene:
        scene = await self.order("wallet")
        await perform(self.till.settings, scene.step, scene.given)

        async def after(_: Any) -> None:
            sold = "SELECT count(*) FROM notifications.mail WHERE template = 'order_delivered'"
            assert await self.count(sold) == 1
            assert await self.count("SELECT count(*) FROM notifications.mail") == await self.count(
                "SELECT count(DISTINCT (template, recipient, ref)) FROM notifications.mail"
            )

        return Scene(steps.make_mails, {}, after, self.till.settings)

    async def batch(self) -> Scene:
        seller, listing, _ = await self.goods(0)
        received = await inventory.receive(
            self.db,
            Vault(self.till.settings),
            seller,
            listing,
            source="paste",
            content="\n".join(some_keys(30)),
        )

        async def after(_: Any) -> None:
            found = await inventory.batch(self.db, seller, received.id)
            assert (found.state, found.imported) == ("CLOSED", 30)
            assert await self.count("SELECT count(*) FROM inventory.stock_unit") == 30

        return Scene(steps.import_batch, {"batch": str(received.id)}, after, self.till.settings)

    async def left_lying(self) -> Scene:
        """An event that no worker looks at."""
        buyer, group, event = await self._paid_order()
        await self.till.deliver(event)
        waiting = "UPDATE inbox.event SET next_at = now() - interval '1 minute'"
        await self.owner.execute(waiting)

        async def after(_: Any) -> None:
            assert await self.count(f"{_JOBS} AND task_name = 'inbox.handle'") == 1
            await self._delivered_once(buyer, group)

        return Scene(steps.sweep_events, {}, after, self.till.settings, waiting)

    async def unpaid(self) -> Scene:
        scene = await self.order("card")
        await perform(self.till.settings, scene.step, scene.given)
        await self.owner.execute("UPDATE orders.orders SET expires_at = now() - interval '1 minute'")

        async def after(_: Any) -> None:
            assert await self.count("SELECT count(*) FROM orders.orders WHERE state = 'EXPIRED'") == 1
            free = "SELECT count(*) FROM inventory.stock_unit WHERE state = 'AVAILABLE'"
            assert await self.count(free) == 3
            (session,) = (await self.till.gateway.client.v1.checkout.sessions.list_async()).data
            assert session.status == "expired"

        return Scene(steps.expire_orders, {}, after, self.till.settings)

    async def missed(self) -> Scene:
        """Nothing was ever delivered."""
        buyer, group, _ = await self._paid_order()

        async def after(_: Any) -> None:
            assert await self.count("SELECT count(*) - count(DISTINCT event_id) FROM inbox.event") == 0
            await self.till.work()
            found = await own_order_group(self.db, buyer, UUID(group["id"]))
            assert found.state == "DELIVERED"
            assert await self.count("SELECT count(*) FROM ledger.journal WHERE kind = 'top_up'") == 1

        return Scene(steps.backfill, {}, after, self.till.settings)

    async def sealing(self) -> Scene:
        await self.goods()

        async def after(_: Any) -> None:
            covered = await self.count("SELECT sum(events)::int FROM audit.block")
            assert covered == await self.count("SELECT count(*) FROM audit.event")

        return Scene(steps.seal, {}, after, self.till.settings)

    async def rewrapping(self) -> Scene:
        await self.goods()
        await self.goods()
        old = self.till.settings.vault_keys.get_secret_value()
        both = self.till.settings.model_copy(
            update={"vault_keys": type(self.till.settings.vault_keys)(f"k2:{new_key()},{old}")}
        )

        async def after(_: Any) -> None:
            assert await Vault(both).under_older_keys(self.db) == 0
            assert await Vault(both).faults(self.db) == []

        return Scene(steps.rewrap, {}, after, both)


_JOBS = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"
SCENES: dict[str, Callable[[Stage], Awaitable[Scene]]] = {
    "web.webhook.after_verify": Stage.webhook,
    "web.webhook.after_insert_before_commit": Stage.webhook,
    "web.webhook.after_commit_before_answer": Stage.webhook,
    "web.checkout.after_debit_before_commit": Stage.card_order,
    "web.checkout.after_reserve": Stage.card_order,
    "web.checkout.after_commit_before_answer": Stage.wallet_order,
    "web.idempotency.after_effect_before_keep": Stage.card_order,
    "buy.before_call": Stage.wallet_order,
    "buy.after_call": Stage.wallet_order,
    "worker.claim.after": Stage.queue,
    "worker.job.before_commit": Stage.handling,
    "worker.job.after_commit_before_ack": Stage.queue,
    "inbox.after_ask": Stage.handling,
    "settle.after_money_before_order": Stage.handling,
    "pay.session.before_call": Stage.session,
    "pay.session.after_call_before_store": Stage.session,
    "refund.before_call": Stage.refund,
    "refund.after_call_before_store": Stage.refund,
    "refund.after_store_before_commit": Stage.refund,
    "direct_reversal.before_call": Stage.reversal,
    "direct_reversal.after_call_before_store": Stage.reversal,
    "direct_reversal.after_store_before_commit": Stage.reversal,
    "payout.run.before_commit": Stage.payout_run,
    "payout.before_call": Stage.payout,
    "payout.after_call_before_store": Stage.payout,
    "payout.after_store_before_commit": Stage.payout,
    "delivery.reveal.before_commit": Stage.reveal,
    "delivery.reveal.after_commit": Stage.reveal,
    "delivery.after_decrypt": Stage.reveal,
    "delivery.after_row_before_mail": Stage.mails,
    "stock.import.after_claim": Stage.batch,
    "stock.import.mid_batch": Stage.batch,
    "sweeper.events.after_select": Stage.left_lying,
    "sweeper.fundings.after_select": Stage.fundings,
    "sweeper.refunds.after_select": Stage.refunds,
    "sweeper.payouts.after_select": Stage.payouts,
    "sweeper.orders.after_select": Stage.unpaid,
    "backfill.after_list": Stage.missed,
    "backfill.mid_list": Stage.missed,
    "seal.after_block_before_sign": Stage.sealing,
    "keyrotate.mid_batch": Stage.rewrapping,
}


def test_every_point_is_struck() -> None:
    assert SCENES.keys() | {"mail.after_smtp_before_store"} == POINTS.keys()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", sorted(SCENES))
async def test_a_step_cut_off_and_made_again_happens_once(
    point: str, action: str, till: Till, owner: asyncpg.Connection
) -> None:
    scene = await SCENES[point](Stage(till, owner))
    code = strike(scene.settings, point, action, scene.step, scene.given)
    assert code != NOT_REACHED, f"{point} was not reached"
    assert (code == KILLED) == (action == "kill")
    if scene.between:
        await owner.execute(scene.between)
    await scene.after(await perform(scene.settings, scene.step, scene.given))
    await till.whole()


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_mail_sent_and_not_noted_is_sent_again_as_the_same(
    action: str, till: Till, owner: asyncpg.Connection
) -> None:
    with mail_server() as box:
        settings = _with_mail(till.settings, box)
        await make_seller(till.db)
        scene = await Stage(till, owner).order("wallet")
        await perform(settings, scene.step, scene.given)
        await perform(settings, steps.make_mails, {})
        code = strike(settings, "mail.after_smtp_before_store", action, steps.send_mails, {})
        assert (code == KILLED) == (action == "kill")
        assert code != NOT_REACHED
        await owner.execute("UPDATE notifications.mail SET next_at = now() - interval '1 second'")
        await perform(settings, steps.send_mails, {})
        sent = [m["Message-ID"] for m in box.messages]
        mails = "SELECT count(*) FROM notifications.mail WHERE state = 'SENT'"
        assert len(set(sent)) == await till.db.fetchval(SYSTEM, mails) == len(sent) - 1


def _with_mail(settings: Settings, box: Mailbox) -> Settings:
    return settings.model_copy(update={"smtp_host": box.host, "smtp_port": box.port, "smtp_starttls": False})

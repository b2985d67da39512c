"""Builders for tests about money: users, money in a wallet, a till that pays at the Stripe sandbox."""

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from fondaco import checks, inbox, wallets
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.destination import jobs as destination_jobs
from fondaco.inbox import jobs as inbox_jobs
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import AccountRef, balance, platform, post, wallet_of
from fondaco.settings import Settings
from fondaco.wallets import Funding
from fondaco.wallets import jobs as wallet_jobs
from tests.support.sandbox import RunningSandbox


async def make_buyer(db: Database, **changes: object) -> Viewer:
    """A customer with a proved address, signed in."""
    user_id = uuid7()
    email = f"buyer-{os.urandom(6).hex()}@example.test"
    await db.execute(
        SYSTEM,
        """INSERT INTO identity.users (id, email, name, password_hash, country, email_verified_at)
           VALUES ($1, $2, 'Buyer', 'none', 'DE', now())""",
        user_id,
        email,
    )
    values: dict[str, object] = {"user_id": user_id, "email": email, "name": "Buyer", "verified": True}
    return Viewer(**{**values, **changes})  # type: ignore[arg-type]


async def make_staff(db: Database, role: str) -> Viewer:
    """Somebody of the staff, past the second factor."""
    viewer = await make_buyer(db, staff_role=role, mfa=True, mfa_enrolled=True)
    await db.execute(SYSTEM, "UPDATE identity.users SET staff_role = $2 WHERE id = $1", viewer.user_id, role)
    return viewer


async def give_money(db: Database, user_id: UUID, amount: int, currency: str = "EUR") -> int:
    """Puts money in a wallet as a top-up would; returns the journal's id."""
    source = uuid4()

    async with db.transaction(SYSTEM) as conn:
        return await post(
            conn,
            "top_up",
            idem=f"topup:pi_test_{source.hex}",
            ref=f"user:{user_id}",
            actor="stripe",
            legs=[(platform("psp_clearing", currency), amount), (wallet_of(user_id, currency), -amount)],
        )


async def amount_on(db: Database, ref: AccountRef) -> int:
    """What stands on an account, minor units on its normal side."""
    async with db.transaction(SYSTEM) as conn:
        return await balance(conn, ref)


async def journals(db: Database, kind: str | None = None) -> list[str]:
    """Keys of all journals (of a kind), in order."""
    rows = await db.fetch(
        SYSTEM, "SELECT idem FROM ledger.journal WHERE $1::text IS NULL OR kind = $1 ORDER BY id", kind
    )
    return [r["idem"] for r in rows]


def signature(body: bytes, secret: str, at: int | None = None) -> str:
    """A Stripe-Signature header as Stripe makes it."""
    stamp = int(now().timestamp()) if at is None else at
    code = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={code}"


@dataclass
class Till:
    """Everything a payment needs: database, settings, the gateway to a running sandbox."""

    db: Database
    settings: Settings
    gateway: StripeGateway
    sandbox: RunningSandbox

    @property
    def impatient(self) -> StripeGateway:
        """A gateway that does not try again by itself: what it did not hear is lost."""
        return StripeGateway(self.settings, retries=0)

    @property
    def parts(self) -> Parts:
        return Parts(self.db, self.settings, self.gateway)

    @property
    def secret(self) -> str:
        return self.settings.webhook_secrets[0]

    async def top_up(self, buyer: Viewer, amount: int = 2500) -> Funding:
        """A top-up with its page open, not paid yet."""
        return await wallets.start_top_up(self.db, self.gateway, self.settings, buyer, amount)

    async def paid_top_up(self, buyer: Viewer, amount: int = 2500, card: str = "4242424242424242") -> Funding:
        """A top-up paid and settled, without any event."""
        funding = await self.top_up(buyer, amount)
        assert funding.session_id
        self.sandbox.pay(funding.session_id, card)
        await inbox.check_funding(self.db, self.gateway, funding.id)
        await self.work()
        return await self.funding(funding)

    async def funding(self, funding: Funding) -> Funding:
        """The funding as it is now."""
        return await wallets.read_funding(self.db, SYSTEM, funding.id)

    async def events(self, *types: str) -> list[dict[str, Any]]:
        """The sandbox's events (of these types), oldest first."""
        page = await self.gateway.client.v1.events.list_async({"limit": 100})
        found = [event.to_dict() for event in page.data][::-1]
        return [event for event in found if not types or event["type"] in types]

    async def deliver(self, event: dict[str, Any]) -> bool:
        """Hand an event in as Stripe does; True when it was new."""
        body = json.dumps(event).encode()
        return await inbox.receive(self.db, self.gateway, body, [signature(body, self.secret)])

    async def deliver_all(self, *types: str) -> None:
        """Hand in every event of the sandbox and do the work that follows."""
        for event in await self.events(*types):
            await self.deliver(event)
        await self.work()

    async def work(self) -> int:
        """What the workers do: handle the events that are due, run the queued jobs of wallets and inbox, book
        fees, until nothing is left; returns how many events and jobs there were."""
        tasks, done = wallet_jobs.tasks | inbox_jobs.tasks | destination_jobs.tasks, 0
        while True:
            done += await inbox.drain(self.db, self.gateway)
            await wallet_jobs.book_fees(self.parts)
            job = await self.db.fetchrow(
                SYSTEM,
                """DELETE FROM procrastinate_jobs WHERE id = (SELECT min(id) FROM procrastinate_jobs
                   WHERE status = 'todo' AND task_name = ANY ($1)) RETURNING task_name, args""",
                list(tasks),
            )
            if job is None:
                return done
            await tasks[job["task_name"]](self.parts, **job["args"])
            done += 1

    async def wallet(self, buyer: Viewer) -> int:
        """What the buyer can spend."""
        return await amount_on(self.db, wallet_of(buyer.user(), self.settings.currency))

    async def psp(self) -> int:
        """What the provider owes us, by our books."""
        return await amount_on(self.db, platform("psp_clearing", self.settings.currency))

    async def provider_balance(self) -> int:
        """What the provider owes us, by its own books: the sum over its balance transactions."""
        page = await self.gateway.client.v1.balance_transactions.list_async({"limit": 100})
        assert not page.has_more
        return sum(transaction.net for transaction in page.data)

    async def audited(self, kind: str) -> int:
        """How often this was written into the audit log."""
        return await self.db.fetchval(SYSTEM, "SELECT count(*) FROM audit.event WHERE kind = $1", kind)

    async def whole(self) -> None:
        """Nothing is wrong anywhere."""
        assert [str(f) for f in await checks.verify_all(self.db, self.settings)] == []

"""A small marketplace at one database and one sandbox, in which anybody does anything at any time, and
what must be true of its money after each step and once everything is done."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from fondaco import cases, checks, inbox, orders, payouts, refunds, wallets
from fondaco.cases import jobs as case_jobs
from fondaco.chargebacks import jobs as chargeback_jobs
from fondaco.core.checking import Findings
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Problem
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.inbox import jobs as inbox_jobs
from fondaco.inbox.model import DISPUTE_TYPES
from fondaco.orders import jobs as order_jobs
from fondaco.orders.combiner import Combiner
from fondaco.payouts import jobs as payout_jobs
from fondaco.refunds import jobs as refund_jobs
from fondaco.wallets import jobs as wallet_jobs
from tests.support.money import Till, make_buyer, make_staff
from tests.support.shop import Shop, make_shop, whole

CARDS = (
    "4000000000000077",
    "4000000000000077",
    "4242424242424242",
)  # two of three can be sent on at once
PRICES = (500, 1970, 4000)
PATHS = ("/v1/refunds", "/v1/transfers", "/v1/accounts")
_TASKS = (inbox_jobs, wallet_jobs, chargeback_jobs, payout_jobs)
_OVERDRAWN = """SELECT kind, owner, amount FROM ledger.account_balance WHERE amount < 0
  AND kind IN ('wallet', 'wallet_hold', 'escrow', 'seller_pending', 'seller_available', 'seller_reserve',
  'seller_receivable', 'buyer_receivable', 'payout_in_flight', 'refund_in_flight', 'chargeback_held')"""
_INVARIANTS = {
    "a chargeback moved a seller's money": """SELECT j.idem FROM ledger.journal j
       JOIN ledger.entry e ON e.journal_id = j.id JOIN ledger.account a ON a.id = e.account_id
       WHERE j.kind LIKE 'chargeback%' AND a.owner LIKE 'seller:%'""",
    "more than a payment goes back": """SELECT id FROM wallets.funding
       WHERE refunded + refund_pending + disputed > amount""",
    "a line gave more back than it cost": "SELECT id FROM orders.order_line WHERE refunded > total",
    "an account is overdrawn": _OVERDRAWN,
    "a line pays out more than its seller's part ever was": """SELECT y.line_id FROM payouts.payable y
       JOIN orders.order_line l ON l.id = y.line_id
       WHERE y.paid > l.total - l.commission - l.tax OR y.net > l.total - l.commission - l.tax""",
    "a seller has what nobody earned": """
       SELECT s.id, m.has, e.earned, g.given FROM sellers.seller s
       CROSS JOIN LATERAL (SELECT coalesce(sum(CASE WHEN kind = 'seller_receivable' THEN -amount
           ELSE amount END), 0) AS has FROM ledger.account_balance
         WHERE owner = 'seller:' || s.id
           AND kind IN ('seller_pending', 'seller_available', 'seller_reserve', 'seller_receivable')) m
       CROSS JOIN LATERAL (SELECT coalesce(sum(l.total - l.refunded
           - (l.commission - l.refunded_commission) - (l.tax - l.refunded_tax)), 0) AS earned
         FROM orders.order_line l
         WHERE l.seller_id = s.id AND l.released_at IS NOT NULL) e
       CROSS JOIN LATERAL (SELECT coalesce(sum(p.amount - p.reversed), 0) AS gone FROM payouts.payout p
         WHERE p.seller_id = s.id AND p.state NOT IN ('FAILED', 'CANCELLED')) p
       CROSS JOIN LATERAL (SELECT coalesce(sum(-e.amount), 0) AS given FROM ledger.journal j
         JOIN ledger.entry e ON e.journal_id = j.id JOIN ledger.account a ON a.id = e.account_id
         WHERE j.kind = 'goodwill' AND a.owner = 'seller:' || s.id) g
       WHERE m.has + p.gone <> e.earned + g.given""",
    "a buyer has what nobody paid": """
       SELECT u.id, m.has, f.n AS paid, b.n AS spent, r.n AS back, c.n AS lost
       FROM identity.users u
       CROSS JOIN LATERAL (SELECT coalesce(sum(CASE WHEN kind = 'buyer_receivable' THEN -amount
           ELSE amount END), 0) AS has FROM ledger.account_balance WHERE owner = 'user:' || u.id
           AND kind IN ('wallet', 'wallet_hold', 'buyer_receivable')) m
       CROSS JOIN LATERAL (SELECT coalesce(sum(f.amount - f.refunded - f.refund_pending), 0) AS n
         FROM wallets.funding f WHERE f.user_id = u.id AND EXISTS (SELECT 1 FROM ledger.journal j
           WHERE j.kind IN ('top_up', 'card_payment') AND j.ref IN ('funding:' || f.id)
             OR j.idem = 'topup:' || f.intent_id OR j.idem = 'pay:' || f.intent_id)) f
       CROSS JOIN LATERAL (SELECT coalesce(sum(l.total - l.refunded), 0) AS n FROM orders.order_line l
         WHERE l.buyer_id = u.id AND l.delivery_state IN ('DELIVERED', 'REFUNDED')) b
       CROSS JOIN LATERAL (SELECT coalesce(sum(-e.amount), 0) AS n FROM ledger.journal j
         JOIN ledger.entry e ON e.journal_id = j.id JOIN ledger.account a ON a.id = e.account_id
         WHERE j.kind = 'goodwill' AND a.owner = 'user:' || u.id) r
       CROSS JOIN LATERAL (SELECT coalesce(sum(c.amount), 0) AS n FROM chargebacks.chargeback c
         WHERE c.user_id = u.id AND c.reversed_at IS NULL AND EXISTS (SELECT 1 FROM ledger.journal j
           WHERE j.idem = 'dplost:' || c.provider_id)) c
       WHERE m.has <> f.n - b.n + r.n - c.n""",
}


@dataclass
class World:
    """Two buyers, two stores, the staff, the provider and the clock. Who is refused was refused: a
    Problem is an answer; anything else is a fault."""

    till: Till
    owner: asyncpg.Connection
    buyers: list[Viewer] = field(default_factory=list[Viewer])
    shops: list[Shop] = field(default_factory=list[Shop])
    staff: dict[str, Viewer] = field(default_factory=dict[str, Viewer])
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    did: Counter[str] = field(default_factory=Counter[str])

    @property
    def db(self) -> Database:
        return self.till.db

    @property
    def currency(self) -> str:
        return self.till.settings.currency

    @property
    def parts(self) -> Parts:
        return Parts(self.db, self.till.settings, self.till.impatient)

    async def begin(self) -> None:
        self.buyers = [await make_buyer(self.db) for _ in range(2)]
        for price in PRICES[:2]:
            self.shops.append(await make_shop(self.db, price=price, stock=12, currency=self.currency))
        for role in ("support", "finance", "admin"):
            self.staff[role] = await make_staff(self.db, role)
        somebody = await make_buyer(self.db)
        await self.till.paid_top_up(somebody, 50_000, CARDS[0])  # something to send from

    async def act(self, name: str, *with_: Any) -> None:
        """One step by somebody; a refusal is an answer."""
        try:
            await getattr(self, name)(*with_)
            self.did[name] += 1
        except Problem as problem:
            self.did[f"{name}: {problem.code}"] += 1

    async def ids(self, sql: str, *with_: Any) -> list[Any]:
        return [row[0] for row in await self.db.fetch(SYSTEM, sql, *with_)]

    async def get(self, sql: str, *with_: Any) -> Any:
        return await self.db.fetchval(SYSTEM, sql, *with_)

    async def one(self, n: int, sql: str, *with_: Any) -> Any:
        """One of what there is; a refusal when there is nothing."""
        found = await self.ids(sql, *with_)
        if not found:
            raise Nothing()
        return found[n % len(found)]

    async def line(self, n: int) -> UUID:
        return await self.one(
            n, "SELECT id FROM orders.order_line WHERE delivery_state <> 'RESERVED' ORDER BY id DESC"
        )

    def buyer_of(self, user: UUID) -> Viewer:
        return next(b for b in self.buyers if b.user() == user)

    async def wind(self, sql: str, *with_: Any) -> None:
        """Turn the clock, which one does at a time."""
        async with self.turn:
            await self.owner.execute(sql, *with_)

    # ---- buyers
    async def pay_in(self, n: int, amount: int, card: int) -> None:
        funding = await self.till.top_up(self.buyers[n % 2], amount)
        assert funding.session_id
        self.till.sandbox.pay(funding.session_id, CARDS[card % 3])
        if n & 2:
            await inbox.check_funding(self.db, self.till.gateway, funding.id)

    async def buy(self, n: int, quantity: int) -> None:
        buyer, shop = self.buyers[n % 2], self.shops[n // 2 % 2]
        await Combiner(self.db).buy(self._wanted(buyer, shop, quantity))

    def _wanted(self, buyer: Viewer, shop: Shop, quantity: int) -> orders.Purchase:
        policy = orders.policy_of(self.till.settings)
        wish = [shop.wish(quantity)]
        return orders.purchase_of(buyer, policy, wish, currency=self.currency, idem=uuid7().hex)

    async def buy_by_card(self, n: int, quantity: int, card: int) -> None:
        wanted = self._wanted(self.buyers[n % 2], self.shops[n // 2 % 2], quantity)
        placed = await orders.place_with_card(self.db, self.till.gateway, self.till.settings, wanted)
        session = await self.db.fetchval(
            SYSTEM, "SELECT session_id FROM wallets.funding WHERE group_id = $1", placed.group_id
        )
        self.till.sandbox.pay(session, CARDS[card % 3])

    async def look(self, n: int) -> None:
        row = await self.db.fetchrow(
            SYSTEM,
            """SELECT id, buyer_id FROM delivery.entitlement
               WHERE revoked_at IS NULL AND revealed_at IS NULL ORDER BY id OFFSET $1 LIMIT 1""",
            n % 3,
        )
        if row is None:
            raise Nothing()

        async def work(conn: Connection) -> None:
            await conn.fetch(
                "SELECT * FROM delivery.reveal_unit($1, $2, '127.0.0.1', 'test', 'x')",
                row["id"],
                row["buyer_id"],
            )

        await self.db.run(SYSTEM, work)

    async def give_back(self, n: int) -> None:
        line = await self.line(n)
        user = await self.get("SELECT buyer_id FROM orders.order_line WHERE id = $1", line)
        await refunds.give_back(self.db, self.buyer_of(user), line)

    async def confirm(self, n: int) -> None:
        order = await self.one(n, "SELECT id FROM orders.orders WHERE state = 'DELIVERED' ORDER BY id")
        user = await self.get("SELECT buyer_id FROM orders.orders WHERE id = $1", order)
        await orders.confirm_delivery(self.db, self.buyer_of(user), order)

    async def open_case(self, n: int) -> None:
        order = await self.one(n, "SELECT id FROM orders.orders WHERE state <> 'EXPIRED' ORDER BY id")
        user = await self.get("SELECT buyer_id FROM orders.orders WHERE id = $1", order)
        known = {"reason": "NOT_WORKING", "text": "It does not work."}
        await cases.open_case(self.db, self.till.settings, self.buyer_of(user), order, **known)

    async def case(self, n: int) -> tuple[UUID, Viewer, UUID]:
        case = await self.one(n, "SELECT id FROM cases.case WHERE decided_at IS NULL ORDER BY id DESC")
        user = await self.get("SELECT buyer_id FROM cases.case WHERE id = $1", case)
        seller = await self.get("SELECT seller_id FROM cases.case WHERE id = $1", case)
        return case, self.buyer_of(user), seller

    async def withdraw_case(self, n: int) -> None:
        case, buyer, _ = await self.case(n)
        await cases.withdraw(self.db, buyer, case)

    # ---- sellers
    def shop_of(self, seller: UUID) -> Shop:
        return next(s for s in self.shops if s.seller_id == seller)

    async def connect(self, n: int) -> None:
        shop = self.shops[n % 2]
        await payouts.connect(self.db, self.till.impatient, self.till.settings, shop.owner)
        account = (await payouts.my_account(self.db, shop.owner)).provider_id
        assert account
        self.till.sandbox.post(f"/sandbox/accounts/{account}", choice="verified")
        await payouts.refresh(self.db, self.till.impatient, account)

    async def withdraw(self, n: int, amount: int | None) -> None:
        await payouts.withdraw(
            self.db,
            self.till.settings,
            self.shops[n % 2].owner,
            uuid7(),
            amount=amount,
            currency=self.currency,
        )

    async def refund_by_seller(self, n: int, amount: int | None) -> None:
        line = await self.line(n)
        seller = await self.get("SELECT seller_id FROM orders.order_line WHERE id = $1", line)
        how = {"reason": "goodwill", "why": "For you"}
        await refunds.refund_by_seller(self.db, self.shop_of(seller).owner, line, amount, **how)

    async def offer(self, n: int, amount: int) -> None:
        case, buyer, seller = await self.case(n)
        owner = self.shop_of(seller).owner
        await cases.offer(self.db, owner, case, amount=amount, text="Take this.")
        if n & 4:
            await cases.accept_offer(self.db, buyer, case)

    # ---- staff
    async def decide(self, n: int, outcome: str, amount: int, to: str) -> None:
        case, _, _ = await self.case(n)
        with contextlib.suppress(Problem):
            await cases.take(self.db, self.staff["support"], case)
        lines = await self.ids("SELECT line_id FROM cases.case_line WHERE case_id = $1", case)
        amounts = dict.fromkeys(lines, amount) if outcome == "SPLIT" else None
        await cases.decide(
            self.db,
            self.staff["finance"],
            case,
            outcome=outcome,
            text="We looked at it.",
            amounts=amounts,
            to=to,  # type: ignore[arg-type]
        )

    async def refund_by_staff(self, n: int, amount: int | None, to: str) -> None:
        await refunds.refund_by_staff(
            self.db,
            self.staff["finance"],
            self.till.settings,
            await self.line(n),
            amount,
            to=to,  # type: ignore[arg-type]
            reason="goodwill",
            why="It was right",
            keep=bool(n & 1),
        )

    async def send_back(self, n: int, amount: int) -> None:
        """Money of a wallet goes back to the card it came from."""
        funding = await self.one(n, "SELECT id FROM wallets.funding ORDER BY created_at DESC")

        async def work(conn: Connection) -> None:
            await wallets.request_refund(conn, funding, amount, reason="asked for", actor="system")

        await self.db.run(SYSTEM, work)

    async def goodwill(self, n: int, amount: int) -> None:
        to = {"seller_id": self.shops[0].seller_id}
        if n & 1:
            to = {"user_id": self.buyers[n // 2 % 2].user()}
        known = {"key": uuid7(), "amount": amount, "currency": self.currency, "why": "a long wait"}
        await refunds.pay_goodwill(self.db, self.staff["finance"], self.till.settings, **known, **to)

    async def payout(self, n: int) -> UUID:
        return await self.one(n, "SELECT id FROM payouts.payout ORDER BY created_at DESC")

    async def hold_payout(self, n: int) -> None:
        await payouts.hold(self.db, self.staff["finance"], await self.payout(n), "to be looked at")

    async def let_payout_go(self, n: int) -> None:
        await payouts.let_go(self.db, self.staff["finance"], await self.payout(n), "it is fine")

    async def cancel_payout(self, n: int) -> None:
        await payouts.cancel(self.db, self.staff["finance"], await self.payout(n), "not now")

    async def take_payout_back(self, n: int, amount: int | None) -> None:
        known = {"amount": amount, "because": "sent by mistake"}
        await payouts.take_back(self.db, self.staff["finance"], await self.payout(n), **known)

    # ---- the provider
    async def dispute(self, n: int, inquiry: bool) -> None:
        intent = await self.one(
            n,
            "SELECT intent_id FROM wallets.funding WHERE intent_id IS NOT NULL ORDER BY created_at DESC",
        )
        self._control(f"/sandbox/charges/{intent}/dispute", inquiry=inquiry)

    async def resolve(self, n: int, outcome: str, **more: Any) -> None:
        found = [f["dispute"] for f in self.till.sandbox.truth() if f["fact"] == "dispute.created"]
        if not found:
            raise Nothing()
        self._control(f"/sandbox/disputes/{found[n % len(found)]}/resolve", outcome=outcome, **more)

    async def warn(self, n: int) -> None:
        intent = await self.one(n, "SELECT intent_id FROM wallets.funding WHERE intent_id IS NOT NULL")
        self._control(f"/sandbox/charges/{intent}/warn")

    async def bounce_refund(self, n: int, status: str) -> None:
        refund = await self.one(
            n,
            "SELECT provider_id FROM wallets.refund WHERE provider_id > '' ORDER BY created_at DESC",
        )
        self._control(f"/sandbox/refunds/{refund}", status=status)

    async def change_account(self, n: int, what: str) -> None:
        account = await self.one(n, "SELECT provider_id FROM payouts.account WHERE provider_id > ''")
        wanted: dict[str, Any] = {
            "restrict": {"require": ["individual.verification.document"], "past_due": True},
            "reject": {"reject": "fraud"},
            "again": {"choice": "verified"},
            "allow": {"reject": ""},
        }[what]
        self._control(f"/sandbox/accounts/{account}", **wanted)

    async def fault(self, n: int, kind: str) -> None:
        path = "/v1/refunds" if kind.startswith("refund_") else PATHS[n % 3]
        self.till.sandbox.post("/sandbox/faults", **{kind: {"count": 1 + n % 2, "path": path}})

    def _control(self, path: str, **content: Any) -> None:
        """The sandbox refuses what makes no sense (a dispute of what went back): an answer too."""
        answer = self.till.sandbox.control.post(path, json=content)
        if answer.status_code != 200:
            raise Nothing()

    async def deliver(self, n: int, order: str) -> None:
        """Some of all there is to tell, in an order of its own, some again; and the work it makes."""
        events = await self.news()
        if order == "back":
            events = events[::-1]
        elif order == "some":
            events = [e for i, e in enumerate(events) if (i * 7 + n) % 3]
        elif order == "disputes":
            events = [e for e in events if e["type"] in DISPUTE_TYPES]
        for event in events:
            await self.till.deliver(event)
        await self.work()

    async def news(self) -> list[dict[str, Any]]:
        """All events of the platform and of its sellers' accounts, the oldest first."""
        found = await self._events({})
        for account in await self.ids("SELECT provider_id FROM payouts.account WHERE provider_id > ''"):
            options: Any = {"stripe_account": account}
            found += [{**e, "account": account} for e in await self._events(options)]
        return sorted(found, key=lambda e: e["created"])

    async def _events(self, options: Any) -> list[dict[str, Any]]:
        list_ = self.till.gateway.client.v1.events.list_async
        found, params = list[dict[str, Any]](), dict[str, Any](limit=100)
        while True:
            page = await list_(params, options)  # type: ignore[arg-type]
            found += [e.to_dict() for e in page.data]
            if not page.has_more:
                return found[::-1]
            params["starting_after"] = page.data[-1].id

    # ---- the clock and the workers
    async def work(self) -> None:
        """Everything that is queued."""
        tasks = {name: task for module in _TASKS for name, task in module.tasks.items()}
        while True:
            await inbox.drain(self.db, self.till.impatient)
            await wallet_jobs.book_fees(self.parts)
            job = await self.db.fetchrow(
                SYSTEM,
                """DELETE FROM procrastinate_jobs WHERE id = (SELECT min(id) FROM procrastinate_jobs
                   WHERE status = 'todo' AND task_name = ANY ($1)) RETURNING task_name, args""",
                list(tasks),
            )
            if job is None:
                return
            with contextlib.suppress(Problem):
                await tasks[job["task_name"]](self.parts, **job["args"])

    async def release(self, n: int) -> None:
        line = await self.line(n)
        await self.wind("UPDATE orders.order_line SET release_at = now() WHERE id = $1", line)
        await order_jobs.release_due(self.parts)

    async def mature(self, n: int) -> None:
        line = await self.line(n)
        await self.wind("UPDATE orders.order_line SET matures_at = now() WHERE id = $1", line)
        await order_jobs.mature_due(self.parts)

    async def daily_run(self) -> None:
        await self.wind("UPDATE payouts.run SET batch_date = batch_date - 1000")
        await self.wind("UPDATE payouts.payout SET batch_date = batch_date - 1000")
        await self.wind("DELETE FROM payouts.withheld")
        await payouts.run_due(self.db, self.till.settings)

    async def case_deadlines(self) -> None:
        await self.wind("ALTER TABLE cases.case DISABLE TRIGGER USER")
        await self.wind("UPDATE cases.case SET deadline = now() - interval '1 minute'")
        await self.wind("ALTER TABLE cases.case ENABLE TRIGGER USER")
        await case_jobs.sweep_deadlines(self.parts)

    async def usable(self) -> None:
        self.till.sandbox.post("/sandbox/available")

    async def later(self) -> None:
        """As if an hour had gone by for what is on its way; then everything that sweeps."""
        for table, columns in (
            ("wallets.refund", ("called_at", "checked_at")),
            ("payouts.payout", ("called_at", "checked_at", "lease_until")),
            ("payouts.reversal", ("called_at",)),
            ("inbox.event", ("next_at",)),
            ("chargebacks.evidence", ("called_at",)),
        ):
            moved = ", ".join(f"{c} = {c} - interval '1 hour'" for c in columns)
            await self.wind(f"UPDATE {table} SET {moved}")
        for jobs in (inbox_jobs, wallet_jobs, case_jobs, refund_jobs, payout_jobs, chargeback_jobs):
            for name, _, sweep in jobs.periodic:
                if name not in ("inbox.backfill", "payouts.run_due"):
                    with contextlib.suppress(Problem):
                        await sweep(self.parts)
        await self.work()

    # ---- what must be true
    async def true_now(self) -> None:
        """After each step."""
        await whole(self.db)
        for name, sql in _INVARIANTS.items():
            rows = await self.db.fetch(SYSTEM, sql)
            assert not rows, (name, [dict(r) for r in rows])
        findings = Findings()
        await checks.running.glance(self.db, findings)
        seen = [str(f) for f in findings.faults]
        assert not seen, seen

    async def true_at_the_end(self) -> None:
        """Once every event is told and all work is done."""
        self.till.sandbox.post(
            "/sandbox/faults",
            **{k: {"count": 0, "path": "/v1/"} for k in ("lose_answer", "fail_before", "fail_after")},
        )
        for _ in range(4):
            await self.deliver(0, "all")
            await self.later()
            waiting = "SELECT provider_id FROM wallets.refund WHERE state = 'PENDING'"
            for pending in await self.ids(waiting):
                with contextlib.suppress(Nothing):  # it has failed meanwhile, which nobody was told yet
                    self._control(f"/sandbox/refunds/{pending}", status="succeeded")
        await self.true_now()
        found = [str(f) for f in await checks.verify_all(self.db, self.till.settings)]
        assert not found, found
        page = self.till.gateway.client.v1.balance_transactions
        movements = page.list_async({"limit": 100})
        there = [(t.type, t.net) async for t in (await movements).auto_paging_iter()]
        net, ours = sum(n for _, n in there), await self.till.psp()
        assert ours == net, (ours - net, there)
        await self._as_the_provider_says()

    async def _as_the_provider_says(self) -> None:
        """One transfer for each payout that left, one refund for each request, to the cent."""
        truth = self.till.sandbox.truth()
        transfers = {f["transfer"]: f["amount"] for f in truth if f["fact"] == "transfer.created"}
        back = {f["refund"]: f["amount"] for f in truth if f["fact"] == "refund.created"}
        sent = await self.db.fetch(
            SYSTEM, "SELECT transfer_id, amount FROM payouts.payout WHERE transfer_id IS NOT NULL"
        )
        assert {r["transfer_id"]: r["amount"] for r in sent} == transfers
        asked = await self.db.fetch(
            SYSTEM, "SELECT provider_id, amount FROM wallets.refund WHERE provider_id IS NOT NULL"
        )
        assert {r["provider_id"]: r["amount"] for r in asked} == back
        disputes = {f["dispute"] for f in truth if f["fact"] == "dispute.created"}
        assert set(await self.ids("SELECT provider_id FROM chargebacks.chargeback")) == disputes


class Nothing(Problem):
    """There is nothing of the kind."""

    status = 404
    code = "nothing_there"

"""A marketplace in two sizes, one ten times the other, and what each request asks of its database."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from fondaco import cases, orders
from fondaco.bench.market import CURRENCY, PRICE, Market
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.identity import create_api_key, save_view
from fondaco.identity.sessions import viewer_of
from fondaco.integrations.blobs import Blobs
from fondaco.notifications.jobs import read_events
from tests.support.papers import some_papers
from tests.support.payouts import some_payouts
from tests.support.people import make_member, make_user, sign_in

# What a transaction has touched stands with what the session has not reported yet: each reports at its end.
ROWS = """SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
          FROM pg_stat_xact_user_tables"""
REPORT = "SELECT pg_stat_force_next_flush()"
TOP_UPS = """
INSERT INTO wallets.funding (id, user_id, purpose, amount, currency, state, expires_at, lines)
SELECT gen_random_uuid(), $1, 'top_up', 500, 'EUR', 'CREATED', now() + interval '1 hour', '[]'
FROM generate_series(1, $2)
"""
EVENTS = """
INSERT INTO inbox.event (provider, event_id, type, api_version, livemode, object_id, object_created, body,
                         source, state)
SELECT 'stripe', 'evt_' || gen_random_uuid(), 'customer.created', 'v', false, 'cus_' || gen_random_uuid(),
       now(), '{}', 'webhook', 'RECEIVED' FROM generate_series(1, $1)
"""
REQUESTS = """
INSERT INTO approvals.request (id, kind, ref, payload, words, reason, permission, state, expires_at)
SELECT gen_random_uuid(), 'money.goodwill', 'user:' || gen_random_uuid(), '{}', 'It happens', 'It is due',
       'console.adjust', 'OPEN', now() + interval '7 days' FROM generate_series(1, $1)
"""
REPORTS = """
INSERT INTO refunds.report (id, entitlement_id, line_id, order_id, buyer_id, seller_id, why, state, due_at)
SELECT gen_random_uuid(), e.id, e.line_id, e.order_id, e.buyer_id, e.seller_id, 'It does not work', 'OPEN',
       now() + interval '3 days' FROM delivery.entitlement e WHERE e.unit_id IS NOT NULL LIMIT $1
ON CONFLICT DO NOTHING
"""
RULES = """
INSERT INTO orders.commission_rule (category, bps, reason, added_by)
SELECT 'games', 900, 'An offer', (SELECT id FROM identity.users LIMIT 1)
FROM generate_series(1, least($1, 20))
"""
BREAKS = """
WITH r AS (INSERT INTO reconciliation.run (asked_by, state, since, until)
  SELECT 'clock', 'RUNNING', now() - interval '1 day', now()
  WHERE NOT EXISTS (SELECT 1 FROM reconciliation.run) RETURNING id)
INSERT INTO reconciliation.break (class, place, currency, amount, words, state, last_run)
SELECT 'missing_here', 'movement:' || gen_random_uuid(), 'EUR', 1, 'a movement', 'OPEN',
  coalesce((SELECT id FROM r), (SELECT max(id) FROM reconciliation.run)) FROM generate_series(1, $1)
"""
SUSPENSE = """
SELECT ledger.post('suspense', 'suspense:' || gen_random_uuid(), 'test', 'test',
  ARRAY[ledger.open_account('psp_clearing', 'platform', 'EUR'),
        ledger.open_account('suspense', 'platform', 'EUR')], ARRAY[1, -1]) FROM generate_series(1, $1)
"""
RINGS = """
WITH many AS (SELECT u.id, row_number() OVER (ORDER BY u.id) AS n FROM identity.users u
              ORDER BY u.id LIMIT 2),
marks AS (SELECT 'device_' || md5(gen_random_uuid()::text) AS mark FROM generate_series(1, $1)),
used AS (INSERT INTO risk.device (user_id, mark, first_at, last_at)
  SELECT id, mark, now(), now() FROM many, marks RETURNING mark)
INSERT INTO risk.shared (kind, mark, accounts, first_at, last_at)
SELECT 'device', mark, count(*), now(), now() FROM used GROUP BY mark
"""
EXPLAINED = """
UPDATE reconciliation.break SET state = 'EXPLAINED', reason = 'It is known',
  decided_by = (SELECT id FROM identity.users LIMIT 1) WHERE state = 'OPEN'
"""
OUR_WORDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class Counting(Database):
    """Counts the statements its connections send and the rows their transactions touch. It works as behind
    a pooler, where everything is said in a transaction."""

    statements = 0
    rows = 0

    @asynccontextmanager
    async def _begun(self, connection: Connection, begin: str) -> AsyncIterator[None]:
        async with super()._begun(connection, begin):
            connection.add_query_logger(self._note)
            try:
                yield
            finally:
                connection.remove_query_logger(self._note)
            self.rows += await connection.fetchval(ROWS)
            await connection.execute(REPORT)

    def _note(self, query: "asyncpg.connection.LoggedQuery") -> None:
        self.statements += not query.query.startswith(OUR_WORDS)


@dataclass
class World:
    """`ids`: of one of everything, by the name a path gives it. `tokens`: by desk."""

    db: Database
    owner: asyncpg.Connection
    parts: Parts
    market: Market
    ids: dict[str, str] = field(default_factory=dict[str, str])
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    _listings: list[UUID] = field(default_factory=list[UUID])

    async def open(self) -> None:
        """The people and the first of everything; then `grow`."""
        await self.market.open(4)
        buyer = self.market.buyers[0]
        viewer = await viewer_of(self.db, buyer.token, Viewer())
        view = await save_view(self.db, viewer, list_name="orders", name="Mine", query="state=DELIVERED")
        [article] = await self.market.add_listings(1, "article")
        api_key = await create_api_key(self.db, self.market.seller, name="mine", scopes=("catalog.read",))
        member = await make_member(self.db, self.market.seller, "fulfilment")
        self.tokens = {
            "buyer": buyer.token,
            "seller": self.market.seller_token,
            "staff": await sign_in(self.db, await make_user(self.db, staff_role="admin")),
        }
        self.ids |= {
            "view_id": str(view.id), "key_id": str(api_key.id), "user_id": str(member.user()),
            "session_id": str(viewer.session_id), "article_id": str(article),
        }  # fmt: skip

    async def grow(self, size: int) -> None:
        """So many listings more, as many orders of one buyer and half as many of the others, top-ups, mails
        and events; then the server learns what it holds."""
        fresh = await self.market.add_listings(size)
        self._listings += fresh
        await self.market.stock(fresh, 4)
        combiner = orders.Combiner(self.db)
        pick = random.Random(size)
        wishes = [(self.market.buyers[0].id, listing) for listing in fresh]
        wishes += [(pick.choice(self.market.buyers[1:]).id, listing) for listing in fresh[::2]]
        await asyncio.gather(*(self._buy(combiner, *wish) for wish in wishes))
        await self.owner.execute(TOP_UPS, self.market.buyers[0].id, size)
        await self.owner.execute(EVENTS, size)
        await self.owner.execute(REQUESTS, size)
        await self.owner.execute(REPORTS, size)
        for _ in range(100):
            before = await self._count("notifications.mail")
            await read_events(self.parts)
            if await self._count("notifications.mail") == before:
                break
        await self._dispute(min(size, 150))
        await self._charge_back(min(size, 150))
        await some_payouts(self.db, self.market.settings, self.market.seller, min(size, 150))
        await self.owner.execute(RULES, size)
        await self.owner.execute(BREAKS, size)
        await self.owner.execute(EXPLAINED)  # or no payout leaves
        await self.owner.execute(SUSPENSE, min(size, 50))
        await self.owner.execute(RINGS, size)
        await some_papers(self.parts, self.market.seller, min(size, 150))
        await self.owner.execute("ANALYZE")
        await self._name_things()

    async def _buy(self, combiner: orders.Combiner, buyer: UUID, listing: UUID) -> None:
        policy = orders.policy_of(self.market.settings)
        wish = [orders.Wish(listing, 1, PRICE)]
        who = Viewer(user_id=buyer, verified=True)
        await combiner.buy(orders.purchase_of(who, policy, wish, currency=CURRENCY, idem=str(uuid7())))

    async def _dispute(self, size: int) -> None:
        """Cases about so many orders of the first buyer, one of them with a file."""
        who = await viewer_of(self.db, self.market.buyers[0].token, Viewer())
        rows = await self.db.fetch(
            SYSTEM,
            """SELECT order_id FROM orders.order_line WHERE buyer_id = $1 AND escrow_state = 'HELD'
               ORDER BY id DESC LIMIT $2""",
            who.user(),
            size,
        )
        settings, blobs = self.market.settings, self.parts.get(Blobs)
        for row in rows:
            text = "It is not what I wanted."
            opened = await cases.open_case(self.db, settings, who, row["order_id"], reason="OTHER", text=text)
        by = cases.Acting("buyer", who)
        file_id = await cases.attach(self.db, blobs, by, opened, name="a.txt", body=b"a text")
        self.ids |= {"case_id": str(opened), "file_id": str(file_id)}

    async def _charge_back(self, size: int) -> None:
        """So many chargebacks that ended, each of money that had paid for a line of the first buyer."""
        made = """INSERT INTO chargebacks.chargeback (id, provider_id, funding_id, user_id, amount, currency,
              reason, state, provider_status, opened_at, ended_at)
            SELECT gen_random_uuid(), 'du_' || gen_random_uuid(), f.id, f.user_id, 1, f.currency, 'general',
              'WON', 'won', now(), now()
            FROM generate_series(1, $2) n, (SELECT * FROM wallets.funding WHERE user_id = $1
                                           ORDER BY id DESC LIMIT 1) f"""
        lines = """INSERT INTO chargebacks.line (chargeback_id, line_id, order_id, buyer_id, seller_id,
              amount, policy, bps)
            SELECT c.id, l.id, l.order_id, l.buyer_id, l.seller_id, 1, 'platform', 0
            FROM chargebacks.chargeback c,
              (SELECT * FROM orders.order_line WHERE buyer_id = $1 ORDER BY id DESC LIMIT 1) l
            ON CONFLICT DO NOTHING"""
        evidence = """INSERT INTO chargebacks.evidence (id, chargeback_id, user_id, stage, state, fields,
              window_ends) SELECT gen_random_uuid(), c.id, c.user_id, 'chargeback', 'DRAFT', '{}', now()
            FROM chargebacks.chargeback c ON CONFLICT DO NOTHING"""
        buyer = self.market.buyers[0].id
        await self.owner.execute(made, buyer, size)
        await self.owner.execute(lines, buyer)
        await self.owner.execute(evidence)
        first = await self.owner.fetchval("SELECT id FROM chargebacks.chargeback LIMIT 1")
        self.ids["chargeback_id"] = str(first)

    async def _count(self, table: str) -> int:
        return int(await self.owner.fetchval(f"SELECT count(*) FROM {table}"))

    async def _name_things(self) -> None:
        """The newest of everything."""
        buyer = self.market.buyers[0].id
        found: dict[str, Any] = {}
        for name, sql in {
            "group_id": "SELECT id FROM orders.order_group WHERE buyer_id = $1 ORDER BY id DESC LIMIT 1",
            "order_id": """SELECT o.id FROM orders.orders o JOIN orders.order_group g ON g.id = o.group_id
                           WHERE g.buyer_id = $1 ORDER BY o.id DESC LIMIT 1""",
            "line_id": """SELECT l.id FROM orders.order_line l WHERE l.order_id = (
                 SELECT o.id FROM orders.orders o JOIN orders.order_group g ON g.id = o.group_id
                 WHERE g.buyer_id = $1 ORDER BY o.id DESC LIMIT 1) LIMIT 1""",
            "entitlement_id": "SELECT id FROM delivery.entitlement WHERE buyer_id = $1 LIMIT 1",
            "top_up_id": "SELECT id FROM wallets.funding WHERE user_id = $1 ORDER BY id LIMIT 1",
            "paper_id": "SELECT id FROM statements.paper WHERE buyer_id = $1 ORDER BY id DESC LIMIT 1",
        }.items():
            found[name] = await self.db.fetchval(SYSTEM, sql, buyer)
        for name, sql in {
            "batch_id": "SELECT id FROM inventory.stock_batch LIMIT 1",
            "mail_id": "SELECT id FROM notifications.mail LIMIT 1",
            "row_id": "SELECT id FROM inbox.event LIMIT 1",
            "journal_id": "SELECT max(id) FROM ledger.journal",
            "request_id": "SELECT id FROM approvals.request LIMIT 1",
            "payout_id": "SELECT id FROM payouts.payout ORDER BY created_at DESC LIMIT 1",
            "report_id": "SELECT id FROM refunds.report LIMIT 1",
            "account_id": "SELECT id FROM ledger.account WHERE kind = 'psp_clearing' LIMIT 1",
            "store_paper_id": "SELECT id FROM statements.paper WHERE kind = 'statement' LIMIT 1",
            "break_id": "SELECT max(id) FROM reconciliation.break",
            "run_id": "SELECT max(id) FROM reconciliation.run",
            "suspense_id": "SELECT max(id) FROM ledger.journal WHERE kind = 'suspense'",
            "rule_id": "SELECT max(id) FROM orders.commission_rule",
            "mark": "SELECT max(mark) FROM risk.shared",
            "seller_id": "SELECT id FROM sellers.seller LIMIT 1",
            "store": "SELECT slug FROM sellers.seller LIMIT 1",
        }.items():
            found[name] = await self.db.fetchval(SYSTEM, sql)
        found |= {"funding_id": found["top_up_id"], "listing_id": self.market.template, "buyer": buyer}
        slug = await self.db.fetchval(
            SYSTEM, "SELECT slug FROM catalog.listing WHERE id = $1", self.market.template
        )
        self.ids |= {name: str(value) for name, value in found.items()} | {
            "listing": slug,
            "category": "games",
            "side": "user",
            "party_id": str(buyer),
        }

"""Fills an empty marketplace through the same verbs that pages and API use, and the sandbox's test cards."""

import random
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from fondaco import catalog, delivery, inbox, inventory, orders, sellers, wallets
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Problem
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.demo.content import Item, load
from fondaco.demo.people import Account, make_staff, make_user, signed_in
from fondaco.demo.trouble import Trouble, staff_viewer
from fondaco.integrations.stripe import StripeGateway
from fondaco.inventory.importing import import_batch
from fondaco.orders.jobs import count_sold, expire_orders, mature_due
from fondaco.settings import Settings
from fondaco.vault import Vault

GOOD_CARD = "4242424242424242"
# With what each buyer tops up, in their order; the fourth one's bank is slow with refunds.
CARDS = (
    *(GOOD_CARD, "5555555555554444", "4000000000000077", "4000000000007726"),
    *(GOOD_CARD, "5555555555554444", "4000000000005126"),
)
BUYERS = (
    ("buyer", "IT"),
    ("buyer2", "DE"),
    ("buyer3", "FR"),
    ("buyer4", "ES"),
    ("buyer5", "AT"),
    ("buyer6", "NL"),
    ("buyer7", "PT"),
)
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Seed:
    """One run over an empty database. `owner_dsn` is used for one thing only: to date orders back."""

    def __init__(self, parts: Parts, owner_dsn: str) -> None:
        self.parts = parts
        self.db = parts.get(Database)
        self.vault = parts.get(Vault)
        self.gateway = parts.get(StripeGateway)
        self.settings = parts.get(Settings)
        self.owner_dsn = owner_dsn
        self.dice = random.Random(1204)  # noqa: S311 - the same demo each time
        self.listings: list[tuple[UUID, Item]] = []
        self.stores: dict[str, Viewer] = {}

    async def run(self) -> list[Account]:
        """Everything, in the order it would happen; returns whom to sign in as."""
        accounts = [
            Account("Buyer", "buyer@fondaco.test"),
            Account("Seller (Rialto Keys)", "rialto-keys@fondaco.test"),
        ]
        for role in ("admin", "support", "finance"):
            accounts.append(await make_staff(self.db, self.vault, self.settings, role))
        await self._stores()
        buyers = [await make_user(self.db, f"{n}@fondaco.test", f"Demo {n}", c) for n, c in BUYERS]
        for buyer, card in zip(buyers, CARDS, strict=True):
            await self._top_up(buyer, self.settings.top_up_max, card)
        await self._owner(
            """UPDATE wallets.funding SET created_at = now() - interval '30 days',
                 succeeded_at = now() - interval '30 days' WHERE state = 'SUCCEEDED'"""
        )
        await self._history(buyers[:6])
        await self._open_ends(buyers)
        finance = await staff_viewer(self, "finance")
        support = await staff_viewer(self, "support")
        await Trouble(self, finance, support).run(buyers)
        await self._top_up(buyers[0], 20_000, GOOD_CARD)  # to go on shopping with
        await count_sold(self.parts)
        return accounts

    async def _stores(self) -> None:
        stores, items = load()
        for store in stores:
            owner = await make_user(self.db, f"{store.slug}@fondaco.test", f"Demo {store.name}", "IT")
            await sellers.open_store(self.db, owner, name=store.name, country="IT", about=store.about)
            owner = self.stores[store.slug] = await signed_in(self.db, owner)
            for item in (i for i in items if i.store == store.slug):
                await self._listing(owner, item)

    async def _listing(self, owner: Viewer, item: Item) -> None:
        made = await catalog.create_listing(
            self.db,
            owner,
            title=item.title,
            category=item.category,
            platform=item.platform,
            region=item.region,
            edition=item.edition,
            price=item.price,
            currency=self.settings.currency,
            summary=item.summary,
            description=item.description,
            activation=item.activation,
            key_format=item.key_format,
            kind="article" if item.content else "stocked_secret",
        )
        if item.content:
            text = item.content
            await inventory.save_content(self.db, self.vault, owner, made.id, content=text, version=0)
            await inventory.set_copies(self.db, owner, made.id, copies=item.stock, version=1)
        await catalog.publish(self.db, owner, made.id)
        self.listings.append((made.id, item))
        if item.stock and not item.content:
            keys = "\n".join(_key(item.key_format) for _ in range(item.stock))
            batch = await inventory.receive(self.db, self.vault, owner, made.id, source="paste", content=keys)
            await import_batch(self.db, self.vault, batch.id)

    async def _pay(self, session_id: str, card: str) -> None:
        """Pays a checkout session as a customer with this test card would."""
        base = self.settings.stripe_api_base
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.post(f"{base}/sandbox/pay/{session_id}", json={"card": card})
            answer.raise_for_status()

    async def _top_up(self, buyer: Viewer, amount: int, card: str) -> None:
        funding = await wallets.start_top_up(self.db, self.gateway, self.settings, buyer, amount)
        if funding.session_id:
            await self._pay(funding.session_id, card)
        await inbox.check_funding(self.db, self.gateway, funding.id)

    async def _buy(self, buyer: Viewer, picks: list[tuple[UUID, Item]]) -> UUID | None:
        """A purchase from the wallet; None when the marketplace refuses it (region, stock, balance)."""
        wishes = [orders.Wish(listing, 1, price=item.price) for listing, item in picks]
        purchase = orders.purchase_of(
            buyer,
            orders.policy_of(self.settings),
            wishes,
            currency=self.settings.currency,
            idem=secrets.token_hex(12),
        )
        try:
            return (await orders.buy_with_wallet(self.parts.get(orders.Combiner), purchase)).group_id
        except Problem:
            return None

    async def _history(self, buyers: list[Viewer]) -> None:
        """Some eighty purchases over the last four weeks: delivered, many revealed and confirmed."""
        stocked = [pick for pick in self.listings if pick[1].stock > 20]
        weights = [1 + 40_000 // pick[1].price for pick in stocked]
        moment = now()
        for i in range(90):
            buyer = buyers[i % len(buyers)]
            picks = list(dict(self.dice.choices(stocked, weights, k=self.dice.choice((1, 1, 1, 2)))).items())
            group = await self._buy(buyer, picks)
            if group is None:
                continue
            days = 28 * (90 - i) // 90
            await self._date_back(group, moment - timedelta(days=days, minutes=self.dice.randrange(900)))
            if self.dice.random() < 0.8:
                await self._reveal(buyer, group)
            if days > 4 and self.dice.random() < 0.9:
                await orders.confirm_delivery(self.db, buyer, group)
        await mature_due(self.parts)

    async def _reveal(self, buyer: Viewer, group: UUID) -> None:
        rows = await self.db.fetch(
            SYSTEM,
            """SELECT e.id FROM delivery.entitlement e JOIN orders.orders o ON o.id = e.order_id
               WHERE o.group_id = $1""",
            group,
        )
        for row in rows:
            await delivery.reveal(self.db, self.vault, buyer, row["id"])

    async def _open_ends(self, buyers: list[Viewer]) -> None:
        """Card checkouts: paid, waiting, given up, expired."""
        picks = [pick for pick in self.listings if pick[1].stock > 100 and pick[1].region == "GLOBAL"]
        for n, buyer in enumerate(buyers[:4]):
            group_id = await self.order_by_card(buyer, picks[n], GOOD_CARD if n == 0 else "")
            if n == 1:
                await orders.cancel_order(self.db, self.gateway, self.settings, buyer, group_id)
            elif n == 2:
                await self._owner(
                    "UPDATE orders.orders SET expires_at = now() - interval '1 minute' WHERE group_id = $1",
                    group_id,
                )
                await expire_orders(self.parts)

    async def order_by_card(self, buyer: Viewer, pick: tuple[UUID, Item], card: str) -> UUID:
        """One item at the checkout, paid when there is a card; returns the purchase's id."""
        purchase = orders.purchase_of(
            buyer,
            orders.policy_of(self.settings),
            [orders.Wish(pick[0], 1, price=pick[1].price)],
            currency=self.settings.currency,
            idem=secrets.token_hex(12),
        )
        placed = await orders.place_with_card(self.db, self.gateway, self.settings, purchase)
        funding = (await wallets.fundings_of_group(self.db, SYSTEM, placed.group_id))[0]
        if card and funding.session_id:
            await self._pay(funding.session_id, card)
            await inbox.check_funding(self.db, self.gateway, funding.id)
        return placed.group_id

    async def _date_back(self, group: UUID, moment: object) -> None:
        """Orders of the past few weeks, so that charts have something to show. The journals keep the true
        moment of their posting: nobody can change those."""
        await self._owner(
            """UPDATE orders.orders SET created_at = $2, paid_at = $2, delivered_at = $2
               WHERE group_id = $1""",
            group,
            moment,
        )
        await self._owner("UPDATE orders.order_group SET created_at = $2 WHERE id = $1", group, moment)
        await self._owner(
            """UPDATE orders.order_line i
               SET delivered_at = $2, release_at = $2::timestamptz + interval '3 days'
               FROM orders.orders o WHERE o.group_id = $1 AND i.order_id = o.id""",
            group,
            moment,
        )
        await self._owner(
            """UPDATE delivery.entitlement e SET delivered_at = $2 FROM orders.orders o
               WHERE o.group_id = $1 AND e.order_id = o.id""",
            group,
            moment,
        )

    async def mature_sales_of(self, store: Viewer) -> None:
        """The store's older sales become payable, as if their days of maturity were over."""
        await self._owner(
            """UPDATE orders.order_line SET matures_at = now()
               WHERE seller_id = $1 AND released_at IS NOT NULL AND matured_at IS NULL
                 AND delivered_at < now() - interval '10 days'""",
            store.seller(),
        )
        await mature_due(self.parts)

    async def _owner(self, sql: str, *args: object) -> None:
        connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        connection = await connect(self.owner_dsn)
        try:
            await connection.execute(sql, *args)
        finally:
            await connection.close()


def _key(pattern: str) -> str:
    """A random key of this format."""
    return "".join(secrets.choice(_LETTERS) if c in "AX9" else c for c in pattern)

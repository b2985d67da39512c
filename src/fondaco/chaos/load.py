"""The load: buyers, sellers and support doing what they do, and writing down what they were told."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx

from fondaco import wallets
from fondaco.chaos.aftermath import Aftermath
from fondaco.chaos.caller import DATABASE_AWAY, Caller, Scene, note
from fondaco.chaos.client import Client, Told
from fondaco.chaos.market import Good, Person, new_keys
from fondaco.chaos.records import Records
from fondaco.core.db import SYSTEM

CLIENTS, DESKS = 6, 3
THINK_S = (0.02, 0.25)
BATCH = 25
SESSION = re.compile(r"cs_[A-Za-z0-9_]+")


class Load(Scene):
    """All clients of a run."""

    async def run(self) -> None:
        """Until `ending` is set and every client has finished what it had begun."""
        self.folder.mkdir(parents=True, exist_ok=True)
        limits = httpx.Limits(max_connections=40, max_keepalive_connections=20)
        async with httpx.AsyncClient(base_url=self.base_url, timeout=12, limits=limits) as http:
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(Walk(self, http, number).run())
                for number in range(CLIENTS, CLIENTS + DESKS):
                    group.create_task(Aftermath(self, http, number).run())

    async def resolve(self) -> list[str]:
        """Ask once more what was never answered, now that all is well; what still has no answer, in words.
        A key held by a process that died is free after two minutes."""
        records = Records(self.folder / "resolved.jsonl")
        async with httpx.AsyncClient(base_url=self.base_url, timeout=30) as http:

            async def settle(person: Person, path: str, key: str, content: dict[str, object]) -> str | None:
                client = Client(http, person.token, self.counts)
                told = await client.ask("POST", path, key=key, patience=150, json=content)
                note(records, person, path, key, told)
                return None if told.known else f"POST {path} with key {key} has no definite answer"

            found = await asyncio.gather(*(settle(*call) for call in self.open_calls))
        records.close()
        return [words for words in found if words]


class Walk(Caller):
    """One client: a person at a time, an act at a time."""

    def __init__(self, scene: Scene, http: httpx.AsyncClient, number: int) -> None:
        super().__init__(scene, http, "client", number)
        self.mine: list[tuple[Person, str]] = []  # entitlements this client was told of
        buyers = scene.market.buyers
        self.people = [buyers[i] for i in range(number, len(buyers), CLIENTS)]

    async def run(self) -> None:
        acts: list[Callable[[], Awaitable[None]]] = [
            self.browse, self.buy_from_wallet, self.top_up, self.buy_by_card, self.reveal, self.refund,
            self.hand_in_keys,
        ]  # fmt: skip
        weights = (45, 22, 8, 10, 9, 3, 3)
        while not self.scene.ending.is_set():
            self.steps += 1
            act = self.dice.choices(acts, weights)[0]
            await act()
            await asyncio.sleep(self.dice.uniform(*THINK_S))
        self.records.close()

    def _person(self) -> Person:
        return self.dice.choice(self.people)

    def _good(self) -> Good:
        return self.dice.choice(self.scene.market.goods)

    async def browse(self) -> None:
        """What most people do most of the time."""
        good, person = self._good(), self._person()
        path = self.dice.choice(("/api/v1/listings?limit=24", f"/api/v1/listings/{good.id}", "/page"))
        if path == "/page":
            await self.client(person).page(self.dice.choice(("/", "/wallet", "/orders", "/library")))
            return
        await self.client(person).ask("GET", path, again=False)

    async def buy_from_wallet(self) -> None:
        person, good = self._person(), self._good()
        line = {"listing_id": str(good.id), "quantity": self.dice.choice((1, 1, 2)), "price": good.price}
        told = await self.post(person, "/api/v1/orders", {"pay_with": "wallet", "lines": [line]})
        if told.done:
            self._remember(person, told)

    def _remember(self, person: Person, told: Told) -> None:
        for order in told.body["order"]["orders"]:
            for line in order["lines"]:
                self.mine += [(person, entitlement) for entitlement in line["entitlements"]]

    async def top_up(self) -> None:
        person, amount = self._person(), self.dice.randrange(500, 9000)
        told = await self.post(person, "/api/v1/wallet/top-ups", {"amount": amount})
        if told.done and told.body["checkout_url"]:
            await self._pay(person, told.body["checkout_url"])
            if self.dice.random() < 0.5:
                await self.client(person).page(f"/wallet/top-ups/{told.body['id']}?paid=1")

    async def buy_by_card(self) -> None:
        person, good = self._person(), self._good()
        line = {"listing_id": str(good.id), "quantity": 1, "price": good.price}
        told = await self.post(person, "/api/v1/orders", {"pay_with": "card", "lines": [line]})
        if not told.done:
            return
        group, url, ending = told.body["order"]["id"], told.body["checkout_url"], self.dice.random()
        if url is None:
            paying = await self.client(person).ask("POST", f"/api/v1/orders/{group}/pay", patience=10)
            url = paying.body["checkout_url"] if paying.done else None
        if url is None:
            return
        if ending < 0.15:  # gives up, and pays all the same in that moment
            cancel = self.client(person).ask("POST", f"/api/v1/orders/{group}/cancel", patience=10)
            await asyncio.gather(cancel, self._pay(person, url))
        elif ending < 0.9:
            await self._pay(person, url)
            if self.dice.random() < 0.5:
                await self.client(person).page(f"/orders/g/{group}?paid=1")
            self.mine += [(person, f"group:{group}")]

    async def _pay(self, person: Person, url: str) -> None:
        """Pay at the provider, which is always there; every tenth card is refused."""
        found = SESSION.search(url)
        if found is None:
            return
        card = "4000000000000002" if self.dice.random() < 0.1 else "4242424242424242"
        status, body = await self.sandbox(f"pay/{found[0]}", card=card)
        self.records.note(
            "pays",
            buyer=person.viewer.user_id,
            session=found[0],
            status=status,
            paid=body.get("payment_status") == "paid",
        )

    async def reveal(self) -> None:
        """Look at a code one was told of, sometimes one that was seen before."""
        if not self.mine:
            return
        person, what = self.dice.choice(self.mine[-60:])
        if what.startswith("group:"):
            self.mine.remove((person, what))
            told = await self.client(person).ask("GET", f"/api/v1/orders/{what[6:]}", patience=10)
            if told.done:
                self._remember(person, Told(200, {"order": told.body}))
            return
        told = await self.client(person).ask("POST", f"/api/v1/library/{what}/reveal", patience=15)
        if told.done:
            self.records.note(
                "code", buyer=person.viewer.user_id, entitlement=what, secret=told.body["secret"]
            )

    async def refund(self) -> None:
        """Support sends part of a top-up back to its card."""
        person = self._person()
        try:
            async with self.scene.db.transaction(SYSTEM) as conn:
                funding: UUID | None = await conn.fetchval(
                    """SELECT id FROM wallets.funding WHERE user_id = $1 AND purpose = 'top_up'
                         AND state IN ('SUCCEEDED', 'PARTIALLY_REFUNDED')
                       ORDER BY created_at DESC LIMIT 1""",
                    person.viewer.user(),
                )
                if funding:
                    amount = self.dice.randrange(100, 400)
                    await wallets.request_refund(conn, funding, amount, reason="chaos", actor="system")
        except DATABASE_AWAY:
            self.scene.counts.lost += 1

    async def hand_in_keys(self) -> None:
        """A seller brings stock and waits for the report."""
        good = self._good()
        keys = new_keys(f"K{self.mark}-{self.steps}".upper(), BATCH)
        path = f"/api/v1/seller/listings/{good.id}/stock"
        self.records.note("hands_in", listing=good.id, keys=keys)
        told = await self.post(good.owner, path, {"keys": keys})
        if not told.done:
            return
        batch = told.body["id"]
        for _ in range(20):
            told = await self.client(good.owner).ask("GET", f"/api/v1/seller/batches/{batch}", patience=5)
            if told.done and told.body["state"] in ("CLOSED", "FAILED"):
                self.records.note(
                    "batch", id=batch, state=told.body["state"], imported=told.body["imported"], keys=keys
                )
                return
            await asyncio.sleep(0.3)

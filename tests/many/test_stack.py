"""Two webs, two workers, one pooler: a day's business goes on through kills and restarts, and the books
agree with every client's own record."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.embedded import Endpoints
from fondaco.vault import Vault
from tests.many.stack import Stack, run_stack
from tests.support.bouncer import Bouncer, Pooled, database, program
from tests.support.goods import add_keys, make_listing, some_keys
from tests.support.people import bearer, make_seller, make_user
from tests.support.postgres import Databases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(program() is None, reason="Debian's pgbouncer is not installed"),
]

BUYERS, ROUNDS, PRICE = 5, 6, 999
STOCK = BUYERS * ROUNDS * 3
SESSION = re.compile(r"cs_[A-Za-z0-9_]+")


@pytest.fixture(scope="module")
def pooler(databases: Databases) -> Iterator[Bouncer]:
    """Fewer servers' connections than the processes have clients."""
    bouncer = Bouncer(databases.cluster, pool=8)
    bouncer.start()
    yield bouncer
    bouncer.stop()


@pytest.fixture
def pooled(pooler: Bouncer, endpoints: Endpoints) -> Pooled:
    return endpoints if isinstance(endpoints, Pooled) else pooler.before(endpoints)


@pytest.fixture
async def db(pooled: Pooled) -> AsyncIterator[Database]:
    opened = await database(pooled, size=4).open()
    yield opened
    await opened.close()


@pytest.fixture
async def stack(pooled: Pooled, tmp_path: Path) -> AsyncIterator[Stack]:
    async with run_stack(pooled, tmp_path) as running:
        yield running


@dataclass
class Client:
    """Somebody at the API who asks again, with the same key, until there is an answer."""

    stack: Stack
    headers: dict[str, str]
    patient: bool = True
    codes: dict[str, str] = field(default_factory=dict[str, str])

    async def ask(self, method: str, path: str, *, idem: str = "", status: int = 200, **more: Any) -> Any:
        headers = self.headers | ({"Idempotency-Key": idem} if idem else {})
        for _ in range(300):
            try:
                async with httpx.AsyncClient(base_url=self.stack.url, timeout=20) as http:
                    close = headers | {"Connection": "close"}
                    answer = await http.request(method, path, headers=close, **more)
            except httpx.HTTPError:
                assert self.patient, f"{method} {path} had no answer"
                await asyncio.sleep(0.1)
                continue
            again = answer.status_code == 503 or "still_under_way" in answer.text
            if again and self.patient:
                await asyncio.sleep(0.1)
                continue
            assert answer.status_code // 100 == status // 100, (path, answer.status_code, answer.text)
            return answer.json()
        raise AssertionError(f"{method} {path} never had an answer")

    async def until(self, path: str, found: Callable[[Any], Any]) -> Any:
        """Asks until the answer is as wanted; what the workers do may take a moment."""
        for _ in range(900):
            answer = await self.ask("GET", path)
            if found(answer):
                return answer
            await asyncio.sleep(0.1)
        raise AssertionError(f"{path} never became so: {answer}")

    async def pay(self, url: str) -> None:
        session = SESSION.search(url)
        assert session
        async with httpx.AsyncClient(base_url=self.stack.sandbox.url, timeout=30) as http:
            (await http.post(f"/sandbox/pay/{session[0]}", json={})).raise_for_status()

    async def top_up(self, amount: int, idem: str) -> None:
        made = await self.ask("POST", "/api/v1/wallet/top-ups", idem=idem, json={"amount": amount})
        await self.pay(made["checkout_url"])
        await self.until(f"/api/v1/wallet/top-ups/{made['id']}", lambda t: t["state"] == "SUCCEEDED")

    async def buy(self, listing: str, idem: str, pay_with: str) -> Any:
        """One order, delivered; its codes looked at and kept."""
        line = {"listing_id": listing, "quantity": 1, "price": PRICE}
        body = {"pay_with": pay_with, "lines": [line]}
        made = await self.ask("POST", "/api/v1/orders", idem=idem, json=body)
        group = made["order"]["id"]
        if pay_with == "card":
            url = made["checkout_url"]
            if url is None:  # the process died between the order and its page
                url = (await self.ask("POST", f"/api/v1/orders/{group}/pay"))["checkout_url"]
            await self.pay(url)
        order = await self.until(f"/api/v1/orders/{group}", entitlements)
        for entitlement in entitlements(order):
            seen = await self.ask("POST", f"/api/v1/library/{entitlement}/reveal")
            assert self.codes.setdefault(entitlement, seen["secret"]) == seen["secret"]


def entitlements(group: Any) -> list[str]:
    return [e for order in group["orders"] for line in order["lines"] for e in line["entitlements"]]


@dataclass
class Market:
    """A store with one listing, its seller and buyers at the API, and every key handed in."""

    listing: str
    seller: Client
    buyers: list[Client]
    keys: set[str]

    async def hand_in(self, idem: str) -> None:
        """The seller brings more keys; a worker imports them."""
        fresh = some_keys(20)
        self.keys |= set(fresh)
        path = f"/api/v1/seller/listings/{self.listing}/stock"
        batch = await self.seller.ask("POST", path, idem=idem, json={"keys": fresh}, status=202)
        ended = await self.seller.until(
            f"/api/v1/seller/batches/{batch['id']}", lambda b: b["state"] not in ("RECEIVED", "IMPORTING")
        )
        assert (ended["state"], ended["imported"]) == ("CLOSED", 20)

    async def whole(self, db: Database, stack: Stack) -> None:
        """Everybody has what they were told, nobody has what another has, and the books say the same."""
        codes = [code for buyer in self.buyers for code in buyer.codes.values()]
        assert len(codes) == len(set(codes))
        assert set(codes) <= self.keys
        sold = await db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.entitlement")
        assert sold == len(codes)
        code, words = await stack.run("verify")
        assert code == 0, words


async def open_market(db: Database, stack: Stack) -> Market:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=PRICE)
    keys = some_keys(STOCK)
    await add_keys(db, Vault(stack.settings), seller, listing, keys)
    buyers = [Client(stack, await bearer(db, await make_user(db))) for _ in range(BUYERS)]
    market = Market(str(listing.id), Client(stack, await bearer(db, seller)), buyers, set(keys))
    await asyncio.gather(*(b.top_up(ROUNDS * PRICE, f"fill-{n}") for n, b in enumerate(buyers)))
    return market


async def business(market: Market, done: asyncio.Semaphore) -> None:
    """Every buyer buys, half from the wallet and half by card; the seller brings keys meanwhile. Each
    thing done is told to `done`."""

    async def shop(number: int, buyer: Client) -> None:
        for n in range(ROUNDS):
            await buyer.buy(market.listing, f"order-{number}-{n}", ("wallet", "card")[(n + number) % 2])
            done.release()

    async def supply() -> None:
        for n in range(3):
            await market.hand_in(f"keys-{n}")
            done.release()

    async with asyncio.TaskGroup() as group:
        group.create_task(supply())
        for number, buyer in enumerate(market.buyers):
            group.create_task(shop(number, buyer))


async def after(done: asyncio.Semaphore, things: int) -> None:
    for _ in range(things):
        await done.acquire()


async def test_one_of_each_is_killed_in_the_midst_of_it(db: Database, stack: Stack) -> None:
    market, done = await open_market(db, stack), asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        group.create_task(business(market, done))
        await after(done, 4)
        await stack.kill("web-0")
        await stack.kill("worker-0")
        await after(done, 6)  # the others carry on alone
        await stack.start("web-0")
        await stack.start("worker-0")
        await after(done, 4)
        await stack.kill("web-1")
        await stack.kill("worker-1")
        await after(done, 4)
        await stack.start("web-1")
        await stack.start("worker-1")
    assert sum(len(buyer.codes) for buyer in market.buyers) == BUYERS * ROUNDS
    assert min(stack.front.served.values()) > 0
    assert len(stack.front.served) == 2
    await market.whole(db, stack)


async def test_a_rolling_restart_is_noticed_by_nobody(db: Database, stack: Stack) -> None:
    market, done = await open_market(db, stack), asyncio.Semaphore(0)
    for client in (market.seller, *market.buyers):
        client.patient = False  # one failed answer fails the test
    async with asyncio.TaskGroup() as group:
        group.create_task(business(market, done))
        for number in (0, 1):
            await after(done, 5)
            await stack.front.drained(stack.front.ports[number])
            await stack.stop(f"web-{number}")
            await stack.start(f"web-{number}")
            stack.front.out.clear()
            await stack.stop(f"worker-{number}")
            await stack.start(f"worker-{number}")
    assert sum(len(buyer.codes) for buyer in market.buyers) == BUYERS * ROUNDS
    await market.whole(db, stack)

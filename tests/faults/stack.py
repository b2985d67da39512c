"""Web and worker as real processes over a database of the test's own, with a shop to buy from."""

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from fondaco import checks
from fondaco.core.db import Database
from fondaco.embedded import Endpoints
from fondaco.settings import Settings
from fondaco.up.children import Child
from fondaco.up.ports import spare
from tests.support.money import give_money, make_buyer
from tests.support.people import sign_in
from tests.support.shop import Shop, make_shop

READY_S = 15.0  # so soon after a fault is over, everything serves again


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@dataclass
class Processes:
    """What runs; `environment` is what each is started with."""

    folder: Path
    endpoints: Endpoints
    port: int = field(default_factory=spare)
    environment: dict[str, str] = field(init=False)
    children: list[Child] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        self.environment = {
            "DATABASE_URL": self.endpoints.app_dsn,
            "DATABASE_POOL_SIZE": "4",
            "SECRET_KEY": key(),
            "VAULT_KEYS": f"k1:{key()}",
            "FINGERPRINT_KEY": key(),
            "SIGNING_KEY": key(),
            "STRIPE_WEBHOOK_SECRETS": "whsec_" + "t" * 32,
            "STRIPE_API_BASE": "http://127.0.0.1:1",
            "BLOB_URL": f"file://{self.folder}/blobs",
            "BASE_URL": self.url,
            "API_RATE": "100000",
            "FONDACO_TEST_FAULTS": "true",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=None, **{k.lower(): v for k, v in self.environment.items()})  # type: ignore[arg-type]

    def web(self, **changes: str) -> Child:
        """A web process that answers."""
        ready = f"{self.url}/health/ready"
        found = self._start("web", ["web", "--port", str(self.port)], changes, ready)
        found.wait_until_ready()
        return found

    def worker(self, name: str = "worker", **changes: str) -> Child:
        """A worker process that has said it is at work."""
        found = self._start(name, ["worker"], changes, None)
        until = time.monotonic() + 30
        while "worker ready" not in found.log.read_text():
            assert found.alive and time.monotonic() < until, found.log.read_text()
            time.sleep(0.05)
        return found

    def _start(self, name: str, command: list[str], changes: dict[str, str], probe: str | None) -> Child:
        log = self.folder / "logs" / f"{name}-{uuid4().hex[:6]}.log"
        child = Child(name, "fondaco", command, self.environment | changes, log, probe)
        self.children.append(child)
        child.start()
        return child

    def stop(self) -> None:
        for child in self.children:
            child.ask_to_stop()
        until = time.monotonic() + 6
        for child in self.children:
            child.stop(until)


@contextlib.contextmanager
def processes(folder: Path, endpoints: Endpoints) -> Iterator[Processes]:
    found = Processes(folder, endpoints)
    try:
        yield found
    finally:
        found.stop()


@dataclass
class Buyer:
    """Somebody with money, who buys through the API."""

    http: httpx.AsyncClient
    shop: Shop
    answers: list[httpx.Response] = field(default_factory=list)

    async def page(self, path: str) -> httpx.Response:
        """A page as this buyer's browser asks for it."""
        token = self.http.headers["authorization"].removeprefix("Bearer ")
        return await self.http.get(path, headers={"Accept": "text/html", "Cookie": f"session={token}"})

    async def buy(self, idem: str | None = None) -> httpx.Response:
        """One purchase of one unit from the wallet; the answer is kept."""
        body = {
            "lines": [{"listing_id": str(self.shop.listing_id), "quantity": 1, "price": self.shop.price}],
            "pay_with": "wallet",
        }
        answer = await self.http.post(
            "/api/v1/orders", json=body, headers={"Idempotency-Key": idem or uuid4().hex}
        )
        self.answers.append(answer)
        return answer


@contextlib.asynccontextmanager
async def buyer_of(db: Database, url: str, *, stock: int = 400, timeout: float = 60) -> AsyncIterator[Buyer]:
    shop = await make_shop(db, price=100, stock=stock)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 1_000_000)
    token = await sign_in(db, buyer)
    async with httpx.AsyncClient(
        base_url=url, timeout=timeout, headers={"Authorization": f"Bearer {token}"}
    ) as http:
        yield Buyer(http, shop)


async def until(found: Callable[[], Awaitable[Any]], *, seconds: float = READY_S, why: str = "") -> Any:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if value := await found():
                return value
        assert time.monotonic() < end, why or "it never happened"
        await asyncio.sleep(0.1)


async def whole(db: Database, settings: Settings) -> None:
    """Nothing was half done."""
    assert [str(f) for f in await checks.verify_all(db, settings)] == []


def told(answer: httpx.Response) -> bool:
    """Whether a 503 is one a person can act on: when to ask again, and words."""
    return "retry-after" in answer.headers and ("again" in answer.text or "moment" in answer.text)

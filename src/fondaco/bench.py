"""`fondaco bench`: how much it gains that purchases arriving together share one call, measured side by side.

A throw-away PostgreSQL with its usual safety (fsync, synchronous commit), one popular listing, real keys, and
64 buyers. In turns the same purchases are sent one to a call and gathered by the combiner. Only the ratio of
both, from one run, means anything on a shared machine.
"""

import asyncio
import base64
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from fondaco import catalog, inventory, ledger, orders, sellers
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.migrate import migrate
from fondaco.core.viewer import Viewer
from fondaco.embedded import Cluster
from fondaco.identity import begin_session, create_user
from fondaco.identity.sessions import viewer_of
from fondaco.settings import Settings
from fondaco.vault import Vault

CLIENTS = (1, 16, 64)
PRICE = 499
NO_PASSWORD = "-"  # noqa: S105 - nobody signs in with it
Buy = Callable[[orders.Purchase], Awaitable[object]]


class Bench:
    """One run on one database."""

    def __init__(self, db: Database, settings: Settings, seconds: float) -> None:
        self.db = db
        self.settings = settings
        self.seconds = seconds
        self.listing: UUID | None = None
        self.buyers: list[Viewer] = []

    async def prepare(self, keys: int) -> None:
        """A store, a listing with this many keys, and buyers with money."""
        seller = await self._user("seller@bench.test")
        await sellers.open_store(
            self.db, seller, name="Bench", country="IT", support_email="seller@bench.test"
        )
        async with self.db.transaction(SYSTEM) as conn:
            token, _ = await begin_session(conn, seller.user(), "127.0.0.1", "bench")
        seller = await viewer_of(self.db, token, Viewer())
        made = await catalog.create_listing(
            self.db,
            seller,
            title="Popular",
            category="games",
            platform="Steam",
            region="GLOBAL",
            price=PRICE,
            currency="EUR",
            summary="One of many.",
            description="A key.",
            activation="Enter it.",
        )
        await catalog.publish(self.db, seller, made.id)
        self.listing = made.id
        vault = Vault(self.settings)
        text = "\n".join(f"BENCH-{n:08d}-{os.urandom(4).hex()}" for n in range(keys))
        batch = await inventory.receive(self.db, vault, seller, made.id, source="paste", content=text)
        await inventory.import_batch(self.db, vault, batch.id)
        self.buyers = [await self._user(f"buyer{n}@bench.test", money=10**9) for n in range(max(CLIENTS))]

    async def _user(self, email: str, money: int = 0) -> Viewer:
        async with self.db.transaction(SYSTEM) as conn:
            user_id = await create_user(
                conn, email=email, password_hash=NO_PASSWORD, name="Bench", verified=True
            )
            assert user_id
            if money:
                legs = [
                    (ledger.platform("psp_clearing", "EUR"), money),
                    (ledger.wallet_of(user_id, "EUR"), -money),
                ]
                await ledger.post(
                    conn, "top_up", idem=f"topup:{user_id}", ref=f"user:{user_id}", actor="bench", legs=legs
                )
        return Viewer(user_id=user_id, verified=True)

    async def round(self, clients: int, buy: Buy) -> float:
        """Purchases a second of this many clients, each with the next one as soon as the last is answered."""
        assert self.listing
        done, until = 0, time.perf_counter() + self.seconds
        wish = [orders.Wish(self.listing, 1, price=PRICE)]

        async def client(buyer: Viewer) -> None:
            nonlocal done
            while time.perf_counter() < until:
                purchase = orders.purchase_of(
                    buyer, orders.policy_of(self.settings), wish, currency="EUR", idem=str(uuid7())
                )
                await buy(purchase)
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(client(b) for b in self.buyers[:clients]))
        return done / (time.perf_counter() - began)


def _settings(dsn: str) -> Settings:
    def key() -> str:
        return base64.b64encode(os.urandom(32)).decode()

    return Settings(
        database_url=SecretStr(dsn),
        secret_key=SecretStr(key()),
        vault_keys=SecretStr(f"bench:{key()}"),
        fingerprint_key=SecretStr(key()),
        signing_key=SecretStr(key()),
        stripe_webhook_secrets=SecretStr("whsec_" + "b" * 24),
    )


async def _measure(dsn: str, seconds: float, rounds: int, console: Console) -> bool:
    settings = _settings(dsn)
    db = await Database(dsn, size=settings.database_pool_size).open()
    try:
        bench = Bench(db, settings, seconds)
        # Enough keys for every round; a machine that empties them all is told so by SoldOut.
        await bench.prepare(min(200_000, int(seconds * rounds * len(CLIENTS) * 2 * 1500)))
        combiner, single = orders.Combiner(db), _one_by_one(db)
        table = Table("clients", "one to a call /s", "gathered /s", "gathered : one", title="Purchases")
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Buying", total=len(CLIENTS) * rounds * 2)
            for clients in CLIENTS:
                alone, together = list[float](), list[float]()
                for _ in range(rounds):
                    for results, buy in ((alone, single), (together, combiner.buy)):
                        results.append(await bench.round(clients, buy))
                        progress.advance(task)
                a, t = statistics.median(alone), statistics.median(together)
                table.add_row(str(clients), f"{a:.0f}", f"{t:.0f}", f"{t / a:.2f}")
        console.print(table)
        faults = await ledger.verify(db)
        console.print("The books balance." if not faults else "\n".join(map(str, faults)))
        return not faults
    finally:
        await db.close()


def _one_by_one(db: Database) -> Buy:
    """Each purchase its own call and commit, as many at once as there are connections."""

    async def buy(purchase: orders.Purchase) -> object:
        async with db.connection() as connection:
            return await connection.fetch("SELECT * FROM orders.buy($1::jsonb)", [purchase.wire("wallet")])

    return buy


def main(seconds: float = 3, rounds: int = 3) -> int:
    """Run it; 0 when the books balance afterwards."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="fondaco-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        cluster = Cluster(root / "data")
        endpoints = cluster.start()
        try:
            migrate(endpoints.owner_dsn)
            return 0 if asyncio.run(_measure(endpoints.app_dsn, seconds, rounds, console)) else 1
        finally:
            cluster.stop()
            cluster.destroy()

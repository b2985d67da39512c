"""What a purchase costs the database, before and after migration 0003, side by side in one run.

    python docs/performance/purchase_sql.py

Two databases of one throw-away cluster with its usual safety (fsync, synchronous commit): one at the first
migration, one at the newest. In turns both are given the same purchases, one to a call and thirty-two to a
call, of one listing and of two hundred. Told is the CPU time of the server process for each purchase, the
median of the rounds; only the ratio of two columns of one run means anything on a machine that others use.
Linux only.
"""

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from fondaco.core.db import Database  # noqa: E402
from fondaco.embedded import Cluster, Endpoints  # noqa: E402
from fondaco.orders.model import Wish  # noqa: E402
from tests.support.money import give_money, make_buyer  # noqa: E402
from tests.support.shop import make_listing, make_shop, purchase  # noqa: E402

ROUNDS = 7


def tell(words: str) -> None:
    """One line of the table."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


BUY = "SELECT n, verdict, group_id, data FROM orders.buy($1::jsonb) ORDER BY n"


def upgrade(dsn: str, revision: str) -> None:
    """Brings an empty database to a revision."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "src" / "fondaco" / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def cpu_ms(pid: int) -> float:
    """CPU time of a process so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


class Side:
    """One of the two databases, with a shop of its own."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.sent = 0

    async def prepare(self) -> None:
        self.db = await Database(self.endpoints.app_dsn, size=2).open()
        self.hot = await make_shop(self.db, price=499, stock=9000)
        self.spread = [
            await make_listing(self.db, self.hot.seller_id, price=499, stock=60) for _ in range(200)
        ]
        self.buyers = [await make_buyer(self.db) for _ in range(64)]
        for buyer in self.buyers:
            await give_money(self.db, buyer.user(), 10**9)
        for _ in range(16):
            await self.run(32, True, 1)
            await self.run(32, False, 1)
        await self.db.close()
        with psycopg.connect(self.endpoints.owner_dsn, autocommit=True) as owner:
            owner.execute("VACUUM ANALYZE")
        self.db = await Database(self.endpoints.app_dsn, size=2).open()
        for size in (1, 32) * 10:
            await self.run(size, True, 1)

    def asked(self, hot: bool) -> dict[str, object]:
        self.sent += 1
        good = self.hot.listing_id if hot else self.spread[self.sent * 7 % len(self.spread)]
        return purchase(self.buyers[self.sent % len(self.buyers)], Wish(good, 1, 499)).wire("wallet")

    async def run(self, size: int, hot: bool, calls: int) -> float:
        """Milliseconds of the server's CPU for each purchase."""
        async with self.db.connection() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            batches = [[self.asked(hot) for _ in range(size)] for _ in range(calls)]
            began = cpu_ms(pid)
            for batch in batches:
                rows = await connection.fetch(BUY, batch)
                assert {r["verdict"] for r in rows} == {"bought"}
            return (cpu_ms(pid) - began) / (size * calls)


async def compare(sides: list[Side]) -> None:
    for side in sides:
        await side.prepare()
    tell("to a call  listings  before ms  after ms  before : after")
    for size, calls in ((1, 60), (32, 4)):
        for hot in (True, False):
            found: list[list[float]] = [[], []]
            for _ in range(ROUNDS):
                for side, times in zip(sides, found, strict=True):
                    times.append(await side.run(size, hot, calls))
            a, b = (statistics.median(times) for times in found)
            tell(f"{size:9}  {'one' if hot else '200':>8}  {a:9.3f}  {b:8.3f}  {a / b:14.2f}")
    for side in sides:
        await side.db.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fondaco-sql-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        cluster = Cluster(root / "data", settings={"autovacuum": "off", "max_wal_size": "2GB"})
        cluster.start()
        try:
            sides = []
            for name, revision in (("before", "0001"), ("after", "head")):
                endpoints = cluster.create_database(name)
                upgrade(endpoints.owner_dsn, revision)
                sides.append(Side(endpoints))
            asyncio.run(compare(sides))
        finally:
            cluster.stop()
            cluster.destroy()


if __name__ == "__main__":
    main()

"""Clocks that are wrong: the web's by seven minutes, a worker's by a day. The database's decides."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.queue import defer
from fondaco.ledger import wallet_of
from tests.faults.stack import Processes, buyer_of, until, whole
from tests.support.money import amount_on, make_buyer
from tests.support.people import sign_in
from tests.support.sandbox import RunningSandbox, run_sandbox

DAY = 86_400
SEVEN_MINUTES = 420


@pytest.fixture
def paid_here(stack: Processes, tmp_path: Path) -> Iterator[RunningSandbox]:
    """A sandbox that tells this stack's web of everything."""
    secret = stack.environment["STRIPE_WEBHOOK_SECRETS"]
    with run_sandbox(tmp_path / "sandbox", f"{stack.url}/webhooks/stripe", secret) as sandbox:
        stack.environment["STRIPE_API_BASE"] = sandbox.url
        yield sandbox


@pytest.mark.parametrize(("web", "worker"), [(SEVEN_MINUTES, DAY), (-SEVEN_MINUTES, -DAY)])
async def test_what_is_refused_for_a_wrong_clock_is_found_and_settled(
    stack: Processes, db: Database, paid_here: RunningSandbox, web: int, worker: int
) -> None:
    served = stack.web(FONDACO_TEST_CLOCK_OFFSET=str(web))
    buyer = await make_buyer(db)
    headers = {"Authorization": f"Bearer {await sign_in(db, buyer)}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=60) as http:
        assert (await http.get("/api/v1/wallet")).status_code == 200, "the session does not hold"
        begun = await http.post(
            "/api/v1/wallet/top-ups", json={"amount": 2500}, headers={"Idempotency-Key": uuid4().hex}
        )
        assert begun.status_code in (200, 201), (begun.text, served.log.read_text())
    session = await db.fetchval(SYSTEM, "SELECT session_id FROM wallets.funding")
    paid_here.pay(session)

    async def refused() -> int:
        return await db.fetchval(SYSTEM, "SELECT coalesce(sum(n), 0)::int FROM inbox.refusal")

    assert await until(refused, why="an event signed at another time was taken")
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM inbox.event") == 0
    workers = [stack.worker(f"worker{n}", FONDACO_TEST_CLOCK_OFFSET=str(worker)) for n in range(2)]

    async def credited() -> bool:
        return await amount_on(db, wallet_of(buyer.user(), "EUR")) == 2500

    await until(credited, seconds=20, why="the event nobody took was never found")
    seen_to = await db.fetchval(SYSTEM, "SELECT seen_to <= now() FROM inbox.backfill")
    assert seen_to, "what happens until tomorrow would be passed over"
    assert all(w.alive for w in workers)
    await once_each(db)
    await a_failed_job_is_due_soon(db)
    await whole(db, stack.settings)


async def once_each(db: Database) -> None:
    """Two workers, each a day off: what the clock brings came once, by the database's clock."""
    rows = await db.fetch(SYSTEM, "SELECT kind, count(*) AS n FROM checks.run GROUP BY kind")
    assert {r["kind"]: r["n"] for r in rows} == {"minute": 1, "full": 1}
    off = await db.fetchval(
        SYSTEM, "SELECT count(*) FROM core.schedule WHERE abs(extract(epoch FROM last_run - now())) > 120"
    )
    assert off == 0


async def a_failed_job_is_due_soon(db: Database) -> None:
    """Not in a day, and not at once again and again."""
    async with db.transaction(SYSTEM) as conn:
        await defer(conn, "inbox.handle", {"nonsense": 1})

    async def tried() -> float | None:
        return await db.fetchval(
            SYSTEM,
            "SELECT extract(epoch FROM scheduled_at - now()) FROM public.procrastinate_jobs "
            "WHERE args = '{\"nonsense\": 1}' AND attempts = 1 AND status = 'todo'",
        )

    due = await until(tried)
    assert -5 < due < 10, due


async def test_a_web_that_is_behind_still_sells_and_its_orders_expire_by_the_databases_clock(
    stack: Processes, db: Database
) -> None:
    stack.web(FONDACO_TEST_CLOCK_OFFSET=str(-SEVEN_MINUTES))
    async with buyer_of(db, stack.url, stock=5) as buyer:
        assert (await buyer.buy("a")).status_code == 201
        assert (await buyer.buy("a")).json()["order"]["id"] == buyer.answers[0].json()["order"]["id"]
    age = await db.fetchval(SYSTEM, "SELECT abs(extract(epoch FROM now() - max(paid_at))) FROM orders.orders")
    assert age < 60
    await whole(db, stack.settings)


def test_a_wrong_clock_is_no_setting_of_production(stack: Processes) -> None:
    from fondaco.settings import Settings

    values = {k.lower(): v for k, v in stack.environment.items()}
    with pytest.raises(ValueError, match="fondaco_test_clock_offset"):
        Settings(_env_file=None, **{**values, "fondaco_mode": "production", "fondaco_test_clock_offset": 5})  # type: ignore[arg-type]

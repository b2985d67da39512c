"""Single steps of the product, each run in a process of its own with one failpoint armed."""

import asyncio
import contextlib
import json
import multiprocessing
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fondaco import audit, delivery, destination, inbox, payouts, wallets
from fondaco.app import build_parts
from fondaco.core import failpoints
from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.inventory import jobs as inventory_jobs
from fondaco.notifications import jobs as mail_jobs
from fondaco.orders import jobs as order_jobs
from fondaco.settings import Settings
from fondaco.vault import Vault
from fondaco.worker import collect, run
from tests.support.app import calling, prepare

Step = Callable[[Parts, dict[str, Any]], Awaitable[Any]]
prepare(), collect()  # once, in the server that forks every step's process


async def api_post(parts: Parts, given: dict[str, Any]) -> tuple[int, Any]:
    """A POST to the application, with a key."""
    settings = parts.get(Settings)
    async with calling(settings, parts) as client:
        headers = {"Authorization": f"Bearer {given['token']}", "Idempotency-Key": given["key"]}
        answer = await client.post(given["path"], json=given.get("content"), headers=headers)
    return answer.status_code, answer.json()


async def webhook(parts: Parts, given: dict[str, Any]) -> None:
    body = json.dumps(given["event"]).encode()
    await inbox.receive(parts.get(Database), parts.get(StripeGateway), body, [given["signature"]])


async def handle(parts: Parts, given: dict[str, Any]) -> None:
    await inbox.handle_event(parts.get(Database), parts.get(StripeGateway), given["row"])


async def work_queue(parts: Parts, given: dict[str, Any]) -> None:
    """The worker itself, until nothing waits in the queue or the armed point was struck."""
    stop, work, striking = asyncio.Event(), collect(), bool(failpoints.armed)
    db = await Database(parts.get(Settings).direct_dsn, size=2).open()

    async def watch() -> None:
        sql = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        async with db.connection() as conn:
            while await conn.fetchval(sql) and bool(failpoints.armed) == striking:
                await asyncio.sleep(0.05)
        stop.set()

    watching = asyncio.create_task(watch())
    await run(parts.get(Settings), type(work)(work.tasks, ()), parts, stop)
    watching.cancel()
    await db.close()


async def open_session(parts: Parts, given: dict[str, Any]) -> None:
    funding = UUID(given["funding"])
    await wallets.open_session(parts.get(Database), parts.get(StripeGateway), parts.get(Settings), funding)


async def send_refund(parts: Parts, given: dict[str, Any]) -> None:
    await wallets.send_refund(parts.get(Database), parts.get(StripeGateway), UUID(given["refund"]))


async def reveal(parts: Parts, given: dict[str, Any]) -> str:
    viewer = Viewer(user_id=UUID(given["buyer"]), ip="127.0.0.1", user_agent="test")
    secret = await delivery.reveal(parts.get(Database), parts.get(Vault), viewer, UUID(given["entitlement"]))
    return secret.reveal().decode()


async def make_mails(parts: Parts, given: dict[str, Any]) -> None:
    await mail_jobs.read_events(parts)


async def send_mails(parts: Parts, given: dict[str, Any]) -> None:
    await mail_jobs.send_due(parts)


async def import_batch(parts: Parts, given: dict[str, Any]) -> None:
    await inventory_jobs.import_one(parts, batch=given["batch"])


async def sweep_events(parts: Parts, given: dict[str, Any]) -> None:
    await inbox.sweep_events(parts.get(Database))


async def sweep_fundings(parts: Parts, given: dict[str, Any]) -> None:
    await inbox.sweep_fundings(parts.get(Database), parts.get(StripeGateway), parts.get(Settings))


async def sweep_refunds(parts: Parts, given: dict[str, Any]) -> None:
    await wallets.sweep_refunds(parts.get(Database), parts.get(StripeGateway))


async def send_reversal(parts: Parts, given: dict[str, Any]) -> None:
    await destination.send_reversal(parts.get(Database), parts.get(StripeGateway), UUID(given["reversal"]))


async def sweep_reversals(parts: Parts, given: dict[str, Any]) -> None:
    await destination.sweep_reversals(parts.get(Database), parts.get(StripeGateway))


async def send_payout(parts: Parts, given: dict[str, Any]) -> None:
    await payouts.send_payout(parts.get(Database), parts.get(StripeGateway), UUID(given["payout"]))


async def sweep_payouts(parts: Parts, given: dict[str, Any]) -> None:
    await payouts.sweep_payouts(parts.get(Database), parts.get(StripeGateway))


async def payout_run(parts: Parts, given: dict[str, Any]) -> None:
    await payouts.run_due(parts.get(Database), parts.get(Settings))


async def expire_orders(parts: Parts, given: dict[str, Any]) -> None:
    await order_jobs.expire_orders(parts)


async def backfill(parts: Parts, given: dict[str, Any]) -> None:
    await inbox.backfill(parts.get(Database), parts.get(StripeGateway))


async def seal(parts: Parts, given: dict[str, Any]) -> None:
    await audit.seal(parts.get(Database), parts.get(Settings))


async def rewrap(parts: Parts, given: dict[str, Any]) -> None:
    await parts.get(Vault).rotate(parts.get(Database), batch=1)


async def perform(settings: Settings, step: Step, given: dict[str, Any]) -> Any:
    """The step with parts of its own."""
    parts = build_parts(settings)
    parts.add(settings)
    if step is work_queue:
        return await step(parts, given)
    await parts.get(Database).open()
    try:
        return await step(parts, given)
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(parts.get(Database).close(), 5)


def _child(values: dict[str, Any], point: str, action: str, step: Step, given: dict[str, Any]) -> None:
    failpoints.arm(f"{point}={action}")
    settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]
    with contextlib.suppress(Exception):  # what a step raises its caller sees; here only its effects count
        asyncio.run(asyncio.wait_for(perform(settings, step, given), 30))
    raise SystemExit(7 if failpoints.armed else 0)


def strike(settings: Settings, point: str, action: str, step: Step, given: dict[str, Any]) -> int:
    """Run the step in a fresh process with the point armed; its exit code (7: the point was not reached)."""
    values = {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
        for name, value in settings.model_dump().items()
    }
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.steps"])
    process = context.Process(target=_child, args=(values, point, action, step, given))
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
        process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code

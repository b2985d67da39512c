"""From the provider's event to the key in the library: at a steady pace, and in a storm.

Card orders are placed beforehand and paid at the sandbox, which sends its signed events itself. When the
right to the key exists is read from the commit's own time (track_commit_timestamp is on). The storm is made
of the sandbox's real events, held back, then sent all at once and most of them twice or more.
"""

import asyncio
import hashlib
import hmac
import random
import time
from typing import Any

import msgspec
from rich.console import Console

from fondaco.bench import flows
from fondaco.bench.bench import Bench, Options, prepared
from fondaco.bench.load import connect, request
from fondaco.bench.processes import cpu_ticks, micros
from fondaco.bench.report import Result, Table, ms, percentile
from fondaco.bench.stack import Stack

RATE = 50.0
STORM = 2_000
STORM_ORDERS = 250
PATIENCE = 180.0
_AT_ONCE = 32

# One row for each paid group: first event kept, its id, and when the entitlement was committed.
_TIMES = """
SELECT f.session_id, min(v.received_at) AS kept, (array_agg(v.event_id)) AS events,
       (SELECT max(pg_xact_commit_timestamp(e.xmin)) FROM orders.orders o
        JOIN delivery.entitlement e ON e.order_id = o.id WHERE o.group_id = f.group_id) AS delivered
FROM wallets.funding f JOIN inbox.event v ON v.object_id IN (f.session_id, f.intent_id)
WHERE f.group_id = ANY ($1::uuid[])
GROUP BY f.id
"""


async def webhook(console: Console, options: Options) -> Result:
    """The steady pace for at least ten seconds, then the storm."""
    result = Result("webhook")
    count = int(RATE * max(10.0, options.seconds))
    with Stack(web=options.web, server={"track_commit_timestamp": "on"}) as stack:
        async with prepared(stack, console, max(count, STORM_ORDERS)) as bench:
            (listing,) = await bench.market.add_listings(1)
            await bench.market.stock([listing], count + STORM_ORDERS + 100)
            await _steady(bench, str(listing), count, result)
            await _storm(bench, str(listing), result)
            result.faults += await bench.faults()
    return result


async def _place(bench: Bench, listing: str, count: int, number: int) -> flows.Outcome:
    """So many card orders that await their payment."""
    bench.say(f"Placing {count} card orders.")
    tokens = [buyer.token for buyer in bench.market.buyers[:count]]
    plan = _plan(bench, "orders", number, tokens=tokens, listings=[listing])
    outcome = await flows.run(plan)
    if len(outcome.sessions) != count:
        raise RuntimeError(
            f"only {len(outcome.sessions)} of {count} orders: {outcome.answers} {outcome.words}"
        )
    return outcome


def _plan(bench: Bench, kind: Any, number: int, **more: Any) -> flows.Plan:
    stack = bench.stack
    made: Any = {"tokens": [bench.market.buyers[0].token], "listings": [], **more}
    return flows.Plan(
        kind=kind,
        port=stack.port,
        sandbox_port=stack.sandbox_port,
        clients=16,
        first_key=number << 40,
        **made,
    )


async def _steady(bench: Bench, listing: str, count: int, result: Result) -> None:
    placed = await _place(bench, listing, count, 1)
    bench.say(f"Paying {count} of them, {RATE:.0f} a second.")
    names = ("web", "worker", "sandbox", "postgres")
    before = {name: cpu_ticks(bench.stack.pid(name)) for name in names}
    paid = await flows.run(_plan(bench, "payments", 2, sessions=placed.sessions, rate=RATE))
    if lost := await bench.undelivered(placed.paid, PATIENCE):
        result.faults.append(f"{lost} of {count} paid orders were not delivered")
    left = await _drained(bench)
    used = {name: micros(cpu_ticks(bench.stack.pid(name)) - ticks) / count for name, ticks in before.items()}
    rows = await bench.market.owner.fetch(_TIMES, placed.paid)
    sent = await _sent(bench, [row["events"] for row in rows])
    done = [(row, at) for row, at in zip(rows, sent, strict=True) if row["delivered"]]
    from_sandbox = [round(row["delivered"].timestamp() * 1e6) - at * 1000 for row, at in done]
    from_door = [round((row["delivered"] - row["kept"]).total_seconds() * 1e6) for row, _ in done]
    table = Table(
        f"Event to readable key: {count} payments at {count / paid.seconds:.0f}/s",
        ("from", "p50 ms", "p99 ms", "longest ms"),
        note="Until the entitlement is committed. The first of each payment's events counts. Processor time "
        "of a payment, all its events: "
        + ", ".join(f"{n} {us / 1000:.1f} ms" for n, us in used.items())
        + ".",
    )
    for name, taken in (("the sandbox made the event", from_sandbox), ("our door took it", from_door)):
        table.add(name, ms(percentile(taken, 0.5)), ms(percentile(taken, 0.99)), ms(max(taken, default=0)))
    result.tables.append(table)
    result.raw["steady"] = {"from_sandbox_us": from_sandbox, "from_door_us": from_door, "cpu_us": used}
    if paid.broken or left or percentile(from_sandbox, 0.99) <= 0:
        result.faults.append(f"the payments did not go as they should: {paid.answers}")


async def _sent(bench: Bench, events: list[list[str]]) -> list[int]:
    """When the sandbox made the first event of each payment, in milliseconds."""
    link = await connect("127.0.0.1", bench.stack.sandbox_port)
    try:
        moments: list[int] = []
        for group in events:
            made = list[int]()
            for event in group:
                answer = await _sandbox(link, "GET", f"/sandbox/deliveries?event={event}")
                made += [row["created_ms"] for row in answer["data"]]
            moments.append(min(made))
        return moments
    finally:
        link.close()


async def _sandbox(link: Any, method: str, path: str, body: Any = None) -> Any:
    text = request(method, path, token="sk_test_sandbox", body=body)  # noqa: S106 - the sandbox takes any
    status, answer = await link.ask(text.encode("latin-1"))
    if status >= 400:
        raise RuntimeError(f"the sandbox refused {path}: {answer[:300]!r}")
    return msgspec.json.decode(answer)


async def _storm(bench: Bench, listing: str, result: Result) -> None:
    link = await connect("127.0.0.1", bench.stack.sandbox_port)
    try:
        placed = await _place(bench, listing, STORM_ORDERS, 3)
        await _sandbox(link, "POST", "/sandbox/faults", {"drop": 100})
        newest = (await _sandbox(link, "GET", "/v1/events?limit=1"))["data"][0]["id"]
        for session in placed.sessions:
            await _sandbox(link, "POST", f"/sandbox/pay/{session}", {})
        events = await _events(link, newest)
    finally:
        link.close()
    sent = (events * -(-STORM // len(events)))[:STORM]
    random.Random(1).shuffle(sent)  # noqa: S311 - only an order
    bench.say(f"A storm of {len(sent)} events, {len(events)} different ones.")
    began = time.monotonic()
    statuses = await _send_all(bench, sent)
    taken = time.monotonic() - began
    lost = await bench.undelivered(placed.paid, PATIENCE)
    left = await _drained(bench)
    drained = time.monotonic() - began
    table = Table(
        f"A storm of {len(sent)} events ({len(events)} different ones, {STORM_ORDERS} payments)",
        ("taken in s", "drained after s", "answers"),
    )
    table.add(f"{taken:.1f}", f"{drained:.1f}", ", ".join(f"{n} x {s}" for s, n in statuses.items()))
    result.tables.append(table)
    result.raw["storm"] = {"taken_s": taken, "drained_s": drained, "statuses": statuses}
    if lost or left or set(statuses) != {200}:
        result.faults.append(f"storm: {lost} orders not delivered, {left} events left, answers {statuses}")


async def _events(link: Any, newest: str) -> list[Any]:
    """The sandbox's events after this one."""
    found: list[Any] = []
    while True:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        page = await _sandbox(link, "GET", f"/v1/events?limit=100{after}")
        for event in page["data"]:
            if event["id"] == newest:
                return found
            found.append(event)
        if not page["has_more"]:
            return found


async def _send_all(bench: Bench, events: list[Any]) -> dict[int, int]:
    """All of them to our door over a few connections, signed as the provider signs."""
    secret = bench.stack.environment["STRIPE_WEBHOOK_SECRETS"]
    statuses: dict[int, int] = {}
    left = iter(events)

    async def one() -> None:
        link = await connect("127.0.0.1", bench.stack.port)
        for event in left:
            status, _ = await link.ask(signed(event, secret))
            statuses[status] = statuses.get(status, 0) + 1
        link.close()

    await asyncio.gather(*(one() for _ in range(_AT_ONCE)))
    return statuses


def signed(event: Any, secret: str) -> bytes:
    """The request that brings an event, signed now."""
    body, moment = msgspec.json.encode(event), int(time.time())
    mark = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    head = (
        f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={moment},v1={mark}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _drained(bench: Bench) -> int:
    """Waits until no event is left to be handled; how many are, when it takes too long."""
    until = time.monotonic() + PATIENCE
    while True:
        left: int = await bench.market.owner.fetchval(
            "SELECT count(*) FROM inbox.event WHERE state NOT IN ('PROCESSED', 'IGNORED', 'DEAD')"
        )
        if not left or time.monotonic() > until:
            return left
        await asyncio.sleep(0.1)

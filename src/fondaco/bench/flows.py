"""What buyers do, step by step, each with a connection of its own; played in the load's own process.

`python -m fondaco.bench.flows` reads a Plan and writes an Outcome.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count, cycle
from typing import Any, Literal

import msgspec

from fondaco.bench.load import KEY, Link, connect, in_own_process, request, serve_plan


class Plan(msgspec.Struct, kw_only=True):
    """`flow`: each client shops, again and again. `rush`: every client once, all at the same moment.
    `mixed`: what a day brings, as it comes (`rate` a second) or, without a rate, as fast as it is answered.
    `orders`: one card order for each token, not yet paid. `payments`: the payment of each of `sessions`."""

    kind: Literal["flow", "rush", "mixed", "orders", "payments"]
    port: int
    sandbox_port: int = 0
    clients: int
    seconds: float = 0.0
    rate: float = 0.0
    tokens: list[str]
    listings: list[str]
    sessions: list[str] = []
    first_key: int = 0
    seed: int = 1
    host: str = "127.0.0.1"


class Outcome(msgspec.Struct):
    """`micros`: by kind of thing done, how long each took. `answers`: how often a step was answered how.
    `words`: what refusals said. `slowest`: the slowest single answer, in microseconds."""

    seconds: float = 0.0
    micros: dict[str, list[int]] = msgspec.field(default_factory=dict[str, list[int]])
    answers: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    words: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    paid: list[str] = msgspec.field(default_factory=list[str])
    sessions: list[str] = msgspec.field(default_factory=list[str])
    late: int = 0
    slowest: int = 0

    def answered(self, name: str) -> None:
        self.answers[name] = self.answers.get(name, 0) + 1

    def said(self, words: str) -> None:
        self.words[words] = self.words.get(words, 0) + 1

    def add(self, other: "Outcome") -> None:
        """Take in what another slice of the same load brought."""
        self.seconds += other.seconds
        self.late += other.late
        self.slowest = max(self.slowest, other.slowest)
        self.paid += other.paid
        for mine, theirs in ((self.answers, other.answers), (self.words, other.words)):
            for name, n in theirs.items():
                mine[name] = mine.get(name, 0) + n
        for name, micros in other.micros.items():
            self.micros.setdefault(name, []).extend(micros)

    @property
    def done(self) -> int:
        """Things done from beginning to end."""
        return sum(map(len, self.micros.values()))

    @property
    def broken(self) -> int:
        """Answers that say the server failed, and connections it closed."""
        return sum(n for name, n in self.answers.items() if name.split()[-1] >= "500" or "closed" in name)


class Refused(Exception):
    """A step was answered with a refusal; the thing done ends here."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Shopper:
    """One connection, as one buyer after another."""

    def __init__(
        self, plan: Plan, link: Link, outcome: Outcome, keys: "count[int]", pick: random.Random
    ) -> None:
        self.plan, self.link, self.outcome = plan, link, outcome
        self.keys, self.pick = keys, pick
        self.token = ""

    async def ask(self, name: str, method: str, path: str, body: Any = None, *, key: bool = False) -> Any:
        """One step; its answer as data (HTML as bytes). Raises Refused."""
        text = request(method, path, token=self.token, key=key, body=body)
        status, answer = await self._timed(self.link, text, name)
        if status >= 400:
            self._refused(status, answer)
        return answer if answer[:1] == b"<" or not answer else msgspec.json.decode(answer)

    async def _timed(self, link: Link, text: str, name: str) -> tuple[int, bytes]:
        content = text.replace(KEY, f"{next(self.keys):032x}").encode("latin-1")
        began = time.perf_counter_ns()
        try:
            status, answer = await link.ask(content)
        except ConnectionResetError:
            self.outcome.answered(f"{name} closed")
            raise
        self.outcome.slowest = max(self.outcome.slowest, (time.perf_counter_ns() - began) // 1000)
        self.outcome.answered(f"{name} {status}")
        return status, answer

    def _refused(self, status: int, answer: bytes) -> None:
        try:
            self.outcome.said(str(msgspec.json.decode(answer)["detail"])[:200])
        except (msgspec.DecodeError, KeyError, TypeError):
            self.outcome.said(f"(no words) {answer[:80]!r}")
        raise Refused(status)

    async def shop(self) -> None:
        """Browse, look, put into the cart, confirm the quote, pay from the wallet, read the secret."""
        await self.ask("browse", "GET", "/api/v1/listings?limit=24")
        chosen = self.pick.choice(self.plan.listings)
        await self.ask("look", "GET", f"/api/v1/listings/{chosen}")
        placed = await self.take_home(chosen)
        await self.reveal(placed)

    async def take_home(self, chosen: str) -> Any:
        """Cart, quote, wallet."""
        await self.ask("cart", "PUT", f"/api/v1/cart/lines/{chosen}", {"quantity": 1})
        quote = await self.ask("quote", "POST", "/api/v1/quotes", {})
        order = {"pay_with": "wallet", "quote": quote["fingerprint"]}
        return await self.ask("pay", "POST", "/api/v1/orders", order, key=True)

    async def reveal(self, placed: Any) -> None:
        """The secret of what was just bought."""
        right = placed["order"]["orders"][0]["lines"][0]["entitlements"][0]
        shown = await self.ask("reveal", "POST", f"/api/v1/library/{right}/reveal")
        if not shown["secret"].startswith("BENCH-"):
            raise AssertionError("that is not the key that was sold")

    async def buy(self) -> None:
        """One call: a listing at the price that was seen."""
        line = {"listing_id": self.pick.choice(self.plan.listings), "price": 499}
        await self.ask("buy", "POST", "/api/v1/orders", {"pay_with": "wallet", "lines": [line]}, key=True)

    async def list_page(self) -> None:
        await self.ask("list page", "GET", "/browse")

    async def listing_page(self) -> None:
        found = await self.ask("list", "GET", "/api/v1/listings?limit=24")
        slug = self.pick.choice(found["items"])["slug"]
        await self.ask("listing page", "GET", f"/l/{slug}")

    async def library(self) -> None:
        await self.ask("library", "GET", "/api/v1/library?limit=20")

    async def card(self) -> None:
        """An order paid by card on the sandbox's side; the key comes by the event."""
        group, session = await self.card_order()
        await self.pay(session)
        self.outcome.paid.append(group)

    async def card_order(self) -> tuple[str, str]:
        """An order that awaits its payment: its group and the provider's session."""
        line = {"listing_id": self.pick.choice(self.plan.listings), "price": 499}
        placed = await self.ask(
            "order", "POST", "/api/v1/orders", {"pay_with": "card", "lines": [line]}, key=True
        )
        if not placed["checkout_url"]:
            raise Refused(503)
        session: str = placed["checkout_url"].rpartition("/")[2].partition("#")[0].partition("?")[0]
        self.outcome.sessions.append(session)
        return str(placed["order"]["id"]), session

    async def pay(self, session: str) -> None:
        """Pay on the sandbox's side."""
        sandbox = await connect(self.plan.host, self.plan.sandbox_port)
        try:
            status, answer = await self._timed(
                sandbox, request("POST", f"/sandbox/pay/{session}", body={}), "card"
            )
        finally:
            sandbox.close()
        if status >= 400:
            self._refused(status, answer)


# What a day brings, in parts of a hundred.
MIX: Sequence[tuple[str, int]] = (
    ("list_page", 28), ("listing_page", 25), ("library", 10), ("buy", 20), ("shop", 15), ("card", 2),
)  # fmt: skip


async def play(plan: Plan) -> Outcome:
    """Play a plan in this process."""
    outcome, keys, pick = Outcome(), count(plan.first_key), random.Random(plan.seed)  # noqa: S311 - load
    began = time.perf_counter()
    async with _shoppers(plan, outcome, keys, pick) as shoppers:
        if plan.kind == "rush":
            await _rush(plan, shoppers)
        elif plan.kind == "orders":
            await _orders(plan, shoppers)
        elif plan.rate:
            await _as_it_comes(plan, shoppers)
        else:
            await _closed(plan, shoppers)
    outcome.seconds = time.perf_counter() - began
    return outcome


@asynccontextmanager
async def _shoppers(
    plan: Plan, outcome: Outcome, keys: "count[int]", pick: random.Random
) -> AsyncGenerator[list[Shopper]]:
    made = [
        Shopper(plan, await connect(plan.host, plan.port), outcome, keys, pick) for _ in range(plan.clients)
    ]
    try:
        yield made
    finally:
        for one in made:
            one.link.close()


async def _rush(plan: Plan, shoppers: list[Shopper]) -> None:
    """Everybody wants the same thing at the same moment: page, cart, quote, pay."""

    async def one(shopper: Shopper, token: str) -> None:
        shopper.token = token
        chosen = plan.listings[0]

        async def whole() -> None:
            await shopper.ask("look", "GET", f"/api/v1/listings/{chosen}")
            await shopper.take_home(chosen)

        await _timed(shopper, "bought", whole, time.perf_counter_ns())

    await asyncio.gather(*(one(s, t) for s, t in zip(shoppers, plan.tokens, strict=True)))


async def _orders(plan: Plan, shoppers: list[Shopper]) -> None:
    """Everybody places one card order."""
    left = iter(plan.tokens)

    async def one(shopper: Shopper) -> None:
        for token in left:
            shopper.token = token

            async def whole() -> None:
                group, _ = await shopper.card_order()
                shopper.outcome.paid.append(group)

            await _timed(shopper, "order", whole, time.perf_counter_ns())

    await asyncio.gather(*map(one, shoppers))


async def _closed(plan: Plan, shoppers: list[Shopper]) -> None:
    """Each client does the next thing as soon as the last is done; every thing as another buyer."""
    buyers = _others(plan)
    until = time.perf_counter() + plan.seconds

    async def one(shopper: Shopper) -> None:
        while time.perf_counter() < until:
            shopper.token = next(buyers)
            name = "shop" if plan.kind == "flow" else _drawn(shopper.pick)
            await _timed(shopper, name, getattr(shopper, name), time.perf_counter_ns())

    await asyncio.gather(*map(one, shoppers))


async def _as_it_comes(plan: Plan, shoppers: list[Shopper]) -> None:
    """Things begin at their moments, answered or not; timed from the moment they should have begun."""
    free, buyers, sessions = list(shoppers), _others(plan), iter(plan.sessions)
    tasks: set[asyncio.Task[None]] = set()
    began = time.perf_counter_ns()
    for n in range(len(plan.sessions) or int(plan.seconds * plan.rate)):
        due = began + int(n / plan.rate * 1e9)
        await asyncio.sleep(max(0.0, (due - time.perf_counter_ns()) / 1e9))
        while not free:
            shoppers[0].outcome.late += 1
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        shopper = free.pop()
        shopper.token = next(buyers)
        if plan.kind == "payments":
            name, work = "pay", partial(shopper.pay, next(sessions))
        else:
            name = _drawn(shopper.pick)
            work = getattr(shopper, name)
        task = asyncio.create_task(_timed(shopper, name, work, due))
        tasks.add(task)

        def ended(task: "asyncio.Task[None]", shopper: Shopper = shopper) -> None:
            tasks.discard(task)
            free.append(shopper)

        task.add_done_callback(ended)
    if tasks:
        await asyncio.wait(tasks)


async def _timed(shopper: Shopper, name: str, work: Callable[[], Awaitable[None]], began: int) -> None:
    """Does one thing; a refusal is counted by its answer, a lost connection is made anew."""
    outcome = shopper.outcome
    if not shopper.link.open:  # servers close what was idle for half a minute
        shopper.link = await connect(shopper.plan.host, shopper.plan.port)
    try:
        await work()
    except Refused:
        return
    except (ConnectionError, OSError):
        outcome.answered(f"{name} closed")
        await asyncio.sleep(0.1)
        shopper.link = await connect(shopper.plan.host, shopper.plan.port)
        return
    outcome.micros.setdefault(name, []).append((time.perf_counter_ns() - began) // 1000)


def _others(plan: Plan) -> "cycle[str]":
    """The buyers' tokens round and round: nobody comes near what one person may do in a minute."""
    return cycle(plan.tokens)


def _drawn(pick: random.Random) -> str:
    names, parts = zip(*MIX, strict=True)
    return str(pick.choices(names, parts)[0])


async def run(plan: Plan) -> Outcome:
    """Play a plan in a process of its own."""
    return msgspec.json.decode(await in_own_process("fondaco.bench.flows", plan), type=Outcome)


async def _main(text: bytes) -> Outcome:
    return await play(msgspec.json.decode(text, type=Plan))


if __name__ == "__main__":
    serve_plan(_main)

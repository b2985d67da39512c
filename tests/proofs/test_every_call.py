"""Every call of ours that changes something at the provider, and every way it can go wrong around it: the
answer lost, a failure kept under the key (with the thing done or not), a worker dead before or after the
call, the key forgotten, the provider away for hours. In the end the thing is there exactly once, our books
are the provider's, and nothing is left open. A new place that calls fails here until it has its proof."""

import ast
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fondaco import approvals, chargebacks, inbox, payouts, reconciliation, wallets
from fondaco.chargebacks import sweeping
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Problem
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.integrations.stripe import StripeGateway
from fondaco.integrations.stripe_facts import ProviderUnknown
from fondaco.orders.jobs import expire_orders
from tests.conftest import make_settings
from tests.faults.test_provider import by_card
from tests.reconciliation.test_pages import in_suspense
from tests.support.money import Till, make_buyer, make_staff
from tests.support.payouts import Paying, paying
from tests.support.sandbox import RunningSandbox, run_sandbox
from tests.support.shop import make_shop

SOURCE = Path(__file__).parents[2] / "src" / "fondaco"
NO_CHANGE = ("list", "retrieve")
HOUR = 3600


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def till(provider: RunningSandbox, db: Database, endpoints: Endpoints) -> Till:
    provider.reset()
    known = make_settings(endpoints, stripe_api_base=provider.url)
    return Till(db, known, StripeGateway(known), provider)


@dataclass
class Scene:
    """Something decided that is to happen at the provider: who does it, and how one asks again."""

    till: Till
    owner: asyncpg.Connection
    thing: Any = None
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    async def get(self, sql: str, *with_: Any) -> Any:
        return await self.till.db.fetchval(SYSTEM, sql, *with_)

    async def wind(self, table: str, columns: str, hours: float) -> None:
        """As if so many hours had gone by for the rows of a table."""
        moved = ", ".join(f"{c} = {c} - interval '{hours} hours'" for c in columns.split())
        await self.owner.execute(f"UPDATE {table} SET {moved}")


Step = Callable[[Scene], Awaitable[Any]]


@dataclass(frozen=True)
class Proof:
    """One kind of call. `begin` decides it, `call` makes it, `again` is what the clock does later, after
    `wind`; `there` counts what the provider has and `exactly` what it should, `over` says whether we know."""

    path: str
    begin: Step
    call: Callable[[Scene, StripeGateway], Awaitable[Any]]
    again: Step
    wind: tuple[tuple[str, str], ...]
    there: Step
    over: Step
    exactly: Step


def fact(name: str) -> Step:
    async def count(scene: Scene) -> int:
        return sum(1 for f in scene.till.sandbox.truth() if f["fact"] == name)

    return count


# ---- a transfer
async def payout_begin(scene: Scene) -> None:
    scene.thing = await paying(scene.till, scene.owner)
    scene.more["id"] = await scene.thing.withdraw()


async def payout_again(scene: Scene) -> None:
    await payouts.sweep_payouts(scene.till.db, scene.till.gateway)


async def payout_over(scene: Scene) -> bool:
    return await scene.thing.state(scene.more["id"]) == "SENT"


# ---- a reversal
async def reversal_begin(scene: Scene) -> None:
    await payout_begin(scene)
    one: Paying = scene.thing
    await one.send(scene.more["id"])
    scene.till.sandbox.post("/sandbox/available")
    staff = await make_staff(scene.till.db, "finance")
    known = {"amount": 700, "because": "sent by mistake"}
    scene.more["reversal"] = await payouts.take_back(scene.till.db, staff, scene.more["id"], **known)


async def reversal_again(scene: Scene) -> None:
    await payouts.sweep_reversals(scene.till.db, scene.till.gateway)


async def reversal_over(scene: Scene) -> bool:
    """Done, or given up once its key is forgotten and nothing is there: finance may ask anew."""
    state = "SELECT state IN ('DONE', 'FAILED') FROM payouts.reversal WHERE id = $1"
    return await scene.get(state, scene.more["reversal"])


async def reversals_known(scene: Scene) -> int:
    booked = await scene.get("SELECT reversed FROM payouts.payout WHERE id = $1", scene.more["id"])
    done = await scene.get("SELECT count(*) FROM payouts.reversal WHERE state = 'DONE'")
    assert booked == 700 * done
    return done


async def once(scene: Scene) -> int:
    return 1


# ---- a refund to the card
async def refund_begin(scene: Scene) -> None:
    funding = await scene.till.paid_top_up(await make_buyer(scene.till.db))

    async def work(conn: Any) -> UUID:
        return await wallets.request_refund(conn, funding.id, 1000, reason="test", actor="system")

    scene.thing = await scene.till.db.run(SYSTEM, work)


async def refund_again(scene: Scene) -> None:
    await wallets.sweep_refunds(scene.till.db, scene.till.gateway)


async def refund_over(scene: Scene) -> bool:
    return await scene.get("SELECT state FROM wallets.refund WHERE id = $1", scene.thing) == "SUCCEEDED"


# ---- money in suspense, back to its card
async def suspense_begin(scene: Scene) -> None:
    """A payment of which nothing is known here, and two people who send it back."""
    finance, one = await in_suspense(scene.till)
    asked = await reconciliation.ask_to_settle(scene.till.db, finance, one.journal_id, "card", why="Not ours")
    second = await make_staff(scene.till.db, "finance")
    await approvals.decide(scene.till.db, second, asked, True, "seen")


async def suspense_call(scene: Scene, gateway: StripeGateway) -> None:
    await reconciliation.send_back(scene.till.db, gateway)


async def suspense_again(scene: Scene) -> None:
    await reconciliation.send_back(scene.till.db, scene.till.gateway)


async def suspense_over(scene: Scene) -> bool:
    return not await scene.get("SELECT sum(amount) FROM ledger.account_balance WHERE kind = 'suspense'")


# ---- evidence
async def evidence_begin(scene: Scene) -> None:
    till = scene.till
    funding = await till.paid_top_up(await make_buyer(till.db), 5000)
    intent = await scene.get("SELECT intent_id FROM wallets.funding WHERE id = $1", funding.id)
    scene.more["dispute"] = till.sandbox.post(f"/sandbox/charges/{intent}/dispute")["id"]
    await till.deliver_all()
    row = await till.db.fetchrow(SYSTEM, "SELECT id, chargeback_id, version FROM chargebacks.evidence")
    assert row
    finance = await make_staff(till.db, "finance")
    await chargebacks.confirm(till.db, finance, row["chargeback_id"], row["version"])
    scene.thing = row["id"]


async def evidence_again(scene: Scene) -> None:
    await sweeping.sweep(scene.till.db, scene.till.gateway, scene.till.settings)


async def evidence_over(scene: Scene) -> bool:
    return await scene.get("SELECT state FROM chargebacks.evidence WHERE id = $1", scene.thing) == "SENT"


# ---- a payout account, and the link to its page
async def account_begin(scene: Scene) -> None:
    scene.thing = await make_shop(scene.till.db)


async def account_call(scene: Scene, gateway: StripeGateway) -> None:
    await payouts.connect(scene.till.db, gateway, scene.till.settings, scene.thing.owner)


async def account_again(scene: Scene) -> None:
    """The store's owner presses the button once more."""
    with contextlib.suppress(Problem):
        scene.more["url"] = await payouts.connect(
            scene.till.db, scene.till.gateway, scene.till.settings, scene.thing.owner
        )


async def account_over(scene: Scene) -> bool:
    live = "SELECT array_agg(state) FROM payouts.account WHERE state <> 'CLOSED'"
    return await scene.get(live) == ["PENDING"] and "url" in scene.more


async def one_live_account(scene: Scene) -> int:
    """The account that we know is one the provider has; what a lost answer left there holds no money."""
    known = await scene.get("SELECT provider_id FROM payouts.account WHERE state <> 'CLOSED'")
    made = {f["account"] for f in scene.till.sandbox.truth() if f["fact"] == "account.created"}
    return int(known in made)


# ---- a payment page
async def session_begin(scene: Scene) -> None:
    scene.thing = await make_buyer(scene.till.db)


async def session_call(scene: Scene, gateway: StripeGateway) -> None:
    await wallets.start_top_up(scene.till.db, gateway, scene.till.settings, scene.thing, 2500)


async def session_again(scene: Scene) -> None:
    """The worker looks after it; whoever has no page yet asks for another."""
    till = scene.till
    await inbox.sweep_fundings(till.db, till.gateway, till.settings)
    await till.work()
    rows = await wallets.own_top_ups(till.db, scene.thing)
    if not any(f.state == "PROCESSING" for f in rows):
        await till.top_up(scene.thing)


async def session_over(scene: Scene) -> bool:
    rows = await wallets.own_top_ups(scene.till.db, scene.thing)
    return any(f.state == "PROCESSING" and f.session_id for f in rows)


async def pages_we_know(scene: Scene) -> int:
    """Pages that can be paid and are not ours would be money from nowhere."""
    rows = await wallets.own_top_ups(scene.till.db, scene.thing)
    return len({f.session_id for f in rows if f.state == "PROCESSING"})


# ---- closing a payment page
async def expiry_begin(scene: Scene) -> None:
    scene.thing = await by_card(scene.till, await make_shop(scene.till.db, stock=1))
    scene.more["session"] = await scene.get(
        "SELECT session_id FROM wallets.funding WHERE group_id = $1", scene.thing
    )
    await scene.wind("orders.orders", "expires_at", 2)


async def expiry_call(scene: Scene, gateway: StripeGateway) -> None:
    await expire_orders(Parts(scene.till.db, scene.till.settings, gateway))


async def expiry_again(scene: Scene) -> None:
    await expiry_call(scene, scene.till.gateway)


async def expiry_over(scene: Scene) -> bool:
    return await scene.get("SELECT bool_and(state = 'EXPIRED') FROM orders.orders")


async def pages_closed(scene: Scene) -> int:
    page = await scene.till.gateway.retrieve_session(scene.more["session"])
    return int(page.state == "expired")


async def evidence_there(scene: Scene) -> int:
    return (await scene.till.gateway.retrieve_dispute(scene.more["dispute"])).submission_count


CALLS: dict[tuple[str, str], Proof] = {
    ("payouts/sending.py", "create_transfer"): Proof(
        "/v1/transfers",
        payout_begin,
        lambda scene, gateway: payouts.send_payout(scene.till.db, gateway, scene.more["id"]),
        payout_again,
        (("payouts.payout", "called_at checked_at lease_until"),),
        fact("transfer.created"),
        payout_over,
        once,
    ),
    ("payouts/taking_back.py", "create_reversal"): Proof(
        "/v1/transfers",
        reversal_begin,
        lambda scene, gateway: payouts.send_reversal(scene.till.db, gateway, scene.more["reversal"]),
        reversal_again,
        (("payouts.reversal", "called_at checked_at created_at"),),
        fact("transfer.reversed"),
        reversal_over,
        reversals_known,
    ),
    ("wallets/refunds.py", "create_refund"): Proof(
        "/v1/refunds",
        refund_begin,
        lambda scene, gateway: wallets.send_refund(scene.till.db, gateway, scene.thing),
        refund_again,
        (("wallets.refund", "called_at checked_at created_at"),),
        fact("refund.created"),
        refund_over,
        once,
    ),
    ("reconciliation/settling.py", "create_refund"): Proof(
        "/v1/refunds",
        suspense_begin,
        suspense_call,
        suspense_again,
        (),
        fact("refund.created"),
        suspense_over,
        once,
    ),
    ("chargebacks/sending.py", "submit_evidence"): Proof(
        "/v1/disputes",
        evidence_begin,
        lambda scene, gateway: chargebacks.send_evidence(scene.till.db, gateway, scene.thing),
        evidence_again,
        (("chargebacks.evidence", "called_at confirmed_at"),),
        evidence_there,
        evidence_over,
        once,
    ),
    ("payouts/accounts.py", "create_account"): Proof(
        "/v1/accounts",
        account_begin,
        account_call,
        account_again,
        (("payouts.account", "created_at checked_at"),),
        one_live_account,
        account_over,
        once,
    ),
    ("payouts/accounts.py", "create_account_link"): Proof(
        "/v1/account_links",
        account_begin,
        account_call,
        account_again,
        (("payouts.account", "created_at checked_at"),),
        fact("account.created"),
        account_over,
        once,
    ),
    ("wallets/fundings.py", "create_checkout_session"): Proof(
        "/v1/checkout/sessions",
        session_begin,
        session_call,
        session_again,
        (("wallets.funding", "called_at checked_at created_at"),),
        pages_we_know,
        session_over,
        once,
    ),
    ("wallets/fundings.py", "expire_session"): Proof(
        "/v1/checkout",
        expiry_begin,
        expiry_call,
        expiry_again,
        (("orders.orders", "expires_at"),),
        pages_closed,
        expiry_over,
        once,
    ),
}
ELSEWHERE = {
    ("destination/reversing.py", "create_reversal"): "tests/destination",
}
FAULTS = ("lose_answer", "fail_before", "fail_after")
DEATHS = ("dead before the call", "dead after the call")
WAYS = (
    ("lose_answer", 26), ("fail_before", 2), ("fail_after", 2), ("dead before the call", 26),
    ("dead after the call", 2), ("away", 2), ("away", 26),
)  # fmt: skip


class Dead(BaseException):
    """The worker is killed here: nothing of ours goes on."""


def dying(till: Till, method: str, way: str) -> StripeGateway:
    """A gateway in whose call the worker dies."""
    gateway = StripeGateway(till.settings, retries=0)
    real = getattr(gateway, method)

    async def call(*args: Any, **more: Any) -> Any:
        if way == "dead after the call":
            await real(*args, **more)
        raise Dead

    setattr(gateway, method, call)
    return gateway


async def go_wrong(scene: Scene, proof: Proof, method: str, way: str) -> None:
    till = scene.till
    if way in DEATHS:
        with pytest.raises(Dead):
            await proof.call(scene, dying(till, method, way))
        return
    strike = {"down": 100} if way == "away" else {way: {"count": 1, "path": proof.path}}
    till.sandbox.post("/sandbox/faults", **strike)
    with contextlib.suppress(Problem, ProviderUnknown):
        await proof.call(scene, till.impatient)


@pytest.mark.parametrize(("way", "hours"), WAYS, ids=[f"{way}, {hours} hours" for way, hours in WAYS])
@pytest.mark.parametrize("call", CALLS, ids=[f"{method}-{place}" for place, method in CALLS])
async def test_once_in_the_end(
    till: Till, owner: asyncpg.Connection, call: tuple[str, str], way: str, hours: int
) -> None:
    """The provider forgets its keys after 24 hours of its clock: 26 hours are beyond that."""
    proof, scene = CALLS[call], Scene(till, owner)
    await proof.begin(scene)
    given = await till.psp() - await till.provider_balance()  # earned by lines that no card paid
    await go_wrong(scene, proof, call[1], way)
    for _ in range(2):  # hours in which nobody could ask
        for table, columns in proof.wind:
            await scene.wind(table, columns, hours / 2)
        till.sandbox.advance(hours * HOUR // 2)
        if way == "away":
            with contextlib.suppress(Problem, ProviderUnknown):
                await proof.again(scene)
    till.sandbox.post("/sandbox/faults", clear=True)
    for _ in range(5):
        await proof.again(scene)
        await till.deliver_all()
        if await proof.over(scene):
            break
        for table, columns in proof.wind:
            await scene.wind(table, columns, 0.1)
    if not await proof.over(scene):  # what a kept failure keeps shut, a day opens
        till.sandbox.advance(25 * HOUR)
        for table, columns in proof.wind:
            await scene.wind(table, columns, 25)
        for _ in range(3):
            await proof.again(scene)
            await till.deliver_all()
    assert await proof.over(scene)
    assert await proof.there(scene) == await proof.exactly(scene)
    await proof.again(scene)
    assert await proof.there(scene) == await proof.exactly(scene)
    assert await till.psp() - await till.provider_balance() == given
    await till.whole()


def calling_methods() -> set[str]:
    """The gateway's methods that change something at the provider."""
    found: set[str] = set()
    for file in (SOURCE / "integrations").glob("stripe*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                calls = [
                    node.func.attr
                    for node in ast.walk(function)
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                ]
                changing = [
                    c for c in calls if c.endswith("_async") and not c.startswith((*NO_CHANGE, "next"))
                ]
                if changing:
                    found.add(function.name)
    return found


def places() -> set[tuple[str, str]]:
    """Everywhere in the product that one of them is called, or handed on."""
    methods, found = calling_methods(), set[tuple[str, str]]()
    for file in SOURCE.rglob("*.py"):
        if file.parent.name == "integrations":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in methods:
                found.add((file.relative_to(SOURCE).as_posix(), node.attr))
    return found


def test_every_place_that_calls_has_its_proof() -> None:
    assert {"create_transfer", "create_refund", "submit_evidence"} <= calling_methods()
    known = places()
    assert known - ELSEWHERE.keys() == CALLS.keys()
    for place in known & ELSEWHERE.keys():
        tests = Path(__file__).parents[2] / ELSEWHERE[place]
        texts = "".join(file.read_text() for file in tests.glob("test_*.py"))
        assert {"lose_answer", "fail_before", "fail_after"} <= {w for w in FAULTS if w in texts}, place

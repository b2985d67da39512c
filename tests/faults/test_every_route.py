"""The database goes away in the midst of any request: its caller is told to ask again (503, Retry-After), and
never that something broke."""

import contextlib
import errno
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from litestar import Litestar
from pydantic import SecretStr

from fondaco.app import build_parts
from fondaco.bench.market import Market
from fondaco.core.db import SYSTEM, Connection, Database, trouble
from fondaco.core.problem import NoRoom, Unavailable
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.identity.permissions import PERMISSIONS
from fondaco.identity.sessions import viewer_of
from fondaco.orders import Combiner, Wish
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.conftest import key as new_key
from tests.proofs.marketplace import World
from tests.proofs.test_budgets import ACTS, PLACES
from tests.support.app import application, calling
from tests.support.bouncer import direct_dsn
from tests.support.goods import add_keys, make_listing, some_keys
from tests.support.money import give_money, make_buyer
from tests.support.people import make_seller, sign_in
from tests.support.shop import purchase

STREAMS = re.compile(r"/live$|^/(static|api/docs)")
CUTS = ("first", "last")
PLACES_IN = (2, 3, 4, 6, 9, 13)  # a request's transactions that are struck, one after the other
REFUSALS = {  # what a server says that is full, waits too long, stops, has no memory, or lost a race for good
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "55P03": "a lock waited for too long",
    "57014": "a statement ran too long",
    "57P01": "the server stops",
    "57P03": "the server starts",
    "58030": "the disk fails",
    "25P03": "the transaction waited too long",
    "40001": "lost every race",
    "08006": "the connection fails",
}


class Failing(Database):
    """Loses its connection, or is refused by the server, in the `at`-th transaction from now. As behind a
    pooler, everything is said in a transaction. `how`: "first" or "last" thing in it, or an SQLSTATE."""

    at, how, begun, has_failed = 0, "", 0, False

    def arm(self, at: int, how: str) -> None:
        self.at, self.how, self.begun, self.has_failed = at, how, 0, False

    @contextlib.asynccontextmanager
    async def _begun(self, connection: Connection, begin: str) -> AsyncIterator[None]:
        async with super()._begun(connection, begin):
            self.begun += 1
            if self.begun == self.at and self.how == "first":
                self._cut(connection)
            elif self.at and self.begun >= self.at and self.how in REFUSALS:  # as long as it lasts
                self.has_failed = True
                await connection.execute(f"DO $$ BEGIN RAISE SQLSTATE '{self.how}'; END $$")
            yield
            if self.begun == self.at and self.how == "last":
                self._cut(connection)

    def _cut(self, connection: Connection) -> None:
        self.has_failed = True
        connection.terminate()


@dataclass(frozen=True)
class Asked:
    """One request to a route."""

    method: str
    path: str
    desk: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def asked(app: Litestar) -> Iterator[Asked]:
    """Each route and method, as somebody who may call it."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            if STREAMS.search(route.path) or handler.opt.get("permit") not in PERMISSIONS:
                continue
            roles = PERMISSIONS[str(handler.opt.get("permit"))]
            desk = "buyer" if "customer" in roles or "anonymous" in roles else "staff"
            desk = "seller" if "seller.owner" in roles and desk == "staff" else desk
            for method in sorted(handler.http_methods - {"HEAD", "OPTIONS"}):
                yield Asked(method, route.path, desk)


def fill(path: str, ids: dict[str, str]) -> str:
    """The path with the things of the marketplace in it; with nobody's where it has none of them."""

    def value(found: "re.Match[str]") -> str:
        name, kind = found[1], found[2]
        places = ACTS if name == "act" else PLACES if name in ("slug", "key") else {}
        what = next((what for begin, what in places.items() if path.startswith(begin)), name)
        nobodys = {"uuid": str(UUID(int=1)), "int": "1"}.get(kind, "none")
        return what if name == "act" else ids.get(what, nobodys)

    return re.sub(r"\{(\w+):(\w+)\}", value, path) + ("?list=orders" if path.endswith("/views") else "")


@pytest.fixture
async def failing(endpoints: Endpoints) -> AsyncIterator[Failing]:
    db = Failing(direct_dsn(endpoints), size=4, pooled=True)
    await db.open()
    yield db
    await db.close()


@dataclass
class People:
    """A small marketplace, and who asks."""

    world: World
    viewers: dict[str, Viewer]


@pytest.fixture
async def people(settings: Settings, parts: Parts, db: Database, owner: asyncpg.Connection) -> People:
    world = World(db, owner, parts, Market(db, owner, settings))
    await world.open()
    await world.grow(6)
    return People(world, {desk: await viewer_of(db, t, Viewer()) for desk, t in world.tokens.items()})


@pytest.fixture
async def shop(settings: Settings, failing: Failing) -> AsyncIterator[tuple[Litestar, httpx.AsyncClient]]:
    parts = build_parts(settings)
    parts._parts |= {Database: failing, Combiner: Combiner(failing)}  # it is no Database by name
    with application(settings, parts) as app:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=settings.base_url) as client:
            yield app, client


class Caller:
    """Asks, each route with a session of its own: some of them end it."""

    def __init__(self, client: httpx.AsyncClient, people: People) -> None:
        self.client, self.people = client, people
        self.csrf = ""

    async def arrive(self, wanted: Asked) -> None:
        self.token = await sign_in(self.people.world.db, self.people.viewers[wanted.desk])
        if not self.csrf:
            self.csrf = (await self.client.get("/sign-in")).cookies["csrf"]
        self.client.cookies.clear()

    async def ask(self, wanted: Asked) -> httpx.Response:
        path = fill(wanted.path, self.people.world.ids)
        if path.startswith("/api/"):
            headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": uuid4().hex}
            content = {} if wanted.method == "GET" else {"json": {}}
            return await self.client.request(wanted.method, path, headers=headers, **content)
        headers = {"Cookie": f"session={self.token}; csrf={self.csrf}", "Accept": "text/html"}
        headers["X-CSRFToken"] = self.csrf
        return await self.client.request(wanted.method, path, headers=headers)


def wrong(answer: httpx.Response) -> str:
    """What is wrong with the answer to somebody whose database went away; "" when nothing is."""
    if answer.status_code == 503:
        return "" if answer.headers.get("retry-after", "").isdigit() else "503 without Retry-After"
    return "" if answer.status_code < 400 else f"{answer.status_code} {answer.text[:120]}"


@pytest.mark.slow
async def test_a_connection_lost_in_the_midst_of_any_route(
    people: People, failing: Failing, shop: tuple[Litestar, httpx.AsyncClient]
) -> None:
    """The first transaction, in which everybody is known, is the same for all: the first routes stand for it.
    By turns the connection is lost before anything was said, and before it is committed."""
    app, client = shop
    caller = Caller(client, people)
    found, struck = list[str](), 0
    for number, wanted in enumerate(asked(app)):
        await caller.arrive(wanted)
        for at in (1, *PLACES_IN) if number < 10 else PLACES_IN:
            failing.arm(at, CUTS[(number + at) % 2])
            answer = await caller.ask(wanted)
            if failing.has_failed:
                struck += 1
                if words := wrong(answer):
                    found.append(f"{wanted}, transaction {at}: {words}")
            elif failing.begun < at:
                break
    assert not found, "\n".join(found)
    assert struck > 300


REVEAL = Asked("POST", "/api/v1/library/{entitlement_id:uuid}/reveal", "buyer")
SOME = (
    Asked("GET", "/api/v1/orders", "buyer"),
    Asked("GET", "/orders", "buyer"),
    Asked("GET", "/console/orders", "staff"),
    REVEAL,
)


@pytest.mark.parametrize("state", sorted(REFUSALS))
async def test_whatever_the_server_says_that_cannot_serve_now(
    state: str, people: People, failing: Failing, shop: tuple[Litestar, httpx.AsyncClient]
) -> None:
    caller = Caller(shop[1], people)
    for wanted in SOME:
        await caller.arrive(wanted)
        for at in (1, 2):
            failing.arm(at, state)
            answer = await caller.ask(wanted)
            assert failing.has_failed
            assert answer.status_code == 503, (str(wanted), at, answer.text[:200])
            assert wrong(answer) == ""


@pytest.fixture
async def code(settings: Settings, db: Database) -> tuple[str, str, str]:
    """A delivered code: its buyer's token, its entitlement, and what it says."""
    seller, buyer = await make_seller(db), await make_buyer(db)
    listing = await make_listing(db, seller, price=100)
    (secret,) = some_keys(1)
    await add_keys(db, Vault(settings), seller, listing, [secret])
    await give_money(db, buyer.user(), 100)
    bought = await Combiner(db).buy(purchase(buyer, Wish(listing.id, 1, 100)))
    entitlement = await db.fetchval(
        SYSTEM, "SELECT id FROM delivery.entitlement WHERE buyer_id = $1", buyer.user()
    )
    assert bought
    return await sign_in(db, buyer), str(entitlement), secret


@pytest.mark.parametrize("how", CUTS)
async def test_a_reveal_whose_connection_is_lost_is_made_again_and_shows_the_code(
    how: str, failing: Failing, code: tuple[str, str, str], shop: tuple[Litestar, httpx.AsyncClient]
) -> None:
    """In it: who asks, the reveal written down, the key of the data keys looked up."""
    token, entitlement, secret = code
    path, headers = f"/api/v1/library/{entitlement}/reveal", {"Authorization": f"Bearer {token}"}
    for at in (1, 2, 3):
        failing.arm(at, how)
        answer = await shop[1].post(path, headers=headers)
        assert (answer.status_code, wrong(answer), failing.has_failed) == (503, "", True), answer.text
    failing.arm(0, "")
    answer = await shop[1].post(path, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"secret": secret})


async def test_a_process_that_lacks_the_vaults_key_says_so_and_to_ask_again(
    settings: Settings, db: Database, code: tuple[str, str, str]
) -> None:
    """As while a new key is being brought to one process after another."""
    other = settings.model_copy(update={"vault_keys": SecretStr(f"k2:{new_key()}")})
    parts = build_parts(other)
    parts.add(db)
    async with calling(other, parts) as client:
        token, entitlement, _ = code
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.post(f"/api/v1/library/{entitlement}/reveal", headers=headers)
        assert (answer.status_code, wrong(answer)) == (503, "")
        assert answer.json()["code"] == "vault_key_missing"


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("Connection.execute(): connection has been released back to the pool"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.ProtocolViolationError("server conn crashed?"),
        ConnectionResetError("lost"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_drivers_ways_to_say_that_it_is_gone(error: Exception) -> None:
    assert type(trouble(error)) is Unavailable


def test_a_full_disk_is_told_apart_and_a_mistake_of_ours_is_none_of_these() -> None:
    assert type(trouble(OSError(errno.ENOSPC, "No space left on device"))) is NoRoom
    assert type(trouble(asyncpg.DiskFullError("could not extend file"))) is NoRoom
    for mistake in (
        asyncpg.InterfaceError("the server expects 1 argument for this query, 2 were passed"),
        asyncpg.UndefinedColumnError("no such column"),
        FileNotFoundError("gone"),
        KeyError("x"),
    ):
        assert trouble(mistake) is None
